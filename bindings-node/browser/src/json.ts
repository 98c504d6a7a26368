import { isWellFormed } from './bytes.js';

/** Why a text is not one JSON value: its grammar, or its nesting. */
export class JsonFault extends Error {
  constructor(readonly reason: 'structure' | 'too_many') {
    super(reason);
  }
}

const fault = (): never => {
  throw new JsonFault('structure');
};

export function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && ' \t\n\r'.includes(text[at] as string)) at++;
  return at;
}

/** Gives the place behind the string that starts at `from`. A loop, because a regular expression fails on strings of megabytes. */
export function skipString(text: string, from: number): number {
  if (text[from] !== '"') fault();
  for (let at = from + 1; at < text.length; at++) {
    const char = text.charCodeAt(at);
    if (char === 0x22) return at + 1;
    if (char < 0x20) fault();
    if (char === 0x5c) {
      const kind = text[++at] ?? '';
      if (kind === 'u') {
        if (!/^[\da-f]{4}$/i.test(text.slice(at + 1, at + 5))) fault();
        at += 4;
      } else if (!kind || !'"\\/bfnrt'.includes(kind)) fault();
    }
  }
  return fault();
}

const SCALAR = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)/y;

/** Gives the place behind the JSON value that starts at `from`, without recursion, whatever its nesting (W-4).
 * @throws {JsonFault} `too_many` where arrays and objects nest deeper than `maxDepth`. */
export function skipValue(text: string, from: number, maxDepth: number): number {
  const closers: string[] = [];
  let at = from;
  for (;;) {
    at = skipSpace(text, at);
    const char = text[at];
    if (char === '{' || char === '[') {
      const closer = char === '{' ? '}' : ']';
      at = skipSpace(text, at + 1);
      if (closers.push(closer) > maxDepth) throw new JsonFault('too_many');
      if (text[at] !== closer) {
        if (closer === '}') at = skipName(text, at);
        continue;
      }
    } else at = char === '"' ? skipString(text, at) : skipScalar(text, at);
    // Behind a value: close what closes here, then go on behind a comma.
    for (;;) {
      const closer = closers.at(-1);
      if (!closer) return at;
      at = skipSpace(text, at);
      if (text[at] === closer) {
        closers.pop();
        at++;
      } else if (text[at] === ',') {
        at = skipSpace(text, at + 1);
        if (closer === '}') at = skipName(text, at);
        break;
      } else fault();
    }
  }
}

function skipName(text: string, from: number): number {
  const at = skipSpace(text, skipString(text, from));
  return text[at] === ':' ? at + 1 : fault();
}

function skipScalar(text: string, from: number): number {
  SCALAR.lastIndex = from;
  const match = SCALAR.exec(text)?.[0] ?? fault();
  return from + match.length;
}

/** Says whether a string is one JSON value, so that it goes in as the body raw (TX-10). */
export function isJson(text: string, maxDepth: number): boolean {
  try {
    return skipSpace(text, skipValue(text, 0, maxDepth)) === text.length;
  } catch {
    return false;
  }
}

/** Writes a string with the escapes of TX-3 and no others. `JSON.stringify` escapes just these, and lone surrogates, of which there are none. */
export const quote = (text: string): string => JSON.stringify(text);

/** Reads a string with its quotes; undefined if an escape is no code point (TX-9). */
export function unquote(text: string): string | undefined {
  const value: string = JSON.parse(text);
  return isWellFormed(value) ? value : undefined;
}
