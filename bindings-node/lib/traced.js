const { ROOT_CONTEXT, context: contexts, diag, propagation, trace } = require('@opentelemetry/api');
const { Call, Transfer } = require('./call.js');
const { Message } = require('./message.js');
const { EMPTY } = require('./metrics.js');
const { Reader } = require('./reader.js');
const { SEND, isBinary, jsonOf, viewOf } = require('./body.js');
const { WirespanError, invalid, isAbort, typeName } = require('./error.js');
const { flatten } = require('./flatten.js');
const { names, words, WORD } = require('./native.js');
const { now } = require('./clock.js');
const { currentSpanContext, spanContextOf } = require('./context.js');

/** Bytes that may wait in the transport before `send` waits too. */
const HIGH_WATER_BYTES = 256 * 1024;
/** The longest delay that a timer of Node.js takes. */
const MAX_DELAY_MS = 2 ** 31 - 1;

/** Close code of a connection whose session another one took over. */
const SUPERSEDED_CODE = 1008;

const DONE = Promise.resolve();
const TOKEN = Symbol('made by an integration');

/**
 * A connection whose messages carry trace context. Integrations make it of a sans-IO connection and a transport:
 * `{isOpen, bufferedAmount, send(bytes, binary, callback), pause(), resume(), close(code, reason)}`.
 */
class TracedConnection {
  #core;
  #transport;
  #maker;
  #spans;
  #streams = new Map();
  #timer;
  #timerAt = Number.POSITIVE_INFINITY;
  #handlers;
  #defaultHandler;
  #onMessage;
  #running = 0;
  #waiting = [];
  #maxRunning;
  #calls = new Reader();
  #callsWanted = false;
  #grace = true;
  #plain;
  #plainPolicy;
  #sendsBaggage;
  #pending = new Set();
  #ready;
  #closed;
  #cause;

  /** What the streams of the connection may do with it. */
  #host = {
    connection: this,
    send: (key, body, context, options) => this.#transmit(key, body, context, options),
    end: (key, context) => this.#end(key, context),
    act: (action) => this.#act(action),
    take: (key, bytes) => this.#take(key, bytes),
    metrics: (key) => this.#core.metrics(key),
    fail: (stream, error) => this.#fail(stream, error),
  };

  #isRecording = (key) => {
    const context = this.#spans.get(key);
    return trace.getSpan(context ?? ROOT_CONTEXT)?.isRecording() ?? false;
  };

  constructor(token, core, transport, options) {
    if (token !== TOKEN) throw invalid('TracedConnection', 'is made by connect() or serve()');
    const { maker, spans, handlers, defaultHandler, onMessage, plainPolicy, sendsBaggage = false } = options;
    this.#core = core;
    this.#transport = transport;
    this.#maker = maker;
    this.#spans = spans;
    this.#handlers = checkHandlers(handlers);
    this.#defaultHandler = checkFunction('defaultHandler', defaultHandler);
    this.#onMessage = checkFunction('onMessage', onMessage);
    this.#sendsBaggage = sendsBaggage;
    this.#maxRunning = core.maxRunning;
    this.#ready = deferred();
    this.#closed = deferred();
    this.#plain = new Reader((message) => this.#take(0, message.size));
    core.setMethods([...this.#handlers.keys()]);
    this.#plainPolicy = this.#onMessage === undefined ? plainPolicy : 'deliver';
    core.setPlainPolicy(this.#plainPolicy);
  }

  /** The session id in force. */
  get sessionId() {
    return this.#core.sessionId;
  }

  /** What is known of the peer. */
  get peer() {
    return this.#core.peer;
  }

  /** How often something was dropped, ignored or out of order. */
  get counters() {
    return this.#core.counters;
  }

  /** What a later connection needs to continue this session, as its option `session`. */
  get resumption() {
    return this.#core.resumption;
  }

  /** Resolves with the code and reason when the connection has closed. */
  get closed() {
    return this.#closed.promise;
  }

  /** Whether messages can be sent. */
  get isOpen() {
    return this.#core.isOpen && this.#transport.isOpen;
  }

  /** Number of open calls and transfers, of both sides. */
  get openStreams() {
    return this.#core.openStreams;
  }

  /**
   * Makes a call. With a function the call is a block: the function runs inside the call's span, its return leaves the call,
   * its exception fails it, and what it returned is the result. Without one the caller ends the call: `leave`, `fail`, `cancel`.
   */
  call(method, ...rest) {
    return this.#start(Call, 'call', method, rest);
  }

  /** Sends one-way data, as `call`. */
  transfer(method, ...rest) {
    return this.#start(Transfer, 'transfer', method, rest);
  }

  /** Sends a message outside every call. It carries the context of the current span and makes no span. */
  send(body, { headers = undefined, json = false } = {}) {
    try {
      return this.#transmit(0, body, contexts.active(), { last: false, headers, json });
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** The next message outside every call; undefined when the connection has closed. */
  recv() {
    try {
      this.#wantPlain();
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#plain.take();
  }

  /** The messages outside every call. Iterating attaches no context. */
  [Symbol.asyncIterator]() {
    this.#wantPlain();
    return this.#plain.iterate();
  }

  /** The calls and transfers of the peer, for those who run them by themselves; each must be left, failed or cancelled. */
  calls() {
    if (this.#handlers.size > 0 || this.#defaultHandler !== undefined) {
      throw new WirespanError('invalid_state', 'invalid_state: handlers take the calls of this connection');
    }
    this.#callsWanted = true;
    return this.#calls.iterate();
  }

  /** Closes the connection, and resolves when it has closed. Open calls end with an error. */
  close(code = 1000, reason = '') {
    this.#transport.close(code, reason);
    return this.closed;
  }

  async [Symbol.asyncDispose]() {
    await this.close();
  }

  /**
   * Makes a connection for an integration: the connection itself, and what its transport calls. `spans` are the contexts of
   * the handshake's spans by their number.
   */
  static _drive(core, transport, options) {
    const connection = new TracedConnection(TOKEN, core, transport, options);
    return {
      connection,
      receive: (data, binary) => connection.#guarded(() => connection.#receive(data, binary)),
      opened: (open) => connection.#opened(open),
      onClose: (code, reason, cause) => connection.#onClose(code, reason, cause),
      onSuperseded: () => {
        connection.#guarded(() => connection.#act((own, at) => own.onSuperseded(at)));
        transport.close(SUPERSEDED_CODE, 'superseded');
      },
    };
  }

  /** Takes a message of the transport. */
  #receive(data, binary) {
    const received = this.#core._receive(data, binary, now());
    const { opened, stream: key } = received;
    const stream = opened === undefined ? this.#streams.get(key) : this.#accept(opened, received);
    let message;
    if (received._delivers) {
      message = new Message(received, key === 0 ? undefined : stream?.context);
      if (key !== 0) {
        stream?._push(message);
        message = undefined;
      } else if (this.#onMessage === undefined) this.#plain.push(message);
    }
    this.#pump();
    if (opened !== undefined) this.#admit(stream);
    if (message !== undefined && this.#onMessage !== undefined) this.#deliver(message);
  }

  /** Takes the opening of the connection; resolves when the peer is known. */
  #opened(open) {
    open(this.#core, now());
    this.#pump();
    if (this.#core.isReady) this.#ready.resolve();
    // Who wants `calls()` has asked for them once the code that waited for the connection has run.
    this.#ready.promise.then(() => setImmediate(() => this.#endGrace()).unref());
    return this.#ready.promise;
  }

  /** Takes the close of the transport. */
  #onClose(code, reason, cause = undefined) {
    this.#cause = cause;
    this.#guarded(() => this.#act((core, at) => core.onClose(code === 1006 ? undefined : code, reason, at)));
    clearTimeout(this.#timer);
    this.#plain.finish();
    this.#calls.finish();
    this.#waiting.length = 0;
    for (const reject of this.#pending) reject(closedError(cause));
    this.#pending.clear();
    this.#ready.resolve();
    this.#closed.resolve({ code, reason });
  }

  /** Runs what the transport or a timer calls: nobody would catch what it throws. */
  #guarded(action) {
    try {
      action();
    } catch (error) {
      this.#giveUp(error);
    }
  }

  /** Ends everything because of a defect: the application goes on, and its spans say what happened. */
  #giveUp(error) {
    diag.error('wirespan: a connection is given up because of a defect', error);
    const errorType = error.code ?? typeName(error);
    for (const context of this.#spans.values()) {
      if (!trace.getSpan(context)?.isRecording()) continue;
      this.#maker.end(context, { status: 'error', attributes: { 'error.type': errorType }, events: [] });
    }
    this.#spans.clear();
    for (const stream of this.#streams.values()) {
      stream._finishReading(error);
      stream._over({ outcome: 'error', errorType, metrics: { sent: EMPTY, received: EMPTY } });
    }
    this.#streams.clear();
    this.#transport.close(1011, '');
  }

  /** Does something on the core, and what follows from it. */
  #act(action) {
    action(this.#core, now());
    this.#pump();
  }

  #take(key, bytes) {
    this.#core.take(key, bytes, now());
    if (this.#core.hasEvents) this.#pump();
  }

  #end(key, context) {
    this.#requireOpen();
    try {
      this.#core.end(key, this.#carried(context), now());
    } finally {
      this.#pump();
    }
  }

  #fail(stream, error) {
    if (stream.ended) return;
    const type = typeof error === 'string' ? error : typeName(error);
    if (error instanceof Error) trace.getSpan(stream.context)?.recordException(error);
    this.#act((core, at) => core.fail(stream._key, type, at));
  }

  #carried(context) {
    if (context === undefined) return {};
    return {
      spanContext: spanContextOf(context),
      baggage: this.#sendsBaggage ? propagation.getBaggage(context) : undefined,
    };
  }

  #requireOpen() {
    if (!this.#transport.isOpen) throw closedError(this.#cause);
  }

  #start(Type, kind, method, rest) {
    const fn = rest.find((item) => typeof item === 'function');
    const options = rest.find((item) => typeof item === 'object' && item !== null) ?? {};
    if (method !== undefined && method !== null && typeof method !== 'string') throw invalid('method', 'must be a string');
    const { signal } = options;
    if (signal?.aborted)
      throw new WirespanError('cancelled', 'cancelled: the signal was aborted before the call', { cause: signal.reason });
    this.#requireOpen();
    const current = contexts.active();
    const plan = kind === 'call' ? 'planCall' : 'planTransfer';
    const { stream: key, plan: span } = this.#core[plan](method ?? undefined, spanContextOf(current), now());
    const context = this.#maker.start(span, { current, connection: this.#spans.get(0) });
    this.#spans.set(key, context);
    const stream = new Type(this.#host, { key, kind, method, context, signal });
    this.#streams.set(key, stream);
    this.#pump();
    return fn === undefined ? stream : this.#block(stream, fn);
  }

  async #block(stream, fn) {
    let result;
    try {
      result = await contexts.with(stream.context, fn, undefined, stream);
    } catch (error) {
      if (isAbort(error)) stream.cancel();
      else stream.fail(error instanceof Error ? error : 'handler');
      throw error;
    }
    stream.leave();
    return result;
  }

  #transmit(key, body, context, { last, headers, json }) {
    this.#requireOpen();
    let flags = (last ? SEND.LAST : 0) | (json ? SEND.JSON : 0);
    let given = body;
    if (typeof body !== 'string') {
      if (isBinary(body)) given = viewOf(body, 'body');
      else {
        given = jsonOf(body);
        flags |= SEND.JSON;
      }
    }
    let span;
    let baggage;
    if (context !== undefined) {
      // One that is not valid counts as absent to the core.
      span = currentSpanContext(context);
      if (this.#sendsBaggage) baggage = propagation.getBaggage(context);
    }
    const own = headers === undefined ? undefined : flatten(headers);
    const frame = this.#core._send(key, given, flags, span, baggage, now(), own);
    const done = this.#write(frame, words[WORD.FORM] === 1);
    this.#pump();
    return done;
  }

  /** Queues a frame for the transport; resolves at once unless much is queued already. */
  #write(frame, binary) {
    if (this.#transport.bufferedAmount + frame.length <= HIGH_WATER_BYTES) {
      this.#transport.send(frame, binary, undefined);
      return DONE;
    }
    return new Promise((resolve, reject) => {
      this.#pending.add(reject);
      this.#transport.send(frame, binary, (error) => {
        this.#pending.delete(reject);
        if (error) reject(closedError(error));
        else resolve();
      });
    });
  }

  /** Acts on the events of the core until there is none, and sets the timer. */
  #pump() {
    const core = this.#core;
    while (core.hasEvents) {
      const event = core.pollEvent(this.#isRecording);
      if (event === undefined) break;
      this.#on(event);
    }
    if (core.nextDeadline !== this.#timerAt) this.#schedule(core.nextDeadline);
  }

  #on(event) {
    switch (event.type) {
      case 'frame':
        if (this.#transport.isOpen) this.#transport.send(event.bytes, event.form === 'binary', undefined);
        break;
      case 'spanUpdate': {
        const context = this.#spans.get(event.span);
        if (context !== undefined) this.#maker.update(context, event.attributes);
        break;
      }
      case 'spanEnd': {
        const context = this.#spans.get(event.span);
        if (context !== undefined) this.#maker.end(context, event);
        // The spans of the connection stay usable as parents.
        if (event.span > 1) this.#spans.delete(event.span);
        this.#streams.get(event.span)?._over(event);
        this.#streams.delete(event.span);
        break;
      }
      case 'readEnd':
        this.#streams.get(event.stream)?._finishReading(event.complete ? undefined : readError(event, this.#cause));
        break;
      case 'pauseReading':
        this.#transport.pause();
        break;
      case 'resumeReading':
        this.#transport.resume();
        break;
      case 'ready':
        this.#ready.resolve();
        break;
      default:
        break;
    }
  }

  #schedule(at) {
    // A timer that comes early does no harm and sets itself anew.
    if (at > this.#timerAt && this.#timer !== undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#timerAt = at;
    if (at === Number.POSITIVE_INFINITY) return;
    const delay = Math.min(MAX_DELAY_MS, Math.max(0, Math.ceil((at - now()) / 1e6)));
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#guarded(() => this.#act((core, time) => core.onTime(time)));
    }, delay).unref();
  }

  /** Starts the span of a stream that the peer opens. */
  #accept({ kind, method, registered, plan }, received) {
    const context = this.#maker.start(plan, {
      current: ROOT_CONTEXT,
      connection: this.#spans.get(0),
      baggage: received.baggage,
    });
    this.#spans.set(plan.span, context);
    const Type = kind === 'call' ? Call : Transfer;
    const { headers } = received;
    const stream = new Type(this.#host, { key: plan.span, kind, method, context, headers, incoming: true, registered });
    this.#streams.set(plan.span, stream);
    return stream;
  }

  /** Gives a stream of the peer to its handler, to `calls()`, or to nobody. */
  #admit(stream) {
    if (this.#handlers.size === 0 && this.#defaultHandler === undefined) {
      if (this.#callsWanted || this.#grace) this.#calls.push(stream);
      else stream.fail(names.unknownMethod);
      return;
    }
    const handler = this.#handlers.get(stream.method) ?? this.#defaultHandler;
    if (handler === undefined) stream.fail(names.unknownMethod);
    else if (this.#running < this.#maxRunning) this.#run(stream, handler);
    else this.#waiting.push([stream, handler]);
  }

  #endGrace() {
    this.#grace = false;
    if (this.#callsWanted) return;
    for (const stream of this.#calls.drain()) stream.fail(names.unknownMethod);
  }

  async #run(stream, handler) {
    this.#running += 1;
    try {
      await contexts.with(stream.context, handler, undefined, stream);
      stream.leave();
    } catch (error) {
      // An error that tells of the stream's own end is no news.
      if (!stream.ended) diag.error(`wirespan: the handler of ${JSON.stringify(stream.method)} failed`, error);
      if (isAbort(error)) stream.cancel();
      else stream.fail(error instanceof Error ? error : 'handler');
    } finally {
      this.#running -= 1;
      this.#runNext();
    }
  }

  #runNext() {
    while (this.#running < this.#maxRunning) {
      const next = this.#waiting.shift();
      if (next === undefined) return;
      // The peer may have given up while the stream waited for its turn.
      if (!next[0].ended) this.#run(...next);
    }
  }

  #deliver(message) {
    const failed = (error) => diag.error('wirespan: the onMessage callback failed', error);
    try {
      const result = message.run(this.#onMessage, message, this);
      // What `send` returns is waited for already, mostly; to follow a promise costs more than to make the message.
      if (result !== DONE && typeof result?.then === 'function') result.then(undefined, failed);
    } catch (error) {
      failed(error);
    }
  }

  #wantPlain() {
    if (this.#onMessage !== undefined) {
      throw new WirespanError('invalid_state', 'invalid_state: the onMessage callback takes the messages of this connection');
    }
    // Asked for each message: the core need not be told again.
    if (this.#plainPolicy === 'queue' || !this.#core.isOpen) return;
    this.#plainPolicy = 'queue';
    this.#core.setPlainPolicy('queue');
  }
}

function closedError(cause) {
  return new WirespanError('closed', 'closed: the connection is closed', { cause });
}

/** What a reader raises when its stream did not end well. */
function readError({ kind, errorType }, cause) {
  const why = {
    cancelled: 'the call was cancelled',
    remote: `the peer ended the call with the error ${JSON.stringify(errorType)}`,
    timeout: 'nothing came for too long (option idleTimeoutMs)',
    overflow: 'nobody read for too long (option overflowWaitMs)',
    closed: 'the connection closed before the call was complete',
    superseded: 'another connection took the session over',
    role: 'the peer has the same role as this side',
  }[kind];
  return new WirespanError(kind, `${kind}: ${why ?? 'the call ended'}`, { errorType, cause });
}

function checkFunction(name, value) {
  if (value !== undefined && typeof value !== 'function') throw invalid(name, 'must be a function');
  return value;
}

/** Handlers by the name of their method. */
function checkHandlers(handlers = {}) {
  if (handlers instanceof Map) return checkHandlers(Object.fromEntries(handlers));
  if (handlers === null || typeof handlers !== 'object') throw invalid('handlers', 'must map names of methods to functions');
  for (const [method, handler] of Object.entries(handlers)) {
    if (typeof handler !== 'function') throw invalid('handlers', `must map ${JSON.stringify(method)} to a function`);
  }
  return new Map(Object.entries(handlers));
}

function deferred() {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
}

module.exports = { TracedConnection, checkHandlers, checkFunction };
