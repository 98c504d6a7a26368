// What a page does without: several fields of a name, and the reason why a value is refused.

import { type BaggageMember, MAX_BYTES, readBaggage, writeBaggage as writeCounted } from '../baggage.js';
import { trim } from '../bytes.js';
import { type Context, keyOfMember, MAX_LIST, MAX_TRACEPARENT, readTraceparent, readTracestate } from '../context.js';
import { type Counts, count } from '../errors.js';
import { byteString, type HeaderValue } from './bytes.js';

export type Reason =
  | 'length'
  | 'version'
  | 'character'
  | 'zero_id'
  | 'trailing'
  | 'duplicate'
  | 'member'
  | 'too_many'
  | 'too_long'
  | 'missing'
  | 'truncated'
  | 'order'
  | 'unknown_critical'
  | 'structure';

/** Says why a value is outside its grammar. */
export class Refused extends Error {
  constructor(readonly reason: Reason) {
    super(reason);
  }
}

/** Reads the values of all `traceparent` fields; gives the value that is sent on, or undefined without any.
 * @throws {Refused} with the first reason of TC-1 that applies. */
export function parseTraceparent(values: readonly HeaderValue[]): string | undefined {
  const [first, second] = values;
  if (first === undefined) return undefined;
  if (second !== undefined) throw new Refused('duplicate');
  const value = byteString(first);
  const read = readTraceparent(value);
  if (!read) throw new Refused(whyNot(value));
  return read;
}

/** Why a traceparent is refused. */
function whyNot(raw: string): Reason {
  if (raw.length > MAX_TRACEPARENT) return 'too_long';
  const value = raw.replace(/^[ \t]+/, '').replace(/[ \t]+$/, '');
  if (value.length < 55) return 'length';
  if (!/^[\da-f]{2}-[\da-f]{32}-[\da-f]{16}-[\da-f]{2}/.test(value)) return 'character';
  const tail = value.slice(55);
  if (value.startsWith('ff')) return 'version';
  if (/^[^\t -~]/.test(tail)) return 'character';
  if (tail && (value.startsWith('00') || tail[0] !== '-')) return 'trailing';
  return /[^\t -~]/.test(tail) ? 'character' : 'zero_id';
}

/** Reads the values of all `tracestate` fields; gives the list that is sent on, which may be empty.
 * @throws {Refused} `too_long`, `too_many` or `member` (TS-5, TS-6). */
export function parseTracestate(values: readonly HeaderValue[]): string {
  const list = values.map(byteString).join(',');
  const read = readTracestate(list);
  if (read !== undefined) return read;
  if (list.length > MAX_LIST) throw new Refused('too_long');
  const firstWrong = list
    .split(',')
    .map(trim)
    .filter(Boolean)
    .findIndex((member) => !keyOfMember(member));
  throw new Refused(firstWrong >= 0 && firstWrong < 32 ? 'member' : 'too_many');
}

/** Reads traceparent and tracestate. A fault is counted once (NG-16). */
export function readContext(traceparents: HeaderValue[], tracestates: HeaderValue[], counts: Counts = {}): Context | undefined {
  let traceparent: string | undefined;
  try {
    traceparent = parseTraceparent(traceparents);
  } catch {
    count(counts, 'context_invalid');
  }
  if (!traceparent) return undefined;
  const tracestate = readTracestate(tracestates.map(byteString).join(','));
  if (tracestate === undefined) count(counts, 'dropped_tracestate');
  return tracestate ? { traceparent, tracestate } : { traceparent };
}

/** Reads the values of all `baggage` fields (BG-1 to BG-7). */
export function parseBaggage(values: readonly HeaderValue[]): { members: BaggageMember[]; dropped: number } {
  const members = new Map<string, BaggageMember>();
  const counts: Counts = {};
  let room = MAX_BYTES;
  for (const raw of values) {
    let value = byteString(raw);
    const left = room;
    if (value.length > left) count(counts, 'dropped_baggage');
    if (left < 0) continue;
    room -= value.length + 1;
    if (value.length > left) {
      value = value.slice(0, value[left] === ',' ? left : Math.max(value.lastIndexOf(',', left - 1), 0));
      room = -1;
    }
    readBaggage(value, members, counts);
  }
  return { members: [...members.values()], dropped: counts.dropped_baggage ?? 0 };
}

/** Writes members from the left, as many as the limits let through (BG-3, BG-6). A name that is no token cannot be written. */
export function writeBaggage(members: Iterable<BaggageMember>): { baggage: string; dropped: number } {
  const counts: Counts = {};
  return { baggage: writeCounted(members, counts), dropped: counts.dropped_baggage ?? 0 };
}
