import { decode, encode, hex, trim, unhex } from './bytes.js';
import { type Counts, count } from './errors.js';

/** Key, decoded value, and properties as they stand behind the first semicolon. */
export type BaggageMember = readonly [key: string, value: string, properties?: string];

export const MAX_BYTES = 8192;
export const MAX_MEMBERS = 64;
const DROPPED = 'dropped_baggage';
const TOKEN = "[!#$%&'*+.^_`|~\\w-]+";
const VALUE = '[ \\t]*=[ \\t]*([!#-+--:<-[\\]-~]*)';
const KEY = new RegExp(`^${TOKEN}$`);
const MEMBER = new RegExp(`^(${TOKEN})${VALUE}$`);
const PROPERTY = new RegExp(`^${TOKEN}(${VALUE})?$`);
const ESCAPED = /[^!#$&-+\--:<-[\]-~]+/gu;

/** Reads a value into members by their names (BG-1 to BG-5). */
export function readBaggage(value: string, members: Map<string, BaggageMember>, counts: Counts): void {
  for (const part of value.split(',')) {
    const text = trim(part);
    const [head, ...properties] = text.split(';') as [string, ...string[]];
    const [, key, written = ''] = MEMBER.exec(trim(head)) ?? [];
    const isMember = key && properties.every((property) => PROPERTY.test(trim(property)));
    if (isMember && (members.size < MAX_MEMBERS || members.has(key))) {
      const read = written.replace(/(%[\da-f]{2})+/gi, (run) => decode(unhex(run.replaceAll('%', ''))));
      members.set(key, [key, read, trim(text.slice(head.length + 1))]);
    } else if (text) count(counts, DROPPED);
  }
}

/** Writes members from the left, as many as the limits let through (BG-3, BG-6). A name that is no token cannot be written. */
export function writeBaggage(members: Iterable<BaggageMember>, counts: Counts = {}): string {
  let baggage = '';
  let written = 0;
  let full = false;
  for (const [key, value, properties] of members) {
    const escaped = value.replace(ESCAPED, (part) => hex(encode(part)).toUpperCase().replace(/../g, '%$&'));
    const next = `${baggage && `${baggage},`}${key}=${escaped}${properties ? `;${properties}` : ''}`;
    const valid = KEY.test(key);
    full ||= valid && (written === MAX_MEMBERS || next.length > MAX_BYTES);
    if (full || !valid) count(counts, DROPPED);
    else {
      baggage = next;
      written++;
    }
  }
  return baggage;
}

/** Keeps the members that an allow-list of names lets through; `*` is all (TR-2). */
export const allow = (members: readonly BaggageMember[], names: readonly string[] = []): BaggageMember[] =>
  members.filter(([key]) => names.includes('*') || names.includes(key));
