import { trim } from './bytes.js';

/** A span context as the wire writes it. */
export interface Context {
  traceparent: string;
  tracestate?: string;
}

// Version, ids that are not zero, flags, and behind a later version than 00 what a dash leads in.
const TRACEPARENT = /^[ \t]*(?!ff|00.{53}-)[\da-f]{2}-((?!0+-)[\da-f]{32}-(?!0+-)[\da-f]{16})-([\da-f]{2})(-[\t -~]*)?[ \t]*$/;
const MEMBER = /^([a-z\d][a-z\d_\-*/@]{0,255})=[ -+\--<>-~]{1,256}$/;
export const MAX_TRACEPARENT = 512;
export const MAX_LIST = 8192;
export const MAX_MEMBERS = 32;
const MIN_LIST = 512;

/** Reads a traceparent (TC-1 to TC-14); gives the value that is sent on, undefined for one that is refused. */
export function readTraceparent(value: string): string | undefined {
  const [, ids, flags] = (value.length <= MAX_TRACEPARENT && TRACEPARENT.exec(value)) || [];
  return ids && `00-${ids}-0${Number.parseInt(flags as string, 16) & 3}`;
}

export const keyOfMember = (member: string): string | undefined => MEMBER.exec(member)?.[1];

/** Reads a tracestate (TS-1 to TS-7); gives the list that is sent on, which may be empty; undefined for one that is refused. */
export function readTracestate(list: string): string | undefined {
  const members = new Map<string, string>();
  let seen = 0;
  if (list.length > MAX_LIST) return undefined;
  for (const part of list.split(',')) {
    const member = trim(part);
    if (!member) continue;
    const key = keyOfMember(member);
    if (++seen > MAX_MEMBERS || !key) return undefined;
    if (!members.has(key)) members.set(key, member);
  }
  return [...members.values()].join(',');
}

/** Cuts a list to `max` characters by whole members, but never below 512 (TS-9). */
export function cutTracestate(list: string, max = MAX_LIST): string {
  const members = list.split(',');
  let { length } = list;
  for (const over of [128, 0]) {
    for (let at = members.length; at--; ) {
      const size = (members[at] as string).length;
      const rest = length - size - 1;
      if (length <= max || size <= over || rest < MIN_LIST) continue;
      length = rest;
      members.splice(at, 1);
    }
  }
  return members.join(',');
}
