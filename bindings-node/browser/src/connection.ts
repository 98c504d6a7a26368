import { allow, type BaggageMember, parseBaggage, writeBaggage } from './baggage.js';
import { looksBinary } from './binary.js';
import { utf8Length, wellFormed } from './bytes.js';
import type { Context } from './context.js';
import { type Body, type Form, type Message, type Unwrapped, unwrap, wrap } from './envelope.js';
import { count, type ErrorKind, WirespanError } from './errors.js';
import { type ClientSetup, Handshake, type ServerSetup } from './handshake.js';
import { isErrorType, isValid, type Pair, type Reserved } from './headers.js';
import type { Outcome } from './metrics.js';
import type { Attributes, Link, Plan } from './plans.js';
import { Stream, type StreamKind } from './stream.js';
import { looksWrapped } from './text.js';

export interface SendOptions {
  context?: Context | undefined;
  baggage?: readonly BaggageMember[] | undefined;
  headers?: readonly Pair[];
  last?: boolean;
}

/** What a received message gives to the host. */
export interface Received {
  /** Where it belongs: an open stream, or outside of every stream. */
  stream?: Stream | 'plain';
  payload?: Message;
  opened?: { kind: StreamKind; method: string | undefined; registered: boolean; plan: Plan };
  context?: Context;
  link?: Context;
  baggage?: BaggageMember[];
  headers?: Pair[];
}

interface Ending {
  outcome: Outcome;
  /** What its reader gets; undefined is the end of the chunks. */
  reader?: ErrorKind | undefined;
  failure?: string | undefined;
  /** What acts raise afterwards. */
  raises: ErrorKind;
}

const REMEMBERED = 1024;
const MAX_ID = 0xffffffff;
const sizeOf = (message: Message): number => (typeof message === 'string' ? utf8Length(message) : message.length);
const formOf = (body: Body): Form => ('binary' in body ? 'binary' : 'none' in body ? body.none : 'text');

/** A connection without I/O: messages and readings of a clock go in, messages, spans and events come out.
 *
 * Times are nanoseconds of a monotonic clock. After each call the host takes the events (`takeEvents`). */
export class Connection extends Handshake {
  private methods = new Set<string>();
  private plainPolicy: 'deliver' | 'queue' | 'discard' = 'deliver';
  private readonly plain = { unread: 0, unreadBytes: 0, fullSince: undefined as number | undefined, overflowed: false };
  private lastOwnId: number;
  private lastPeerId = 0;
  private echoed = false;
  private firstReceived = false;
  private paused = false;
  /** How the last streams ended, by their ids: refused, discarded or late (ST-12). */
  private readonly remembered = new Map<number, 'refused' | 'discard' | 'late'>();

  static client(setup: ClientSetup): Connection {
    return new Connection('client', setup);
  }

  static server(setup: ServerSetup): Connection {
    return new Connection('server', setup);
  }

  private constructor(role: 'client' | 'server', setup: ClientSetup & Partial<ServerSetup>) {
    super(role, setup);
    this.lastOwnId = this.isClient ? -1 : 0;
  }

  /** Whether the host may read from its transport (FL-2). */
  get mayRead(): boolean {
    return !this.paused;
  }

  /** Names the methods that are served, so that they may name spans. */
  serve(names: Iterable<string>): void {
    this.methods = new Set(names);
  }

  setPlainPolicy(policy: 'deliver' | 'queue' | 'discard'): void {
    this.plainPolicy = policy;
  }

  /** Makes a call; its span is the host's to start, its first message opens it.
   * @throws {WirespanError} `closed`, `invalid_argument`, `busy` (ST-18), `role` or `limit`. */
  call(method: string | undefined, at: number, current?: Context): { stream: Stream; plan: Plan } {
    return this.begin('call', method, at, current);
  }

  transfer(method: string | undefined, at: number, current?: Context): { stream: Stream; plan: Plan } {
    return this.begin('transfer', method, at, current);
  }

  /** Sends a message on a stream or outside of every stream; gives what goes out. */
  send(to: Stream | 'plain', body: Body, at: number, options: SendOptions = {}): Message {
    this.mustBeOpen();
    return to === 'plain' ? this.sendPlain(body, options) : this.sendOn(to, body, at, options);
  }

  /** Ends this side's direction (ST-22); what goes out is an event. */
  end(stream: Stream, at: number, options: SendOptions = {}): void {
    if (stream.ended && stream.ended !== 'invalid_state') throw new WirespanError(stream.ended);
    if (!stream.ownOpen) return;
    if (stream.bare) this.closeOwn(stream, at);
    else this.sendOn(stream, { none: stream.lastForm }, at, { ...options, last: true }, true);
  }

  /** Leaves a stream in good order: a caller its block, a callee its handler (ST-10, ST-11). */
  leave(stream: Stream, at: number): void {
    if (stream.ended) return;
    const silent = stream.bare || (stream.own && !stream.started);
    if (stream.ownOpen && !silent) this.write(stream, { end: '1' });
    stream.ownOpen = false;
    const abandoned = stream.own && !stream.bare && (stream.peerOpen || !stream.started);
    const reader = stream.peerOpen ? 'cancelled' : undefined;
    this.finish(stream, at, { outcome: abandoned ? 'abandoned' : 'complete', reader, raises: 'invalid_state' });
  }

  cancel(stream: Stream, at: number): void {
    this.stop(stream, at, { end: 'cancel' }, { outcome: 'cancelled', reader: 'cancelled', raises: 'cancelled' });
  }

  fail(stream: Stream, error: string, at: number): void {
    const type = isErrorType(error) ? error : 'handler';
    this.stop(
      stream,
      at,
      { end: 'error', error: type },
      { outcome: 'error', failure: type, reader: 'cancelled', raises: 'cancelled' },
    );
  }

  /** Tells that the reader took a chunk of so many bytes (FL-2). */
  take(from: Stream | 'plain', bytes: number, at: number): void {
    const queue = from === 'plain' ? this.plain : from;
    queue.unread = Math.max(queue.unread - 1, 0);
    queue.unreadBytes = Math.max(queue.unreadBytes - bytes, 0);
    this.plain.overflowed &&= from !== 'plain';
    queue.fullSince = this.isFull(queue) ? at : undefined;
    this.judgeReading();
  }

  receive(message: Message, at: number): Received {
    if (this.state !== 'open') {
      this.count('discarded');
      return {};
    }
    const first = !this.firstReceived;
    this.firstReceived = true;
    const isHello = first && this.takeHello(message, at);
    this.endWait();
    if (isHello) return {};
    const bare = this.streams.find((stream) => stream.bare && stream.kind === 'call');
    if (this.peer === 'unknown') {
      return bare?.started ? this.chunk(bare, message, at) : this.deliverPlain({ payload: message }, at);
    }
    const opened = unwrap(message, this.peer, this.options);
    if ('plain' in opened) {
      const { plain } = opened;
      if (plain === 'head_too_long') this.count(plain);
      if (plain === 'version' || plain === 'unknown_critical') this.count('version');
      return bare?.started ? this.chunk(bare, message, at) : this.deliverPlain({ payload: message }, at);
    }
    this.countAll(opened.counts);
    return this.dispatch(opened, at);
  }

  /** Does what is due by a reading of the clock. */
  onTime(at: number): void {
    if (this.waitUntil !== undefined && at >= this.waitUntil) this.endWait();
    const { overflow_wait, idle_timeout } = this.options;
    if (this.plain.fullSince !== undefined && at >= this.plain.fullSince + overflow_wait) {
      this.plain.fullSince = undefined;
      this.plain.overflowed = true;
    }
    for (const stream of [...this.streams]) {
      const overflow = stream.fullSince !== undefined && at >= stream.fullSince + overflow_wait;
      if (!overflow && at < stream.lastAt + idle_timeout) continue;
      const kind = overflow ? 'overflow' : 'timeout';
      this.count(kind);
      this.failWith(stream, kind, at, true);
    }
    this.judgeReading();
  }

  /** When `onTime` is due at the latest. */
  deadline(): number | undefined {
    const { overflow_wait, idle_timeout } = this.options;
    const due = [this.waitUntil ?? Number.POSITIVE_INFINITY];
    for (const { fullSince } of [...this.streams, this.plain]) if (fullSince !== undefined) due.push(fullSince + overflow_wait);
    for (const { lastAt } of this.streams) due.push(lastAt + idle_timeout);
    const first = Math.min(...due);
    return Number.isFinite(first) ? first : undefined;
  }

  onClose(at: number, code = 1006, reason = ''): void {
    if (this.state === 'closed') return;
    const wasOpen = this.state === 'open';
    this.endWait();
    for (const stream of [...this.streams]) this.failWith(stream, 'closed', at, false);
    this.state = 'closed';
    this.ready = false;
    this.endSpan('handshake');
    const error = ![1000, 1001, 1005].includes(code);
    const attributes: Attributes = {};
    if (wasOpen) attributes['websocket.close.code'] = code;
    if (wasOpen && reason) attributes['websocket.close.reason'] = escapeReason(reason);
    if (error) attributes['error.type'] = String(code);
    this.endSpan('connection', attributes, error);
    this.closeSession();
  }

  /** Tells that the session moved to another connection (SE-4). */
  onSuperseded(at: number): void {
    for (const stream of [...this.streams]) this.failWith(stream, 'superseded', at, true);
  }

  private mustBeOpen(): void {
    if (this.state !== 'open') throw new WirespanError(this.state === 'new' ? 'invalid_state' : 'closed');
  }

  private begin(kind: StreamKind, method: string | undefined, at: number, current?: Context): { stream: Stream; plan: Plan } {
    this.mustBeOpen();
    if (method !== undefined && !isValid('method', method)) throw new WirespanError('invalid_argument', 'method');
    const bare = this.peer === 'unknown';
    if (bare && this.streams.some((stream) => stream.bare)) throw new WirespanError('busy');
    if (this.echoed) throw new WirespanError('role');
    if (this.streams.length >= this.options.max_streams) throw new WirespanError('limit', 'max_streams');
    const stream = new Stream(true, kind, method, bare, at, this.options);
    this.streams.push(stream);
    const isCall = kind === 'call';
    // At a server the span of an HTTP instrumentation does not count as current (SP-9).
    const counts = current && (this.isClient || current.traceparent !== this.spans.http?.traceparent);
    const parent = counts ? 'current' : this.openSpans.includes('connection') ? 'connection' : 'root';
    const name = isCall ? (method ?? 'websocket call') : method ? `send ${method}` : 'websocket send';
    const plan: Plan = {
      name,
      kind: isCall ? 'CLIENT' : 'PRODUCER',
      parent,
      links: isCall ? this.linksOfCall(parent) : [],
      attributes: { ...this.attributes(), ...(isCall && method && { 'rpc.method': method }) },
    };
    return { stream, plan };
  }

  /** The span of the connection, unless it is the parent, and that of the earlier one (SP-5, SP-16). */
  private linksOfCall(parent: Plan['parent']): Link[] {
    const links: Link[] = [];
    const span = this.spanOfConnection();
    if (span && parent !== 'connection') links.push(span);
    if (this.earlier) links.push(this.earlier);
    this.earlier = undefined;
    return links;
  }

  private sendPlain(body: Body, { context, baggage, headers = [] }: SendOptions): Message {
    if ('none' in body) throw new WirespanError('invalid_argument', 'body');
    const bare = this.bareMessage(body);
    if (this.peer === 'unknown') {
      this.count('dropped_header', headers.length);
      return bare;
    }
    const reserved = this.outgoing(
      { ...(context && { traceparent: context.traceparent, tracestate: context.tracestate }) },
      baggage,
    );
    const lookAlike = typeof bare === 'string' ? looksWrapped(bare, this.peer === 'always') : looksBinary(bare);
    const carries = reserved.headers.traceparent || reserved.headers.baggage || headers.length;
    if (!carries && !lookAlike) {
      this.count('dropped_baggage', reserved.dropped);
      return bare;
    }
    return this.wrapped(reserved, headers, body);
  }

  private bareMessage(body: Body): Message {
    if ('none' in body) return body.none === 'text' ? '' : new Uint8Array();
    return 'binary' in body ? body.binary : wellFormed(body.text);
  }

  private outgoing(headers: Reserved, baggage: readonly BaggageMember[] = []): { headers: Reserved; dropped: number } {
    const written = writeBaggage(allow(baggage, this.options.baggage_out));
    return { headers: { ...headers, ...(written.baggage && { baggage: written.baggage }) }, dropped: written.dropped };
  }

  private wrapped({ headers, dropped }: { headers: Reserved; dropped: number }, own: readonly Pair[], body: Body): Message {
    const { message, counts } = wrap(headers, own, body, this.options.max_header_bytes);
    count(counts, 'dropped_baggage', dropped);
    this.countAll(counts);
    return message;
  }

  private sendOn(stream: Stream, body: Body, at: number, options: SendOptions, asEvent = false): Message {
    if (stream.ended) throw new WirespanError(stream.ended);
    if (!stream.ownOpen) throw new WirespanError('invalid_state');
    const { context, baggage, headers = [], last = false } = options;
    const opens = stream.own && !stream.started;
    let message: Message;
    if (stream.bare) {
      this.count('dropped_header', headers.length);
      message = this.bareMessage(body);
    } else {
      const opening: Reserved = opens
        ? {
            traceparent: context?.traceparent,
            tracestate: context?.traceparent && context.tracestate,
            kind: stream.kind,
            method: stream.method,
          }
        : {};
      const id = stream.id || this.nextId();
      const numbered = { ...this.numbered(stream, id), ...opening, ...(last && { end: '1' }) } as Reserved;
      message = this.wrapped(this.outgoing(numbered, opens ? baggage : []), headers, body);
      if (!stream.id) this.lastOwnId = stream.id = id;
    }
    if (opens) {
      stream.sent.start(at);
      stream.received.start(at);
    }
    stream.nextOut++;
    stream.lastAt = at;
    stream.lastForm = formOf(body);
    if (!('none' in body)) stream.sent.chunk(sizeOf('binary' in body ? body.binary : this.bareMessage(body)), at);
    if (asEvent) this.emit({ event: 'frame', message });
    if (last) this.closeOwn(stream, at);
    return message;
  }

  private numbered(stream: Stream, id: number): Reserved {
    const names = this.peer === 'always' && !stream.started;
    return { stream: String(id), seq: String(stream.nextOut), ...(names && { session: this.session }) };
  }

  private nextId(): number {
    const id = this.lastOwnId + 2;
    if (id > MAX_ID) throw new WirespanError('limit', 'stream');
    return id;
  }

  private closeOwn(stream: Stream, at = stream.lastAt): void {
    stream.ownOpen = false;
    stream.sent.finish('complete');
    if (!stream.peerOpen && stream.own) this.finish(stream, at, { outcome: 'complete', raises: 'invalid_state' });
  }

  /** Writes what ends a stream, without a body. */
  private write(stream: Stream, headers: Reserved): void {
    const id = stream.id || (stream.own ? this.nextId() : 0);
    const message = this.wrapped({ headers: { ...this.numbered(stream, id), ...headers }, dropped: 0 }, [], {
      none: stream.lastForm,
    });
    stream.nextOut++;
    this.emit({ event: 'frame', message });
  }

  private stop(stream: Stream, at: number, headers: Reserved, ending: Ending): void {
    if (stream.ended) {
      if (stream.ended === 'invalid_state') throw new WirespanError(stream.ended);
      throw new WirespanError(stream.ended);
    }
    if (!stream.bare && (!stream.own || stream.started)) this.write(stream, headers);
    this.finish(stream, at, ending);
  }

  private failWith(stream: Stream, kind: ErrorKind, at: number, writes: boolean): void {
    if (writes && !stream.bare && (!stream.own || stream.started)) this.write(stream, { end: 'error', error: kind });
    this.finish(stream, at, { outcome: 'error', failure: kind, reader: kind, raises: kind });
  }

  /** Ends a stream (ST-23). */
  private finish(stream: Stream, _at: number, { outcome, reader, failure, raises }: Ending): void {
    const wasOpen = stream.peerOpen;
    stream.ended = raises;
    stream.outcome = outcome;
    stream.failure = failure;
    stream.ownOpen = stream.peerOpen = false;
    stream.sent.finish(outcome);
    stream.received.finish(outcome);
    stream.fullSince = undefined;
    this.streams.splice(this.streams.indexOf(stream), 1);
    if (stream.id) this.rememberEnd(stream.id, outcome === 'complete' && !(wasOpen && !stream.own) ? 'late' : 'discard');
    if (wasOpen) {
      this.emit({
        event: 'read_end',
        stream,
        end: reader ? 'failed' : 'complete',
        ...(reader && { kind: reader }),
        ...(failure && { error_type: failure }),
      });
    }
    this.emit({
      event: 'span_end',
      span: stream,
      error: failure !== undefined,
      attributes: stream.endAttributes(),
      events: stream.stallEvents(),
    });
    this.countClock(stream);
    this.judgeReading();
  }

  private countClock(stream: Stream): void {
    this.count('clock_back', stream.sent.clockBack + stream.received.clockBack);
  }

  private rememberEnd(id: number, how: 'refused' | 'discard' | 'late'): void {
    this.remembered.set(id, how);
    if (this.remembered.size > REMEMBERED) this.remembered.delete(this.remembered.keys().next().value as number);
  }

  /** Takes a message in an envelope by the first row of ST-20 that fits. */
  private dispatch(opened: Unwrapped, at: number): Received {
    const { headers, own } = opened;
    const message: Received = {
      ...(opened.body !== undefined && { payload: opened.body }),
      ...(own.length && { headers: own }),
    };
    if (!headers.stream) return this.deliverPlain({ ...message, ...this.contextOf(headers) }, at);
    const id = Number(headers.stream);
    const ours = (id % 2 === 1) === this.isClient;
    const opens = headers.kind !== undefined && headers.seq === undefined;
    if (ours && opens) {
      this.count('role');
      this.echoed = true;
      for (const stream of [...this.streams]) this.failWith(stream, 'role', at, true);
      return this.deliverPlain({ ...message, ...this.contextOf(headers) }, at);
    }
    const known = this.streams.find((stream) => stream.id === id);
    if (known) return this.onStream(known, headers, message, at);
    if (opens && id > this.lastPeerId && !this.echoed) return this.openStream(id, headers, message, at);
    return this.ofNoStream(id, message, at);
  }

  private ofNoStream(id: number, message: Received, at: number): Received {
    const how = this.remembered.get(id);
    if (how === 'refused') this.count('limit');
    if (how === 'refused' || how === 'discard') {
      this.count('discarded');
      return {};
    }
    this.count(how ?? 'unmatched');
    return this.deliverPlain(message, at);
  }

  private openStream(id: number, headers: Reserved, message: Received, at: number): Received {
    this.lastPeerId = id;
    if (this.streams.length >= this.options.max_streams) {
      const refusal: Reserved = {
        stream: String(id),
        end: 'error',
        error: 'limit',
        ...(this.peer === 'always' && { session: this.session }),
      };
      this.emit({ event: 'frame', message: this.wrapped({ headers: refusal, dropped: 0 }, [], { none: 'text' }) });
      this.rememberEnd(id, 'refused');
      this.count('limit');
      this.count('discarded');
      return {};
    }
    if (headers.session && this.peer === 'always') this.nameSession(headers.session, at);
    const kind = headers.kind as StreamKind;
    const { method } = headers;
    const stream = new Stream(false, kind, method, false, at, this.options);
    stream.id = id;
    stream.sent.start(at);
    stream.received.start(at);
    this.streams.push(stream);
    const context = this.contextOf(headers);
    const registered = method !== undefined && this.methods.has(method);
    const plan = this.planPeer(kind, registered ? method : undefined, context);
    return { ...this.onStream(stream, headers, { ...message, ...context }, at), opened: { kind, method, registered, plan } };
  }

  private planPeer(kind: StreamKind, method: string | undefined, { context, link }: Received): Plan {
    if (kind === 'transfer') {
      const remote = context ?? link;
      return {
        name: method ? `process ${method}` : 'websocket process',
        kind: 'CONSUMER',
        parent: this.openSpans.includes('connection') ? 'connection' : 'root',
        links: remote ? [{ ...remote, remote: true }] : [],
        attributes: this.attributes(),
      };
    }
    return {
      name: method ?? 'websocket call',
      kind: 'SERVER',
      parent: context ? { remote: context } : 'root',
      links: [...(link ? [{ ...link, remote: true }] : []), ...this.linksOfCall('root')],
      attributes: { ...this.attributes(), ...(method && { 'rpc.method': method }) },
    };
  }

  /** Takes a message of an open stream by ST-21. */
  private onStream(stream: Stream, headers: Reserved, message: Received, at: number): Received {
    const { end, error, session } = headers;
    stream.lastAt = at;
    if (session && this.peer === 'always' && stream.own) this.nameSession(session, at);
    const hasBody = message.payload !== undefined;
    const stops = end === 'cancel' || end === 'error';
    let result: Received = { ...message, stream };
    if (!stream.peerOpen) {
      if (hasBody || !stops) this.count('late');
      result = hasBody ? this.deliverPlain(message, at) : {};
    } else {
      const raised = stream.note(Number(headers.seq ?? 0));
      if (raised) this.count(...raised);
      if (message.payload !== undefined) this.chunk(stream, message.payload, at);
      if (end === '1') this.closePeer(stream, at);
    }
    if (end === 'cancel') this.finish(stream, at, { outcome: 'cancelled', reader: 'cancelled', raises: 'cancelled' });
    if (end === 'error') {
      const failure = error ?? 'remote';
      this.finish(stream, at, { outcome: 'error', failure, reader: 'remote', raises: 'remote' });
    }
    return result;
  }

  private closePeer(stream: Stream, at: number): void {
    stream.peerOpen = false;
    stream.received.finish('complete');
    this.emit({ event: 'read_end', stream, end: 'complete' });
    if (stream.own && !stream.ownOpen) this.finish(stream, at, { outcome: 'complete', raises: 'invalid_state' });
    else if (stream.fullSince !== undefined) {
      // A complete direction brings no more: its reader holds nothing up (FL-2).
      stream.fullSince = undefined;
      this.judgeReading();
    }
  }

  private chunk(stream: Stream, payload: Message, at: number): Received {
    const bytes = sizeOf(payload);
    stream.lastAt = at;
    stream.received.chunk(bytes, at);
    this.queue(stream, bytes, at);
    return { stream, payload };
  }

  /** Delivers outside of every stream, by what the host wants (FL-3, FL-4). */
  private deliverPlain(message: Received, at: number): Received {
    if (message.payload === undefined) return {};
    const { overflowed } = this.plain;
    if (this.plainPolicy === 'discard' || overflowed) {
      if (overflowed) this.count('overflow');
      this.count('discarded');
      return {};
    }
    if (this.plainPolicy === 'queue') this.queue(this.plain, sizeOf(message.payload), at);
    return { ...message, stream: 'plain' };
  }

  private queue(
    queue: { unread: number; unreadBytes: number; fullSince: number | undefined },
    bytes: number,
    at: number,
  ): void {
    queue.unread++;
    queue.unreadBytes += bytes;
    if (this.isFull(queue)) queue.fullSince ??= at;
    this.judgeReading();
  }

  private isFull({ unread, unreadBytes }: { unread: number; unreadBytes: number }): boolean {
    return unread >= this.options.max_unread || unreadBytes >= this.options.max_unread_bytes;
  }

  private judgeReading(): void {
    const full = [...this.streams, this.plain].some(({ fullSince }) => fullSince !== undefined);
    if (full === this.paused) return;
    this.paused = full;
    this.emit({ event: full ? 'pause_reading' : 'resume_reading' });
  }

  /** What a message carries beside its payload, by trust and allow-list (TR-1, TR-2, SP-18). */
  private contextOf({ traceparent, tracestate, baggage }: Reserved): Received {
    const trust = this.isClient ? 'continue' : this.options.trust;
    if (trust === 'ignore') return {};
    const result: Received = {};
    if (traceparent) {
      if (trust === 'link') result.link = { traceparent };
      else result.context = tracestate ? { traceparent, tracestate } : { traceparent };
    }
    const { baggage_in } = this.options;
    if (baggage && baggage_in.length) {
      const { members, dropped } = parseBaggage([baggage]);
      this.count('dropped_baggage', dropped);
      const let_in = allow(members, baggage_in);
      if (let_in.length) result.baggage = let_in;
    }
    return result;
  }
}

const NAMED: { [char: string]: string } = { '\t': '\\t', '\n': '\\n', '\r': '\\r' };

/** Escapes control characters and cuts to 123 bytes by whole characters (SP-15). */
function escapeReason(reason: string): string {
  const escaped = reason.replace(/\p{Cc}/gu, (char) => NAMED[char] ?? `\\u{${char.charCodeAt(0).toString(16)}}`);
  let size = 0;
  return Array.from(escaped)
    .filter((char) => {
      size += utf8Length(char);
      return size <= 123;
    })
    .join('');
}
