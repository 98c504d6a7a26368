import { isWellFormed, NEVER, sizeOf } from '../bytes.js';
import { MAX_ENTRIES, type Pair } from '../headers.js';
import { depthOf, parse, unquote } from '../json.js';
import { type Opened, Plain, plainUnless, type Recognition, Why } from '../text.js';

/** How messages of an always peer are recognised: the value of option `mode` of a page, which so pays for it only where it needs it. */
export const always: Recognition = {
  open(...given) {
    try {
      return openAny(...given);
    } catch (error) {
      if (error instanceof Plain) return error.why_;
      throw error;
    }
  },
  matches: (text) => typeof always.open(text, NEVER, 512) === 'object',
};

/** Reads what an always peer sends: any JSON object with exactly the two members (RC-3).
 * @throws {Plain} */
function openAny(text: string, maxHead: number, maxNesting: number): Opened {
  plainUnless(/^[ \t\r\n]*\{/.test(text), Why.ordinary);
  plainUnless(depthOf(text) <= maxNesting + 1, Why.too_many);
  const members = membersOf(text);
  plainUnless(parse(text) && isWellFormed(text) && members.length === 2, Why.structure);
  const [headers, body] = ['headers', 'body'].map((wanted) => members.find(([name]) => unquote(name) === wanted));
  if (!headers || !body) throw new Plain(Why.structure);
  const [, object, start] = headers;
  const head = body[2] > start ? text.slice(0, body[2]) : object.trim();
  plainUnless(object.trim()[0] === '{', Why.structure);
  plainUnless(sizeOf(head) <= maxHead, Why.head_too_long);
  const entries = membersOf(object);
  plainUnless(entries.length <= MAX_ENTRIES, Why.head_too_long);
  const pairs = entries.map(([name, value]) => [unquote(name), unquote(value)] as Pair);
  plainUnless(!pairs.flat().includes(undefined as never), Why.structure);
  return { pairs, repeated: false, payload: body[1] };
}

/** The members of the object that a JSON text is: name and value as they are written, and where the value starts. A loop, as `depthOf`. */
function membersOf(text: string): [name: string, value: string, from: number][] {
  const members: ReturnType<typeof membersOf> = [];
  let depth = 0;
  let quoted = false;
  let from = 0;
  let name: string | undefined;
  for (let at = 0; at < text.length; at++) {
    const char = text[at] as string;
    if (char === '"') quoted = !quoted;
    else if (quoted) at += Number(char === '\\');
    else {
      const closes = '}]'.includes(char);
      if (depth === 1 && char === ':') name = text.slice(from, at);
      if (depth === 1 && name !== undefined && (closes || char === ',')) {
        members.push([name, text.slice(from, at), from]);
        name = undefined;
      }
      if ('{['.includes(char)) depth++;
      if (closes) depth--;
      if (depth === 1 && ':,{['.includes(char)) from = at + 1;
    }
  }
  return members;
}
