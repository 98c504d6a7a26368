import { openBinary, writeBinaryHead } from './binary.js';
import { NEVER, sizeOf, wellFormed } from './bytes.js';
import { cutTracestate, MAX_LIST, readTracestate } from './context.js';
import { type Counts, count, WirespanError } from './errors.js';
import { checkOwn, type Judged, judge, MAX_ENTRIES, type Pair, RESERVED, type Reserved } from './headers.js';
import { isJson, parse } from './json.js';
import { type Opened, openCanonical, Plain, type Recognition, type Why, writeTextHead } from './text.js';

/** A whole WebSocket message. */
export type Message = string | Uint8Array;

/** What a message is beside its form: a text that is known to be JSON, or empty because nothing is delivered. */
export type Content = 'json' | 'none' | undefined;

export interface HeadLimits {
  max_header_bytes: number;
  max_nesting: number;
}

export interface Unwrapped extends Judged {
  /** Undefined where nothing is delivered. */
  body: Message | undefined;
}

/** Opens a message of a known peer. What is no envelope gives the reason (RC-2 to RC-4). */
export function open(message: Message, recognition: Recognition | undefined, limits: HeadLimits): Opened | Why {
  const max = limits.max_header_bytes;
  try {
    if (typeof message !== 'string') return openBinary(message, max);
    return recognition ? recognition.open(message, max, limits.max_nesting) : openCanonical(message, max);
  } catch (error) {
    if (error instanceof Plain) return error.why_;
    throw error;
  }
}

/** Opens a message, judges its headers and decodes its body. */
export function unwrap(
  message: Message,
  recognition: Recognition | undefined,
  limits: HeadLimits,
  counts: Counts,
): Unwrapped | Why {
  const opened = open(message, recognition, limits);
  if (typeof opened !== 'object') return opened;
  const judged = judge(opened.pairs, opened.repeated, counts);
  return { ...judged, body: readBody(judged.headers, opened.payload, counts) };
}

/** Undoes `content`; one that does not fit the body is ignored (TX-8). */
function readBody(headers: Reserved, payload: Message, counts: Counts): Message | undefined {
  const { content } = headers;
  if (!content) return payload;
  const isText = typeof payload === 'string';
  const value = isText ? parse(payload) : payload.length || null;
  if (content === 'none' && value === null) return undefined;
  if (content === 'text' && typeof value === 'string') return wellFormed(value);
  // `text` says nothing in the binary form (BN-3).
  if (isText || content === 'none') count(counts, 'content_mismatch');
  headers.content = undefined;
  return payload;
}

/** Wraps a message (TX-12). What does not fit into the head is left out, and counted (LI-3). The headers are valid ones.
 * @throws {WirespanError} `invalid_argument` for an own header outside its grammar, `limit` where the reserved headers alone do not fit. */
export function wrap(
  given: Reserved,
  own: readonly Pair[],
  message: Message,
  content: Content,
  maxHead: number,
  counts: Counts,
): Message {
  checkOwn(own);
  const headers = { ...given };
  if (content === 'none') headers.content = content;
  if (typeof message === 'string') {
    let body = message;
    if (headers.content) body = 'null';
    else if (!content && !isJson(message, 512)) {
      headers.content = 'text';
      body = JSON.stringify(message);
    }
    return `${fit(headers, own, writeTextHead, maxHead, counts)}${body}}`;
  }
  const head = fit(headers, own, writeBinaryHead, maxHead, counts);
  const bytes = new Uint8Array(head.length + message.length);
  bytes.set(head);
  bytes.set(message, head.length);
  return bytes;
}

/** Writes a head, and leaves out what does not fit into it, by the steps of LI-3. */
function fit<Head extends Message>(
  headers: Reserved,
  own: readonly Pair[],
  write: (pairs: Pair[]) => Head,
  maxBytes: number,
  counts: Counts,
): Head {
  const before = headers.tracestate;
  const kept = [...own];
  let head = '' as Head;
  /** Writes the head; gives how many bytes it has too many, without end where it has too many entries. */
  const over = (): number => {
    const pairs = [...RESERVED.flatMap((name): Pair[] => (headers[name] ? [[name, headers[name]]] : [])), ...kept];
    head = write(pairs);
    return pairs.length > MAX_ENTRIES ? NEVER : sizeOf(head) - maxBytes;
  };
  /** Drops own headers from the last one, until the head has at most so many bytes too many. */
  const dropOwn = (most: number): void => {
    while (kept.length && over() > most) {
      kept.pop();
      count(counts, 'dropped_header');
    }
  };

  if (!isPrintable(before)) headers.tracestate = readTracestate(cutTracestate(before as string));
  if (over() > 0) {
    if (headers.baggage) count(counts, 'dropped_baggage');
    headers.baggage = undefined;
    dropOwn(Number.MAX_VALUE);
    const { tracestate } = headers;
    if (tracestate) headers.tracestate = cutTracestate(tracestate, tracestate.length - Math.max(over(), 0));
    dropOwn(0);
    if (over() > 0) headers.tracestate = undefined;
    if (over() > 0) throw new WirespanError('limit', 'headers');
  }
  if (before !== headers.tracestate) count(counts, 'dropped_tracestate');
  return head;
}

/** Says whether a list is within its bound, and of characters that are sent on. */
export const isPrintable = (value = ''): boolean => value.length <= MAX_LIST && /^[\t -~]*$/.test(value);
