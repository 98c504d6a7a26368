import type { Context } from './context.js';
import { type Message, unwrap, wrap } from './envelope.js';
import { type Counts, count, type ErrorKind } from './errors.js';
import { isSession, type Pair, readVersions } from './headers.js';
import { type Announcement, fieldsOf, type Offered, readHeader, readQuery, readSubprotocols } from './negotiation.js';
import { hostAllowed, type Options, readOptions } from './options.js';
import type { Attributes, Link, Plan } from './plans.js';
import { type HeaderList, readContext } from './propagator.js';
import type { Registry } from './registry.js';
import type { SpanEvent, Stream } from './stream.js';

export type SpanName = 'connection' | 'handshake' | Stream;

/** What a connection has to say to its host, in order. */
export type ConnectionEvent =
  | { event: 'frame'; message: Message }
  | { event: 'span_update'; span: SpanName; attributes: Attributes }
  | { event: 'span_end'; span: SpanName; error: boolean; attributes: Attributes; events: SpanEvent[] }
  | { event: 'read_end'; stream: Stream; end: 'complete' | 'failed'; kind?: ErrorKind; error_type?: string }
  | { event: 'pause_reading' | 'resume_reading' | 'ready' }
  | { event: 'session_changed'; previous: string };

export interface Setup {
  /** 128 random bits in hexadecimal digits, for the session id. */
  entropy: string;
  options?: Partial<Options>;
  address?: string;
  port?: number;
}

export interface ClientSetup extends Setup {
  /** The earlier connection whose session goes on. */
  resume?: Handshake;
}

export interface ServerSetup extends Setup {
  request: { headers: HeaderList; query?: string };
  registry?: Registry;
  remote?: string;
  /** What the host's callback says of the proposal; undefined without a callback. */
  vouched?: boolean;
}

/** The part of a connection up to its opening: negotiation, session, and the spans of the handshake. */
export class Handshake {
  readonly options: Options;
  readonly counters: Counts = {};
  session: string;
  previous: string | undefined;
  /** Of a server: what the client proposed, and the subprotocols of the application. */
  proposed: string | undefined;
  subprotocols: string[] = [];
  /** The connection that lost its session to this one. */
  superseded: Handshake | undefined;
  peer: 'unknown' | 'announced' | 'always' = 'unknown';
  state: 'new' | 'open' | 'closed' = 'new';
  ready = false;
  /** Of a client: it could announce itself neither by header, subprotocol nor query, so that it answers a hello (NG-8). */
  silent = false;
  readonly streams: Stream[] = [];
  protected readonly isClient: boolean;
  protected earlier: Context | undefined;
  protected spans: { connection?: Context; handshake?: Context; http?: Context } = {};
  protected openSpans: ('connection' | 'handshake')[] = [];
  protected sessionNamed = false;
  protected waitUntil: number | undefined;
  private events: ConnectionEvent[] = [];
  private handshakeContext: Context | undefined;
  private announcedBy: 'header' | 'other' | undefined;
  private offered: Offered = { others: [] };
  private saidHello = false;
  private acceptsHello = false;

  constructor(
    role: 'client' | 'server',
    private readonly setup: ClientSetup & Partial<ServerSetup>,
  ) {
    this.options = readOptions(setup.options);
    this.isClient = role === 'client';
    this.session = setup.entropy;
    if (this.isClient) this.propose();
    else this.readRequest(setup.request ?? { headers: [] });
  }

  /** Plans the spans of the handshake; `http` is the span of an HTTP instrumentation, `current` whether any span is. */
  planHandshake(http?: Context, current = false): Plan[] {
    if (http) this.spans.http = http;
    const scoped = this.options.trace_scope === 'connection';
    const links: Link[] = [];
    let parent: Plan['parent'] = http || (current && this.isClient) ? 'current' : 'root';
    const remote = this.handshakeContext;
    if (remote && parent === 'root') {
      if (this.options.trust === 'continue') parent = { remote };
      else links.push({ traceparent: remote.traceparent, remote: true });
    }
    if (!scoped && http) return [];
    if (this.earlier) links.push(this.earlier);
    this.earlier = undefined;
    const kind = this.isClient ? 'CLIENT' : 'SERVER';
    this.openSpans = scoped ? ['connection', 'handshake'] : ['handshake'];
    const first: Plan = {
      name: `websocket.${this.openSpans[0]}`,
      kind: http ? 'INTERNAL' : kind,
      parent,
      links,
      attributes: this.attributes(),
    };
    if (!scoped) return [first];
    return [
      first,
      { name: 'websocket.handshake', kind: 'INTERNAL', parent: 'connection', links: [], attributes: this.attributes() },
    ];
  }

  spanStarted(span: SpanName, context: Context): void {
    if (typeof span === 'string') this.spans[span] = context;
    else span.context = context;
    this.setup.registry?.remember(this.session, this as never, this.spanOfConnection());
  }

  /** Writes a client's request (NG-2, NG-4, NG-5, NG-12). */
  request(given: { host?: string; hasSubprotocol?: boolean; hasTraceContext?: boolean; context?: Context }): {
    headers: Pair[];
    subprotocol?: string;
    query?: string;
  } {
    const { mode, subprotocol, query, hosts } = this.options;
    if (mode === 'never') return { headers: [] };
    const headers: Pair[] = [['wirespan', `1;session=${this.session}`]];
    const context = this.spans.handshake ?? this.spans.connection ?? given.context;
    if (context && !given.hasTraceContext && hostAllowed(hosts, given.host ?? '')) {
      headers.push(['traceparent', context.traceparent]);
      if (context.tracestate) headers.push(['tracestate', context.tracestate]);
    }
    const offers = subprotocol === 'alone' || (subprotocol === 'beside' && given.hasSubprotocol);
    return {
      headers,
      ...(offers && { subprotocol: `wirespan.v1.${this.session}` }),
      ...(query && { query: `wirespan=1.${this.session}` }),
    };
  }

  /** Writes a server's response; our subprotocol is selected only where it was the only one offered. */
  response(selected?: string): { headers: Pair[]; subprotocol?: string } {
    const { others, ours } = this.offered;
    return {
      headers: this.announcedBy === 'header' ? [['wirespan', `1;session=${this.session}`]] : [],
      ...(ours && !others.length && !selected && { subprotocol: ours }),
    };
  }

  /** Tells that the upgrade is done; a client hands over the headers of the response. */
  open(at: number, headers: HeaderList = []): void {
    this.state = 'open';
    const { mode, hello, subprotocol, query, hello_wait } = this.options;
    const answer = this.isClient && mode !== 'never' ? readHeader(headers) : undefined;
    if (answer) {
      this.peer = 'announced';
      if (answer.session) this.adopt(answer.session, at);
    } else if (mode === 'always' && this.peer === 'unknown') this.peer = 'always';
    if (mode !== 'never') {
      const asked = !this.isClient && this.announcedBy === 'other';
      if (hello === 'first' || asked) this.sayHello();
      this.acceptsHello = this.isClient
        ? !answer && (!this.silent || this.saidHello || hello === 'expect')
        : !this.announcedBy && (this.saidHello || hello === 'expect');
    }
    this.endSpan('handshake');
    const waits = this.isClient && this.acceptsHello && (subprotocol !== 'off' || query || hello === 'expect');
    if (waits) this.waitUntil = at + hello_wait;
    else this.ready = true;
  }

  /** A handshake that is not done has failed; one that is done is left alone. */
  failIfNew(error: string): void {
    if (this.state === 'new') this.failHandshake(error);
  }

  failHandshake(error: string): void {
    this.state = 'closed';
    this.setup.registry?.release(this.session, this as never, true);
    for (const span of [...this.openSpans].reverse()) this.endSpan(span, { 'error.type': error }, true);
  }

  /** Gives what the connection has to say since the last call. */
  takeEvents(): ConnectionEvent[] {
    const events = this.events;
    this.events = [];
    return events;
  }

  protected emit(event: ConnectionEvent): void {
    this.events.push(event);
  }

  protected count(name: string, by = 1): void {
    count(this.counters, name, by);
  }

  protected countAll(counts: Counts): void {
    for (const [name, by] of Object.entries(counts)) this.count(name, by);
  }

  protected attributes(): Attributes {
    const { address, port } = this.setup;
    return {
      'websocket.session.id': this.session,
      ...(this.previous && { 'websocket.session.previous_id': this.previous }),
      'network.protocol.name': 'websocket',
      // An IPv4 address mapped into IPv6 is shown as what it is (SP-15).
      ...(address && { 'server.address': address.replace(/^::ffff:(?=(\d+\.){3}\d+$)/i, '') }),
      ...(port && { 'server.port': port }),
    };
  }

  /** The span that stands for the connection (SP-16). */
  protected spanOfConnection(): Context | undefined {
    return this.spans.connection ?? this.spans.handshake ?? this.spans.http;
  }

  protected endSpan(span: 'connection' | 'handshake', attributes: Attributes = {}, error = false): void {
    if (!this.openSpans.includes(span)) return;
    this.openSpans = this.openSpans.filter((name) => name !== span);
    this.emit({ event: 'span_end', span, error, attributes, events: [] });
  }

  protected endWait(): void {
    if (this.ready) return;
    this.ready = true;
    this.waitUntil = undefined;
    this.emit({ event: 'ready' });
  }

  /** Judges the first message received: an accepted hello is never delivered (NG-7, NG-8). */
  protected takeHello(message: Message, at: number): boolean {
    if (!this.acceptsHello) return false;
    this.acceptsHello = false;
    const opened = unwrap(message, 'announced', this.options);
    if (typeof message !== 'string' || 'plain' in opened || opened.repeated || opened.body !== undefined) return false;
    const { wirespan, role, stream, session } = opened.headers;
    if (!wirespan || !role || stream || !readVersions(wirespan)?.includes('1')) return false;
    this.countAll(opened.counts);
    if ((role === 'client') === this.isClient) {
      this.count('role');
      return true;
    }
    this.peer = 'announced';
    if (session) this.nameSession(session, at);
    if ((!this.isClient || this.silent) && !this.saidHello) this.sayHello();
    return true;
  }

  /** Treats a session that is named after the handshake (SE-7). */
  protected nameSession(session: string, at: number): void {
    if (this.sessionNamed) return;
    this.sessionNamed = true;
    if (this.isClient) this.adopt(session, at);
    else if (session !== this.session) {
      // A callback decided over the request; what comes later it has not vouched for.
      if (this.honours(session, this.setup.vouched === undefined ? undefined : false)) this.changeSession(session, false);
      else this.count('session_replaced');
    }
  }

  protected closeSession(): void {
    this.setup.registry?.release(this.session, this as never);
  }

  private propose(): void {
    const { resume } = this.setup;
    const { session } = this.options;
    if (session !== 'new') this.session = session;
    if (!resume) return;
    this.session = resume.session;
    this.earlier = resume.spanOfConnection();
  }

  private readRequest({ headers, query }: ServerSetup['request']): void {
    this.proposed = undefined;
    if (this.options.mode !== 'never') this.readAnnouncement(headers, query);
    else this.subprotocols = (fieldsOf(headers, 'sec-websocket-protocol') ?? []).map(String);
    const { proposed } = this;
    const honoured = proposed !== undefined && this.honours(proposed, this.setup.vouched);
    if (proposed && !honoured) this.count('session_replaced');
    if (proposed && honoured) {
      this.session = proposed;
      this.earlier = this.setup.registry?.span(proposed);
      return;
    }
    const { registry, remote = '' } = this.setup;
    if (registry && !registry.claim(this.session, remote, this as never)) this.count('limit');
  }

  private readAnnouncement(headers: HeaderList, query: string | undefined): void {
    this.offered = readSubprotocols(headers);
    this.subprotocols = this.offered.others;
    const hasHeader = fieldsOf(headers, 'wirespan')?.length !== 0;
    const other = hasHeader ? undefined : (this.offered.announcement ?? readQuery(query));
    const announcement: Announcement | undefined = hasHeader ? readHeader(headers) : other;
    if (announcement) {
      this.peer = 'announced';
      this.announcedBy = hasHeader ? 'header' : 'other';
      this.proposed = announcement.session;
    }
    if (this.options.trust === 'ignore') return;
    const traceparents = fieldsOf(headers, 'traceparent');
    const tracestates = fieldsOf(headers, 'tracestate');
    if (!traceparents) this.count('context_invalid');
    else this.handshakeContext = readContext(traceparents, tracestates ?? ['='], this.counters);
  }

  /** Decides about a proposal by SE-8; an honoured one is live for this connection. */
  private honours(session: string, vouched: boolean | undefined): boolean {
    const { registry, remote = '' } = this.setup;
    if (!isSession(session) || vouched === false) return false;
    if (vouched === undefined && this.options.trust !== 'continue') return false;
    const holder = registry?.holder(session) as Handshake | undefined;
    if (holder && !vouched) return false;
    if (registry && !registry.claim(session, remote, this as never, this.session)) return false;
    this.superseded = holder;
    return true;
  }

  private adopt(session: string, _at: number): void {
    if (session !== this.session) this.changeSession(session, true);
  }

  /** Changes the id in force, on every open span, and tells the host (SE-9). */
  private changeSession(session: string, withPrevious: boolean): void {
    const previous = this.session;
    this.session = session;
    if (withPrevious) this.previous = previous;
    const attributes: Attributes = { 'websocket.session.id': session };
    if (withPrevious) attributes['websocket.session.previous_id'] = previous;
    const streams = this.streams.filter(({ bare }) => bare !== undefined);
    for (const span of [...this.openSpans, ...streams])
      this.emit({ event: 'span_update', span, attributes: { ...attributes } });
    this.emit({ event: 'session_changed', previous });
  }

  private sayHello(): void {
    this.saidHello = true;
    const role = this.isClient ? 'client' : 'server';
    const { message } = wrap({ wirespan: '1', role, session: this.session }, [], { none: 'text' });
    this.emit({ event: 'frame', message });
  }
}
