const { Buffer } = require('node:buffer');
const { invalid } = require('./error.js');

/** Makes a Buffer that is a view of memory: for a third of what `subarray` and `Buffer.from` take, which do no more. */
const View = Buffer[Symbol.species];

/** Bits of the argument `flags` of the addon's `send`, as `src/message.rs` has them. */
const SEND = Object.freeze({
  JSON: 1,
  TEXT: 2,
  LAST: 4,
  CONTEXT: 8,
  IDS: 16,
  ROOM: 32,
  STRING: 64,
  BYTES: 128,
  TRACE_FLAGS: 8,
  HEADERS: 1 << 16,
});

/** Bytes of any kind as a `Uint8Array`. */
function viewOf(value, name) {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) return new Uint8Array(value);
  throw invalid(name, 'must be a Buffer, a typed array, a DataView or an ArrayBuffer');
}

/** Bytes as the addon takes them. Memory that other threads can change is copied first. */
function bytesOf(value, name) {
  const bytes = viewOf(value, name);
  return bytes.buffer instanceof SharedArrayBuffer ? new Uint8Array(bytes) : bytes;
}

/** Whether a value is sent as a binary message. */
function isBinary(value) {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof SharedArrayBuffer;
}

/** JSON text of a value that is neither text nor bytes. */
function jsonOf(value) {
  const text = JSON.stringify(value);
  if (text === undefined) throw invalid('body', 'must be text, bytes or a value that JSON can hold');
  return text;
}

module.exports = { SEND, View, viewOf, bytesOf, isBinary, jsonOf };
