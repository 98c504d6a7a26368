// Envelopes by themselves.

import { INVALID, writeBinaryHead } from '../binary.js';
import { sizeOf, utf8Length, wellFormed } from '../bytes.js';
import {
  type Content,
  type HeadLimits,
  isPrintable,
  type Message,
  open,
  unwrap as unwrapCounted,
  wrap as wrapValid,
} from '../envelope.js';
import { type Counts, count, WirespanError } from '../errors.js';
import { fold, grammarOf, isReserved, type Pair, RESERVED, type Reserved, read } from '../headers.js';
import { Why, writeTextHead } from '../text.js';
import { always } from './always.js';

/** What the application sends: a text (marked as JSON or not), bytes, or nothing in a form. */
export type Body = { text: string; json?: boolean } | { binary: Uint8Array } | { none: 'text' | 'binary' };

export function messageOf(body: Body): [message: Message, content: Content] {
  if ('none' in body) return [body.none === 'text' ? '' : new Uint8Array(), 'none'];
  return 'binary' in body ? [body.binary, undefined] : [wellFormed(body.text), body.json ? 'json' : undefined];
}

export type Recognition = 'announced' | 'always';

export interface Unwrapped {
  headers: Reserved;
  own: Pair[];
  repeated: boolean;
  /** Undefined where nothing is delivered. */
  body: Message | undefined;
  counts: Counts;
}

const LIMITS: HeadLimits = { max_header_bytes: 16384, max_nesting: 512 };

/** Unwraps a message of a known peer. What is no envelope gives the reason (RC-2 to RC-4). */
export function unwrap(
  message: Message,
  recognition: Recognition = 'announced',
  limits: Partial<HeadLimits> = {},
): Unwrapped | { plain: string } {
  const counts: Counts = {};
  const opened = unwrapCounted(message, recognition === 'always' ? always : undefined, { ...LIMITS, ...limits }, counts);
  return typeof opened !== 'object' ? { plain: Why[opened] as string } : { ...opened, counts };
}

/** Gives headers as they may be sent.
 * @throws {WirespanError} `invalid_argument` for a value outside its grammar. */
export function checked(headers: Reserved): Reserved {
  const result: Reserved = {};
  for (const name of RESERVED) {
    const value = headers[name];
    const isList = name === 'tracestate' || name === 'baggage';
    const taken = value === undefined || isList ? value : read(name, value);
    if (value !== undefined && taken === undefined) throw new WirespanError('invalid_argument', name);
    if (!(name === 'seq' && value === '0')) result[name] = taken;
  }
  return result;
}

/** Wraps a body (TX-12). What does not fit into the head is left out, and counted (LI-3).
 * @throws {WirespanError} `invalid_argument` for a header outside its grammar, `limit` where the reserved headers alone do not fit. */
export function wrap(
  headers: Reserved,
  own: readonly Pair[],
  body: Body,
  maxHead = LIMITS.max_header_bytes,
): { message: Message; counts: Counts } {
  const counts: Counts = {};
  const valid = checked(headers);
  if (!isPrintable(valid.baggage)) {
    count(counts, 'dropped_baggage');
    valid.baggage = undefined;
  }
  return { message: wrapValid(valid, own, ...messageOf(body), maxHead, counts), counts };
}

/** Converts the head of an envelope into the other form (CV-1 to CV-5). The body is the caller's to add.
 * @throws {WirespanError} `limit` where the head is too long in the other form. */
export function convertHead(
  message: Message,
  recognition: Recognition = 'announced',
  limits: Partial<HeadLimits> = {},
): { head: Message } | { plain: string } {
  const all = { ...LIMITS, ...limits };
  const opened = open(message, recognition === 'always' ? always : undefined, all);
  if (typeof opened !== 'object') return { plain: Why[opened] as string };
  const toBinary = typeof message === 'string';
  const pairs = convertible(opened.pairs, opened.repeated, toBinary);
  const head = toBinary ? writeBinaryHead(pairs) : writeTextHead(pairs);
  if (sizeOf(head) > all.max_header_bytes) throw new WirespanError('limit', 'headers');
  return { head };
}

const NOT_CONVERTED: readonly string[] = ['wirespan', 'role'];

function convertible(pairs: readonly Pair[], repeatedType: boolean, toBinary: boolean): Pair[] {
  const names = pairs.map(([name]) => fold(name));
  const repeated = repeatedType || new Set(names).size < names.length;
  const headers: Reserved = {};
  const own: Pair[] = [];
  pairs.forEach(([name, value], at) => {
    const folded = names[at] as string;
    if (value === INVALID || name === INVALID) return;
    if (!isReserved(folded)) {
      if (!toBinary || utf8Length(name) <= 255) own.push([name, value]);
    } else if (NOT_CONVERTED.includes(folded)) return;
    else if (grammarOf(folded)?.size_ && !read(folded, value)) return;
    else if (!repeated || (folded === 'content' && names.indexOf(folded) === names.lastIndexOf(folded)))
      headers[folded] = value;
  });
  return [...RESERVED.flatMap((name): Pair[] => (headers[name] === undefined ? [] : [[name, headers[name]]])), ...own];
}
