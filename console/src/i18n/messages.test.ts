import { describe, expect, it } from 'vitest';
import { en } from './en';
import { zh } from './zh';

const placeholders = (s: string) => (s.match(/\{\w+\}/g) ?? []).sort();

const files = import.meta.glob<string>(['../**/*.{svelte,ts}', '!../i18n/*', '!../**/*.test.ts'], { query: '?raw', import: 'default', eager: true });

describe('messages', () => {
  it('has every key in both languages', () => {
    expect(Object.keys(zh).sort()).toEqual(Object.keys(en).sort());
  });

  it('keeps the same placeholders', () => {
    for (const [k, v] of Object.entries(en)) {
      expect({ k, p: placeholders(zh[k as keyof typeof en]) }).toEqual({ k, p: placeholders(v) });
    }
  });

  it('leaves nothing empty, and nothing in English by mistake', () => {
    const same = new Set(['app.csv', 'app.json', 'app.comma']);
    for (const [k, v] of Object.entries(zh)) {
      expect(v.trim(), k).not.toBe('');
      if (!same.has(k)) expect(v, k).toMatch(/\p{Script=Han}/u);
    }
  });

  it('has no Chinese in the English messages', () => {
    for (const [k, v] of Object.entries(en)) expect(v, k).not.toMatch(/\p{Script=Han}/u);
  });

  it('has plural pairs whole', () => {
    for (const k of Object.keys(en)) {
      if (k.endsWith('_one')) expect(en, k).toHaveProperty([k.replace(/_one$/, '_other')]);
    }
  });

  it('has no message that nothing shows', () => {
    const text = Object.values(files).join('\n');
    expect(text.length).toBeGreaterThan(10_000);
    // Keys that are put together from a stem and a value that the server gave.
    const stems = [...text.matchAll(/`([a-z_]+(?:\.[a-z_]+)*)\.\$\{/g)].map((m) => m[1]! + '.');
    for (const k of Object.keys(en)) {
      const plain = k.replace(/_(one|other)$/, '');
      const used = text.includes(`'${k}'`) || text.includes(`'${plain}'`) || stems.some((s) => k.startsWith(s));
      expect(used, `${k} is not used`).toBe(true);
    }
  });
});
