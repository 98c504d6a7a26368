import { decodeStrictly, encode, hex, unhex } from './bytes.js';
import { readTraceparent } from './context.js';
import { fold, isReserved, LIMITS, type Pair, type ReservedName } from './headers.js';
import { Plain } from './text.js';

export interface OpenedBinary {
  pairs: Pair[];
  /** Whether a type that is not 15 stood twice (BN-6). */
  repeated: boolean;
  payload: Uint8Array;
}

const MAGIC = [0xff, 0x57, 1];
const OTHER = 15;
const TYPES: { [type: number]: ReservedName } = {
  1: 'tracestate',
  2: 'baggage',
  3: 'session',
  4: 'kind',
  5: 'method',
  6: 'stream',
  7: 'seq',
  8: 'end',
  9: 'error',
  10: 'content',
  12: 'sent',
};
/** The length of the entries of fixed size, in bytes. */
const SIZES: { [type: number]: number } = { 4: 1, 6: 4, 7: 4, 8: 1, 10: 1, 12: 8 };
/** The words of coded headers; the code of a word is its index. */
const WORDS: { [type: number]: string[] } = {
  4: ['', 'call', 'transfer'],
  8: ['', '1', 'cancel', 'error'],
  10: ['', 'text', 'none'],
};
/** Stands for a value that is not UTF-8 or no code; no header has it in its grammar. */
export const INVALID = '\udfff';

const number = (bytes: Uint8Array): bigint => BigInt(`0x${hex(bytes)}`);

export const looksBinary = (bytes: Uint8Array): boolean => bytes[0] === 0xff && bytes[1] === 0x57;

/** Reads a binary envelope (BN-1 to BN-8).
 * @throws {Plain} with the reason of the first check that fails. */
export function openBinary(bytes: Uint8Array, maxHead: number): OpenedBinary {
  const check = (holds: boolean, reason: string): void => {
    if (!holds) throw new Plain(reason);
  };
  check(looksBinary(bytes), 'ordinary');
  check(bytes.length >= 6, 'truncated');
  check(bytes[2] === 1, 'version');
  const flags = bytes[3] as number;
  check((flags & 0xfe) === 0, 'structure');
  const end = 6 + Number(number(bytes.subarray(4, 6)));
  check(end <= bytes.length, 'truncated');
  check(end <= maxHead, 'head_too_long');
  const pairs: Pair[] = [];
  let at = 6;
  let entries = flags;
  if (flags) {
    check(end >= 31, 'truncated');
    pairs.push(['traceparent', traceBlock(bytes)]);
    at = 31;
  }
  let previous = -1;
  let repeated = false;
  while (at < end) {
    check(at + 3 <= end, 'truncated');
    const type = (bytes[at] as number) & 0x7f;
    const critical = bytes[at] !== type;
    const from = at + 3;
    at = from + Number(number(bytes.subarray(at + 1, from)));
    check(at <= end, 'truncated');
    check(type >= previous, 'order');
    const value = bytes.subarray(from, at);
    const known = type === OTHER || TYPES[type] !== undefined;
    check(known || !critical, 'unknown_critical');
    check(SIZES[type] === undefined || SIZES[type] === value.length, 'length');
    repeated ||= type === previous && type !== OTHER;
    previous = type;
    if (!known) continue;
    check(++entries <= LIMITS.entries, 'head_too_long');
    const pair = type === OTHER ? readOther(value) : ([TYPES[type] as string, readValue(type, value)] as const);
    if (pair) pairs.push(pair);
  }
  return { pairs, repeated, payload: bytes.subarray(end) };
}

function traceBlock(bytes: Uint8Array): string {
  const value = `00-${hex(bytes.subarray(6, 22))}-${hex(bytes.subarray(22, 30))}-${hex(bytes.subarray(30, 31))}`;
  return readTraceparent(value) ?? INVALID;
}

function readValue(type: number, value: Uint8Array): string {
  if (WORDS[type]) return WORDS[type][value[0] as number] || INVALID;
  return SIZES[type] ? number(value).toString() : (decodeStrictly(value) ?? INVALID);
}

/** Reads an entry of type 15; a reserved name is ignored but for a traceparent that has no trace block (BN-7). */
function readOther(bytes: Uint8Array): Pair | undefined {
  const end = 1 + (bytes[0] ?? 255);
  if (end > bytes.length) throw new Plain('truncated');
  const name = decodeStrictly(bytes.subarray(1, end)) ?? INVALID;
  const value = decodeStrictly(bytes.subarray(end)) ?? INVALID;
  const folded = fold(name);
  if (!isReserved(folded) || (folded === 'traceparent' && !hasTraceBlock(value))) return [name, value];
  return undefined;
}

/** Says whether a traceparent fits into the trace block: a valid one of version 00. */
const hasTraceBlock = (value: string): boolean => readTraceparent(value) !== undefined && /^[ \t]*00/.test(value);

/** Writes a head: the trace block, then the entries ascending by type, own headers last (BN-3). */
export function writeBinaryHead(pairs: readonly Pair[]): Uint8Array {
  const entries: [type: number, value: Uint8Array][] = [];
  let block = new Uint8Array();
  for (const [name, value] of pairs) {
    const type = Number(Object.keys(TYPES).find((key) => TYPES[Number(key)] === name) ?? OTHER);
    if (name === 'traceparent' && hasTraceBlock(value)) {
      block = unhex((readTraceparent(value) as string).slice(3).replaceAll('-', '')) as Uint8Array<ArrayBuffer>;
    } else entries.push([type, type === OTHER ? writeOther(name, value) : writeValue(type, value)]);
  }
  entries.sort(([a], [b]) => a - b);
  const size = entries.reduce((sum, [, value]) => sum + 3 + value.length, block.length);
  const head = new Uint8Array(6 + size);
  head.set([...MAGIC, block.length ? 1 : 0, size >> 8, size]);
  head.set(block, 6);
  let at = 6 + block.length;
  for (const [type, value] of entries) {
    head.set([type, value.length >> 8, value.length], at);
    head.set(value, at + 3);
    at += 3 + value.length;
  }
  return head;
}

function writeValue(type: number, value: string): Uint8Array {
  if (WORDS[type]) return Uint8Array.of(WORDS[type].indexOf(value));
  const size = SIZES[type];
  return size
    ? unhex(
        BigInt(value)
          .toString(16)
          .padStart(2 * size, '0'),
      )
    : encode(value);
}

function writeOther(name: string, value: string): Uint8Array {
  const bytes = encode(` ${name}${value}`);
  bytes[0] = encode(name).length;
  return bytes;
}
