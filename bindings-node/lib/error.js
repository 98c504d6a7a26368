/**
 * The error of everything that Wirespan raises. `code` is its kind: see `ErrorKind` in the types.
 */
class WirespanError extends Error {
  constructor(code, message, details = {}) {
    super(message ?? code, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = code;
    this.field = details.field;
    this.reason = details.reason;
    this.offset = details.offset;
    this.errorType = details.errorType;
  }

  /** The kind of the error, as in every language; the same as `code`. */
  get kind() {
    return this.code;
  }

  static _fromNative(code, message, field, reason, offset) {
    return new WirespanError(code, message, { field, reason, offset });
  }
}

Object.defineProperty(WirespanError.prototype, 'name', { value: 'WirespanError', configurable: true, writable: true });

/** The error of a wrong argument. */
function invalid(field, message) {
  return new WirespanError('invalid_argument', `invalid_argument: ${field}: ${message}`, { field });
}

/** The bare type name of something that was thrown. */
function typeName(thrown) {
  if (!(thrown instanceof Error)) return 'handler';
  const name = typeof thrown.name === 'string' ? thrown.name : '';
  return name !== '' && name !== 'Error' ? name : thrown.constructor?.name || 'handler';
}

/** Whether something that was thrown means that the host cancelled. */
function isAbort(thrown) {
  return thrown instanceof Error && (thrown.name === 'AbortError' || thrown.code === 'ABORT_ERR');
}

module.exports = { WirespanError, invalid, typeName, isAbort };
