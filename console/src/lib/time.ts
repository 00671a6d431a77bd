// Every day begins at midnight of the business time zone, wherever the reader
// sits. The browser's own zone is never used.

const DAY = 86_400_000;

/** A time zone that Intl knows; the server's name else falls back to UTC. */
export function validZone(zone: string | undefined): string {
  if (!zone) return 'UTC';
  try {
    new Intl.DateTimeFormat('en', { timeZone: zone });
    return zone;
  } catch {
    return 'UTC';
  }
}

const partsOf = new Map<string, Intl.DateTimeFormat>();

function clock(t: number, zone: string): { y: number; m: number; d: number; h: number; min: number; s: number } {
  let f = partsOf.get(zone);
  if (!f) {
    f = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
    partsOf.set(zone, f);
  }
  const v: Record<string, number> = {};
  for (const p of f.formatToParts(t)) if (p.type !== 'literal') v[p.type] = Number(p.value);
  return { y: v.year!, m: v.month!, d: v.day!, h: v.hour!, min: v.minute!, s: v.second! };
}

/** How far the zone's wall clock is ahead of UTC at an instant, in ms. */
function offset(t: number, zone: string): number {
  const c = clock(t, zone);
  return Date.UTC(c.y, c.m - 1, c.d, c.h, c.min, c.s) - Math.floor(t / 1000) * 1000;
}

/** The first instant of a civil day (month from 1; days may over- or underflow). */
export function midnight(y: number, m: number, d: number, zone: string): number {
  const wall = Date.UTC(y, m - 1, d);
  let t = wall - offset(wall, zone);
  t = wall - offset(t, zone);
  // Where a clock change skips midnight the day begins at the first instant that exists.
  const want = new Date(wall);
  for (let i = 0; i < 4 && clock(t, zone).d !== want.getUTCDate(); i++) t += 1_800_000;
  return t;
}

export type Preset = 'today' | 'yesterday' | '24h' | '7d' | '14d' | '30d' | 'month' | 'last_month' | 'all';
export const presets: Preset[] = ['today', 'yesterday', '24h', '7d', '14d', '30d', 'month', 'last_month', 'all'];

export interface Range {
  /** Inclusive start; null means from the beginning. */
  since: number | null;
  /** Exclusive end; null means until now and on. */
  until: number | null;
}

/** The instants of a preset. Whole days are days of the business zone and include today. */
export function rangeOf(p: Preset, now: number, zone: string): Range {
  const c = clock(now, zone);
  const at = (d: number) => midnight(c.y, c.m, c.d + d, zone);
  switch (p) {
    case 'today':
      return { since: at(0), until: at(1) };
    case 'yesterday':
      return { since: at(-1), until: at(0) };
    case '24h':
      return { since: Math.floor(now / 3_600_000) * 3_600_000 - 23 * 3_600_000, until: null };
    case '7d':
      return { since: at(-6), until: at(1) };
    case '14d':
      return { since: at(-13), until: at(1) };
    case '30d':
      return { since: at(-29), until: at(1) };
    case 'month':
      return { since: midnight(c.y, c.m, 1, zone), until: midnight(c.y, c.m + 1, 1, zone) };
    case 'last_month':
      return { since: midnight(c.y, c.m - 1, 1, zone), until: midnight(c.y, c.m, 1, zone) };
    case 'all':
      return { since: null, until: null };
  }
}

/** Civil date "2026-11-24" of an instant. */
export function civil(t: number, zone: string): string {
  const c = clock(t, zone);
  const p = (n: number) => String(n).padStart(2, '0');
  return `${c.y}-${p(c.m)}-${p(c.d)}`;
}

/** The range of civil dates from..to, both included; null when one is not a date. */
export function civilRange(from: string, to: string, zone: string): Range | null {
  const a = /^(\d{4})-(\d{2})-(\d{2})$/.exec(from);
  const b = /^(\d{4})-(\d{2})-(\d{2})$/.exec(to);
  if (!a || !b) return null;
  const since = midnight(Number(a[1]), Number(a[2]), Number(a[3]), zone);
  const until = midnight(Number(b[1]), Number(b[2]), Number(b[3]) + 1, zone);
  return since < until ? { since, until } : null;
}

/** The period of the same length just before. */
export function before(r: Range, now: number): Range | null {
  if (r.since == null) return null;
  const end = Math.min(r.until ?? now, now);
  const length = end - r.since;
  return length > 0 ? { since: r.since - length, until: r.since } : null;
}

/** Whether a range is short enough to be drawn by the hour. */
export function isHourly(r: Range, now: number): boolean {
  return r.since != null && (r.until ?? now) - r.since <= 2.1 * DAY;
}

export function iso(t: number): string {
  return new Date(t).toISOString();
}
