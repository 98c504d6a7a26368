import { allow, type BaggageMember, readBaggage, writeBaggage } from './baggage.js';
import { looksBinary } from './binary.js';
import { NEVER, sizeOf, utf8Length, wellFormed } from './bytes.js';
import type { Context } from './context.js';
import { type Content, type Message, type Unwrapped, unwrap, wrap } from './envelope.js';
import { type Counts, count, type ErrorKind, WirespanError } from './errors.js';
import { type Pair, type Reserved, read } from './headers.js';
import type { Outcome } from './metrics.js';
import type { Options } from './options.js';
import { type Attributes, type Link, type Parent, type Plan, SpanKind } from './plans.js';
import { Queue, type SpanEvent, Stream, type StreamKind } from './stream.js';
import { looksWrapped, type Recognition, Why } from './text.js';

export type Peer = 'unknown' | 'announced' | 'always';
export type SpanName = 'connection' | 'handshake' | Stream;

/** What a connection asks and tells the program around it. */
export interface Host {
  /** Reads a monotonic clock, in nanoseconds. */
  now_(): number;
  /** A message goes out. */
  write_(message: Message): void;
  updateSpan_(span: SpanName, attributes: Attributes): void;
  endSpan_(span: SpanName, attributes: Attributes, failed: boolean, events: SpanEvent[]): void;
  /** No chunk of the peer follows: with a kind because of an error. */
  endReader_(stream: Stream, kind?: ErrorKind, errorType?: string): void;
  /** The wait for the peer's first message is over. */
  becomeReady_(): void;
}

export interface Setup {
  /** 128 random bits in hexadecimal digits, for the session id. */
  entropy: string;
  options?: Partial<Options> | undefined;
  address?: string | undefined;
  port?: number | undefined;
}

export interface SendOptions {
  context?: Context | undefined;
  baggage?: readonly BaggageMember[] | undefined;
  headers?: readonly Pair[] | undefined;
  last?: boolean | undefined;
}

/** What a received message gives to the host. */
export interface Received {
  /** Where it belongs: an open stream, or outside of every stream. */
  stream?: Stream | 'plain';
  payload?: Message | undefined;
  opened?: { kind: StreamKind; method: string | undefined; registered: boolean; plan: Plan };
  context?: Context;
  /** The span to link, under trust `link`. */
  link?: Context;
  baggage?: BaggageMember[];
  headers?: Pair[];
}

const REMEMBERED = 1024;
const MAX_ID = 0xffffffff;

/** An earlier connection, whose session goes on. */
interface Earlier {
  session_: string;
  spanOfConnection_(): Context | undefined;
}

/** A connection without I/O, as far as a page needs it: a client that sets no headers. What other hosts need replaces methods of it, in `parts`. */
export function newCore(host: Host, setup: Setup, options: Options, resume?: Earlier, isClient = true) {
  let acceptsHello = false;
  let lastOwnId = isClient ? -1 : 0;
  /** `NEVER` after an echo: nothing opens any more (ST-4). */
  let lastPeerId = 0;
  let previous = '';
  let sessionNamed = false;
  const openSpans = new Set<'connection' | 'handshake'>();
  /** What counts the messages of streams that ended, by their ids (ST-12). */
  const ended = new Map<number, 'limit' | 'discarded' | 'late'>();

  const core = {
    counters_: {} as Counts,
    session_: resume?.session_ ?? options.session ?? setup.entropy,
    peer_: 'unknown' as Peer,
    state_: 'new' as 'new' | 'open' | 'closed',
    streams_: [] as Stream[],
    /** The methods that are served, which may name spans. */
    methods_: new Set<string>(),
    /** Whether the peer was told that this side speaks the protocol. */
    announced_: false,
    /** The spans of the connection that the host has started. */
    spans_: {} as { connection?: Context | undefined; handshake?: Context | undefined },
    /** The span that stood for the earlier connection of the session. */
    earlier_: resume?.spanOfConnection_(),
    plain_: new Queue(),
    /** When the wait for the peer's first message ends. */
    waitUntil_: NEVER,

    /** Plans the spans of the handshake. */
    planHandshake_(parent: Parent, links: Link[] = [], kind: SpanKind = SpanKind.CLIENT): Plan[] {
      const planOf = (span: 'connection' | 'handshake', kind: SpanKind, parent: Parent): Plan => {
        openSpans.add(span);
        return plan(`websocket.${span}`, kind, parent, withEarlier(...links.splice(0)));
      };
      return options.trace_scope === 'connection'
        ? [planOf('connection', kind, parent), planOf('handshake', SpanKind.INTERNAL, 'connection')]
        : [planOf('handshake', kind, parent)];
    },

    /** Says by what the client announces itself beside headers (NG-4, NG-5): a subprotocol and a parameter of the query. */
    announce_(hasSubprotocol: boolean): (string | undefined)[] {
      const { mode, subprotocol, query } = options;
      const offers = subprotocol === 'alone' || (subprotocol === 'beside' && hasSubprotocol);
      if (mode === 'never') return [];
      core.announced_ ||= Boolean(offers || query);
      return [offers ? `wirespan.v1.${core.session_}` : undefined, query ? `wirespan=1.${core.session_}` : undefined];
    },

    /** Tells that the upgrade is done; `greets` of a server whose client announced itself by subprotocol or query only. */
    open_(greets = false): void {
      const { mode, hello, subprotocol, query, hello_wait } = options;
      const expects = hello === 'expect';
      core.state_ = 'open';
      if (typeof mode === 'object' && core.peer_ === 'unknown') core.peer_ = 'always';
      if (mode !== 'never') {
        if (hello === 'first' || greets) sayHello();
        acceptsHello = core.peer_ !== 'announced' && (core.announced_ || expects);
      }
      endSpan('handshake');
      const waits = isClient && acceptsHello && (subprotocol || query || expects);
      if (waits) core.waitUntil_ = host.now_() + hello_wait;
    },

    failHandshake_(error: string): void {
      core.state_ = 'closed';
      for (const span of [...openSpans].reverse()) endSpan(span, { 'error.type': error }, true);
    },

    /** Makes a call or transfer; its span is the host's to start, its first message opens it.
     * @throws {WirespanError} `closed`, `invalid_argument`, `busy` (ST-18), `role` or `limit`. */
    begin_(kind: StreamKind, method: string | undefined, hasCurrent: boolean): { stream: Stream; plan: Plan } {
      mustBeOpen();
      const bare = core.peer_ === 'unknown';
      if (method !== undefined && !read('method', method)) throw new WirespanError('invalid_argument', 'method');
      if (bare && core.streams_.find((stream) => stream.bare_)) throw new WirespanError('busy');
      if (lastPeerId === NEVER) throw new WirespanError('role');
      if (!hasRoom()) throw new WirespanError('limit', 'max_streams');
      const stream = newStream(true, kind, bare);
      stream.method_ = method;
      core.streams_.push(stream);
      const parent = hasCurrent ? 'current' : localParent();
      return {
        stream,
        plan:
          kind === 'call' ? planCall(SpanKind.CLIENT, parent, method) : planTransfer('send', SpanKind.PRODUCER, parent, method),
      };
    },

    /** Sends a message on a stream or outside of every stream; gives what goes out. */
    send_(to: Stream | 'plain', given: Message, options: SendOptions = {}, content?: Content): Message {
      mustBeOpen();
      const message = typeof given === 'string' ? wellFormed(given) : given;
      if (to === 'plain') return sendPlain(message, options, content);
      const sent = sendOn(to, message, options, content);
      if (options.last) closeOwn(to);
      return sent;
    },

    /** Ends this side's direction (ST-22). */
    end_(stream: Stream, options: SendOptions = {}): void {
      if (stream.ended_ && stream.ended_ !== 'invalid_state') throw new WirespanError(stream.ended_);
      if (!stream.ownOpen_) return;
      if (!stream.bare_) host.write_(sendOn(stream, stream.empty_, { ...options, last: true }, 'none'));
      closeOwn(stream);
    },

    /** Leaves a stream in good order: a caller its block, a callee its handler (ST-10, ST-11). */
    leave_(stream: Stream): void {
      if (stream.ended_) return;
      if (stream.ownOpen_) tell(stream, { end: '1' });
      const abandoned = stream.own_ && !stream.bare_ && (stream.peerOpen_ || !stream.nextOut_);
      core.finish_(stream, abandoned ? 'abandoned' : 'complete', 'invalid_state');
    },

    cancel_(stream: Stream): void {
      stop(stream, { end: 'cancel' }, 'cancelled', 'cancelled');
    },

    fail_(stream: Stream, error: string): void {
      const type = read('error', error) ?? 'handler';
      stop(stream, { end: 'error', error: type }, 'error', 'cancelled', type);
    },

    /** Tells that the reader took a chunk (FL-2). */
    take_(from: Stream | 'plain', bytes: number): void {
      const queue = from === 'plain' ? core.plain_ : from;
      queue.overflowed_ = false;
      queue.fullSince_ = NEVER;
      core.queue_(queue, -1, -bytes);
    },

    receive_(message: Message): Received {
      if (core.state_ !== 'open') return discard();
      const isHello = takeHello(message);
      endWait();
      if (isHello) return {};
      const opened = core.peer_ === 'unknown' ? Why.ordinary : unwrap(message, recognition(), options, core.counters_);
      if (typeof opened === 'object') return dispatch(opened);
      if (opened === Why.head_too_long) raise('head_too_long');
      if (opened === Why.version || opened === Why.unknown_critical) raise('version');
      const bare = core.streams_.find((stream) => stream.bare_ && stream.peerOpen_ && stream.nextOut_);
      return bare ? chunk(bare, { payload: message }) : core.deliver_({ payload: message });
    },

    /** Does what is due by now. */
    onTime_(): void {
      const now = host.now_();
      const { overflow_wait, idle_timeout } = options;
      if (now >= core.waitUntil_) endWait();
      for (const queue of queues()) {
        const { fullSince_, lastAt_ } = queue;
        const due = now >= fullSince_ + overflow_wait ? 'overflow' : now >= lastAt_ + idle_timeout && 'timeout';
        if (!due) continue;
        if (queue instanceof Stream) {
          raise(due);
          failWith(queue, due);
        }
        queue.fullSince_ = NEVER;
        queue.overflowed_ = true;
      }
    },

    /** When `onTime` is due at the latest; `Infinity` where nothing is. */
    deadline_(): number {
      const { overflow_wait, idle_timeout } = options;
      return Math.min(
        core.waitUntil_,
        ...queues().flatMap(({ fullSince_, lastAt_ }) => [fullSince_ + overflow_wait, lastAt_ + idle_timeout]),
      );
    },

    onClose_(code: number, reason: string): void {
      const wasOpen = core.state_ === 'open';
      endWait();
      for (const stream of core.streams_) {
        if (stream.ownOpen_ || stream.peerOpen_) core.finish_(stream, 'error', 'closed', 'closed');
        else core.finish_(stream, 'complete', 'closed');
      }
      core.state_ = 'closed';
      endSpan('handshake');
      const failed = ![1000, 1001, 1005].includes(code);
      endSpan(
        'connection',
        {
          ...(wasOpen && { 'websocket.close.code': code, ...(reason && { 'websocket.close.reason': escapeReason(reason) }) }),
          ...(failed && { 'error.type': `${code}` }),
        },
        failed,
      );
    },

    /** The span that stands for the connection (SP-16). */
    spanOfConnection_(): Context | undefined {
      return core.spans_.connection ?? core.spans_.handshake;
    },

    /** Plans the span of a stream that the peer opened. */
    planPeer_(kind: StreamKind, method: string | undefined, { context }: Received): Plan {
      if (kind === 'call') return planCall(SpanKind.SERVER, context ? { remote: context } : 'root', method);
      return planTransfer('process', SpanKind.CONSUMER, localParent(), method, context && [{ ...context, remote: true }]);
    },

    /** A client takes the session that the server names, and keeps its own as the previous one. */
    takeSession_(session: string): void {
      previous = core.session_;
      core.changeSession_(session);
    },

    /** Changes the id in force, on every open span (SE-9). */
    changeSession_(session: string): void {
      core.session_ = session;
      for (const span of [...openSpans, ...core.streams_]) host.updateSpan_(span, sessionAttributes());
    },

    /** Wraps a message; what was left out is counted, unless it cannot be sent (ST-25): then `counts` are the counters. */
    wrap_(headers: Reserved, body: Message, content: Content, own: readonly Pair[] = [], given?: Counts): Message {
      const counts = given ?? { ...core.counters_ };
      const message = wrap(headers, own, body, content, options.max_header_bytes, counts);
      core.counters_ = counts;
      return message;
    },

    /** Ends a stream (ST-23); `raises` is what acts raise afterwards. */
    finish_(stream: Stream, outcome: Outcome, raises: ErrorKind, failure?: string): void {
      const wasOpen = stream.peerOpen_;
      stream.ended_ = raises;
      stream.ownOpen_ = stream.peerOpen_ = false;
      stream.sent_.finish_(outcome);
      stream.received_.finish_(outcome);
      stream.fullSince_ = NEVER;
      core.streams_ = core.streams_.filter((open) => open !== stream);
      if (stream.id_) rememberEnd(stream.id_, outcome === 'complete' && !(wasOpen && !stream.own_) ? 'late' : 'discarded');
      raise('clock_back', stream.sent_.clockBack_ + stream.received_.clockBack_);
      if (wasOpen) host.endReader_(stream, raises === 'invalid_state' ? 'cancelled' : raises, failure);
      const [attributes, events] = stream.report_(outcome, failure);
      host.endSpan_(stream, attributes, failure !== undefined, events);
    },

    closePeer_(stream: Stream): void {
      stream.peerOpen_ = false;
      stream.received_.finish_('complete');
      host.endReader_(stream);
      // A complete direction brings no more: its reader holds nothing up (FL-2).
      stream.fullSince_ = NEVER;
      if (stream.own_ && !stream.ownOpen_) core.finish_(stream, 'complete', 'invalid_state');
    },

    /** Delivers outside of every stream, by what the host wants (FL-3, FL-4). */
    deliver_(message: Received): Received {
      if (message.payload === undefined) return {};
      if (core.plain_.overflowed_) {
        raise('overflow');
        return discard();
      }
      core.queue_(core.plain_, 1, sizeOf(message.payload));
      return { ...message, stream: 'plain' };
    },

    queue_(queue: Queue, messages: number, bytes: number): void {
      const { max_unread, max_unread_bytes } = options;
      queue.unread_ += messages;
      queue.unreadBytes_ += bytes;
      const isFull = queue.unread_ >= max_unread || queue.unreadBytes_ >= max_unread_bytes;
      if (isFull) queue.fullSince_ = Math.min(queue.fullSince_, host.now_());
    },

    /** What a message carries beside its payload, by the allow-list (TR-2, SP-18). */
    contextOf_({ traceparent, tracestate, baggage }: Reserved): Received {
      const { baggage_in } = options;
      const members = new Map<string, BaggageMember>();
      if (baggage && baggage_in?.length) readBaggage(baggage, members, core.counters_);
      const allowed = allow([...members.values()], baggage_in);
      return { context: traceparent ? { traceparent, tracestate } : undefined, baggage: allowed };
    },

    failWith_: failWith,
  };

  function mustBeOpen(): void {
    if (core.state_ !== 'open') throw new WirespanError(core.state_ === 'new' ? 'invalid_state' : 'closed');
  }

  /** How messages of the peer are read, where it is an always peer. */
  function recognition(): Recognition | undefined {
    const { mode } = options;
    return core.peer_ === 'always' && typeof mode === 'object' ? mode : undefined;
  }

  function hasRoom(): boolean {
    return core.streams_.length < options.max_streams;
  }

  function newStream(own: boolean, kind: StreamKind, bare: boolean): Stream {
    const stream = new Stream(own, kind, bare, options);
    stream.lastAt_ = host.now_();
    return stream;
  }

  function raise(name: string, by = 1): void {
    count(core.counters_, name, by);
  }

  function discard(): Received {
    raise('discarded');
    return {};
  }

  function queues(): Queue[] {
    return [core.plain_, ...core.streams_];
  }

  function failWith(stream: Stream, kind: ErrorKind): void {
    stop(stream, { end: 'error', error: kind }, 'error', kind, kind);
  }

  // Plans

  function sessionAttributes(): Attributes {
    return {
      'websocket.session.id': core.session_,
      ...(previous && { 'websocket.session.previous_id': previous }),
    };
  }

  function plan(name: string, kind: SpanKind, parent: Parent, links: Link[] = [], method?: string): Plan {
    const { address, port } = setup;
    const attributes = {
      ...sessionAttributes(),
      'network.protocol.name': 'websocket',
      ...(address && { 'server.address': address }),
      ...(port && { 'server.port': port }),
      ...(method && { 'rpc.method': method }),
    };
    return { name, kind, parent, links, attributes };
  }

  /** Plans the span of a call; it links the span of the connection, unless that is its parent, and that of the earlier one (SP-5, SP-16). */
  function planCall(kind: SpanKind, parent: Parent, method: string | undefined): Plan {
    const span = parent === 'connection' ? undefined : core.spanOfConnection_();
    return plan(method ?? 'websocket call', kind, parent, withEarlier(span), method);
  }

  function planTransfer(verb: string, kind: SpanKind, parent: Parent, method = '', links?: Link[]): Plan {
    return plan(method ? `${verb} ${method}` : `websocket ${verb}`, kind, parent, links);
  }

  function localParent(): Parent {
    return openSpans.has('connection') ? 'connection' : 'root';
  }

  /** The links of a span; that to the earlier connection stands on the first one. */
  function withEarlier(...links: (Link | undefined)[]): Link[] {
    links.push(core.earlier_);
    core.earlier_ = undefined;
    return links.flatMap((link) => link ?? []);
  }

  function endSpan(span: 'connection' | 'handshake', attributes: Attributes = {}, failed = false): void {
    if (openSpans.delete(span)) host.endSpan_(span, attributes, failed, []);
  }

  // Hello and session

  function endWait(): void {
    if (core.waitUntil_ === NEVER) return;
    core.waitUntil_ = NEVER;
    host.becomeReady_();
  }

  /** Judges the first message received: an accepted hello is never delivered (NG-7, NG-8). */
  function takeHello(message: Message): boolean {
    const accepts = acceptsHello && typeof message === 'string';
    acceptsHello = false;
    if (!accepts) return false;
    const counts = { ...core.counters_ };
    const opened = unwrap(message, undefined, options, counts);
    if (typeof opened !== 'object' || opened.repeated || opened.body !== undefined) return false;
    const { wirespan, role, stream, session } = opened.headers;
    if (!role || stream || !/\b1\b/.test(wirespan as string)) return false;
    core.counters_ = counts;
    if ((role === 'client') === isClient) raise('role');
    else {
      core.peer_ = 'announced';
      nameSession(session);
      if (!core.announced_) sayHello();
    }
    return true;
  }

  function sayHello(): void {
    core.announced_ = true;
    const role = isClient ? 'client' : 'server';
    host.write_(core.wrap_({ wirespan: '1', role, session: core.session_ }, '', 'none'));
  }

  /** Treats a session that is named after the handshake (SE-7). */
  function nameSession(session: string | undefined): void {
    if (!session || sessionNamed) return;
    sessionNamed = true;
    if (session !== core.session_) core.takeSession_(session);
  }

  // Sending

  function sendPlain(message: Message, { context, baggage, headers = [] }: SendOptions, content: Content): Message {
    if (core.peer_ === 'unknown') {
      raise('dropped_header', headers.length);
      return message;
    }
    const lookAlike =
      typeof message === 'string' ? looksWrapped(message) || recognition()?.matches(message) : looksBinary(message);
    const counts = { ...core.counters_ };
    const written = writeAllowed(baggage, counts);
    if (context || written || headers.length || lookAlike) {
      return core.wrap_({ ...context, baggage: written }, message, content, headers, counts);
    }
    core.counters_ = counts;
    return message;
  }

  function writeAllowed(members: readonly BaggageMember[] = [], counts: Counts): string {
    return writeBaggage(allow(members, options.baggage_out), counts);
  }

  function sendOn(stream: Stream, message: Message, options: SendOptions, content: Content): Message {
    if (stream.ended_) throw new WirespanError(stream.ended_);
    if (!stream.ownOpen_) throw new WirespanError('invalid_state');
    const { context, baggage, headers = [], last } = options;
    const opens = stream.own_ && !stream.nextOut_;
    const now = host.now_();
    let sent = message;
    if (stream.bare_) {
      raise('dropped_header', headers.length);
      stream.nextOut_++;
    } else {
      const { kind_, method_ } = stream;
      const counts = { ...core.counters_ };
      const opening = opens && { ...context, baggage: writeAllowed(baggage, counts), kind: kind_, method: method_ };
      sent = next(stream, { ...opening, ...(last && { end: '1' }) }, message, content, headers, counts);
    }
    if (opens) stream.start_(now);
    stream.lastAt_ = now;
    stream.empty_ = typeof message === 'string' ? '' : new Uint8Array();
    if (content !== 'none') stream.sent_.chunk_(sizeOf(message), now);
    return sent;
  }

  /** Makes the next message of a stream; its first one takes an id. */
  function next(
    stream: Stream,
    headers: Reserved,
    given: Message,
    content: Content,
    own?: readonly Pair[],
    counts?: Counts,
  ): Message {
    const { nextOut_ } = stream;
    const id = stream.id_ || lastOwnId + 2;
    if (id > MAX_ID) throw new WirespanError('limit', 'stream');
    const numbered = {
      stream: `${id}`,
      ...(nextOut_ ? { seq: `${nextOut_}` } : core.peer_ === 'always' && { session: core.session_ }),
      ...headers,
    };
    const message = core.wrap_(numbered, given, content, own, counts);
    if (!stream.id_) lastOwnId = stream.id_ = id;
    stream.nextOut_++;
    return message;
  }

  /** Writes what ends a stream, without a body; nothing where the peer knows of none. */
  function tell(stream: Stream, headers: Reserved): void {
    if (!stream.bare_ && (!stream.own_ || stream.nextOut_)) host.write_(next(stream, headers, stream.empty_, 'none'));
  }

  function closeOwn(stream: Stream): void {
    stream.ownOpen_ = false;
    stream.sent_.finish_('complete');
    if (!stream.peerOpen_ && stream.own_) core.finish_(stream, 'complete', 'invalid_state');
  }

  function stop(stream: Stream, headers: Reserved, outcome: Outcome, raises: ErrorKind, failure?: string): void {
    if (stream.ended_) throw new WirespanError(stream.ended_);
    tell(stream, headers);
    core.finish_(stream, outcome, raises, failure);
  }

  function rememberEnd(id: number, counter: 'limit' | 'discarded' | 'late'): void {
    ended.set(id, counter);
    if (ended.size > REMEMBERED) ended.delete(ended.keys().next().value as number);
  }

  // Receiving

  /** Takes a message in an envelope by the first row of ST-20 that fits. */
  function dispatch({ headers, own, body }: Unwrapped): Received {
    const message: Received = { payload: body, headers: own };
    const { stream, kind, seq } = headers;
    const id = Number(stream);
    const opens = kind && seq === undefined;
    const echo = opens && (id % 2 === 1) === isClient;
    if (echo) {
      raise('role');
      lastPeerId = NEVER;
      for (const open of core.streams_) failWith(open, 'role');
    }
    if (!stream || echo) return core.deliver_({ ...message, ...core.contextOf_(headers) });
    const known = core.streams_.find(({ id_ }) => id_ === id);
    if (known) return onStream(known, headers, message);
    if (opens && id > lastPeerId) return openStream(id, headers, message);
    const counter = ended.get(id) ?? 'unmatched';
    if (counter !== 'discarded') raise(counter);
    return counter === 'discarded' || counter === 'limit' ? discard() : core.deliver_(message);
  }

  function openStream(id: number, headers: Reserved, message: Received): Received {
    const kind = headers.kind as StreamKind;
    const { method } = headers;
    const stream = newStream(false, kind, false);
    lastPeerId = stream.id_ = id;
    if (!hasRoom()) {
      tell(stream, { end: 'error', error: 'limit' });
      rememberEnd(id, 'limit');
      raise('limit');
      return discard();
    }
    if (core.peer_ === 'always') nameSession(headers.session);
    stream.start_(stream.lastAt_);
    core.streams_.push(stream);
    const context = core.contextOf_(headers);
    const registered = core.methods_.has(method as string);
    const plan = core.planPeer_(kind, registered ? method : undefined, context);
    return { ...onStream(stream, headers, { ...message, ...context }), opened: { kind, method, registered, plan } };
  }

  /** Takes a message of an open stream by ST-21. */
  function onStream(stream: Stream, { end, error, session, seq }: Reserved, message: Received): Received {
    const hasBody = message.payload !== undefined;
    const stops = end && end !== '1';
    let result: Received;
    stream.lastAt_ = host.now_();
    if (core.peer_ === 'always' && stream.own_) nameSession(session);
    if (stream.peerOpen_) {
      raise(...stream.note_(Number(seq ?? 0)));
      result = chunk(stream, message);
      if (end === '1') core.closePeer_(stream);
    } else {
      if (hasBody || !stops) raise('late');
      result = core.deliver_(message);
    }
    if (end === 'cancel') core.finish_(stream, 'cancelled', 'cancelled');
    if (end === 'error') core.finish_(stream, 'error', 'remote', error ?? 'remote');
    return result;
  }

  function chunk(stream: Stream, message: Received): Received {
    stream.lastAt_ = host.now_();
    if (message.payload !== undefined) {
      const size = sizeOf(message.payload);
      stream.received_.chunk_(size, stream.lastAt_);
      core.queue_(stream, 1, size);
    }
    return { ...message, stream };
  }

  return core;
}

export type Core = ReturnType<typeof newCore>;

/** Escapes control characters and cuts to 123 bytes, between characters and not within an escape (SP-15, TR-3). */
function escapeReason(reason: string): string {
  let shown = '';
  for (const char of reason) {
    const named = 'tnr'['\t\n\r'.indexOf(char)];
    const next = shown + (/\p{Cc}/u.test(char) ? (named ? `\\${named}` : `\\u{${char.charCodeAt(0).toString(16)}}`) : char);
    if (utf8Length(next) > 123) break;
    shown = next;
  }
  return shown;
}
