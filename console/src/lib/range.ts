// The time range of a page, read from and written to its address.
import { civilRange, presets, rangeOf, type Preset, type Range } from './time';

/** Reads ?range=7d, or ?from=2026-11-01&to=2026-11-07 (civil dates, both included). */
export function rangeFrom(q: URLSearchParams, zone: string, now: number, fallback: Preset): Range & { preset: Preset | null } {
  const from = q.get('from');
  const to = q.get('to');
  if (from && to) {
    const r = civilRange(from, to, zone);
    if (r) return { ...r, preset: null };
  }
  const p = q.get('range') as Preset | null;
  const preset = p && presets.includes(p) ? p : fallback;
  return { ...rangeOf(preset, now, zone), preset };
}
