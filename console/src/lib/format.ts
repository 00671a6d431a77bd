// How numbers, amounts and times are written, in the reader's language and the
// business time zone.
import { maybe, t, tag } from '../i18n';
import { en } from '../i18n/en';
import { app } from './app.svelte';
import { ApiError } from './api';
import { exact, short } from './money';
import type { Usage } from './types';

/** The true minus, as wide as a digit, for amounts. */
function signed(text: string): string {
  return text.startsWith('-') ? `−$${text.slice(1)}` : `$${text}`;
}

export function money(s: string | null | undefined, significant = 4): string {
  return s == null ? t('app.unknown') : signed(short(s, significant));
}

/** Every digit; what is owed is never shortened on a receipt. */
export function moneyExact(s: string | null | undefined, decimals = 2): string {
  return s == null ? t('app.unknown') : signed(exact(s, decimals));
}

const formats = new Map<string, Intl.NumberFormat>();

function number(opts: Intl.NumberFormatOptions): Intl.NumberFormat {
  const k = tag() + JSON.stringify(opts);
  let f = formats.get(k);
  if (!f) formats.set(k, (f = new Intl.NumberFormat(tag(), opts)));
  return f;
}

export function count(n: number): string {
  return number({}).format(n);
}

/** 12.3M, 1235万. */
export function compact(n: number): string {
  return Math.abs(n) < 10_000 ? count(n) : number({ notation: 'compact', maximumSignificantDigits: 4 }).format(n);
}

export function decimal(n: number, digits = 1): string {
  return number({ maximumFractionDigits: digits }).format(n);
}

export function percent(p: number, digits = 1): string {
  return number({ style: 'percent', maximumFractionDigits: Math.abs(p) >= 99.95 || p === 0 ? 0 : digits }).format(p / 100).replace('-', '−');
}

export function ms(v: number | null | undefined): string {
  if (v == null) return '–';
  const unit = (value: number, u: 'millisecond' | 'second' | 'minute', digits: number) =>
    number({ style: 'unit', unit: u, unitDisplay: 'narrow', maximumFractionDigits: digits }).format(value);
  if (v < 10) return unit(v, 'millisecond', 1);
  if (v < 1000) return unit(v, 'millisecond', 0);
  if (v < 60_000) return unit(v / 1000, 'second', v < 10_000 ? 2 : 1);
  return unit(v / 60_000, 'minute', 1);
}

const dates = new Map<string, Intl.DateTimeFormat>();

function date(opts: Intl.DateTimeFormatOptions, t: number | string): string {
  const k = tag() + app.zone + JSON.stringify(opts);
  let f = dates.get(k);
  if (!f) dates.set(k, (f = new Intl.DateTimeFormat(tag(), { timeZone: app.zone, ...opts })));
  return f.format(typeof t === 'string' ? Date.parse(t) : t);
}

/** Full date and time with seconds and zone. */
export function dateTime(t: string | number): string {
  return date({ year: 'numeric', month: 'short', day: 'numeric', hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23', timeZoneName: 'short' }, t);
}

export function dateShort(t: string | number): string {
  return date({ year: 'numeric', month: 'short', day: 'numeric' }, t);
}

export function dayMonth(t: string | number): string {
  return date({ month: 'short', day: 'numeric' }, t);
}

export function clockTime(t: string | number): string {
  return date({ hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' }, t);
}

export function hourMinute(t: string | number): string {
  return date({ hour: '2-digit', minute: '2-digit', hourCycle: 'h23' }, t);
}

export function bucket(name: string): string {
  return maybe(`bucket.${name}`) ?? name;
}

const bucketOrder = Object.keys(en).filter((k) => k.startsWith('bucket.')).map((k) => k.slice('bucket.'.length));

/** Entries by bucket, in the buckets' own order: input before output. */
export function byBucket<T>(m: Record<string, T> | null | undefined): [string, T][] {
  const rank = (b: string) => (bucketOrder.includes(b) ? bucketOrder.indexOf(b) : bucketOrder.length);
  return Object.entries(m ?? {}).sort((a, b) => rank(a[0]) - rank(b[0]));
}

export function outcome(name: string): string {
  return maybe(`outcome.${name}`) ?? name;
}

const promptBuckets = ['input', 'cache_read', 'cache_write', 'cache_write_1h', 'input_audio', 'cache_read_audio', 'input_image', 'cache_read_image'];
const outputBuckets = ['output', 'reasoning', 'output_audio', 'output_image'];

/** Prompt and output tokens of a usage; null when the usage is unknown. */
export function tokens(u: Usage | null | undefined): { in: number; out: number } | null {
  if (!u) return null;
  const add = (names: string[]) => names.reduce((n, b) => n + Number(u[b] ?? 0), 0);
  return { in: add(promptBuckets), out: add(outputBuckets) };
}

/** What to tell the reader of an error: translated by its code, with the server's words beside it where they say more. */
export function errorText(e: unknown): { text: string; detail: string } {
  if (e instanceof ApiError) {
    const text = maybe(`error.${e.code}`);
    if (text) return { text, detail: e.code === 'network' || e.message === text ? '' : e.message };
    return { text: e.message, detail: e.code };
  }
  return { text: String(e), detail: '' };
}
