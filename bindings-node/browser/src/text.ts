import { MAX_ENTRIES, type Pair } from './headers.js';
import { unquote } from './json.js';

/** Why a message is plain (RC-2, RC-3, BN-4). */
export enum Why {
  ordinary,
  truncated,
  structure,
  character,
  trailing,
  head_too_long,
  too_many,
  version,
  order,
  unknown_critical,
  length,
}

/** Is thrown at what makes a message plain. */
export class Plain {
  constructor(readonly why_: Why) {}
}

export function plainUnless(holds: unknown, why: Why): void {
  if (!holds) throw new Plain(why);
}

export interface Opened {
  pairs: Pair[];
  /** Whether a binary type stood twice (BN-6). */
  repeated: boolean;
  payload: string | Uint8Array;
}

/** How texts of an always peer are read (RC-3), which is in `parts`, a file of its own: so it throws nothing of ours, and its names are whole. */
export interface Recognition {
  open(text: string, maxHead: number, maxNesting: number): Opened | Why;
  /** Says whether a plain text could be taken for an envelope (RC-5). */
  matches(text: string): boolean;
}

const START = '{"headers":{';
const BODY = '},"body":';
// A string, or the beginning of one at the end.
const STRING = /"(?:[ !#-[\]-\uffff]|\\["\\/bfnrt]|\\u[\da-fA-F]{4})*(?:"|(?:\\(?:u[\da-fA-F]{0,3})?)?$)/y;

export const writeTextHead = (pairs: readonly Pair[]): string =>
  `${START}${pairs.map((pair) => pair.map((part) => JSON.stringify(part)).join(':')).join(',')}${BODY}`;

/** Gives the part of a text that has at most `max` bytes; whole, without copying, where the text is short. */
function withinBytes(text: string, max: number): string {
  if (text.length * 3 <= max) return text;
  return text.slice(0, new TextEncoder().encodeInto(text.slice(0, max + 1), new Uint8Array(max)).read);
}

/** Reads the one form that an announced peer writes (RC-2).
 * @throws {Plain} */
export function openCanonical(text: string, maxHead: number): Opened {
  if (!text.startsWith(START)) throw new Plain(Why.ordinary);
  const head = withinBytes(text, maxHead);
  const unfinished = head.length < text.length ? Why.head_too_long : Why.truncated;
  const pairs: Pair[] = [];
  let at = START.length;
  const expect = (word: string, why = Why.character): void => {
    const found = head.slice(at, at + word.length);
    if (found !== word) throw new Plain(word.startsWith(found) ? unfinished : why);
    at += word.length;
  };
  const string = (): string => {
    STRING.lastIndex = at;
    const [found] = STRING.exec(head) ?? [''];
    at += found.length;
    const value = unquote(found);
    if (value === undefined) throw new Plain(at === head.length ? unfinished : Why.character);
    return value;
  };
  while (head[at] !== '}') {
    if (pairs.length) expect(',');
    if (pairs.length === MAX_ENTRIES) throw new Plain(Why.head_too_long);
    const name = string();
    expect(':');
    pairs.push([name, string()]);
  }
  expect(BODY, Why.structure);
  if (at === text.length) throw new Plain(Why.truncated);
  if (!text.endsWith('}')) throw new Plain(Why.trailing);
  return { pairs, repeated: false, payload: text.slice(at, -1) };
}

/** Says whether a plain text could be taken for an envelope by an announced peer (RC-5). */
export const looksWrapped = (text: string): boolean => text.startsWith(START);
