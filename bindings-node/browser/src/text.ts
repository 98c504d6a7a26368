import { encode } from './bytes.js';
import { LIMITS, type Pair } from './headers.js';
import { JsonFault, quote, skipSpace, skipString, skipValue, unquote } from './json.js';

/** Why a message is plain. */
export class Plain extends Error {
  constructor(readonly reason: string) {
    super(reason);
  }
}

export interface Opened {
  pairs: Pair[];
  body: string;
}

export const START = '{"headers":{';
const BODY = '},"body":';
// The characters of a string up to its quote, or up to the first one that cannot stand in a head.
const CHARS =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON forbids them in strings
  /(?:[^"\\\0-\x1f\ud800-\udfff]|[\ud800-\udbff][\udc00-\udfff]|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[\da-fA-F]{4}|\\u[dD][89abAB][\da-fA-F]{2}\\u[dD][c-fC-F][\da-fA-F]{2})*/y;
const UNFINISHED = /^(\\(u([\da-f]{0,3}|d[89ab][\da-f]{2}(\\(u(d([c-f][\da-f]?)?)?)?)?)?)?)?$/i;

export function writeTextHead(pairs: readonly Pair[]): string {
  return `${START}${pairs.map(([name, value]) => `${quote(name)}:${quote(value)}`).join(',')}${BODY}`;
}

/** Gives the part of a text that has at most `max` bytes; whole, without copying, where the text is short. */
function withinBytes(text: string, max: number): string {
  if (text.length * 3 <= max) return text;
  const part = text.slice(0, max + 1);
  return text.slice(0, new TextEncoder().encodeInto(part, new Uint8Array(max)).read);
}

/** Reads the one form that an announced peer writes (RC-2).
 * @throws {Plain} */
export function openCanonical(text: string, maxHead: number): Opened {
  if (!text.startsWith(START)) throw new Plain('ordinary');
  const head = withinBytes(text, maxHead);
  const ends = (): Plain => new Plain(head.length < text.length ? 'head_too_long' : 'truncated');
  const pairs: Pair[] = [];
  let at = START.length;
  const expect = (word: string, reason: string): void => {
    const found = head.slice(at, at + word.length);
    if (found !== word) throw word.startsWith(found) ? ends() : new Plain(reason);
    at += word.length;
  };
  const string = (): string => {
    const from = at;
    expect('"', 'character');
    CHARS.lastIndex = at;
    CHARS.test(head);
    at = CHARS.lastIndex;
    if (UNFINISHED.test(head.slice(at))) throw ends();
    expect('"', 'character');
    return JSON.parse(head.slice(from, at));
  };
  if (head[at] !== '}') {
    for (;;) {
      if (pairs.length === LIMITS.entries) throw new Plain('head_too_long');
      const name = string();
      expect(':', 'character');
      pairs.push([name, string()]);
      if (head[at] !== ',') break;
      at++;
    }
  }
  expect('}', 'character');
  expect(BODY.slice(1), 'structure');
  if (at === text.length) throw new Plain('truncated');
  if (!text.endsWith('}')) throw new Plain('trailing');
  return { pairs, body: text.slice(at, -1) };
}

interface Span {
  from: number;
  to: number;
}

/** Reads what an always peer sends: any JSON object with exactly the two members (RC-3).
 * @throws {Plain} */
export function openAny(text: string, maxHead: number, maxNesting: number): Opened {
  let at = skipSpace(text, 0);
  if (text[at] !== '{') throw new Plain('ordinary');
  try {
    const members = new Map<string, Span>();
    do {
      const from = skipSpace(text, at + 1);
      at = skipString(text, from);
      const name = unquote(text.slice(from, at));
      at = skipSpace(text, at);
      if (text[at] !== ':' || (name !== 'headers' && name !== 'body') || members.has(name)) throw new Plain('structure');
      const start = at + 1;
      at = skipSpace(text, skipValue(text, start, name === 'body' ? maxNesting : 1));
      members.set(name, { from: start, to: at });
    } while (text[at] === ',');
    const headers = members.get('headers');
    const body = members.get('body');
    if (text[at] !== '}' || skipSpace(text, at + 1) !== text.length || !headers || !body) throw new Plain('structure');
    if (/[\ud800-\udfff]/.test(text) && /\p{Cs}/u.test(text)) throw new Plain('structure');
    const head = headers.from < body.from ? text.slice(0, body.from) : text.slice(headers.from, headers.to).trim();
    if (head.length > maxHead || encode(head).length > maxHead) throw new Plain('head_too_long');
    return { pairs: readPairs(text.slice(headers.from, headers.to)), body: text.slice(body.from, body.to) };
  } catch (error) {
    throw error instanceof JsonFault ? new Plain(error.reason) : error;
  }
}

function readPairs(text: string): Pair[] {
  const pairs: Pair[] = [];
  let at = skipSpace(text, 0);
  if (text[at] !== '{') throw new Plain('structure');
  const string = (): string => {
    const from = skipSpace(text, at);
    at = skipString(text, from);
    const value = unquote(text.slice(from, at));
    at = skipSpace(text, at);
    if (value === undefined) throw new Plain('structure');
    return value;
  };
  at = skipSpace(text, at + 1);
  while (text[at] !== '}') {
    if (pairs.length === LIMITS.entries) throw new Plain('head_too_long');
    const name = string();
    at++;
    pairs.push([name, string()]);
    if (text[at] === ',') at++;
  }
  return pairs;
}

/** Says whether a plain text could be taken for an envelope by an announced or an always peer (RC-5). */
export function looksWrapped(text: string, always: boolean): boolean {
  if (text.startsWith(START)) return true;
  if (!always) return false;
  try {
    openAny(text, Number.POSITIVE_INFINITY, LIMITS.nesting);
    return true;
  } catch {
    return false;
  }
}
