const { Buffer } = require('node:buffer');
const { View } = require('./body.js');
const { native, words, idWords, WORD } = require('./native.js');
const { planLike, remoteSpanContext, reviveBaggage, revivePlan } = require('./context.js');

/** Bits of `words[FLAGS]`. */
const FLAG = { CONTEXT: 1, LINKED: 2, EXTRAS: 4, KNOWN: 8 };
/** What stands in `words[PAYLOAD]`. */
const PAYLOAD = { NOTHING: 0, RANGE: 1, TEXT: 2 };

/** Where the words of ids are put to be read as bytes. */
const scratch = new Int32Array(6);
const scratchBytes = Buffer.from(scratch.buffer);

/**
 * What came of a received message. `stream` is 0 for messages outside every stream. One is made for each message, so it has no
 * private fields, and what not everybody asks for is made when somebody does.
 */
class Received {
  constructor(message, memory, offset, binary, text) {
    const flags = words[WORD.FLAGS];
    this.stream = words[WORD.STREAM];
    /** Whether it came as a binary message. */
    this.binary = binary;
    this._message = message;
    this._memory = memory;
    this._offset = offset;
    this._kind = words[WORD.PAYLOAD];
    this._start = words[WORD.START];
    this._end = words[WORD.END];
    this._payload = text;
    this._flags = flags;
    this._traceFlags = words[WORD.TRACE_FLAGS];
    // Six small numbers cost less than a string of their digits.
    this._id0 = idWords[0];
    this._id1 = idWords[1];
    this._id2 = idWords[2];
    this._id3 = idWords[3];
    this._id4 = idWords[4];
    this._id5 = idWords[5];
    this._remote = undefined;
    this._extras = (flags & FLAG.EXTRAS) === 0 ? undefined : native.extras();
  }

  /** Takes note of what the message opens, which `plans` has at a place, or gets to remember there. */
  _remember(plans, place) {
    if ((this._flags & FLAG.KNOWN) === 0) {
      const { plan, ...rest } = this.opened;
      plans[place] = { ...rest, plan: planLike(plan) };
      return;
    }
    const { kind, method, registered, plan } = plans[place];
    const opened = { kind, method, registered, plan: planLike(plan, this.stream, this._span) };
    this._extras = { opened, headers: [], baggage: undefined, traceState: undefined };
  }

  /** The payload: bytes that are a view of the message, text that was inside a JSON string, or undefined for nothing. */
  get payload() {
    if (this._payload === undefined && this._kind === PAYLOAD.RANGE) {
      const { _message: message, _start: start, _end: end } = this;
      const whole = end - start === message.length && message instanceof Buffer;
      this._payload = whole ? message : new View(this._memory, this._offset + start, end - start);
    }
    return this._payload;
  }

  /** Whether there is a payload. */
  get _delivers() {
    return this._kind !== PAYLOAD.NOTHING;
  }

  /** The payload as text. */
  get _text() {
    return this._kind === PAYLOAD.TEXT ? this._payload : this.payload.utf8Slice();
  }

  /** The length of the payload in bytes. */
  get _size() {
    return this._kind === PAYLOAD.TEXT ? Buffer.byteLength(this._payload) : this._end - this._start;
  }

  get _more() {
    if (typeof this._extras === 'string') {
      const { opened, headers, baggage, traceState } = JSON.parse(this._extras);
      if (opened !== null) opened.plan = revivePlan(opened.plan);
      this._extras = { opened: opened ?? undefined, headers, baggage: reviveBaggage(baggage), traceState };
    }
    return this._extras;
  }

  get _span() {
    if (this._remote === undefined && (this._flags & FLAG.CONTEXT) !== 0) {
      scratch[0] = this._id0;
      scratch[1] = this._id1;
      scratch[2] = this._id2;
      scratch[3] = this._id3;
      scratch[4] = this._id4;
      scratch[5] = this._id5;
      this._remote = remoteSpanContext(scratchBytes.hexSlice(0, 24), this._traceFlags, this._more?.traceState);
    }
    return this._remote;
  }

  /** The sender's span, to be used as parent. */
  get spanContext() {
    return (this._flags & FLAG.LINKED) === 0 ? this._span : undefined;
  }

  /** The sender's span, to be linked; present under trust `link`. */
  get link() {
    return (this._flags & FLAG.LINKED) === 0 ? undefined : this._span;
  }

  /** The call or transfer that the message opens. */
  get opened() {
    return this._more?.opened;
  }

  /** The baggage that came with the message and that the allow-list lets through. */
  get baggage() {
    return this._more?.baggage;
  }

  /** The application's own headers, as `[name, value]` in the order sent. */
  get headers() {
    return this._more?.headers ?? [];
  }
}

module.exports = { Received };
