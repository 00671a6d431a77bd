import { prefs, type Lang } from '../lib/prefs.svelte';
import { en, type MessageKey, type Messages } from './en';
import { zh } from './zh';

export type { MessageKey };
export const languages: Record<Lang, { name: string; tag: string; messages: Messages }> = {
  en: { name: 'English', tag: 'en', messages: en },
  zh: { name: '简体中文', tag: 'zh-CN', messages: zh },
};

type Values = Record<string, string | number>;

function fill(text: string, values?: Values): string {
  return values ? text.replace(/\{(\w+)\}/g, (whole, name: string) => (name in values ? String(values[name]) : whole)) : text;
}

/** The message in the reader's language. It is reactive: it changes with the language. */
export function t(key: MessageKey, values?: Values): string {
  return fill(languages[prefs.lang].messages[key], values);
}

type PluralStem = { [K in MessageKey]: K extends `${infer S}_one` ? S : never }[MessageKey];

/** A message that depends on a count; {n} is the count, written for the language. */
export function tn(stem: PluralStem, n: number, values?: Values): string {
  const form = new Intl.PluralRules(languages[prefs.lang].tag).select(n) === 'one' ? 'one' : 'other';
  return t(`${stem}_${form}` as MessageKey, { n: new Intl.NumberFormat(tag()).format(n), ...values });
}

/** A key put together from parts, when there is a message for it. */
export function maybe(key: string): string | null {
  return key in en ? t(key as MessageKey) : null;
}

export function tag(): string {
  return languages[prefs.lang].tag;
}
