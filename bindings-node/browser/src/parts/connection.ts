import { NEVER } from '../bytes.js';
import type { Context } from '../context.js';
import { type Core, newCore, type Setup as PageSetup, type Peer, type SendOptions, type SpanName } from '../core.js';
import type { Message } from '../envelope.js';
import { type Counts, count, WirespanError } from '../errors.js';
import { type Pair, read } from '../headers.js';
import { type Link, type Parent, SpanKind } from '../plans.js';
import type { Stream, StreamKind } from '../stream.js';
import type { HeaderList } from './bytes.js';
import { readContext } from './context.js';
import { type Body, checked, messageOf } from './envelope.js';
import { type ConnectionEvent, Recorder } from './events.js';
import { fieldsOf, type Offered, readHeader, readQuery, readSubprotocols } from './negotiation.js';
import { type CoreOptions, hostAllowed, type Options, readOptions } from './options.js';
import { type Plan, type Received, withName } from './plans.js';
import type { Registry } from './registry.js';

export interface Setup extends Omit<PageSetup, 'options'> {
  options?: Partial<Options>;
}

export interface ClientSetup extends Setup {
  /** The earlier connection whose session goes on. */
  resume?: Connection;
}

export interface ServerSetup extends Setup {
  request: { headers: HeaderList; query?: string };
  registry?: Registry;
  remote?: string;
  /** What the host's callback says of the proposal; undefined without a callback. */
  vouched?: boolean;
}

/** A connection without I/O, of either role: messages and readings of a clock go in, messages, spans and events come out.
 *
 * Times are nanoseconds of a monotonic clock. After each call the host takes the events (`takeEvents`). To what a page's client does
 * this adds the handshake's headers, the server's part of negotiation and sessions, trust, and pausing a transport. */
export class Connection {
  /** Of a server: what the client proposed, and the subprotocols of the application. */
  proposed: string | undefined;
  subprotocols: string[] = [];
  /** The connection that lost its session to this one. */
  superseded: Connection | undefined;
  private readonly core: Core;
  private readonly options: CoreOptions;
  private readonly isClient: boolean;
  private readonly recorder: Recorder;
  private readonly server: Partial<ServerSetup>;
  private plainPolicy: 'deliver' | 'queue' | 'discard' = 'deliver';
  private paused = false;
  private http: Context | undefined;
  private handshakeContext: Context | undefined;
  private announcedBy: 'header' | 'other' | undefined;
  private offered: Offered = { others: [] };

  static client(setup: ClientSetup): Connection {
    return new Connection(setup, {}, setup.resume);
  }

  static server(setup: ServerSetup): Connection {
    return new Connection(setup, setup);
  }

  private constructor({ options, address, ...setup }: Setup, server: Partial<ServerSetup>, resume?: Connection) {
    const recorder = new Recorder();
    // An IPv4 address mapped into IPv6 is shown as what it is (SP-15).
    const shown = address?.replace(/^::ffff:(?=(\d+\.){3}\d+$)/i, '');
    this.recorder = recorder;
    this.server = server;
    this.options = readOptions(options);
    this.isClient = !server.request;
    this.core = newCore(recorder, { ...setup, address: shown }, this.options, resume?.core, this.isClient);
    this.core.announced_ = this.isClient;
    this.extend(this.core);
    if (server.request) this.readRequest(server.request);
  }

  get session(): string {
    return this.core.session_;
  }

  get peer(): Peer {
    return this.core.peer_;
  }

  get state(): 'new' | 'open' | 'closed' {
    return this.core.state_;
  }

  get ready(): boolean {
    return this.core.state_ === 'open' && this.core.waitUntil_ === NEVER;
  }

  get streams(): readonly Stream[] {
    return this.core.streams_;
  }

  get counters(): Readonly<Counts> {
    return this.core.counters_;
  }

  /** Whether the host may read from its transport (FL-2). */
  get mayRead(): boolean {
    return !this.paused;
  }

  /** Gives what the connection has to say since the last call. */
  takeEvents(): ConnectionEvent[] {
    return this.recorder.take();
  }

  /** Plans the spans of the handshake; `http` is the span of an HTTP instrumentation, `current` whether any span is (SP-17). */
  planHandshake(http?: Context, current = false): Plan[] {
    this.http = http ?? this.http;
    if (http && this.options.trace_scope !== 'connection') return [];
    const remote = this.handshakeContext;
    let parent: Parent = http || (current && this.isClient) ? 'current' : 'root';
    const links: Link[] = [];
    if (remote && parent === 'root') {
      if (this.options.trust === 'continue') parent = { remote };
      else links.push({ traceparent: remote.traceparent, remote: true });
    }
    const kind = http ? SpanKind.INTERNAL : this.isClient ? SpanKind.CLIENT : SpanKind.SERVER;
    return this.core.planHandshake_(parent, links, kind).map(withName);
  }

  spanStarted(span: SpanName, context: Context): void {
    if (typeof span === 'string') this.core.spans_[span] = context;
    this.server.registry?.remember(this.core.session_, this, this.core.spanOfConnection_());
  }

  /** Writes a client's request (NG-2, NG-4, NG-5, NG-12). */
  request(given: { host?: string; hasSubprotocol?: boolean; hasTraceContext?: boolean; context?: Context }): {
    headers: Pair[];
    subprotocol?: string;
    query?: string;
  } {
    if (this.options.mode === 'never') return { headers: [] };
    const headers: Pair[] = [['wirespan', `1;session=${this.core.session_}`]];
    const context = this.core.spans_.handshake ?? this.core.spans_.connection ?? given.context;
    if (context && !given.hasTraceContext && hostAllowed(this.options.hosts, given.host ?? '')) {
      headers.push(['traceparent', context.traceparent]);
      if (context.tracestate) headers.push(['tracestate', context.tracestate]);
    }
    const [subprotocol, query] = this.core.announce_(Boolean(given.hasSubprotocol));
    return { headers, ...(subprotocol && { subprotocol }), ...(query && { query }) };
  }

  /** Writes a server's response; our subprotocol is selected only where it was the only one offered. */
  response(selected?: string): { headers: Pair[]; subprotocol?: string } {
    const { others, ours } = this.offered;
    return {
      headers: this.announcedBy === 'header' ? [['wirespan', `1;session=${this.core.session_}`]] : [],
      ...(ours && !others.length && !selected && { subprotocol: ours }),
    };
  }

  /** Tells that the upgrade is done; a client hands over the headers of the response. */
  open(at: number, headers: HeaderList = []): void {
    const answer = this.isClient && this.options.mode !== 'never' ? readHeader(headers) : undefined;
    this.recorder.at = at;
    if (answer) {
      this.core.peer_ = 'announced';
      if (answer.session && answer.session !== this.core.session_) this.core.takeSession_(answer.session);
    }
    this.core.open_(this.announcedBy === 'other');
  }

  failHandshake(error: string): void {
    this.server.registry?.release(this.core.session_, this, true);
    this.core.failHandshake_(error);
  }

  /** Names the methods that are served, so that they may name spans. */
  serve(names: Iterable<string>): void {
    this.core.methods_ = new Set(names);
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
  send(to: Stream | 'plain', body: Body, at: number, options?: SendOptions): Message {
    this.recorder.at = at;
    if (to === 'plain' && 'none' in body && this.core.state_ === 'open') throw new WirespanError('invalid_argument', 'body');
    const [message, content] = messageOf(body);
    return this.core.send_(to, message, options, content);
  }

  /** Ends this side's direction (ST-22); what goes out is an event. */
  end(stream: Stream, at: number, options?: SendOptions): void {
    this.recorder.at = at;
    this.core.end_(stream, options);
  }

  /** Leaves a stream in good order: a caller its block, a callee its handler (ST-10, ST-11). */
  leave(stream: Stream, at: number): void {
    this.recorder.at = at;
    this.core.leave_(stream);
  }

  cancel(stream: Stream, at: number): void {
    this.recorder.at = at;
    this.core.cancel_(stream);
  }

  fail(stream: Stream, error: string, at: number): void {
    this.recorder.at = at;
    this.core.fail_(stream, error);
  }

  /** Tells that the reader took a chunk of so many bytes (FL-2). */
  take(from: Stream | 'plain', bytes: number, at: number): void {
    this.recorder.at = at;
    this.core.take_(from, bytes);
  }

  receive(message: Message, at: number): Received {
    this.recorder.at = at;
    const { opened, ...received } = this.core.receive_(message);
    return { ...received, ...(opened && { opened: { ...opened, plan: withName(opened.plan) } }) };
  }

  /** Does what is due by a reading of the clock. */
  onTime(at: number): void {
    this.recorder.at = at;
    this.core.onTime_();
    this.judgeReading();
  }

  /** When `onTime` is due at the latest. */
  deadline(): number | undefined {
    const due = this.core.deadline_();
    return Number.isFinite(due) ? due : undefined;
  }

  onClose(at: number, code = 1006, reason = ''): void {
    if (this.core.state_ === 'closed') return;
    this.recorder.at = at;
    this.core.onClose_(code, reason);
    this.server.registry?.release(this.core.session_, this);
  }

  /** Tells that the session moved to another connection (SE-4). */
  onSuperseded(at: number): void {
    this.recorder.at = at;
    for (const stream of this.core.streams_) this.core.failWith_(stream, 'superseded');
  }

  private begin(kind: StreamKind, method: string | undefined, at: number, current?: Context): { stream: Stream; plan: Plan } {
    this.recorder.at = at;
    // At a server the span of an HTTP instrumentation does not count as current (SP-9).
    const counts = current !== undefined && (this.isClient || current.traceparent !== this.http?.traceparent);
    const { stream, plan } = this.core.begin_(kind, method, counts);
    return { stream, plan: withName(plan) };
  }

  /** Puts what a page does without in the place of its connection's methods. */
  private extend(core: Core): void {
    const page = { ...core };
    core.spanOfConnection_ = () => page.spanOfConnection_() ?? this.http;
    core.wrap_ = (headers, ...rest) => page.wrap_(checked(headers), ...rest);
    core.planPeer_ = (kind, method, received) => {
      const { link } = received;
      if (!link) return page.planPeer_(kind, method, received);
      if (kind === 'transfer') return page.planPeer_(kind, method, { context: link });
      const plan = page.planPeer_(kind, method, {});
      plan.links.unshift({ ...link, remote: true });
      return plan;
    };
    // A server treats contexts by its trust (TR-1).
    core.contextOf_ = (headers) => {
      const trust = this.isClient ? 'continue' : this.options.trust;
      if (trust === 'ignore') return {};
      const { context, ...rest } = page.contextOf_(headers);
      if (!context) return rest;
      return trust === 'link' ? { ...rest, link: { traceparent: context.traceparent } } : { ...rest, context };
    };
    core.deliver_ = (message) => {
      const unwanted = this.plainPolicy === 'discard' && message.payload !== undefined && !core.plain_.overflowed_;
      if (!unwanted) return page.deliver_(message);
      count(core.counters_, 'discarded');
      return {};
    };
    core.queue_ = (queue, messages, bytes) => {
      if (queue === core.plain_ && this.plainPolicy !== 'queue' && messages > 0) return;
      page.queue_(queue, Math.max(messages, -queue.unread_), Math.max(bytes, -queue.unreadBytes_));
      this.judgeReading();
    };
    core.finish_ = (...how) => {
      page.finish_(...how);
      this.judgeReading();
    };
    core.closePeer_ = (stream) => {
      page.closePeer_(stream);
      this.judgeReading();
    };
    core.takeSession_ = (session) => {
      if (this.isClient) page.takeSession_(session);
      // A callback decided over the request; what comes later it has not vouched for.
      else if (this.honours(session, this.server.vouched === undefined ? undefined : false)) core.changeSession_(session);
      else count(core.counters_, 'session_replaced');
    };
    core.changeSession_ = (session) => {
      const previous = core.session_;
      page.changeSession_(session);
      this.recorder.emit({ event: 'session_changed', previous });
    };
  }

  /** Pauses reading while a reader is behind. */
  private judgeReading(): void {
    const full = [this.core.plain_, ...this.core.streams_].some(({ fullSince_ }) => Number.isFinite(fullSince_));
    if (full === this.paused) return;
    this.paused = full;
    this.recorder.emit({ event: full ? 'pause_reading' : 'resume_reading' });
  }

  // The session of a server

  private readRequest({ headers, query }: ServerSetup['request']): void {
    if (this.options.mode !== 'never') this.readAnnouncement(headers, query);
    else this.subprotocols = (fieldsOf(headers, 'sec-websocket-protocol') ?? []).map(String);
    const { proposed } = this;
    const { registry, remote = '', vouched } = this.server;
    if (proposed !== undefined && this.honours(proposed, vouched)) {
      this.core.session_ = proposed;
      this.core.earlier_ = registry?.span(proposed);
      return;
    }
    if (proposed) count(this.core.counters_, 'session_replaced');
    if (registry && !registry.claim(this.core.session_, remote, this)) count(this.core.counters_, 'limit');
  }

  private readAnnouncement(headers: HeaderList, query: string | undefined): void {
    this.offered = readSubprotocols(headers);
    this.subprotocols = this.offered.others;
    const hasHeader = fieldsOf(headers, 'wirespan')?.length !== 0;
    const announcement = hasHeader ? readHeader(headers) : (this.offered.announcement ?? readQuery(query));
    if (announcement) {
      this.core.peer_ = 'announced';
      this.announcedBy = hasHeader ? 'header' : 'other';
      this.proposed = announcement.session;
    }
    if (this.options.trust === 'ignore') return;
    const traceparents = fieldsOf(headers, 'traceparent');
    const tracestates = fieldsOf(headers, 'tracestate');
    if (!traceparents) count(this.core.counters_, 'context_invalid');
    else this.handshakeContext = readContext(traceparents, tracestates ?? ['='], this.core.counters_);
  }

  /** Decides about a proposal by SE-8; an honoured one is live for this connection. */
  private honours(session: string, vouched: boolean | undefined): boolean {
    const { registry, remote = '' } = this.server;
    if (!read('session', session) || vouched === false) return false;
    if (vouched === undefined && this.options.trust !== 'continue') return false;
    const holder = registry?.holder(session) as Connection | undefined;
    if (holder && !vouched) return false;
    if (registry && !registry.claim(session, remote, this, this.core.session_)) return false;
    this.superseded = holder;
    return true;
  }
}
