const { invalid } = require('./error.js');

/** Bits of the argument `flags` of the addon's `send`, as `src/message.rs` has them. */
const SEND = Object.freeze({ JSON: 1, TEXT: 2, LAST: 4, CONTEXT: 8, IDS: 16, ROOM: 32, TRACE_FLAGS: 8 });

/** Bytes as the addon takes them. Memory that other threads can change is copied first. */
function bytesOf(value, name) {
  let bytes = value;
  if (!(value instanceof Uint8Array)) {
    if (ArrayBuffer.isView(value)) bytes = new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
    else if (value instanceof ArrayBuffer || value instanceof SharedArrayBuffer) bytes = new Uint8Array(value);
    else throw invalid(name, 'must be a Buffer, a typed array, a DataView or an ArrayBuffer');
  }
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

module.exports = { SEND, bytesOf, isBinary, jsonOf };
