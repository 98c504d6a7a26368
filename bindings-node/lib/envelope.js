const { native } = require('./native.js');
const { bytesOf, isBinary, jsonOf } = require('./body.js');

/** A message as bytes, and whether it is binary where nothing else says so. */
function given(message) {
  return typeof message === 'string' ? Buffer.from(message) : bytesOf(message, 'message');
}

/** A message wrapped with headers, by itself. A text message may be given as a string or as its bytes. */
const Envelope = Object.freeze({
  /**
   * Makes an envelope: text becomes a text one, bytes a binary one, any other value JSON, no body `content:none`. With `json`,
   * text or bytes are JSON already; `binary` is the form of an envelope without a body. Says what was left out to fit.
   */
  wrap(head, body, { json = false, binary = false, maxNesting, maxHeaderBytes } = {}) {
    const fields = JSON.stringify(head, (_, value) => (typeof value === 'bigint' ? value.toString() : value));
    let isJson = json;
    let content = body;
    if (body !== undefined && typeof body !== 'string') {
      if (isBinary(body)) content = bytesOf(body, 'body');
      else {
        content = jsonOf(body);
        isJson = true;
      }
    }
    const bytes = native.envelopeWrap(fields, content, isJson, binary, maxNesting, maxHeaderBytes);
    return { bytes, ...JSON.parse(native.extras()) };
  },

  /**
   * Reads a message: its head, where its body stands, and what is delivered; or the reason why it is plain. `recognition` is
   * `canonical`, as for a peer that announced itself, or `any`, as for one that is configured as `always`.
   */
  unwrap(message, { binary = false, recognition = 'canonical', maxNesting, maxHeaderBytes } = {}) {
    const bytes = given(message);
    const read = JSON.parse(native.envelopeUnwrap(bytes, binary, recognition === 'any', maxNesting, maxHeaderBytes));
    if (!read.envelope) return read;
    const { start, end, text } = read;
    const head = Object.fromEntries(Object.entries(read.head).filter(([, value]) => value !== null));
    if (head.sent !== undefined) head.sent = BigInt(head.sent);
    const raw = head.content === 'none' ? undefined : Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start);
    return { envelope: true, head, start, end, body: text ?? raw };
  },

  /** Makes the head of a received envelope in the other form: everything in front of the body. */
  convertHead(message, { binary = false, recognition = 'canonical', maxNesting, maxHeaderBytes } = {}) {
    return native.envelopeConvert(given(message), binary, recognition === 'any', maxNesting, maxHeaderBytes);
  },

  /** Whether a text goes into an envelope as the JSON value that it is. */
  isJson(text, { maxNesting } = {}) {
    return native.classifyText(text, maxNesting);
  },

  /** Whether a message of the application looks like an envelope, so that it must be wrapped. */
  isLookAlike(message, { binary = false, recognition = 'canonical', maxNesting } = {}) {
    return native.isLookAlike(given(message), binary, recognition === 'any', maxNesting);
  },

  isSessionId(value) {
    return native.envelopeCheck('session', value);
  },

  isMethod(value) {
    return native.envelopeCheck('method', value);
  },

  isErrorType(value) {
    return native.envelopeCheck('error', value);
  },

  /** Whether a text is a decimal number of 64 bits as headers have them. */
  isNumber(value) {
    return native.envelopeCheck('number', value);
  },
});

module.exports = { Envelope };
