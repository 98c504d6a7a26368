import { byteString, decode, encode, trim, unhex } from './bytes.js';
import type { HeaderValue } from './context.js';

/** Key, decoded value, and properties as they stand behind the first semicolon. */
export type BaggageMember = readonly [key: string, value: string, properties?: string];

export interface ParsedBaggage {
  members: BaggageMember[];
  dropped: number;
}

const MAX_BYTES = 8192;
const MAX_MEMBERS = 64;
const TOKEN = "[!#$%&'*+\\-.^_`|~\\dA-Za-z]+";
const OCTETS = '[\\x21\\x23-\\x2b\\x2d-\\x3a\\x3c-\\x5b\\x5d-\\x7e]*';
const KEY = new RegExp(`^${TOKEN}$`);
const MEMBER = new RegExp(`^(${TOKEN})[ \\t]*=[ \\t]*(${OCTETS})$`);
const PROPERTY = new RegExp(`^${TOKEN}([ \\t]*=[ \\t]*${OCTETS})?$`);
const ESCAPED = /[^\x21\x23\x24\x26-\x2b\x2d-\x3a\x3c-\x5b\x5d-\x7e]/gu;

/** Reads the values of all `baggage` fields (BG-1 to BG-7). */
export function parseBaggage(values: readonly HeaderValue[]): ParsedBaggage {
  const members = new Map<string, BaggageMember>();
  let dropped = 0;
  let room = MAX_BYTES;
  for (const raw of values) {
    let value = byteString(raw);
    if (room < 0) {
      dropped++;
      continue;
    }
    const left = room;
    room -= value.length + 1;
    if (value.length > left) {
      value = value.slice(0, value[left] === ',' ? left : Math.max(value.lastIndexOf(',', left - 1), 0));
      room = -1;
      dropped++;
    }
    for (const part of value.split(',')) {
      const text = trim(part);
      if (!text) continue;
      const member = parseMember(text);
      if (member && (members.size < MAX_MEMBERS || members.has(member[0]))) members.set(member[0], member);
      else dropped++;
    }
  }
  return { members: [...members.values()], dropped };
}

function parseMember(text: string): BaggageMember | undefined {
  const [head, ...properties] = text.split(';') as [string, ...string[]];
  const match = MEMBER.exec(trim(head));
  if (!match || !properties.every((property) => PROPERTY.test(trim(property)))) return undefined;
  const value = (match[2] as string).replace(/(%[\da-f]{2})+/gi, (run) => decode(unhex(run.replaceAll('%', ''))));
  return [match[1] as string, value, trim(text.slice(head.length + 1))];
}

/** Writes members from the left, as many as the limits let through (BG-3, BG-6). A name that is no token cannot be written. */
export function writeBaggage(members: Iterable<BaggageMember>): { baggage: string; dropped: number } {
  let baggage = '';
  let written = 0;
  let dropped = 0;
  let full = false;
  for (const [key, value, properties] of members) {
    const escaped = value.replace(ESCAPED, (char) =>
      Array.from(encode(char), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join(''),
    );
    const next = `${baggage && `${baggage},`}${key}=${escaped}${properties ? `;${properties}` : ''}`;
    const valid = KEY.test(key);
    full ||= valid && (written === MAX_MEMBERS || next.length > MAX_BYTES);
    if (full || !valid) dropped++;
    else {
      baggage = next;
      written++;
    }
  }
  return { baggage, dropped };
}

/** Keeps the members that an allow-list of names lets through; `*` is all (TR-2). */
export function allow(members: readonly BaggageMember[], names: readonly string[] = []): BaggageMember[] {
  return members.filter(([key]) => names.includes('*') || names.includes(key));
}
