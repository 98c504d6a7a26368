const { Reader } = require('./reader.js');
const { EMPTY } = require('./metrics.js');
const { WirespanError } = require('./error.js');

/** What a call and a transfer have in common. */
class Stream {
  #host;
  #reader;
  #abort;
  #detach;
  #ended;
  #metrics;
  #opened = false;

  /** Made by a connection only. */
  constructor(host, { key, kind, method, context, headers = [], incoming = false, registered = false, signal = undefined }) {
    this.#host = host;
    /** `call` or `transfer`. */
    this.kind = kind;
    this.method = method ?? undefined;
    /** The context of the stream's span. */
    this.context = context;
    /** The sender's own headers of the message that opened an incoming stream. */
    this.headers = headers;
    /** Whether the peer opened it. */
    this.incoming = incoming;
    /** Whether the application serves the method that the peer named. */
    this.registered = registered;
    Object.defineProperty(this, '_key', { value: key });
    this.#reader = new Reader((message) => host.take(key, message.size));
    if (signal !== undefined) this.#follow(signal);
  }

  #follow(signal) {
    const abort = () => {
      this.#reader.finish(cancelled(signal.reason));
      this.cancel();
    };
    signal.addEventListener('abort', abort, { once: true });
    this.#detach = () => signal.removeEventListener('abort', abort);
  }

  /** Sends a message: text, bytes, or a value that JSON can hold. Resolves when the transport has room for more. */
  send(body, { last = false, headers = undefined, json = false } = {}) {
    try {
      const context = this.#opened || this.incoming ? undefined : this.context;
      const sent = this.#host.send(this._key, body, context, { last, headers, json });
      this.#opened = true;
      return sent;
    } catch (error) {
      return Promise.reject(this.#explain(error));
    }
  }

  /** Ends this side's direction; the peer's may go on. */
  end() {
    try {
      const context = this.#opened || this.incoming ? undefined : this.context;
      this.#host.end(this._key, context);
      this.#opened = true;
      return Promise.resolve();
    } catch (error) {
      return Promise.reject(this.#explain(error));
    }
  }

  /** Ends the stream as a block does that is left normally: what the peer has yet to send is abandoned. */
  leave() {
    this.#host.act((core, now) => core.leave(this._key, now));
  }

  /** Cancels the stream, on both sides. */
  cancel() {
    this.#host.act((core, now) => core.cancel(this._key, now));
  }

  /** Ends the stream with an error, on both sides: an error type, or an error that is recorded on the span. */
  fail(error) {
    this.#host.fail(this, error);
  }

  /** The next message of the peer, or undefined when its direction is complete. */
  recv() {
    return this.#reader.take();
  }

  /** The messages of the peer. Iterating attaches no context. */
  [Symbol.asyncIterator]() {
    return this.#reader.iterate();
  }

  /** As `leave`, for `await using`. */
  async [Symbol.asyncDispose]() {
    this.leave();
  }

  /** The connection that it runs on: handlers call the peer back through it. */
  get connection() {
    return this.#host.connection;
  }

  /** Whether the stream is over. */
  get ended() {
    return this.#ended !== undefined;
  }

  /** Aborted when the stream is over without being complete: for work that the peer no longer waits for. */
  get signal() {
    if (this.#abort === undefined) {
      this.#abort = new AbortController();
      if (this.#ended !== undefined && this.#ended.outcome !== 'complete') this.#abort.abort(this.#reason());
    }
    return this.#abort.signal;
  }

  /** What was measured so far, or in all, in each direction. */
  get metrics() {
    this.#metrics = this.#ended?.metrics ?? this.#host.metrics(this._key) ?? this.#metrics;
    return this.#metrics ?? { sent: EMPTY, received: EMPTY };
  }

  _push(message) {
    this.#reader.push(message);
  }

  _finishReading(error) {
    this.#reader.finish(error);
  }

  /** The span's end has come: the stream is over. */
  _over(event) {
    this.#ended = event;
    this.#detach?.();
    this.#reader.finish();
    if (event.outcome !== 'complete') this.#abort?.abort(this.#reason());
  }

  #reason() {
    return new WirespanError('cancelled', `cancelled: the ${this.kind} ended (${this.#ended.outcome})`);
  }

  /** An error of a stream that ended says with which type it did. */
  #explain(error) {
    if (error instanceof WirespanError && this.#ended !== undefined) error.errorType ??= this.#ended.errorType;
    return error;
  }
}

function cancelled(cause) {
  return new WirespanError('cancelled', 'cancelled: the signal of the call was aborted', { cause });
}

/** One invocation, on either side. */
class Call extends Stream {}

/** One-way data: the sender sends, the receiver iterates. */
class Transfer extends Stream {}

module.exports = { Call, Transfer };
