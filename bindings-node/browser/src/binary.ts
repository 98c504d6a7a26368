import { decode, encode, hex, unhex } from './bytes.js';
import { readTraceparent } from './context.js';
import { fold, grammarOf, isReserved, MAX_ENTRIES, type Pair, RESERVED } from './headers.js';
import { type Opened, plainUnless, Why } from './text.js';

const OTHER = 15;
/** The type of a reserved header is its place from the tracestate on, from 1. */
const BEFORE_TYPES = 2;
/** Stands for a value that is not UTF-8 or no code; no header has it in its grammar. */
export const INVALID = '\udfff';

export const looksBinary = (bytes: Uint8Array): boolean => bytes[0] === 0xff && bytes[1] === 0x57;

/** Reads a binary envelope (BN-1 to BN-8).
 * @throws {Plain} with the reason of the first check that fails. */
export function openBinary(bytes: Uint8Array, maxHead: number): Opened {
  const u16 = (at: number): number => (bytes[at] as number) * 256 + (bytes[at + 1] as number);
  plainUnless(looksBinary(bytes), Why.ordinary);
  plainUnless(bytes.length >= 6, Why.truncated);
  plainUnless(bytes[2] === 1, Why.version);
  const flags = bytes[3] as number;
  plainUnless(flags < 2, Why.structure);
  const end = 6 + u16(4);
  plainUnless(end <= bytes.length, Why.truncated);
  plainUnless(end <= maxHead, Why.head_too_long);
  const pairs: Pair[] = [];
  let at = 6;
  let entries = flags;
  if (flags) {
    plainUnless(end >= 31, Why.truncated);
    const ids = hex(bytes.subarray(6, 31)).replace(/^(.{32})(.{16})/, '00-$1-$2-');
    pairs.push(['traceparent', readTraceparent(ids) ?? INVALID]);
    at = 31;
  }
  let previous = -1;
  let repeated = false;
  while (at < end) {
    plainUnless(at + 3 <= end, Why.truncated);
    const type = (bytes[at] as number) & 0x7f;
    const critical = bytes[at] !== type;
    const from = at + 3;
    at = from + u16(at + 1);
    plainUnless(at <= end, Why.truncated);
    plainUnless(type >= previous, Why.order);
    const value = bytes.subarray(from, at);
    const name = type > 0 ? RESERVED[type + BEFORE_TYPES] : undefined;
    const { size_: size, words_: words } = grammarOf(name as string) ?? {};
    const known = type === OTHER || (name && size !== 0);
    plainUnless(known || !critical, Why.unknown_critical);
    plainUnless(!size || size === value.length, Why.length);
    repeated ||= type === previous && type !== OTHER;
    previous = type;
    if (!known) continue;
    plainUnless(++entries <= MAX_ENTRIES, Why.head_too_long);
    if (name) {
      const number = size ? BigInt(`0x${hex(value)}`) : 0;
      pairs.push([name, words ? words[Number(number)] || INVALID : size ? `${number}` : readText(value)]);
    } else {
      const split = 1 + (value[0] ?? OTHER * 99);
      plainUnless(split <= value.length, Why.truncated);
      const pair = [readText(value.subarray(1, split)), readText(value.subarray(split))] as const;
      if (isOther(pair)) pairs.push(pair);
    }
  }
  return { pairs, repeated, payload: bytes.subarray(end) };
}

function readText(bytes: Uint8Array): string {
  try {
    return decode(bytes, true);
  } catch {
    return INVALID;
  }
}

/** A reserved name is ignored in an entry of type 15, but for a traceparent that has no trace block (BN-7). */
function isOther([name, value]: Pair): boolean {
  const folded = fold(name);
  return !isReserved(folded) || (folded === 'traceparent' && !blockOf(value));
}

/** The trace block of a traceparent, which a valid one of version 00 has. */
const blockOf = (value: string): string | undefined =>
  /^[ \t]*00/.test(value) ? readTraceparent(value)?.slice(3).replaceAll('-', '') : undefined;

/** Writes a head: the trace block, then the entries ascending by type, own headers last (BN-3). */
export function writeBinaryHead(pairs: readonly Pair[]): Uint8Array {
  const entries: [type: number, value: Uint8Array][] = [];
  let block = '';
  for (const [name, value] of pairs) {
    const type = RESERVED.indexOf(name as 'sent') - BEFORE_TYPES;
    const traced = name === 'traceparent' && blockOf(value);
    if (traced) block = traced;
    else
      entries.push(
        type > 0 ? [type, writeValue(name, value)] : [OTHER, Uint8Array.of(encode(name).length, ...encode(name + value))],
      );
  }
  entries.sort(([a], [b]) => a - b);
  const head = [...unhex(block), ...entries.flatMap(([type, value]) => [type, value.length >> 8, value.length, ...value])];
  return Uint8Array.of(0xff, 0x57, 1, Number(block !== ''), head.length >> 8, head.length, ...head);
}

function writeValue(name: string, value: string): Uint8Array {
  const { size_: size, words_: words } = grammarOf(name) ?? {};
  const number = words?.indexOf(value) ?? (size ? BigInt(value) : 0);
  return size ? unhex(number.toString(16).padStart(2 * size, '0')) : encode(value);
}
