/** A time that does not come, and a number without end. */
export const NEVER = Number.POSITIVE_INFINITY;

export const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
export const utf8Length = (text: string): number => encode(text).length;
export const sizeOf = (message: string | Uint8Array): number =>
  typeof message === 'string' ? utf8Length(message) : message.length;

/** Decodes UTF-8; each maximal subpart that is none becomes U+FFFD, or is thrown where that is `fatal`. */
export const decode = (bytes: Uint8Array, fatal = false): string =>
  new TextDecoder('utf-8', { ignoreBOM: true, fatal }).decode(bytes);

/** Replaces lone surrogates as a WebSocket does when it sends (TX-13). */
export const wellFormed = (text: string): string => text.replace(/\p{Cs}/gu, '\ufffd');
export const isWellFormed = (text: string): boolean => wellFormed(text) === text;

/** Trims SP and HTAB (OWS). A text with other characters than printable ones is left alone: no grammar has them. */
export const trim = (text: string): string => (/[^\t -~]/.test(text) ? text : text.trim());

export const hex = (bytes: Uint8Array): string => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
export const unhex = (text: string): Uint8Array =>
  Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
