export const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
export const utf8Length = (text: string): number => encode(text).length;

/** Decodes UTF-8; each maximal subpart that is none becomes U+FFFD. */
export const decode = (bytes: Uint8Array): string => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);

/** Decodes UTF-8, or gives undefined where the bytes are none. */
export function decodeStrictly(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { ignoreBOM: true, fatal: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

/** Makes the text of a text message that a transport hands over as bytes. One that is not UTF-8 gets a lone surrogate, which no text
 * from the wire can hold, in the place of its first wrong byte, and so is read as a plain message (RC-7). */
export function textOf(bytes: Uint8Array): string {
  const text = decodeStrictly(bytes);
  if (text !== undefined) return text;
  const lenient = decode(bytes);
  const again = encode(lenient);
  const wrong = again.findIndex((byte, at) => byte !== bytes[at]);
  const before = decode(again.subarray(0, wrong)).replace(/\ufffd$/, '');
  return `${before}\udfff${lenient.slice(before.length + 1)}`;
}

/** Replaces lone surrogates as a WebSocket does when it sends (TX-13). */
export const wellFormed = (text: string): string => text.replace(/\p{Cs}/gu, '\ufffd');
export const isWellFormed = (text: string): boolean => !/\p{Cs}/u.test(text);

/** A header's value as the wire has it: one character for each byte. */
export function byteString(value: string | Uint8Array): string {
  const chars = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  return typeof value === 'string' ? value.replace(/[^\0-\x7f]+/g, (part) => chars(encode(part))) : chars(value);
}

/** Trims SP and HTAB, and no other white space (OWS). Not a regular expression, which would take quadratic time. */
export function trim(text: string): string {
  let from = 0;
  let to = text.length;
  const isOws = (at: number): boolean => text[at] === ' ' || text[at] === '\t';
  while (from < to && isOws(from)) from++;
  while (to > from && isOws(to - 1)) to--;
  return text.slice(from, to);
}

export const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
export const unhex = (text: string): Uint8Array =>
  Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
