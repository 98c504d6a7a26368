import { isWellFormed, trim, utf8Length } from './bytes.js';
import { parseTracestate, readTraceparent } from './context.js';
import { type Counts, count, type ErrorKind, WirespanError } from './errors.js';

/** The reserved headers, in the order in which they are written (TX-2). */
export const RESERVED = [
  'wirespan',
  'role',
  'traceparent',
  'tracestate',
  'baggage',
  'session',
  'kind',
  'method',
  'stream',
  'seq',
  'end',
  'error',
  'content',
  'sent',
] as const;

export type ReservedName = (typeof RESERVED)[number];
export type Reserved = { [name in ReservedName]?: string };
export type Pair = readonly [name: string, value: string];

export const LIMITS = { entries: 64, headBytes: 16384, nesting: 512 } as const;

const MAX_U32 = 0xffffffffn;
const MAX_U64 = 0xffffffffffffffffn;
const isNumber = (value: string, max: bigint): boolean => /^(0|[1-9]\d{0,19})$/.test(value) && BigInt(value) <= max;
const isWord = (value: string): boolean => /^[\x21-\x7e]{1,128}$/.test(value);
const oneOf =
  (...words: string[]) =>
  (value: string): boolean =>
    words.includes(value);

export const isSession = (value: string): boolean => /^[\w.~-]{1,128}$/.test(value);
export const isErrorType = isWord;

/** Reads a list of versions without parameters (NG-2). */
export function readVersions(value: string): string[] | undefined {
  const versions = value.split(',').map(trim);
  return versions.every((version) => /^(0|[1-9]\d*)$/.test(version)) ? versions : undefined;
}

/** Which values each reserved header may have (TX-2, TX-7). */
const VALID: { [name in ReservedName]: (value: string) => boolean } = {
  wirespan: (value) => readVersions(value) !== undefined,
  role: oneOf('client', 'server'),
  traceparent: (value) => readTraceparent(value) !== undefined,
  tracestate: () => true,
  baggage: () => true,
  session: isSession,
  kind: oneOf('call', 'transfer'),
  method: isWord,
  stream: (value) => value !== '0' && isNumber(value, MAX_U32),
  seq: (value) => isNumber(value, MAX_U32),
  end: oneOf('1', 'cancel', 'error'),
  error: isWord,
  content: oneOf('text', 'none'),
  sent: (value) => isNumber(value, MAX_U64),
};

export const isReserved = (name: string): name is ReservedName => (RESERVED as readonly string[]).includes(name);
export const isValid = (name: ReservedName, value: string): boolean => VALID[name](value);

/** Compares names without regard to ASCII case, and no other (TX-4). */
export const fold = (name: string): string => name.replace(/[A-Z]+/g, (part) => part.toLowerCase());

/** Says whether an own header is within its grammar (TX-5). */
export const isOwn = ([name, value]: Pair): boolean =>
  /^[\x21-\x7e]{1,255}$/.test(name) && !/[\r\n\0]/.test(value) && isWellFormed(value);

/** Refuses own headers that a sender must not write (TX-5). */
export function checkOwn(own: readonly Pair[]): void {
  const names = new Set<string>();
  for (const pair of own) {
    const name = fold(pair[0]);
    if (!isOwn(pair) || isReserved(name) || names.has(name))
      throw new WirespanError('invalid_argument' satisfies ErrorKind, pair[0]);
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
  const times = new Map<string, number>();
  for (const name of names) times.set(name, (times.get(name) ?? 0) + 1);
  const repeated = repeatedType || times.size < pairs.length;
  const headers: Reserved = {};
  const own: Pair[] = [];
  pairs.forEach((pair, at) => {
    const name = names[at] as string;
    if (isReserved(name)) headers[name] ??= pair[1];
    else if (isOwn(pair)) own.push(pair);
    else count(counts, 'header_invalid');
  });
  if (!repeated) return { headers: checked(headers, counts), own, repeated };
  count(counts, 'header_repeated');
  const { content = '' } = headers;
  const holds = times.get('content') === 1 && VALID.content(content);
  return { headers: holds ? { content } : {}, own, repeated };
}

function checked(headers: Reserved, counts: Counts): Reserved {
  if (headers.stream === undefined || !VALID.stream(headers.stream)) {
    if (headers.stream !== undefined) headers.error = undefined;
    headers.kind = headers.seq = headers.end = undefined;
  }
  const result: Reserved = {};
  for (const name of RESERVED) {
    const value = headers[name];
    if (value === undefined || (value === '' && (name === 'tracestate' || name === 'baggage'))) continue;
    if (!VALID[name](value)) count(counts, name === 'traceparent' ? 'context_invalid' : 'header_invalid');
    else if (name === 'traceparent') result.traceparent = readTraceparent(value) as string;
    else if (name === 'baggage' && utf8Length(value) > 8192) count(counts, 'dropped_baggage');
    else if (name === 'tracestate') takeTracestate(value, result, counts);
    else result[name] = value;
  }
  return result;
}

function takeTracestate(value: string, result: Reserved, counts: Counts): void {
  try {
    const list = parseTracestate([value]);
    if (!result.traceparent) count(counts, 'dropped_tracestate');
    else if (list) result.tracestate = list;
  } catch {
    count(counts, 'dropped_tracestate');
  }
}
