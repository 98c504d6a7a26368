import { INVALID, openBinary, writeBinaryHead } from './binary.js';
import { utf8Length, wellFormed } from './bytes.js';
import { cutTracestate, parseTracestate, readTraceparent } from './context.js';
import { type Counts, count, WirespanError } from './errors.js';
import { checkOwn, fold, isReserved, isValid, judge, LIMITS, type Pair, RESERVED, type Reserved } from './headers.js';
import { isJson, quote, unquote } from './json.js';
import { openAny, openCanonical, Plain, writeTextHead } from './text.js';

export type Form = 'text' | 'binary';
/** A whole WebSocket message. */
export type Message = string | Uint8Array;
export type Recognition = 'announced' | 'always';

/** What the application sends: a text (marked as JSON or not), bytes, or nothing in a form. */
export type Body = { text: string; json?: boolean } | { binary: Uint8Array } | { none: Form };

export interface HeadLimits {
  max_header_bytes?: number;
  max_nesting?: number;
}

export interface Unwrapped {
  headers: Reserved;
  own: Pair[];
  repeated: boolean;
  /** Undefined where nothing is delivered. */
  body: Message | undefined;
  counts: Counts;
}

function open(message: Message, recognition: Recognition, limits: HeadLimits) {
  const max = limits.max_header_bytes ?? LIMITS.headBytes;
  if (typeof message !== 'string') return openBinary(message, max);
  const opened =
    recognition === 'announced' ? openCanonical(message, max) : openAny(message, max, limits.max_nesting ?? LIMITS.nesting);
  return { pairs: opened.pairs, repeated: false, payload: opened.body };
}

/** Unwraps a message of a known peer. What is no envelope gives the reason (RC-2 to RC-4). */
export function unwrap(
  message: Message,
  recognition: Recognition = 'announced',
  limits: HeadLimits = {},
): Unwrapped | { plain: string } {
  try {
    const { pairs, repeated, payload } = open(message, recognition, limits);
    const counts: Counts = {};
    const judged = judge(pairs, repeated, counts);
    return { ...judged, body: readBody(judged.headers, payload, counts), counts };
  } catch (error) {
    if (error instanceof Plain) return { plain: error.reason };
    throw error;
  }
}

/** Undoes `content`; one that does not fit the body is ignored (TX-8). */
function readBody(headers: Reserved, payload: Message, counts: Counts): Message | undefined {
  const { content } = headers;
  const isText = typeof payload === 'string';
  if (!content) return payload;
  if (!isText && content === 'text') {
    headers.content = undefined; // which says nothing in the binary form (BN-3)
    return payload;
  }
  if (!isText) {
    if (!payload.length) return undefined;
  } else {
    const body = payload.replace(/^[ \t\r\n]+/, '').replace(/[ \t\r\n]+$/, '');
    if (content === 'none' && body === 'null') return undefined;
    if (content === 'text' && body.startsWith('"') && isJson(body, 0)) return unquote(body) ?? wellFormed(JSON.parse(body));
  }
  headers.content = undefined;
  count(counts, 'content_mismatch');
  return payload;
}

/** Wraps a body (TX-12). What does not fit into the head is left out, and counted (LI-3).
 * @throws {WirespanError} `invalid_argument` for a header outside its grammar, `limit` where the reserved headers alone do not fit. */
export function wrap(
  given: Reserved,
  own: readonly Pair[],
  body: Body,
  maxHead: number = LIMITS.headBytes,
): { message: Message; counts: Counts } {
  checkOwn(own);
  const headers: Reserved = { ...given };
  let payload: Message;
  if ('none' in body) {
    headers.content = 'none';
    payload = body.none === 'text' ? 'null' : new Uint8Array();
  } else if ('binary' in body) payload = body.binary;
  else {
    payload = wellFormed(body.text);
    if (!body.json && !isJson(payload, LIMITS.nesting)) {
      headers.content = 'text';
      payload = quote(payload);
    }
  }
  for (const name of RESERVED) {
    const value = headers[name];
    if (value !== undefined && !isValid(name, value)) throw new WirespanError('invalid_argument', name);
  }
  if (headers.traceparent) headers.traceparent = readTraceparent(headers.traceparent);
  const counts: Counts = {};
  const head = fit(headers, own, typeof payload === 'string' ? 'text' : 'binary', maxHead, counts);
  return { message: join(head, payload), counts };
}

function join(head: Message, payload: Message): Message {
  if (typeof head === 'string') return `${head}${payload as string}}`;
  const bytes = new Uint8Array(head.length + payload.length);
  bytes.set(head);
  bytes.set(payload as Uint8Array, head.length);
  return bytes;
}

const writeHead = (form: Form, pairs: Pair[]): Message => (form === 'text' ? writeTextHead(pairs) : writeBinaryHead(pairs));
const sizeOf = (head: Message): number => (typeof head === 'string' ? utf8Length(head) : head.length);

/** Lists the headers in the order in which they are written, without empty and absent ones. */
function listed(headers: Reserved, own: readonly Pair[]): Pair[] {
  return [
    ...RESERVED.flatMap((name): Pair[] =>
      headers[name] && !(name === 'seq' && headers.seq === '0') ? [[name, headers[name]]] : [],
    ),
    ...own,
  ];
}

/** Does the steps of LI-3. */
function fit(headers: Reserved, own: readonly Pair[], form: Form, maxHead: number, counts: Counts): Message {
  const kept = [...own];
  const dropBaggage = (): void => {
    if (headers.baggage) count(counts, 'dropped_baggage');
    headers.baggage = undefined;
  };
  const dropOwn = (): void => {
    kept.pop();
    count(counts, 'dropped_header');
  };
  const write = (): Message => writeHead(form, listed(headers, kept));
  const tooMany = (): boolean => listed(headers, kept).length > LIMITS.entries;
  const excess = (): number => sizeOf(write()) - maxHead;
  const before = headers.tracestate;

  if (!isPrintable(headers.tracestate)) headers.tracestate = cutToLimit(headers.tracestate as string);
  if (!isPrintable(headers.baggage)) dropBaggage();
  if (tooMany()) dropBaggage();
  while (kept.length && tooMany()) dropOwn();
  if (excess() > 0) dropBaggage();
  const over = excess();
  if (over > 0 && headers.tracestate) headers.tracestate = cutTracestate(headers.tracestate, headers.tracestate.length - over);
  while (kept.length && excess() > 0) dropOwn();
  if (excess() > 0) headers.tracestate = undefined;
  if (excess() > 0 || tooMany()) throw new WirespanError('limit', 'headers');
  if (before && before !== headers.tracestate) count(counts, 'dropped_tracestate');
  return write();
}

const isPrintable = (value = ''): boolean => value.length <= 8192 && /^[\t\x20-\x7e]*$/.test(value);

function cutToLimit(list: string): string | undefined {
  const cut = cutTracestate(list);
  try {
    return parseTracestate([cut]) && cut;
  } catch {
    return undefined;
  }
}

/** Converts the head of an envelope into the other form (CV-1 to CV-5). The body is the caller's to add.
 * @throws {WirespanError} `limit` where the head is too long in the other form. */
export function convertHead(
  message: Message,
  recognition: Recognition = 'announced',
  limits: HeadLimits = {},
): { head: Message } | { plain: string } {
  try {
    const { pairs, repeated } = open(message, recognition, limits);
    const to: Form = typeof message === 'string' ? 'binary' : 'text';
    const head = writeHead(to, convertible(pairs, repeated, to));
    if (sizeOf(head) > (limits.max_header_bytes ?? LIMITS.headBytes)) throw new WirespanError('limit', 'headers');
    return { head };
  } catch (error) {
    if (error instanceof Plain) return { plain: error.reason };
    throw error;
  }
}

const CODED: readonly string[] = ['stream', 'seq', 'sent', 'kind', 'end', 'content'];
const NOT_CONVERTED: readonly string[] = ['wirespan', 'role'];

function convertible(pairs: readonly Pair[], repeatedType: boolean, to: Form): Pair[] {
  const names = pairs.map(([name]) => fold(name));
  const repeated = repeatedType || new Set(names).size < names.length;
  const headers: Reserved = {};
  const own: Pair[] = [];
  pairs.forEach(([name, value], at) => {
    const folded = names[at] as string;
    if (value === INVALID || name === INVALID) return;
    if (!isReserved(folded)) {
      if (to === 'text' || utf8Length(name) <= 255) own.push([name, value]);
    } else if (NOT_CONVERTED.includes(folded) || (CODED.includes(folded) && !isValid(folded, value))) return;
    else if (!repeated || (folded === 'content' && names.indexOf(folded) === names.lastIndexOf(folded)))
      headers[folded] = value;
  });
  return [...RESERVED.flatMap((name): Pair[] => (headers[name] === undefined ? [] : [[name, headers[name]]])), ...own];
}
