const { Buffer } = require('node:buffer');
const { SessionRegistry, HandshakeRequest } = require('./handshake.js');
const { native, names, words, numbers, WORD, NUMBER } = require('./native.js');
const { SEND, View, bytesOf, isBinary, jsonOf, viewOf } = require('./body.js');
const { Received } = require('./received.js');
const { Summary } = require('./metrics.js');
const { encodeOptions, withOptionNames } = require('./options.js');
const { flatten } = require('./flatten.js');
const { invalid } = require('./error.js');
const {
  flattenBaggage,
  planLike,
  revivePlan,
  reviveSpanContext,
  traceparentOf,
  tracestateOf,
  validTraceparent,
} = require('./context.js');

/** The addon's functions for each message. Its exports are so many that to find one of them is a search. */
const { send: makeFrame, receive: openMessage } = native;

/** Frames are written one behind the other into a slab, which is left to the garbage collector when it is full. */
const SLAB_BYTES = 64 * 1024;
/** Longer texts are written into memory of their own, with room for the rest of the message around them; in UTF-16 units. */
const LONG_TEXT = 4 * 1024;
/** That room, as `src/message.rs` has it. */
const HEAD_ROOM = 1024;
const TAIL_ROOM = 1;

/** What stands in `words[EVENT]`. */
const EVENT = Object.freeze({ NONE: 0, FRAME: 1, JSON: 2, READ_COMPLETE: 3, STREAM_END: 4 });
let slab = newSlab();

/** The memory of a new slab, which is not lent by any pool. */
function newSlab() {
  const made = Buffer.allocUnsafeSlow(SLAB_BYTES);
  native.slab(made);
  return made.buffer;
}

/**
 * The memory of bytes, whose place in it is left in the numbers. Memory that other threads can change is copied first: the addon
 * reads it more than once.
 */
function memoryOf(bytes) {
  const memory = bytes.buffer;
  if (memory instanceof SharedArrayBuffer) return memoryOf(new Uint8Array(bytes));
  numbers[NUMBER.OFFSET] = bytes.byteOffset;
  numbers[NUMBER.LENGTH] = bytes.length;
  return memory;
}

/** A time as the addon takes it. */
function timeOf(now) {
  if (typeof now !== 'number' && typeof now !== 'bigint')
    throw invalid('now', 'must be a number or bigint that is not negative');
  return Number(now);
}

const freed = new FinalizationRegistry((handle) => native.connectionFree(handle));

/** The span context and baggage that the addon holds for the next sending. */
let heldSpan;
let heldBaggage;

/** Hands a context to the addon, unless it holds it already. */
function holdContext(span, baggage) {
  if (span === heldSpan && baggage === heldBaggage) return;
  // Nothing counts as held if the addon refuses it. A span context that is not valid counts as absent there.
  heldSpan = heldBaggage = undefined;
  if (span === undefined) native.setContext(undefined, undefined, flattenBaggage(baggage));
  else native.setContext(traceparentOf(span), tracestateOf(span), baggage && flattenBaggage(baggage));
  heldSpan = span;
  heldBaggage = baggage;
}

/** A text as bytes with room for the rest of its message around them. */
function withRoom(text) {
  const bytes = Buffer.allocUnsafeSlow(HEAD_ROOM + Buffer.byteLength(text) + TAIL_ROOM);
  bytes.write(text, HEAD_ROOM);
  return bytes;
}

/** One side of a connection without any I/O: bytes, times and entropy go in; frames, events and plans of spans come out. */
class Connection {
  #handle;
  /** What the addon has told before, and from then on names by its place: plans, and attributes of ends. See `src/told.rs`. */
  #plans = [];
  #ends = [];

  constructor(handle, token) {
    if (token !== freed) throw invalid('Connection', 'is made by Connection.client() or Connection.server()');
    this.#handle = handle;
    freed.register(this, handle, this);
    /** Whether events wait to be polled. */
    this.hasEvents = false;
    /** When `onTime` is to be called, in nanoseconds; Infinity if never. */
    this.nextDeadline = Number.POSITIVE_INFINITY;
  }

  /** Makes the connecting side. `entropy` is 16 random bytes for the session id. */
  static client(options, { address, port, entropy }) {
    const encoded = encodeOptions(options);
    const handle = withOptionNames(() => native.client(encoded, address, port, bytesOf(entropy, 'entropy')));
    return new Connection(handle, freed);
  }

  /** Makes the accepting side for a request. `vouch` is what the host's callback said of the proposed session. */
  static server(options, request, { registry, remote, vouch, address, port, entropy }) {
    if (!(request instanceof HandshakeRequest)) throw invalid('request', 'must be a HandshakeRequest');
    if (registry !== undefined && !(registry instanceof SessionRegistry)) {
      throw invalid('registry', 'must be a SessionRegistry');
    }
    const encoded = encodeOptions(options);
    const vouched = vouch === undefined ? 0 : vouch ? 1 : 2;
    const handle = withOptionNames(() =>
      native.server(encoded, request._handle, registry?._handle, remote, vouched, address, port, bytesOf(entropy, 'entropy')),
    );
    return new Connection(handle, freed);
  }

  #settled() {
    this.hasEvents = words[WORD.EVENTS] !== 0;
    this.nextDeadline = numbers[NUMBER.DEADLINE];
  }

  /** The plans of the spans to start before the handshake. `http` is the span of an HTTP instrumentation that is current. */
  planHandshake({ http = undefined, current = false } = {}) {
    const traceparent = validTraceparent(http);
    const plans = native.planHandshake(this.#handle, traceparent, traceparent && tracestateOf(http), current);
    this.#settled();
    return JSON.parse(plans).map(revivePlan);
  }

  /** Says that the span of a plan has been started, so that calls and later connections can link it. */
  spanStarted(span, spanContext) {
    const traceparent = validTraceparent(spanContext);
    if (traceparent !== undefined) native.spanStarted(this.#handle, span, traceparent, tracestateOf(spanContext));
  }

  /**
   * What a client adds to its request: headers, a subprotocol, a parameter of the query. The context is that of the handshake's
   * span, where one was started, else `current`.
   */
  request({ host, hasSubprotocol = false, hasTraceContext = false, current = undefined }) {
    const traceparent = validTraceparent(current);
    const list = traceparent && tracestateOf(current);
    const additions = JSON.parse(native.request(this.#handle, host, hasSubprotocol, hasTraceContext, traceparent, list));
    return { ...additions, subprotocol: additions.subprotocol ?? undefined, query: additions.query ?? undefined };
  }

  /** What a server adds to its response. `selected` is the subprotocol that the application selected. */
  response(request, selected = undefined) {
    const { headers, subprotocol } = JSON.parse(native.response(this.#handle, request._handle, selected));
    return { headers, subprotocol: subprotocol ?? undefined };
  }

  /** Opens the connecting side with all headers of the response. */
  openClient(headers, now) {
    native.openClient(this.#handle, flatten(headers), now);
    this.#settled();
  }

  /** Opens the accepting side. */
  openServer(now) {
    native.openServer(this.#handle, now);
    this.#settled();
  }

  /** Says that the handshake failed. */
  failHandshake(errorType) {
    native.failHandshake(this.#handle, errorType);
    this.#settled();
  }

  /** Plans a call. `current` is the host's current span context. Returns the number of the stream and the plan. */
  planCall(method, current, now) {
    return this.#planned(native.planCall(this.#handle, method, validTraceparent(current), now));
  }

  /** Plans a transfer, as `planCall`. */
  planTransfer(method, current, now) {
    return this.#planned(native.planTransfer(this.#handle, method, validTraceparent(current), now));
  }

  #planned(json) {
    this.#settled();
    const stream = words[WORD.STREAM];
    const place = words[WORD.PLACE];
    if (json !== undefined) this.#plans[place] = { plan: revivePlan(JSON.parse(json)) };
    return { stream, plan: planLike(this.#plans[place].plan, stream) };
  }

  /**
   * Makes the frame of a message for a stream, or for 0. Text becomes a text message, bytes a binary one, any other value
   * JSON text. With `json`, text or bytes are JSON already; with `text`, bytes are UTF-8 text. Without a body the message has
   * the form in which the stream sent last.
   * `spanContext` and `baggage` are those of the stream's span; a stream sends them with its first message only.
   */
  send(stream, body, options, now) {
    const { last = false, headers, json = false, text = false, spanContext, baggage } = options ?? {};
    let flags = (last ? SEND.LAST : 0) | (json ? SEND.JSON : 0) | (text ? SEND.TEXT : 0);
    let given = body;
    if (isBinary(body)) given = viewOf(body, 'body');
    else if (body !== undefined && typeof body !== 'string') {
      given = jsonOf(body);
      flags |= SEND.JSON;
    }
    const bytes = this._send(
      stream,
      given,
      flags,
      spanContext,
      baggage,
      now,
      headers === undefined ? undefined : flatten(headers),
    );
    return { form: words[WORD.FORM] === 1 ? 'binary' : 'text', bytes };
  }

  /** Makes a frame of a body that is text or bytes. Its form is in the words. */
  _send(stream, body, flags, span, baggage, now, headers) {
    let bits = flags;
    let traceId;
    let spanId;
    if (span !== undefined || baggage !== undefined) {
      bits |= SEND.CONTEXT;
      if (span === heldSpan && baggage === heldBaggage) {
        // The addon has it.
      } else if (span !== undefined && baggage === undefined && span.traceState === undefined) {
        bits |= SEND.IDS | ((span.traceFlags & 0xff) << SEND.TRACE_FLAGS);
        ({ traceId, spanId } = span);
        heldSpan = heldBaggage = undefined;
      } else holdContext(span, baggage);
    }
    if (headers !== undefined) bits |= SEND.HEADERS;
    // Whoever has a frame can give its memory to another thread.
    if (slab.byteLength === 0) slab = newSlab();
    let given;
    if (typeof body === 'string' && body.length <= LONG_TEXT) {
      given = body;
      bits |= SEND.STRING;
      numbers[NUMBER.LENGTH] = body.length;
    } else if (body !== undefined) {
      let bytes = body;
      if (typeof body === 'string') {
        bytes = withRoom(body);
        bits |= (flags & SEND.JSON) === 0 ? SEND.ROOM | SEND.TEXT : SEND.ROOM;
      }
      given = memoryOf(bytes);
      bits |= SEND.BYTES;
    }
    this.#address(stream, bits, now);
    const written = makeFrame(given, headers, traceId, spanId);
    if (traceId !== undefined) heldSpan = span;
    this.#settled();
    if (written === undefined) {
      const start = words[WORD.START];
      return new View((bits & SEND.ROOM) === 0 ? slab : given, start, words[WORD.END] - start);
    }
    // A frame that would fit an empty slab is a sign that this one is full.
    if ((bits & SEND.ROOM) === 0 && written.length < SLAB_BYTES / 4) slab = newSlab();
    return written;
  }

  /** What each message's function is given besides the message. */
  #address(stream, flags, now) {
    if (typeof stream !== 'number') throw invalid('stream', 'must be a number');
    words[WORD.HANDLE] = this.#handle;
    words[WORD.KEY] = stream;
    words[WORD.GIVEN] = flags;
    numbers[NUMBER.NOW] = typeof now === 'number' ? now : timeOf(now);
  }

  /** Takes a received message, whole. Nothing that a peer sends is an error. */
  receive(message, binary, now) {
    return this._receive(viewOf(message, 'message'), binary, now);
  }

  _receive(message, binary, now) {
    const memory = memoryOf(message);
    const offset = numbers[NUMBER.OFFSET];
    this.#address(0, binary ? 1 : 0, now);
    const text = openMessage(memory);
    this.#settled();
    const received = new Received(message, memory, offset, binary, text);
    if (words[WORD.PLACE] !== 0) received._remember(this.#plans, words[WORD.PLACE]);
    return received;
  }

  /** Notes that a reader took a chunk out of the host's queue. */
  take(stream, bytes, now) {
    native.take(this.#handle, stream, bytes, now);
    this.#settled();
  }

  /** Ends this side's direction of a stream. */
  end(stream, { spanContext = undefined, baggage = undefined } = {}, now) {
    const held = spanContext !== undefined || baggage !== undefined;
    if (held) holdContext(spanContext, baggage);
    try {
      native.end(this.#handle, stream, held, now);
    } finally {
      this.#settled();
    }
  }

  /** Ends a call that its block left normally, or that its handler returned from. */
  leave(stream, now) {
    native.leave(this.#handle, stream, now);
    this.#settled();
  }

  /** Cancels a call or transfer. */
  cancel(stream, now) {
    native.cancel(this.#handle, stream, now);
    this.#settled();
  }

  /** Ends a call or transfer with an error type. */
  fail(stream, errorType, now) {
    native.fail(this.#handle, stream, errorType, now);
    this.#settled();
  }

  /** Does what is due. */
  onTime(now) {
    native.onTime(this.#handle, now);
    this.#settled();
  }

  /** Says that another connection took this one's session over. */
  onSuperseded(now) {
    native.onSuperseded(this.#handle, now);
    this.#settled();
  }

  /** Says that the transport has closed, with the code and reason of its close frame or without one. */
  onClose(code, reason, now) {
    native.onClose(this.#handle, code, reason, now);
    this.#settled();
  }

  /**
   * The next event, or undefined. The attributes and events of a span's end are computed unless `isRecording` says that the
   * span would not take them.
   */
  pollEvent(isRecording = undefined) {
    const polled = native.pollEvent(this.#handle);
    this.#settled();
    switch (words[WORD.EVENT]) {
      case EVENT.NONE:
        return undefined;
      case EVENT.FRAME:
        return { type: 'frame', form: words[WORD.FORM] === 1 ? 'binary' : 'text', bytes: polled };
      case EVENT.READ_COMPLETE:
        return { type: 'readEnd', stream: words[WORD.STREAM], complete: true, kind: undefined, errorType: undefined };
      case EVENT.STREAM_END: {
        const outcome = names.outcomes[words[WORD.OUTCOME] - 1];
        const event = { type: 'spanEnd', span: words[WORD.STREAM], status: 'unset', errorType: undefined, outcome };
        return this.#spanEnd(event, isRecording);
      }
    }
    const event = JSON.parse(polled);
    for (const key of ['errorType', 'kind', 'outcome']) if (event[key] === null) event[key] = undefined;
    return event.type === 'spanEnd' ? this.#spanEnd(event, isRecording) : event;
  }

  /** The event of a span's end with what the addon has beside it. */
  #spanEnd(event, isRecording) {
    if (event.outcome !== undefined) event.metrics = Summary._bothLeft();
    event.attributes = {};
    event.events = [];
    if (isRecording !== undefined && !isRecording(event.span)) return event;
    const json = native.spanEnd(this.#handle);
    const place = words[WORD.PLACE];
    if (json === undefined) {
      const { attributes, keys } = this.#ends[place];
      event.attributes = { ...attributes };
      for (const [at, key] of keys) event.attributes[key] = numbers[NUMBER.ATTRIBUTES + at];
      return event;
    }
    const { attributes, keys, events } = JSON.parse(json);
    event.attributes = attributes;
    event.events = events;
    const areNumbers = [...keys.entries()].filter(([, key]) => typeof attributes[key] === 'number');
    if (place !== 0) this.#ends[place] = { attributes: { ...attributes }, keys: areNumbers };
    return event;
  }

  #snapshot() {
    return JSON.parse(native.snapshot(this.#handle));
  }

  get role() {
    return this.#snapshot().role;
  }

  /** What is known of the peer: `{known: 'unknown' | 'announced' | 'always', version}`. */
  get peer() {
    return this.#snapshot().peer;
  }

  get sessionId() {
    return this.#snapshot().sessionId;
  }

  /** What a later connection needs to continue this session, as its option `session`. */
  get resumption() {
    const { sessionId, span } = this.#snapshot().resumption;
    return { sessionId, span: reviveSpanContext(span) };
  }

  /** This connection's number within its registry. */
  get connectionId() {
    return this.#snapshot().connectionId ?? undefined;
  }

  /** The connection that lost its session to this one. */
  get superseded() {
    return this.#snapshot().superseded ?? undefined;
  }

  get isOpen() {
    return this.#snapshot().isOpen;
  }

  get isReady() {
    return this.#snapshot().isReady;
  }

  get mayRead() {
    return this.#snapshot().mayRead;
  }

  get openStreams() {
    return this.#snapshot().openStreams;
  }

  /** The option in force. */
  get maxRunning() {
    return this.#snapshot().maxRunning;
  }

  /** How often something was dropped, ignored or out of order. */
  get counters() {
    const counters = JSON.parse(native.counters(this.#handle));
    return Object.fromEntries(names.counters.map((name) => [name, counters[name]]));
  }

  /** Counts something that the host had to drop. */
  count(counter, n = 1) {
    native.count(this.#handle, counter, n);
  }

  /** Names the methods that the application serves. */
  setMethods(methods) {
    native.setMethods(this.#handle, methods);
  }

  /** Says where messages outside every stream go: `deliver`, `queue`, `discard`. */
  setPlainPolicy(policy) {
    native.setPlainPolicy(this.#handle, policy);
  }

  /** The metrics so far of an open stream. */
  metrics(stream) {
    if (!native.streamMetrics(this.#handle, stream)) return undefined;
    return Summary._bothLeft();
  }

  /** Frees the memory at once instead of with the object. Later calls raise `invalid_state`. */
  free() {
    freed.unregister(this);
    native.connectionFree(this.#handle);
  }
}

module.exports = { Connection };
