import { byteString, trim } from './bytes.js';
import { Refused } from './errors.js';

export type HeaderValue = string | Uint8Array;

/** A span context as the wire writes it. */
export interface Context {
  traceparent: string;
  tracestate?: string;
}

const PRINTABLE = /^[\t\x20-\x7e]*$/;
const MAX_TRACESTATE = 8192;
const MIN_TRACESTATE = 512;

/** Reads the values of all `traceparent` fields; gives the value that is sent on, or undefined without any.
 * @throws {Refused} with the first reason of TC-1 that applies. */
export function parseTraceparent(values: readonly HeaderValue[]): string | undefined {
  const first = values[0];
  if (first === undefined) return undefined;
  if (values.length > 1) throw new Refused('duplicate');
  const raw = byteString(first);
  if (raw.length > 512) throw new Refused('too_long');
  const value = trim(raw);
  if (value.length < 55) throw new Refused('length');
  const match = /^([\da-f]{2})-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})/.exec(value);
  if (!match) throw new Refused('character');
  const [, version, traceId, parentId, flags] = match as unknown as [string, string, string, string, string];
  if (version === 'ff') throw new Refused('version');
  checkTail(version, value.slice(55));
  if (/^0+$/.test(traceId) || /^0+$/.test(parentId)) throw new Refused('zero_id');
  return `00-${traceId}-${parentId}-0${Number.parseInt(flags, 16) & 3}`;
}

function checkTail(version: string, tail: string): void {
  if (!tail) return;
  if (!PRINTABLE.test(tail[0] as string)) throw new Refused('character');
  if (version === '00' || tail[0] !== '-') throw new Refused('trailing');
  if (!PRINTABLE.test(tail)) throw new Refused('character');
}

/** The same for one value, without the reason. */
export function readTraceparent(value: string | undefined): string | undefined {
  try {
    return value === undefined ? undefined : parseTraceparent([value]);
  } catch {
    return undefined;
  }
}

/** Reads the values of all `tracestate` fields; gives the list that is sent on, which may be empty.
 * @throws {Refused} `too_long`, `too_many` or `member` (TS-5, TS-6). */
export function parseTracestate(values: readonly HeaderValue[]): string {
  const list = values.map(byteString).join(',');
  if (list.length > MAX_TRACESTATE) throw new Refused('too_long');
  const members = new Map<string, string>();
  let seen = 0;
  for (const part of list.split(',')) {
    const member = trim(part);
    if (!member) continue;
    if (++seen > 32) throw new Refused('too_many');
    const match = /^([a-z\d][a-z\d_\-*/@]{0,255})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{1,256})$/.exec(member);
    if (!match) throw new Refused('member');
    const key = match[1] as string;
    if (!members.has(key)) members.set(key, member);
  }
  return [...members.values()].join(',');
}

/** Cuts a list to `max` characters by whole members, but never below 512 (TS-9). */
export function cutTracestate(list: string, max = MAX_TRACESTATE): string {
  let members = list.split(',');
  let length = list.length;
  for (const over of [128, 0]) {
    const kept: string[] = [];
    for (const member of members.reverse()) {
      const rest = length - member.length - 1;
      if (length > max && member.length > over && rest >= MIN_TRACESTATE) length = rest;
      else kept.push(member);
    }
    members = kept.reverse();
  }
  return members.join(',');
}
