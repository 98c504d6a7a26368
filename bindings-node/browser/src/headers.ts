import { isWellFormed, utf8Length } from './bytes.js';
import { MAX_LIST, readTraceparent, readTracestate } from './context.js';
import { type Counts, count, WirespanError } from './errors.js';

/** What the value of a header may be. */
interface Grammar {
  /** Gives what a value stands for; undefined for one outside of the grammar (TX-7). */
  read_(value: string): string | undefined;
  /** The bytes of a number in the binary form; without it the value is a text there. */
  size_?: number | undefined;
  /** The words whose index is that number. */
  words_?: readonly string[] | undefined;
}

const valid = (holds: (value: string) => boolean, size_?: number, words_?: readonly string[]): Grammar => ({
  read_: (value) => (holds(value) ? value : undefined),
  size_,
  words_,
});
const matching = (pattern: RegExp): Grammar => valid((value) => pattern.test(value));
const word = matching(/^[!-~]{1,128}$/);
const oneOf = (...words: string[]): Grammar => valid((value) => words.includes(value), 1, ['', ...words]);
const unsigned = (size: number, least = 0): Grammar =>
  valid((value) => /^(0|[1-9]\d{0,19})$/.test(value) && BigInt(value) >= least && BigInt(value) < 256 ** size, size);

/** The reserved headers in the order in which they are written (TX-2). From the tracestate on they have that order, and no other, in
 * the binary form too: the number of their type is their place, and one is retired. */
const GRAMMARS = {
  wirespan: matching(/^[ \t]*(0|[1-9]\d*)([ \t]*,[ \t]*(0|[1-9]\d*))*[ \t]*$/),
  role: matching(/^(client|server)$/),
  traceparent: { read_: readTraceparent },
  tracestate: { read_: readTracestate },
  baggage: valid((value) => utf8Length(value) <= MAX_LIST),
  session: matching(/^[\w.~-]{1,128}$/),
  kind: oneOf('call', 'transfer'),
  method: word,
  stream: unsigned(4, 1),
  seq: unsigned(4),
  end: oneOf('1', 'cancel', 'error'),
  error: word,
  content: oneOf('text', 'none'),
  ' retired': unsigned(0),
  sent: unsigned(8),
};

export type ReservedName = Exclude<keyof typeof GRAMMARS, ' retired'>;
export type Reserved = { [name in ReservedName]?: string | undefined };
export type Pair = readonly [name: string, value: string];

export const RESERVED = Object.keys(GRAMMARS) as ReservedName[];
export const MAX_ENTRIES = 64;

export const isReserved = (name: string): name is ReservedName => RESERVED.includes(name as ReservedName);
export const grammarOf = (name: string): Grammar | undefined => GRAMMARS[name as ReservedName];

export const read = (name: ReservedName, value: string): string | undefined => GRAMMARS[name].read_(value);

/** Compares names without regard to ASCII case, and no other (TX-4). */
export const fold = (name: string): string => name.replace(/[A-Z]+/g, (part) => part.toLowerCase());

/** Says whether an own header is within its grammar (TX-5). */
const isOwn = ([name, value]: Pair): boolean => /^[!-~]{1,255}$/.test(name) && !/[\r\n\0]/.test(value) && isWellFormed(value);

/** Refuses own headers that a sender must not write (TX-5). */
export function checkOwn(own: readonly Pair[]): void {
  const names = new Set(RESERVED as string[]);
  for (const pair of own) {
    const name = fold(pair[0]);
    if (!isOwn(pair) || names.has(name)) throw new WirespanError('invalid_argument', pair[0]);
    names.add(name);
  }
}

export interface Judged {
  headers: Reserved;
  own: Pair[];
  /** Whether a name stood twice, so that the body is plain (TX-6). */
  repeated: boolean;
}

/** Reads the headers of an envelope: what is valid, and counts of what is not (TX-6, TX-7). */
export function judge(pairs: readonly Pair[], repeatedType: boolean, counts: Counts): Judged {
  const names = pairs.map(([name]) => fold(name));
  const repeated = repeatedType || new Set(names).size < names.length;
  const given: Reserved = {};
  const headers: Reserved = {};
  const own: Pair[] = [];
  pairs.forEach((pair, at) => {
    const name = names[at] as string;
    if (isReserved(name)) given[name] ??= pair[1];
    else if (isOwn(pair)) own.push(pair);
    else count(counts, 'header_invalid');
  });
  if (repeated) {
    count(counts, 'header_repeated');
    if (names.indexOf('content') === names.lastIndexOf('content')) headers.content = read('content', given.content ?? '');
    return { headers, own, repeated };
  }
  if (!read('stream', given.stream ?? '')) {
    if (given.stream !== undefined) given.error = undefined;
    given.kind = given.seq = given.end = undefined;
  }
  for (const name of RESERVED) {
    const value = given[name];
    if (value === undefined) continue;
    const taken = name === 'tracestate' && value && !headers.traceparent ? undefined : read(name, value);
    if (taken) headers[name] = taken;
    else if (taken === undefined) count(counts, COUNTERS[name] ?? 'header_invalid');
  }
  return { headers, own, repeated };
}

const COUNTERS: { [name: string]: string } = {
  traceparent: 'context_invalid',
  tracestate: 'dropped_tracestate',
  baggage: 'dropped_baggage',
};
