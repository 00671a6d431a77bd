import { describe, expect, it } from 'vitest';
import { cmp, exact, isLimit, isNegative, isZero, percent, short, sub, sum, toPico, fromPico } from './money';

describe('exact sums', () => {
  it('adds what floats cannot', () => {
    expect(sum(['0.1', '0.2'])).toBe('0.3');
    expect(sum(['9007199254740993.000000000001', '0.000000000001'])).toBe('9007199254740993.000000000002');
    expect(sum(['-0.5', '0.25', null, undefined])).toBe('-0.25');
    expect(sum([])).toBe('0');
    expect(sub('1', '1.000000000001')).toBe('-0.000000000001');
  });

  it('agrees with adding picodollars, for many amounts', () => {
    let seed = 42;
    const next = () => (seed = (seed * 1103515245 + 12345) & 0x7fffffff);
    let total = 0n;
    const amounts: string[] = [];
    for (let i = 0; i < 500; i++) {
      const p = BigInt(next()) * BigInt(next()) - BigInt(next()) * 1_000_000n;
      total += p;
      amounts.push(fromPico(p));
      expect(toPico(fromPico(p))).toBe(p);
    }
    expect(toPico(sum(amounts))).toBe(total);
  });

  it('compares and tells signs', () => {
    expect(cmp('0.10', '0.1')).toBe(0);
    expect(cmp('-1', '0')).toBe(-1);
    expect(isZero('0.000')).toBe(true);
    expect(isZero('0.000000000001')).toBe(false);
    expect(isNegative('-0.000000000001')).toBe(true);
    expect(isNegative('-0')).toBe(false);
  });
});

describe('writing amounts', () => {
  it.each([
    ['1234567.891', '1,234,567.891'],
    ['0', '0.00'],
    ['5', '5.00'],
    ['0.0000006', '0.0000006'],
    ['6e-7', '0.0000006'],
    ['1.5E3', '1,500.00'],
    ['-1234.5', '-1,234.50'],
    ['9007199254740993.123456789012', '9,007,199,254,740,993.123456789012'],
    ['not money', 'not money'],
  ])('keeps every digit of %s', (s, want) => expect(exact(s, 2)).toBe(want));

  it.each([
    ['0', '0'],
    ['0.00', '0'],
    ['1234.565', '1,234.56'], // half to even
    ['1234.575', '1,234.58'],
    ['0.5', '0.5000'],
    ['0.000123456', '0.0001235'],
    ['0.00099999', '0.0010000'],
    ['-0.02', '-0.02000'],
    ['0.000000000001', '0.000000000001000'],
  ])('shortens %s', (s, want) => expect(short(s)).toBe(want));
});

describe('shares and limits', () => {
  it('takes percentages of exact amounts', () => {
    expect(percent('1', '3')).toBe(33.3333);
    expect(percent('1', '0')).toBeNull();
    expect(percent('-1', '4')).toBe(-25);
  });

  it.each([
    ['25.00', true],
    ['0.000000000001', true],
    ['8999999', true],
    ['9000000', false],
    ['0', false],
    ['-1', false],
    ['', false],
    ['1,5', false],
    ['abc', false],
    ['0.0000000000001', false],
  ])('a limit of %s', (s, ok) => expect(isLimit(s)).toBe(ok));
});
