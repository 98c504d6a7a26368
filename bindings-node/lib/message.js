const { Buffer } = require('node:buffer');
const { ROOT_CONTEXT, context } = require('@opentelemetry/api');
const { remoteContext, withBaggage } = require('./context.js');

/** A received message: its content, its headers, and the context that it came with. */
class Message {
  #received;
  #context;

  constructor(received, streamContext = undefined) {
    this.#received = received;
    this.#context = streamContext;
  }

  /** Whether it came as a binary message. */
  get binary() {
    return this.#received.binary;
  }

  /** The content as it was sent: a string for a text message, a Buffer for a binary one. */
  get data() {
    return this.binary ? this.bytes : this.text;
  }

  /** The content as text. */
  get text() {
    return this.#received._text;
  }

  /** The content as bytes: a view of the received message where that is possible. */
  get bytes() {
    const { payload } = this.#received;
    return typeof payload === 'string' ? Buffer.from(payload, 'utf8') : payload;
  }

  /** Length of the content in bytes. */
  get size() {
    return this.#received._size;
  }

  /** The content read as JSON. */
  json() {
    return JSON.parse(this.text);
  }

  /** The sender's own headers, as `[name, value]` in the order sent. */
  get headers() {
    return this.#received.headers;
  }

  /**
   * The context to work in: that of the call for its chunks, that of the sender's span for plain messages. Nothing makes it
   * current but `run`.
   */
  get context() {
    if (this.#context === undefined) {
      const { spanContext, baggage } = this.#received;
      const remote = spanContext === undefined ? ROOT_CONTEXT : remoteContext(ROOT_CONTEXT, spanContext);
      this.#context = withBaggage(remote, baggage);
    }
    return this.#context;
  }

  /** Links to the sender's span, where the option `trust` does not let it be a parent. */
  get links() {
    const { link } = this.#received;
    return link === undefined ? [] : [{ context: link }];
  }

  /** Runs a function with the message's context as the current one. */
  run(fn, ...args) {
    return context.with(this.context, fn, undefined, ...args);
  }

  toString() {
    return this.text;
  }

  toJSON() {
    return { text: this.text, headers: this.headers };
  }
}

module.exports = { Message };
