import { decode, encode } from '../bytes.js';

/** A header field's value: a byte string as a text, or its bytes. */
export type HeaderValue = string | Uint8Array;
export type HeaderList = readonly (readonly [name: string, value: HeaderValue])[];

/** A header's value as the wire has it: one character for each byte. */
export function byteString(value: HeaderValue): string {
  const chars = (bytes: Uint8Array): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
  return typeof value === 'string' ? value.replace(/[^\0-\x7f]+/g, (part) => chars(encode(part))) : chars(value);
}

export const valuesOf = (headers: HeaderList, name: string): HeaderValue[] =>
  headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);

/** Makes the text of a text message that a transport hands over as bytes. One that is not UTF-8 gets a lone surrogate, which no text
 * from the wire can hold, in the place of its first wrong byte, and so is read as a plain message (RC-7). */
export function textOf(bytes: Uint8Array): string {
  try {
    return decode(bytes, true);
  } catch {
    const lenient = decode(bytes);
    const again = encode(lenient);
    const wrong = again.findIndex((byte, at) => byte !== bytes[at]);
    const before = decode(again.subarray(0, wrong)).replace(/\ufffd$/, '');
    return `${before}\udfff${lenient.slice(before.length + 1)}`;
  }
}
