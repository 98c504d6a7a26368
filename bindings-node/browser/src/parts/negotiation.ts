import { trim } from '../bytes.js';
import { read } from '../headers.js';
import { byteString, type HeaderList, type HeaderValue, valuesOf } from './bytes.js';

const isSession = (value: string): boolean => read('session', value) !== undefined;

/** What a peer said of itself: that it speaks version 1, and which session it named. */
export interface Announcement {
  session?: string | undefined;
}

const OURS = /^wirespan\.v1(?:\.(.*))?$/;

/** Gives the values of a field, or undefined where they are not looked at (NG-13). */
export function fieldsOf(headers: HeaderList, name: string): HeaderValue[] | undefined {
  const values = valuesOf(headers, name);
  return values.length > 32 || values.some((value) => byteString(value).length > 8192) ? undefined : values;
}

/** Reads a `wirespan` header (NG-2); undefined if it cannot be read or has no common version. */
export function readHeader(headers: HeaderList): Announcement | undefined {
  const values = fieldsOf(headers, 'wirespan');
  if (values?.length !== 1) return undefined;
  const [versions, ...parameters] = byteString(values[0] as HeaderValue).split(';') as [string, ...string[]];
  if (!read('wirespan', versions)?.split(',').map(trim).includes('1')) return undefined;
  for (const parameter of parameters) {
    const match = /^session[ \t]*=[ \t]*([^ \t]*)$/i.exec(trim(parameter));
    if (match && isSession(match[1] as string)) return { session: match[1] };
  }
  return {};
}

export interface Offered {
  /** The subprotocols of the application. */
  others: string[];
  /** Ours, as it was offered. */
  ours?: string;
  announcement?: Announcement;
}

export function readSubprotocols(headers: HeaderList): Offered {
  const offered: Offered = { others: [] };
  for (const part of (fieldsOf(headers, 'sec-websocket-protocol') ?? []).flatMap((value) => byteString(value).split(','))) {
    const name = trim(part);
    const match = OURS.exec(name);
    if (!match || (match[1] !== undefined && !isSession(match[1]))) {
      if (name) offered.others.push(name);
    } else if (!offered.ours) {
      offered.ours = name;
      offered.announcement = { session: match[1] };
    }
  }
  return offered;
}

/** Reads `wirespan=1` or `wirespan=1.ID` of a query, which is not percent-decoded (NG-5). */
export function readQuery(query = ''): Announcement | undefined {
  const values = query
    .replace(/^\?/, '')
    .split('&')
    .filter((part) => part.split('=')[0] === 'wirespan');
  const match = values.length === 1 && /^wirespan=1(?:\.(.*))?$/.exec(values[0] as string);
  if (!match) return undefined;
  return match[1] !== undefined && isSession(match[1]) ? { session: match[1] } : {};
}
