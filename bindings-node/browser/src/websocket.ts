import type { Context as OtelContext } from '@opentelemetry/api';
import { Connection, type Received } from './connection.js';
import type { Body, Message as Raw } from './envelope.js';
import { WirespanError } from './errors.js';
import type { ConnectionEvent, SpanName } from './handshake.js';
import type { Pair } from './headers.js';
import { Message, Reader } from './message.js';
import type { Summary } from './metrics.js';
import type { Options } from './options.js';
import type { Plan } from './plans.js';
import { type Api, Spans } from './spans.js';
import type { Stream } from './stream.js';

/** What can be sent: text, or bytes. */
export type Sendable = string | ArrayBuffer | ArrayBufferView;
/** Serves a call or transfer of the peer: its return ends this side's direction and the span, what it throws fails the call. */
export type Handler = (call: Call) => unknown;

export interface SendParameters {
  /** This is the last message of its direction. */
  last?: boolean;
  /** Headers of the application's own. */
  headers?: readonly Pair[];
  /** The text is one JSON value, and is not looked at. */
  json?: boolean;
}

export interface ConnectOptions extends Partial<Omit<Options, 'session'>> {
  /** Subprotocols of the application; beside one of them the client announces itself. */
  protocols?: string | readonly string[];
  /** Serves the calls that the server makes, by their methods. */
  handlers?: Readonly<Record<string, Handler>>;
  /** Takes the messages outside every call; without it they wait for `recv`. */
  onMessage?: (message: Message, connection: TracedConnection) => unknown;
  /** An earlier connection, whose session goes on. */
  resume?: TracedConnection;
  /** The module `@opentelemetry/api`; without it there are no spans, and no context is sent. */
  api?: Api;
}

/** Nanoseconds of a clock that never goes back. */
const now = (): number => Math.round(performance.now() * 1e6);
const NOT_CORE = ['protocols', 'handlers', 'onMessage', 'resume', 'api'];
/** How much may wait in the socket before sending waits, in bytes. */
const MAX_BUFFERED = 1 << 20;

function bodyOf(message: Sendable, json: boolean | undefined): Body {
  if (typeof message === 'string') return { text: message, ...(json && { json }) };
  return {
    binary: ArrayBuffer.isView(message)
      ? new Uint8Array(message.buffer, message.byteOffset, message.byteLength)
      : new Uint8Array(message),
  };
}

const sizeOf = (data: Raw): number => (typeof data === 'string' ? new TextEncoder().encode(data).length : data.length);

/** Connects to a server, and resolves when the connection is open and the peer known.
 * @throws {WirespanError} `io` if the connection cannot be made, `invalid_argument` for options out of their bounds. */
export async function connect(url: string | URL, options: ConnectOptions = {}): Promise<TracedConnection> {
  const connection = new TracedConnection(new URL(url, location.href), options);
  await connection.opened;
  return connection;
}

/** A connection over the browser's `WebSocket`. */
export class TracedConnection {
  /** Resolves when it is closed. */
  readonly closed: Promise<void>;
  /** @internal */
  readonly opened: Promise<void>;
  private readonly core: Connection;
  private readonly socket: WebSocket;
  private readonly spans: Spans;
  private readonly calls = new Map<Stream, Call>();
  private readonly plain = new Reader();
  private readonly handlers: Readonly<Record<string, Handler>>;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isReady!: () => void;

  /** @internal */
  constructor(url: URL, options: ConnectOptions) {
    const own = Object.entries(options).filter(([name]) => !NOT_CORE.includes(name));
    const { protocols = [], handlers = {}, onMessage, resume, api } = options;
    const offered = [protocols].flat() as string[];
    this.handlers = handlers;
    this.spans = new Spans(api);
    url.protocol = url.protocol.replace('http', 'ws');
    const random = crypto.getRandomValues(new Uint8Array(16));
    this.core = Connection.client({
      entropy: Array.from(random, (byte) => byte.toString(16).padStart(2, '0')).join(''),
      options: { subprotocol: 'beside', ...Object.fromEntries(own) },
      address: url.hostname.replace(/^\[|\]$/g, ''),
      port: Number(url.port) || (url.protocol === 'wss:' ? 443 : 80),
      ...(resume && { resume: resume.core }),
    });
    this.core.serve(Object.keys(handlers));
    this.core.setPlainPolicy(onMessage ? 'deliver' : 'queue');
    const around = this.spans.active();
    for (const plan of this.core.planHandshake(undefined, this.spans.contextOf(around) !== undefined)) {
      this.startSpan(plan, plan.name === 'websocket.connection' ? 'connection' : 'handshake', around);
    }
    // A script can set no headers: the client announces itself by what it can, or answers a hello.
    const { subprotocol, query } = this.core.request({ host: url.hostname, hasSubprotocol: offered.length > 0 });
    if (subprotocol) offered.push(subprotocol);
    if (query) url.search += `${url.search ? '&' : '?'}${query}`;
    this.core.silent = !subprotocol && !query;
    this.socket = new WebSocket(url, offered);
    this.socket.binaryType = 'arraybuffer';
    this.socket.onmessage = ({ data }) => this.receive(typeof data === 'string' ? data : new Uint8Array(data), onMessage);
    let refuse: (error: Error) => void;
    this.opened = new Promise((resolve, reject) => {
      this.isReady = resolve;
      refuse = reject;
    });
    this.socket.onopen = () => {
      this.act((core, at) => core.open(at));
      if (this.core.ready) this.isReady();
    };
    this.closed = new Promise((resolve) => {
      this.socket.onclose = ({ code, reason }) => {
        this.core.failIfNew('io');
        this.act((core, at) => core.onClose(at, code, reason));
        this.plain.end();
        refuse(new WirespanError('io', `cannot connect to ${url.host}`));
        resolve();
      };
    });
    // Who waits for the end alone is not to see an error that nobody handles.
    this.opened.catch(() => {});
  }

  get sessionId(): string {
    return this.core.session;
  }

  /** What is known of the server: `unknown`, `announced` or `always`. */
  get peer(): 'unknown' | 'announced' | 'always' {
    return this.core.peer;
  }

  /** How often something was dropped, ignored or out of order. */
  get counters(): Readonly<Record<string, number>> {
    return { ...this.core.counters };
  }

  /** Makes a call; its span is a child of the current one. With a function, the call ends as the function does.
   * @throws {WirespanError} `closed`, `limit`, `busy`, `invalid_argument`, `role`. */
  call(method?: string): Call;
  call<T>(method: string | undefined, use: (call: Call) => T): Promise<Awaited<T>>;
  call<T>(method?: string, use?: (call: Call) => T): Call | Promise<Awaited<T>> {
    return this.begin(true, method, use);
  }

  /** Makes a transfer: one-way data. Otherwise as `call`. */
  transfer(method?: string): Call;
  transfer<T>(method: string | undefined, use: (transfer: Call) => T): Promise<Awaited<T>>;
  transfer<T>(method?: string, use?: (transfer: Call) => T): Call | Promise<Awaited<T>> {
    return this.begin(false, method, use);
  }

  /** Sends a message outside every call, with the current span's context. */
  async send(message: Sendable, { json, headers = [] }: SendParameters = {}): Promise<void> {
    const context = this.spans.contextOf(this.spans.active());
    this.write(this.core.send('plain', bodyOf(message, json), now(), { context, headers }));
    await this.drained();
  }

  /** The next message outside every call; undefined once the connection is closed. */
  async recv(): Promise<Message | undefined> {
    const message = await this.plain.next();
    if (message) this.taken('plain', message.data);
    return message;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    for (let message = await this.recv(); message; message = await this.recv()) yield message;
  }

  /** Closes the connection, and resolves when it is closed. */
  async close(code = 1000, reason = ''): Promise<void> {
    this.socket.close(code, reason);
    await this.closed;
  }

  /** @internal Does something with the core for a call, and what follows from it. */
  act<T>(does?: (core: Connection, at: number) => T): T | undefined {
    try {
      return does?.(this.core, now());
    } finally {
      for (const event of this.core.takeEvents()) this.on(event);
      clearTimeout(this.timer);
      const due = this.core.state === 'open' ? this.core.deadline() : undefined;
      if (due !== undefined) {
        const wait = Math.max(due - now(), 0) / 1e6;
        this.timer = setTimeout(() => this.act((core, at) => core.onTime(at)), Math.min(Math.ceil(wait), 2 ** 31 - 1));
      }
    }
  }

  /** @internal */
  write(message: Raw): void {
    this.socket.send(message as string);
    this.act();
  }

  /** @internal Waits while much waits in the socket. */
  async drained(): Promise<void> {
    while (this.socket.bufferedAmount > MAX_BUFFERED && this.socket.readyState === WebSocket.OPEN) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** @internal */
  taken(from: Stream | 'plain', data: Raw): void {
    this.act((core, at) => core.take(from, sizeOf(data), at));
  }

  private startSpan(plan: Plan, span: SpanName, current: OtelContext | undefined): OtelContext | undefined {
    const made = this.spans.start(plan, span, current);
    const own = this.spans.contextOf(made);
    if (own) this.core.spanStarted(span, own);
    return made;
  }

  private begin<T>(isCall: boolean, method?: string, use?: (call: Call) => T): Call | Promise<Awaited<T>> {
    const around = this.spans.active();
    const current = this.spans.contextOf(around);
    const { stream, plan } = isCall ? this.core.call(method, now(), current) : this.core.transfer(method, now(), current);
    const call = this.keep(stream, plan, method, around);
    return use ? this.run(call, use) : call;
  }

  private keep(stream: Stream, plan: Plan, method: string | undefined, current: OtelContext | undefined): Call {
    const context = this.startSpan(plan, stream, current);
    const call = new Call(this, stream, method, this.spans.contextOf(context), context);
    this.calls.set(stream, call);
    return call;
  }

  /** Runs a function inside a call's context, and ends the call as the function ends. */
  private async run<T>(call: Call, use: (call: Call) => T): Promise<Awaited<T>> {
    try {
      const result = await this.spans.within(call.otelContext, () => use(call));
      call.leave();
      return result;
    } catch (error) {
      call.fail(error instanceof WirespanError ? error.kind : error instanceof Error ? error.name : 'handler');
      throw error;
    }
  }

  private receive(data: Raw, onMessage: ConnectOptions['onMessage']): void {
    const received = this.act((core, at) => core.receive(data, at));
    if (!received) return;
    const { stream, opened, payload } = received;
    const message = payload === undefined ? undefined : this.messageOf(received, payload);
    if (stream === 'plain') {
      if (message && onMessage) this.spans.within(message.otelContext, () => onMessage(message, this));
      else if (message) this.plain.push(message);
      return;
    }
    if (!stream) return;
    const call = opened ? this.keep(stream, opened.plan, opened.method, this.spans.root()) : this.calls.get(stream);
    if (message) call?.reader.push(message);
    if (stream.peerOpen === false && opened) call?.reader.end();
    const handler = opened?.method === undefined ? undefined : this.handlers[opened.method];
    if (!opened || !call) return;
    if (!handler || !Object.hasOwn(this.handlers, opened.method as string)) call.fail('unknown_method');
    // What a handler throws has failed its call, and is the page's to see.
    else void this.run(call, handler).catch((error) => this.spans.report(error));
  }

  private messageOf({ context, link, headers }: Received, data: Raw): Message {
    return new Message(data, headers ?? [], context, link, context && this.spans.remote(context));
  }

  private on(event: ConnectionEvent): void {
    if (event.event === 'frame') this.socket.send(event.message as string);
    else if (event.event === 'span_update') this.spans.update(event.span, event.attributes);
    else if (event.event === 'span_end') {
      this.spans.end(event.span, event);
      if (typeof event.span !== 'string') this.calls.delete(event.span);
    } else if (event.event === 'read_end') {
      const error = event.end === 'failed' ? new WirespanError(event.kind ?? 'cancelled', '', event.error_type) : undefined;
      this.calls.get(event.stream)?.reader.end(error);
    } else if (event.event === 'ready') this.isReady();
    // A page cannot pause its WebSocket: a reader that is behind for too long ends its call with `overflow`.
  }
}

/** A call or transfer, from either side. Iterating gives its chunks. */
export class Call {
  /** @internal */
  readonly reader = new Reader();

  /** @internal */
  constructor(
    readonly connection: TracedConnection,
    private readonly stream: Stream,
    readonly method: string | undefined,
    private readonly span: { traceparent: string; tracestate?: string } | undefined,
    /** The context that holds its span, where there is an OpenTelemetry API. */
    readonly otelContext: OtelContext | undefined,
  ) {}

  /** What was measured so far, of each direction; times in seconds. */
  get metrics(): { sent: Summary; received: Summary } {
    return { sent: this.stream.sent.summary(), received: this.stream.received.summary() };
  }

  /** Sends a chunk; waits while much waits in the socket.
   * @throws {WirespanError} `closed`, or the reason for which the call ended; `invalid_state`, `invalid_argument`, `limit`. */
  async send(message: Sendable, { last = false, json, headers = [] }: SendParameters = {}): Promise<void> {
    const sent = this.connection.act((core, at) =>
      core.send(this.stream, bodyOf(message, json), at, { context: this.span, last, headers }),
    );
    if (sent !== undefined) this.connection.write(sent);
    await this.connection.drained();
  }

  /** Ends this side's direction. */
  end(): void {
    this.connection.act((core, at) => core.end(this.stream, at, { context: this.span }));
  }

  /** The next chunk; undefined behind the last one.
   * @throws {WirespanError} why there is no further chunk: `remote`, `cancelled`, `timeout`, `overflow`, `closed`, … */
  async recv(): Promise<Message | undefined> {
    const message = await this.reader.next();
    if (message) this.connection.taken(this.stream, message.data);
    return message;
  }

  /** Leaving the loop early leaves the call open: `leave`, `cancel` or `fail` end it. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    for (let message = await this.recv(); message; message = await this.recv()) yield message;
  }

  /** Leaves the call in good order: what is still to come of a reply is abandoned. */
  leave(): void {
    this.connection.act((core, at) => core.leave(this.stream, at));
  }

  /** Cancels the call, which is no error. */
  cancel(): void {
    if (!this.stream.ended) this.connection.act((core, at) => core.cancel(this.stream, at));
  }

  /** Ends the call with an error of a type. */
  fail(errorType: string): void {
    if (!this.stream.ended) this.connection.act((core, at) => core.fail(this.stream, errorType, at));
  }
}
