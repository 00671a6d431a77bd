// Money is a decimal string of dollars. It is never parsed into a float to be
// shown or added: amounts are whole numbers of 1e-12 dollars in a BigInt.
// Charts, which draw to the nearest pixel, use toNumber.

const SCALE = 12;

/** Reads a decimal string into units of 10^-digits dollars, keeping every digit. */
function parse(s: string): { units: bigint; digits: number } | null {
  const m = /^([+-]?)(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?$/.exec(s.trim());
  if (!m || (m[2] === '' && !m[3])) return null;
  let frac = m[3] ?? '';
  let whole = m[2] ?? '';
  const exp = m[4] ? Number(m[4]) : 0;
  if (Math.abs(exp) > 100) return null;
  if (exp > 0) {
    frac = frac.padEnd(exp, '0');
    whole += frac.slice(0, exp);
    frac = frac.slice(exp);
  } else if (exp < 0) {
    whole = whole.padStart(-exp, '0');
    frac = whole.slice(whole.length + exp) + frac;
    whole = whole.slice(0, whole.length + exp);
  }
  let units = BigInt((whole || '0') + frac);
  if (m[1] === '-') units = -units;
  return { units, digits: frac.length };
}

/** Rounds units of 10^-from to units of 10^-to, half to even. */
function rescale(units: bigint, from: number, to: number): bigint {
  if (to >= from) return units * 10n ** BigInt(to - from);
  const div = 10n ** BigInt(from - to);
  const neg = units < 0n;
  const abs = neg ? -units : units;
  let q = abs / div;
  const r2 = (abs % div) * 2n;
  if (r2 > div || (r2 === div && q % 2n === 1n)) q += 1n;
  return neg ? -q : q;
}

/** An amount in picodollars. Digits beyond are rounded half to even. */
export function toPico(s: string): bigint {
  const p = parse(s);
  if (!p) throw new Error(`not an amount: ${s}`);
  return rescale(p.units, p.digits, SCALE);
}

export function fromPico(p: bigint): string {
  return plain(p, SCALE, 0);
}

/** The exact sum of amounts; null amounts are unknown and are not counted. */
export function sum(amounts: (string | null | undefined)[]): string {
  let total = 0n;
  for (const a of amounts) if (a != null) total += toPico(a);
  return fromPico(total);
}

export function sub(a: string, b: string): string {
  return fromPico(toPico(a) - toPico(b));
}

export function cmp(a: string, b: string): number {
  const d = toPico(a) - toPico(b);
  return d < 0n ? -1 : d > 0n ? 1 : 0;
}

export function isZero(a: string): boolean {
  const p = parse(a);
  return !!p && p.units === 0n;
}

export function isNegative(a: string): boolean {
  const p = parse(a);
  return !!p && p.units < 0n;
}

/** What share of whole part is, in percent; null when whole is zero. */
export function percent(part: string, whole: string): number | null {
  const w = toPico(whole);
  if (w === 0n) return null;
  return Number((toPico(part) * 1_000_000n) / w) / 10_000;
}

/** For charts only. */
export function toNumber(a: string | null): number | null {
  return a == null ? null : Number(a);
}

/** Decimal notation with at least `min` decimals and no other trailing zeros. */
function plain(units: bigint, digits: number, min: number): string {
  const neg = units < 0n;
  const s = (neg ? -units : units).toString().padStart(digits + 1, '0');
  const whole = digits ? s.slice(0, -digits) : s;
  let frac = digits ? s.slice(-digits) : '';
  let end = frac.length;
  while (end > min && frac[end - 1] === '0') end--;
  frac = frac.slice(0, end).padEnd(min, '0');
  return (neg ? '-' : '') + whole + (frac ? '.' + frac : '');
}

function group(s: string): string {
  const [whole, frac] = s.split('.');
  const g = whole!.replace(/\B(?=(\d{3})+(?!\d))/g, ',');
  return frac ? `${g}.${frac}` : g;
}

/** Every digit of a number of dollars, with thousands separators: "1,234.5000012". */
export function exact(s: string, minDecimals = 0): string {
  const p = parse(s);
  if (!p) return s;
  return group(plain(p.units, p.digits, minDecimals));
}

/**
 * A number of dollars short enough for a table: two decimals from a dollar up,
 * else four significant digits. It is rounded half to even on the decimal text.
 */
export function short(s: string, significant = 4): string {
  const p = parse(s);
  if (!p) return s;
  const abs = p.units < 0n ? -p.units : p.units;
  if (abs === 0n) return '0';
  const one = 10n ** BigInt(p.digits);
  if (abs >= one) return group(plain(rescale(p.units, p.digits, 2), 2, 2));
  // Position of the first digit that is not zero, after the point.
  const lead = p.digits - abs.toString().length + 1;
  const decimals = Math.max(2, lead + significant - 1);
  // Padded, so that columns of amounts are as wide as they are precise.
  return group(plain(rescale(p.units, p.digits, decimals), decimals, decimals));
}

/** Big sums for tiles and axes: 1.2k, 3.4M. From a number, so only for charts. */
export function axis(n: number): string {
  const a = Math.abs(n);
  if (a >= 1e9) return trim(n / 1e9) + 'B';
  if (a >= 1e6) return trim(n / 1e6) + 'M';
  if (a >= 1e3) return trim(n / 1e3) + 'k';
  if (a >= 0.01 || a === 0) return trim(n);
  return String(Number(n.toPrecision(2)));
}

function trim(n: number): string {
  return String(Number(n.toFixed(2)));
}

/** Whether text is an amount that a budget can have: above zero, below nine million, at most 12 decimals. */
export function isLimit(s: string): boolean {
  const p = parse(s);
  return !!p && p.units > 0n && p.digits <= SCALE && p.units < 9_000_000n * 10n ** BigInt(p.digits);
}
