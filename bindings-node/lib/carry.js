const { performance } = require('node:perf_hooks');
const { ROOT_CONTEXT, context: contexts, propagation, trace } = require('@opentelemetry/api');
const { native, names } = require('./native.js');
const { Reader } = require('./reader.js');
const { SpanMaker } = require('./spans.js');
const { WirespanError, invalid, typeName } = require('./error.js');
const { flatten } = require('./flatten.js');
const { unixNow } = require('./clock.js');
const {
  flattenBaggage,
  remoteContext,
  reviveBaggage,
  revivePlan,
  reviveSpanContext,
  spanContextOf,
  tracestateOf,
  validTraceparent,
  withBaggage,
} = require('./context.js');

/** Spans of carries that nobody took: they end when the carry is forgotten. */
const dropped = new FinalizationRegistry((span) => span.end());

/**
 * A value with the context in which it left, on its way through a queue. In one process it holds the host's own context
 * object; across a broker it is headers beside the payload.
 */
class Carry {
  #span;
  /** When it left, by the clock as it is: most carries are never asked how long they waited. */
  #atMs;
  #headers;

  /** Made by `capture` and `fromHeaders`. */
  constructor(value, context, atMs, sessionId = undefined, span = undefined, brought = undefined) {
    /** What is carried. */
    this.value = value;
    /** The context in which it left. */
    this.context = context;
    /** The session in which it left. */
    this.sessionId = sessionId;
    /** When it left, Unix time in nanoseconds as a bigint; for carries of headers. */
    this.sentUnixNs = brought?.sentUnixNs;
    /** Whether headers held a context that is invalid. */
    this.contextInvalid = brought?.contextInvalid ?? false;
    this.#atMs = atMs;
    this.#headers = brought?.headers;
    this.#span = span;
    if (span !== undefined) dropped.register(this, span, this);
  }

  /**
   * Captures the current context, or the one given. With `span`, an open span is handed over: it ends when the function of
   * `run` has returned, or when the carry is dropped unread.
   */
  static capture(value, options = undefined) {
    if (options === undefined) return new Carry(value, contexts.active(), performance.now());
    const { context = contexts.active(), span, sessionId } = options;
    const carried = span === undefined ? context : trace.setSpan(context, span);
    return new Carry(value, carried, performance.now(), sessionId, span);
  }

  /** Reads the headers beside a payload: an object, pairs, or names and values in turn. Never throws for what they hold. */
  static fromHeaders(value, headers, { baggage = [] } = {}) {
    const flat = flatten(headers);
    const read = JSON.parse(native.carryFromHeaders(flat, baggage));
    const spanContext = reviveSpanContext(read.span);
    const remote = spanContext === undefined ? ROOT_CONTEXT : remoteContext(ROOT_CONTEXT, spanContext);
    return new Carry(
      value,
      withBaggage(remote, reviveBaggage(read.baggage)),
      undefined,
      read.sessionId ?? undefined,
      undefined,
      {
        sentUnixNs: read.sent === null ? undefined : BigInt(read.sent),
        headers: flat,
        contextInvalid: read.contextInvalid,
      },
    );
  }

  /**
   * The headers to put beside a payload. `baggage` names the members that may leave; `*` is all. `sentUnixNs` is when it leaves,
   * now if not given; null leaves it out.
   */
  toHeaders({ baggage = [], sentUnixNs = unixNow() } = {}) {
    const spanContext = spanContextOf(this.context);
    const parts = baggage.length === 0 ? undefined : flattenBaggage(propagation.getBaggage(this.context));
    const list = spanContext && tracestateOf(spanContext);
    const headers = native.carryToHeaders(validTraceparent(spanContext), list, parts, this.sessionId, sentUnixNs, baggage);
    return Object.fromEntries(JSON.parse(headers));
  }

  /** How long it has waited, in nanoseconds; undefined where it does not say when it left. */
  get waitNs() {
    if (this.#atMs !== undefined) return Math.max(0, Math.round((performance.now() - this.#atMs) * 1e6));
    return this.sentUnixNs === undefined ? undefined : Math.max(0, Number(unixNow() - this.sentUnixNs));
  }

  /** The context to work in; the wait is recorded on its span, if that is open. */
  restore() {
    const span = trace.getSpan(this.context);
    if (span?.isRecording()) {
      const wait = this.waitNs;
      if (wait !== undefined) span.setAttribute(names.queueWait, wait / 1e9);
    }
    return this.context;
  }

  /** Runs a function with the value, the carried context being current; ends a span that was handed over. */
  run(fn, ...args) {
    const context = this.restore();
    if (this.#span === undefined) return contexts.with(context, fn, undefined, this.value, ...args);
    const span = this.#takeSpan();
    let result;
    try {
      result = contexts.with(context, fn, undefined, this.value, ...args);
    } catch (error) {
      endSpan(span, error);
      throw error;
    }
    if (typeof result?.then !== 'function') {
      span.end();
      return result;
    }
    return result.then(
      (value) => {
        span.end();
        return value;
      },
      (error) => {
        endSpan(span, error);
        throw error;
      },
    );
  }

  #takeSpan() {
    const span = this.#span;
    this.#span = undefined;
    dropped.unregister(this);
    return span;
  }

  /** The span that was handed over, which the caller ends from now on; undefined if there is none. */
  takeSpan() {
    return this.#span === undefined ? undefined : this.#takeSpan();
  }

  /** One link for each carry that has a context, for the span of a batch. */
  static links(carries) {
    return carries.flatMap((carry) => {
      const context = spanContextOf(carry.context);
      return context === undefined ? [] : [{ context }];
    });
  }

  /** The plan of the PRODUCER span of sending to a broker: `send DESTINATION`. */
  static planSend(destination, sessionId = undefined) {
    return revivePlan(JSON.parse(native.planSend(destination, sessionId)));
  }

  /**
   * The plan of the CONSUMER span of processing what came out of a broker: `process DESTINATION`. Every item is linked; a
   * single one is the parent if `continueTrace` asks for it.
   */
  static planProcess(destination, carries, { continueTrace = false, nowUnixNs = unixNow() } = {}) {
    const items = [carries].flat().map((carry) => {
      if (!(carry instanceof Carry)) throw invalid('carries', 'must be a Carry or an array of them');
      const flat = carry.#headers ?? Object.entries(carry.toHeaders({ sentUnixNs: carry.#leftUnixNs() })).flat();
      // What is read of them is ASCII.
      return flat.map((part) => (typeof part === 'string' ? part : Buffer.from(part).toString('latin1')));
    });
    return revivePlan(JSON.parse(native.planProcess(destination, JSON.stringify(items), continueTrace, nowUnixNs)));
  }

  /** Runs a function in the span of `planSend`. It gets the headers to send. */
  static async send(destination, fn, { sessionId = undefined, baggage = [] } = {}) {
    const context = new SpanMaker().start(Carry.planSend(destination, sessionId));
    return inSpan(context, () => fn(new Carry(undefined, context, performance.now(), sessionId).toHeaders({ baggage })));
  }

  /** Runs a function in the span of `planProcess`. The baggage of a single item that is not in an array is current, too. */
  static async process(destination, carries, fn, { continueTrace = false } = {}) {
    const plan = Carry.planProcess(destination, carries, { continueTrace });
    const baggage = Array.isArray(carries) ? undefined : propagation.getBaggage(carries.context);
    return inSpan(new SpanMaker().start(plan, { baggage }), () => fn(carries));
  }

  /** When a carry of this process left, by the wall clock. */
  #leftUnixNs() {
    return unixNow() - BigInt(Math.round(this.waitNs ?? 0));
  }
}

async function inSpan(context, fn) {
  const span = trace.getSpan(context);
  try {
    const result = await contexts.with(context, fn);
    span.end();
    return result;
  } catch (error) {
    endSpan(span, error);
    throw error;
  }
}

function endSpan(span, error) {
  if (error instanceof Error) span.recordException(error);
  span.setAttribute('error.type', typeName(error));
  span.setStatus({ code: 2 });
  span.end();
}

/**
 * A queue within one process whose items keep the context in which they were put. `get` and iteration give carries; a full
 * queue makes `put` wait.
 */
class CarryQueue {
  #reader;
  #maxSize;
  #putters = [];
  #closed = false;

  constructor({ maxSize = Number.POSITIVE_INFINITY } = {}) {
    if (!(maxSize >= 1)) throw invalid('maxSize', 'must be at least 1');
    this.#maxSize = maxSize;
    this.#reader = new Reader(() => this.#putters.shift()?.());
  }

  /** Number of items that nobody has taken. */
  get size() {
    return this.#reader.length;
  }

  /** Puts a value with the current context, or the one given. Waits while the queue is full. */
  async put(value, options = undefined) {
    const carry = Carry.capture(value, options);
    while (this.#reader.length >= this.#maxSize && !this.#closed) {
      await new Promise((resolve) => this.#putters.push(resolve));
    }
    if (this.#closed) throw new WirespanError('closed', 'closed: the queue is closed');
    this.#reader.push(carry);
  }

  /** The next carry; undefined when the queue is closed and empty. */
  async get() {
    const { value } = await this.#reader.next();
    return value;
  }

  /** Nothing more can be put; what is there can still be taken. */
  close() {
    this.#closed = true;
    this.#reader.finish();
    for (const wake of this.#putters.splice(0)) wake();
  }

  [Symbol.asyncIterator]() {
    return this.#reader.iterate();
  }
}

module.exports = { Carry, CarryQueue };
