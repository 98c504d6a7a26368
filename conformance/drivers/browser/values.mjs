// How the protocol's JSON writes messages, bodies and contexts.

export const bytesOf = ({ base64 }) => Uint8Array.from(Buffer.from(base64, 'base64'));
const base64 = (bytes) => Buffer.from(bytes).toString('base64');

export function fromMessage(message, wirespan) {
  if (message.text !== undefined) return message.text;
  if (message.text_base64 !== undefined) return wirespan.textOf(bytesOf({ base64: message.text_base64 }));
  return bytesOf({ base64: message.binary });
}

export const toMessage = (message) => (typeof message === 'string' ? { text: message } : { binary: base64(message) });

export function bodyOf(body) {
  if (body.json !== undefined) return { text: body.json, json: true };
  return body.binary === undefined ? body : { binary: bytesOf({ base64: body.binary }) };
}

export const contextOf = (context) => (typeof context === 'string' ? { traceparent: context } : context);

/** Leaves out what is absent, empty or zero. */
export function without(object) {
  const empty = (value) =>
    value === undefined || value === null || value === 0 || value === '' || value === false ||
    (typeof value === 'object' && !(value instanceof Uint8Array) && Object.keys(value).length === 0);
  return Object.fromEntries(Object.entries(object).filter(([, value]) => !empty(value)));
}
