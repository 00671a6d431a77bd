import { describe, expect, it } from 'vitest';
import { before, civil, civilRange, isHourly, midnight, rangeOf, validZone } from './time';

const at = (s: string) => Date.parse(s);
const iso = (t: number | null) => (t == null ? null : new Date(t).toISOString());

describe('days of the business zone', () => {
  it('begin at its midnight, not at the reader’s', () => {
    expect(iso(midnight(2026, 11, 24, 'Asia/Shanghai'))).toBe('2026-11-23T16:00:00.000Z');
    expect(iso(midnight(2026, 11, 24, 'America/New_York'))).toBe('2026-11-24T05:00:00.000Z');
    expect(iso(midnight(2026, 11, 24, 'Asia/Kathmandu'))).toBe('2026-11-23T18:15:00.000Z');
  });

  it('are 23 or 25 hours long when clocks change', () => {
    const hours = (m: number, d: number, zone: string) => (midnight(2026, m, d + 1, zone) - midnight(2026, m, d, zone)) / 3_600_000;
    expect(hours(3, 29, 'Europe/Berlin')).toBe(23);
    expect(hours(10, 25, 'Europe/Berlin')).toBe(25);
  });

  it('begin at the first instant there is, where midnight is skipped', () => {
    const t = midnight(2026, 4, 24, 'Africa/Cairo'); // 00:00 becomes 01:00
    expect(civil(t, 'Africa/Cairo')).toBe('2026-04-24');
    expect(civil(t - 1, 'Africa/Cairo')).toBe('2026-04-23');
  });

  it('know today while the reader still has yesterday', () => {
    const now = at('2026-11-24T17:00:00Z');
    expect(civil(now, 'Asia/Shanghai')).toBe('2026-11-25');
    const today = rangeOf('today', now, 'Asia/Shanghai');
    expect(iso(today.since)).toBe('2026-11-24T16:00:00.000Z');
    expect(iso(today.until)).toBe('2026-11-25T16:00:00.000Z');
    expect(rangeOf('yesterday', now, 'Asia/Shanghai').until).toBe(today.since);
  });

  it('make months', () => {
    const r = rangeOf('last_month', at('2026-01-15T00:00:00Z'), 'UTC');
    expect([iso(r.since), iso(r.until)]).toEqual(['2025-12-01T00:00:00.000Z', '2026-01-01T00:00:00.000Z']);
  });
});

describe('ranges', () => {
  it('of civil dates hold both days', () => {
    const r = civilRange('2026-11-01', '2026-11-07', 'UTC')!;
    expect([iso(r.since), iso(r.until)]).toEqual(['2026-11-01T00:00:00.000Z', '2026-11-08T00:00:00.000Z']);
    expect(civilRange('2026-11-07', '2026-11-01', 'UTC')).toBeNull();
    expect(civilRange('yesterday', '2026-11-01', 'UTC')).toBeNull();
  });

  it('are compared with as long a time before', () => {
    const now = at('2026-11-24T12:00:00Z');
    const b = before(rangeOf('today', now, 'UTC'), now)!;
    expect([iso(b.since), iso(b.until)]).toEqual(['2026-11-23T12:00:00.000Z', '2026-11-24T00:00:00.000Z']);
    expect(before(rangeOf('all', now, 'UTC'), now)).toBeNull();
  });

  it('of up to two days are drawn by the hour', () => {
    const now = at('2026-11-24T12:00:00Z');
    expect(isHourly(rangeOf('24h', now, 'UTC'), now)).toBe(true);
    expect(isHourly(rangeOf('7d', now, 'UTC'), now)).toBe(false);
    expect(isHourly(rangeOf('all', now, 'UTC'), now)).toBe(false);
  });
});

describe('zones', () => {
  it('that the browser does not know fall back to UTC', () => {
    expect(validZone('Asia/Shanghai')).toBe('Asia/Shanghai');
    expect(validZone('Local')).toBe('UTC');
    expect(validZone(undefined)).toBe('UTC');
  });
});
