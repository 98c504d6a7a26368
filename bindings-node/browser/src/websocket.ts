import type { Context as OtelContext } from '@opentelemetry/api';
import { hex, NEVER, sizeOf } from './bytes.js';
import { type Core, newCore } from './core.js';
import { WirespanError } from './errors.js';
import type { Pair } from './headers.js';
import { type Message, type Messages, newInbox, newMessage } from './inbox.js';
import type { Summary } from './metrics.js';
import { type Options, readOptions } from './options.js';
import type { Plan } from './plans.js';
import { type Api, spansWith } from './spans.js';
import type { Stream, StreamKind } from './stream.js';

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

/** A connection over the browser's `WebSocket`. It is read for the messages outside every call. */
export interface TracedConnection extends Messages {
  readonly sessionId: string;
  /** What is known of the server. */
  readonly peer: 'unknown' | 'announced' | 'always';
  /** How often something was dropped, ignored or out of order. */
  readonly counters: Readonly<Record<string, number>>;
  /** Resolves when it is closed. */
  readonly closed: Promise<void>;
  /** Makes a call; its span is a child of the current one. With a function, the call ends as the function does.
   * @throws {WirespanError} `closed`, `limit`, `busy`, `invalid_argument`, `role`. */
  call(method?: string): Call;
  call<T>(method: string | undefined, use: (call: Call) => T): Promise<Awaited<T>>;
  /** Makes a transfer: one-way data. Otherwise as `call`. */
  transfer(method?: string): Call;
  transfer<T>(method: string | undefined, use: (transfer: Call) => T): Promise<Awaited<T>>;
  /** Sends a message outside every call, with the current span's context; waits while much waits in the socket. */
  send(message: Sendable, parameters?: SendParameters): Promise<void>;
  /** Closes the connection, and resolves when it is closed. */
  close(code?: number, reason?: string): Promise<void>;
  /** @internal */
  readonly core_: Core;
}

/** A call or transfer, from either side. It is read for its chunks; leaving a loop over them early leaves the call open. */
export interface Call extends Messages {
  readonly connection: TracedConnection;
  readonly method: string | undefined;
  /** The context that holds its span, where there is an OpenTelemetry API. */
  readonly otelContext: OtelContext | undefined;
  /** What was measured so far, of each direction; times in seconds. */
  readonly metrics: { sent: Summary; received: Summary };
  /** Sends a chunk; waits while much waits in the socket.
   * @throws {WirespanError} `closed`, or the reason for which the call ended; `invalid_state`, `invalid_argument`, `limit`. */
  send(message: Sendable, parameters?: SendParameters): Promise<void>;
  /** Ends this side's direction. */
  end(): void;
  /** Leaves the call in good order: what is still to come of a reply is abandoned. */
  leave(): void;
  /** Cancels the call, which is no error. */
  cancel(): void;
  /** Ends the call with an error of a type. */
  fail(errorType: string): void;
}

/** How much may wait in the socket before sending waits, in bytes. */
const MAX_BUFFERED = 1e6;
/** What a timer can wait for at the most is a little more, in milliseconds. */
const MAX_TIMEOUT = 2e9;

function dataOf(message: Sendable): string | Uint8Array {
  if (typeof message === 'string') return message;
  // A buffer, or a view of one.
  const { buffer = message, byteOffset, byteLength } = message as Uint8Array;
  return new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
}

/** Connects to a server, and resolves when the connection is open and the peer known.
 * @throws {WirespanError} `io` if the connection cannot be made, `invalid_argument` for options out of their bounds. */
export function connect(address: string | URL, options: ConnectOptions = {}): Promise<TracedConnection> {
  const { protocols = [], handlers = {}, onMessage, resume, api } = options;
  const url = new URL(address, location.href);
  const offered = [protocols].flat() as string[];
  const spans = spansWith(api);
  const plain = newInbox((data) => core.take_('plain', sizeOf(data)));
  let timer: ReturnType<typeof setTimeout> | undefined;
  let becomeReady = (): void => {};
  let closed = becomeReady;

  const wakeIn = (milliseconds: number): void => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      if (core.state_ !== 'open') return;
      core.onTime_();
      wakeIn(Math.min(core.deadline_() / 1e6 - performance.now() + 1, MAX_TIMEOUT));
    }, milliseconds);
  };

  const core: Core = newCore(
    {
      ...spans,
      now_() {
        // Who reads the clock does something that may move the next deadline, which is looked at behind it.
        wakeIn(0);
        return Math.round(performance.now() * 1e6);
      },
      write_: (message) => socket.send(message as string),
      // A page cannot pause its WebSocket: a reader that is behind for too long ends its call with `overflow`.
      endReader_: (stream, kind, errorType) => stream.reader_?.finish_(kind && new WirespanError(kind, '', errorType)),
      becomeReady_: () => becomeReady(),
    },
    {
      entropy: hex(crypto.getRandomValues(new Uint8Array(16))),
      address: url.hostname.replace(/^\[|\]$/g, ''),
      port: Number(url.port) || (/s:$/.test(url.protocol) ? 443 : 80),
    },
    readOptions({ subprotocol: 'beside', ...options }),
    resume?.core_,
  );
  core.methods_ = new Set(Object.keys(handlers));
  const around = spans.active_();
  for (const plan of core.planHandshake_(spans.carried_(around).context ? 'current' : 'root')) {
    // `websocket.connection` or `websocket.handshake`
    const name = plan.name.slice(10) as 'connection' | 'handshake';
    core.spans_[name] = spans.carried_(spans.start_(plan, name, around)).context;
  }
  // A script can set no headers: the client announces itself by what it can, or answers a hello.
  const [subprotocol, query] = core.announce_(offered.length > 0);
  if (subprotocol) offered.push(subprotocol);
  if (query) url.search += `${url.search ? '&' : '?'}${query}`;

  const send = async (
    to: Stream | 'plain',
    around: OtelContext | undefined,
    message: Sendable,
    { last, json, headers }: SendParameters = {},
  ): Promise<void> => {
    const parameters = { ...spans.carried_(around), last, headers };
    socket.send(core.send_(to, dataOf(message), parameters, json ? 'json' : undefined) as string);
    while (socket.bufferedAmount > MAX_BUFFERED && socket.readyState === WebSocket.OPEN) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  };

  const newCall = (stream: Stream, plan: Plan, method: string | undefined, around: OtelContext | undefined): Call => {
    const otelContext = spans.start_(plan, stream, around);
    const inbox = newInbox((data) => core.take_(stream, sizeOf(data)));
    const call: Call = {
      ...inbox.messages_,
      connection,
      method,
      otelContext,
      get metrics() {
        return { sent: stream.sent_.summary_(), received: stream.received_.summary_() };
      },
      send: (message, parameters) => send(stream, otelContext, message, parameters),
      end: () => core.end_(stream, spans.carried_(otelContext)),
      leave: () => core.leave_(stream),
      cancel() {
        if (!stream.ended_) core.cancel_(stream);
      },
      fail(errorType) {
        if (!stream.ended_) core.fail_(stream, errorType);
      },
    };
    stream.reader_ = inbox;
    return call;
  };

  /** Runs a function inside a call's context, and ends the call as the function ends. */
  const run = async <T>(call: Call, use: (call: Call) => T): Promise<Awaited<T>> => {
    try {
      const result = await spans.within_(call.otelContext, () => use(call));
      call.leave();
      return result;
    } catch (error) {
      call.fail(error instanceof WirespanError ? error.kind : ((error as Error)?.name ?? ''));
      throw error;
    }
  };

  const begin =
    (kind: StreamKind) =>
    (method?: string, use?: (call: Call) => unknown): unknown => {
      const around = spans.active_();
      const { stream, plan } = core.begin_(kind, method, Boolean(spans.carried_(around).context));
      const call = newCall(stream, plan, method, around);
      return use ? run(call, use) : call;
    };

  const connection: TracedConnection = {
    ...plain.messages_,
    core_: core,
    get sessionId() {
      return core.session_;
    },
    get peer() {
      return core.peer_;
    },
    get counters() {
      return { ...core.counters_ };
    },
    closed: new Promise((resolve) => {
      closed = resolve;
    }),
    call: begin('call') as TracedConnection['call'],
    transfer: begin('transfer') as TracedConnection['transfer'],
    send: (message, parameters) => send('plain', spans.active_(), message, parameters),
    close(code = 1000, reason = '') {
      socket.close(code, reason);
      return this.closed;
    },
  };

  const socket = new WebSocket(url, offered);
  socket.binaryType = 'arraybuffer';
  socket.onmessage = ({ data }) => {
    const { stream, opened, payload, headers = [], context, baggage } = core.receive_(dataOf(data));
    const from = spans.remote_(context, baggage);
    const message = payload === undefined ? undefined : newMessage(payload, headers, context, from);
    if (stream === 'plain') {
      if (!message) return;
      if (!onMessage) return plain.push_(message);
      core.take_(stream, sizeOf(message.data));
      spans.within_(from, () => onMessage(message, connection));
    } else if (stream) {
      const call = opened && newCall(stream, opened.plan, opened.method, from);
      if (message) stream.reader_?.push_(message);
      // What ended before there was a reader.
      if (!stream.peerOpen_) stream.reader_?.finish_();
      // What a handler throws has failed its call, and is the page's to see.
      if (opened?.registered) run(call as Call, handlers[opened.method as string] as Handler).catch(spans.report_);
      else call?.fail('unknown_method');
    }
  };
  return new Promise((resolve, reject) => {
    becomeReady = () => resolve(connection);
    socket.onopen = () => {
      core.open_();
      if (core.waitUntil_ === NEVER) becomeReady();
    };
    socket.onclose = ({ code, reason }) => {
      if (core.state_ === 'new') core.failHandshake_('io');
      else core.onClose_(code, reason);
      plain.finish_();
      reject(new WirespanError('io', `cannot connect to ${url.host}`));
      closed();
    };
  });
}
