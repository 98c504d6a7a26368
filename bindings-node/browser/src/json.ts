import { isWellFormed } from './bytes.js';

/** Says how deep arrays and objects nest in a JSON text; a scalar is 0. A loop, so that nesting takes no stack (W-4). Of a text that is no JSON it
 * says nothing. */
export function depthOf(text: string): number {
  let deepest = 0;
  let depth = 0;
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at] as string;
    if (char === '"') quoted = !quoted;
    else if (quoted) at += Number(char === '\\');
    else if ('{['.includes(char)) deepest = Math.max(deepest, ++depth);
    else if ('}]'.includes(char)) depth--;
  }
  return deepest;
}

export function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Says whether a string is one JSON value, so that it goes in as the body raw (TX-10). */
export const isJson = (text: string, maxDepth: number): boolean => depthOf(text) <= maxDepth && parse(text) !== undefined;

/** Reads a string with its quotes; undefined if it is none, or an escape in it is no code point (TX-9). */
export function unquote(text: string): string | undefined {
  const value = parse(text);
  return typeof value === 'string' && isWellFormed(value) ? value : undefined;
}
