import type {
  TraceState as ApiTraceState,
  Attributes,
  Baggage,
  Context,
  Link,
  Span,
  SpanContext,
  TextMapGetter,
  TextMapPropagator,
  TextMapSetter,
  Tracer,
} from '@opentelemetry/api';

/** Kinds of errors, the same in every language. */
export type ErrorKind =
  | 'invalid_argument'
  | 'invalid_state'
  | 'malformed'
  | 'limit'
  | 'busy'
  | 'closed'
  | 'cancelled'
  | 'remote'
  | 'timeout'
  | 'overflow'
  | 'role'
  | 'superseded'
  | 'io'
  | 'panic';

/** Why bytes were refused. */
export type Refusal =
  | 'length'
  | 'version'
  | 'character'
  | 'zero_id'
  | 'trailing'
  | 'duplicate'
  | 'member'
  | 'too_many'
  | 'too_long'
  | 'missing'
  | 'truncated'
  | 'order'
  | 'unknown_critical'
  | 'structure';

/** What a connection counts. */
export type Counter =
  | 'context_invalid'
  | 'header_invalid'
  | 'header_repeated'
  | 'head_too_long'
  | 'dropped_baggage'
  | 'dropped_tracestate'
  | 'dropped_header'
  | 'content_mismatch'
  | 'repeat'
  | 'gap'
  | 'reorder'
  | 'late'
  | 'discarded'
  | 'unmatched'
  | 'limit'
  | 'overflow'
  | 'timeout'
  | 'session_replaced'
  | 'role'
  | 'version'
  | 'clock_back';

/** The error of everything that Wirespan raises. */
export class WirespanError extends Error {
  constructor(
    code: ErrorKind,
    message?: string,
    details?: { field?: string; reason?: Refusal; offset?: number; errorType?: string; cause?: unknown },
  );
  readonly code: ErrorKind;
  readonly kind: ErrorKind;
  /** The argument, option or header that the error concerns. */
  readonly field: string | undefined;
  /** Why bytes were refused; for `malformed`. */
  readonly reason: Refusal | undefined;
  /** The offset of the first byte that was refused. */
  readonly offset: number | undefined;
  /** The type of the error that ended a call, such as the one that the peer named. */
  readonly errorType: string | undefined;
}

/** A reading of a monotonic clock in nanoseconds. A number holds it exactly up to 2^53, which is 104 days. */
export type Nanoseconds = number | bigint;
/** Bytes in any of the types that Node.js has for them. */
export type Bytes = ArrayBufferView | ArrayBuffer | SharedArrayBuffer;
/** What can be sent: text, bytes, or a value that JSON can hold. */
export type Body = string | Bytes | object | number | boolean | null;
/** Headers as an object or as pairs. */
export type OwnHeaders = Record<string, string> | ReadonlyArray<readonly [string, string]>;
/** Headers as they are received: an object, pairs, or names and values in turn as in `rawHeaders`. */
export type AnyHeaders =
  | Record<string, string | string[] | undefined>
  | ReadonlyArray<readonly [string, string | ArrayBufferView]>
  | readonly string[];
export type Form = 'text' | 'binary';
export type Outcome = 'complete' | 'cancelled' | 'error' | 'abandoned';

/** What a later connection needs to continue the session of an earlier one. */
export interface Resumption {
  sessionId: string;
  span?: SpanContext | undefined;
}

/** What can be chosen about a connection, with the defaults of the specification. */
export interface Options {
  /** Whether envelopes are sent and read: with peers that announced themselves (default), always, or never. */
  mode?: 'auto' | 'always' | 'never';
  hello?: 'when_asked' | 'first' | 'expect';
  /** Whether a client announces itself in the query of the URL. */
  query?: boolean;
  subprotocol?: 'off' | 'beside' | 'alone';
  helloWaitMs?: number;
  /** What one trace spans: a call (default) or the whole connection. */
  traceScope?: 'call' | 'connection';
  /** What an accepting side does with the context of a peer. */
  trust?: 'continue' | 'link' | 'ignore';
  session?: 'new' | (string & {}) | Resumption;
  /** Names of the baggage that is kept of a peer; `*` is all. */
  baggageIn?: string[];
  /** Names of the baggage that is sent to a peer; `*` is all. */
  baggageOut?: string[];
  /** Hosts that get the context in the handshake: `all`, names, or `!names`. */
  hosts?: 'all' | string[];
  /** How spans are called: after their methods (default), or as the LoongSuite agent calls them. */
  naming?: 'otel' | 'loongsuite';
  /** A schema of the application's own messages that has room for headers, so that nothing is wrapped: `seed`, their member `headers`. */
  profile?: 'none' | 'seed';
  stallThresholdMs?: number;
  skipEmptyFirst?: boolean;
  idleTimeoutMs?: number;
  overflowWaitMs?: number;
  maxRunning?: number;
  maxStreams?: number;
  maxUnread?: number;
  maxUnreadBytes?: number;
  maxHeaderBytes?: number;
  maxNesting?: number;
}

/** What was measured on one direction of a stream. Times in seconds, as in attributes; `…Ns` in nanoseconds. */
export class Summary {
  private constructor();
  readonly chunks: number;
  readonly bytes: number;
  readonly timeToFirstChunk: number | undefined;
  readonly timeToFirstChunkNs: number | undefined;
  readonly timeToLastChunk: number | undefined;
  readonly timeToLastChunkNs: number | undefined;
  readonly duration: number | undefined;
  readonly durationNs: number | undefined;
  /** Chunks per second between the first and the last one. */
  readonly rate: number | undefined;
  readonly intervals: number;
  readonly intervalAvg: number | undefined;
  readonly intervalAvgNs: number | undefined;
  readonly intervalMin: number | undefined;
  readonly intervalMinNs: number | undefined;
  readonly intervalMax: number | undefined;
  readonly intervalMaxNs: number | undefined;
  readonly intervalP50: number | undefined;
  readonly intervalP50Ns: number | undefined;
  readonly intervalP90: number | undefined;
  readonly intervalP90Ns: number | undefined;
  readonly intervalP95: number | undefined;
  readonly intervalP95Ns: number | undefined;
  readonly intervalP99: number | undefined;
  readonly intervalP99Ns: number | undefined;
  /** The largest relative error of the percentiles. */
  readonly relativeError: number;
  readonly stalls: number;
  readonly stallTime: number;
  readonly stallTimeNs: number;
  readonly clockBack: number;
  readonly outcome: Outcome | undefined;
  toJSON(): Record<string, number | string>;
}

/** The two directions of a stream. */
export interface Metrics {
  readonly sent: Summary;
  readonly received: Summary;
}

export interface Stall {
  atNs: number;
  intervalNs: number;
  /** The chunk that ended it, counted from 0. */
  chunk: number;
}

/** Measures one direction of a stream: the messages of a call, or any iterator, server-sent events, socket. */
export class StreamMetrics {
  constructor(options?: { stallThresholdMs?: number; skipEmptyFirst?: boolean });
  /** Times are readings of `now()`, and now if they are left out. */
  start(at?: Nanoseconds): void;
  recordChunk(bytes: number, at?: Nanoseconds): Stall | undefined;
  finish(outcome: Outcome, at?: Nanoseconds): void;
  merge(other: StreamMetrics): void;
  summary(): Summary;
  attributes(direction: 'sent' | 'received'): Record<string, number>;
  free(): void;
}

/** How to start a span. */
export interface Plan {
  /** The number of the span within its connection: 0 the connection, 1 the handshake, else that of the stream. */
  span: number;
  name: string;
  kind: 'INTERNAL' | 'SERVER' | 'CLIENT' | 'PRODUCER' | 'CONSUMER';
  parent: 'root' | 'current' | 'connection' | 'remote';
  /** The parent, where it is remote. */
  remote: SpanContext | undefined;
  links: SpanContext[];
  attributes: Attributes;
}

/** What a host has to act on. */
export type Event =
  | { type: 'frame'; form: Form; bytes: Buffer }
  | { type: 'spanUpdate'; span: number; attributes: Attributes }
  | SpanEnd
  | { type: 'readEnd'; stream: number; complete: boolean; kind: ErrorKind | undefined; errorType: string | undefined }
  | { type: 'pauseReading' }
  | { type: 'resumeReading' }
  | { type: 'ready' }
  | { type: 'sessionChanged'; previous: string };

export interface SpanEnd {
  type: 'spanEnd';
  span: number;
  status: 'unset' | 'error';
  errorType: string | undefined;
  /** How the stream ended; undefined for spans of the connection itself. */
  outcome: Outcome | undefined;
  metrics?: Metrics;
  attributes: Attributes;
  events: { name: string; at: number; attributes: Attributes }[];
}

export interface Peer {
  known: 'unknown' | 'announced' | 'always';
  version?: number;
}

/** The part of an opening handshake request that concerns Wirespan. */
export class HandshakeRequest {
  constructor(headers: AnyHeaders, query?: string);
  readonly proposedSession: string | undefined;
  readonly applicationSubprotocols: string[];
}

/** The sessions of an accepting side. */
export class SessionRegistry {
  constructor(bounds?: { maxSessions?: number; maxPerRemote?: number });
  readonly size: number;
}

/** What came of a received message. */
export class Received {
  private constructor();
  /** The stream that gets the payload; 0 for messages outside every stream. */
  readonly stream: number;
  readonly binary: boolean;
  /** Bytes that are a view of the message, text that travelled inside a JSON string, or undefined for nothing. */
  readonly payload: Buffer | string | undefined;
  readonly spanContext: SpanContext | undefined;
  readonly link: SpanContext | undefined;
  readonly opened: { kind: 'call' | 'transfer'; method: string | null; registered: boolean; plan: Plan } | undefined;
  readonly baggage: Baggage | undefined;
  readonly headers: [string, string][];
}

/** One side of a connection without any I/O: bytes, times and entropy go in; frames, events and plans of spans come out. */
export class Connection {
  private constructor();
  static client(
    options: Options,
    endpoint: { address?: string | undefined; port?: number | undefined; entropy: Uint8Array },
  ): Connection;
  static server(
    options: Options,
    request: HandshakeRequest,
    accept: {
      registry?: SessionRegistry | undefined;
      remote?: string | undefined;
      /** What the host's callback said of the proposed session; undefined without one. */
      vouch?: boolean | undefined;
      address?: string | undefined;
      port?: number | undefined;
      entropy: Uint8Array;
    },
  ): Connection;
  /** Whether events wait to be polled. */
  readonly hasEvents: boolean;
  /** When `onTime` is to be called; Infinity if never. */
  readonly nextDeadline: number;
  readonly role: 'client' | 'server';
  readonly peer: Peer;
  readonly sessionId: string;
  readonly resumption: Resumption;
  readonly connectionId: number | undefined;
  readonly superseded: number | undefined;
  readonly isOpen: boolean;
  readonly isReady: boolean;
  readonly mayRead: boolean;
  readonly openStreams: number;
  readonly maxRunning: number;
  readonly counters: Record<Counter, number>;
  planHandshake(current?: { http?: SpanContext | undefined; current?: boolean }): Plan[];
  spanStarted(span: number, spanContext: SpanContext): void;
  request(target: { host: string; hasSubprotocol?: boolean; hasTraceContext?: boolean; current?: SpanContext | undefined }): {
    headers: [string, string][];
    subprotocol: string | undefined;
    query: string | undefined;
  };
  response(request: HandshakeRequest, selected?: string): { headers: [string, string][]; subprotocol: string | undefined };
  openClient(headers: AnyHeaders, now: Nanoseconds): void;
  openServer(now: Nanoseconds): void;
  failHandshake(errorType: string): void;
  planCall(method: string | undefined, current: SpanContext | undefined, now: Nanoseconds): { stream: number; plan: Plan };
  planTransfer(method: string | undefined, current: SpanContext | undefined, now: Nanoseconds): { stream: number; plan: Plan };
  send(
    stream: number,
    body: Body | undefined,
    options:
      | {
          last?: boolean;
          headers?: OwnHeaders;
          /** The text or bytes are JSON already. */
          json?: boolean;
          /** The bytes are UTF-8 text. */
          text?: boolean;
          spanContext?: SpanContext | undefined;
          baggage?: Baggage | undefined;
        }
      | undefined,
    now: Nanoseconds,
  ): { form: Form; bytes: Buffer };
  receive(message: Bytes, binary: boolean, now: Nanoseconds): Received;
  take(stream: number, bytes: number, now: Nanoseconds): void;
  end(
    stream: number,
    context: { spanContext?: SpanContext | undefined; baggage?: Baggage | undefined } | undefined,
    now: Nanoseconds,
  ): void;
  leave(stream: number, now: Nanoseconds): void;
  cancel(stream: number, now: Nanoseconds): void;
  fail(stream: number, errorType: string, now: Nanoseconds): void;
  onTime(now: Nanoseconds): void;
  onSuperseded(now: Nanoseconds): void;
  onClose(code: number | undefined, reason: string, now: Nanoseconds): void;
  pollEvent(isRecording?: (span: number) => boolean): Event | undefined;
  count(counter: Counter, n?: number): void;
  setMethods(methods: string[]): void;
  setPlainPolicy(policy: 'deliver' | 'queue' | 'discard'): void;
  metrics(stream: number): Metrics | undefined;
  free(): void;
}

/** Starts and ends the spans that plans ask for, with whatever tracer provider the process has. */
export class SpanMaker {
  constructor(tracer?: Tracer);
  start(plan: Plan, contexts?: { current?: Context; connection?: Context | undefined; baggage?: Baggage | undefined }): Context;
  update(context: Context, attributes: Attributes): void;
  end(context: Context, event: SpanEnd): void;
}

/** A received message. */
export class Message {
  private constructor();
  readonly binary: boolean;
  /** The content as it was sent: a string for a text message, a Buffer for a binary one. */
  readonly data: string | Buffer;
  readonly text: string;
  readonly bytes: Buffer;
  /** Length of the content in bytes. */
  readonly size: number;
  json<T = unknown>(): T;
  /** The sender's own headers, in the order sent. */
  readonly headers: [string, string][];
  readonly context: Context;
  readonly links: Link[];
  /** Runs a function with the message's context as the current one. */
  run<A extends unknown[], R>(fn: (...args: A) => R, ...args: A): R;
  toString(): string;
  toJSON(): { text: string; headers: [string, string][] };
}

export interface SendOptions {
  /** The last message of its direction. */
  last?: boolean;
  /** The application's own headers. */
  headers?: OwnHeaders;
  /** The text or bytes are JSON already. */
  json?: boolean;
}

declare class Stream implements AsyncIterable<Message>, AsyncDisposable {
  protected constructor();
  /** The connection that it runs on: handlers call the peer back through it. */
  readonly connection: TracedConnection;
  readonly kind: 'call' | 'transfer';
  readonly method: string | undefined;
  /** The context of the stream's span. */
  readonly context: Context;
  readonly headers: [string, string][];
  /** Whether the peer opened it. */
  readonly incoming: boolean;
  /** Whether the application serves the method that the peer named. */
  readonly registered: boolean;
  readonly ended: boolean;
  /** Aborted when the stream is over without being complete. */
  readonly signal: AbortSignal;
  readonly metrics: Metrics;
  send(body: Body, options?: SendOptions): Promise<void>;
  end(): Promise<void>;
  leave(): void;
  cancel(): void;
  fail(error: string | Error): void;
  recv(): Promise<Message | undefined>;
  [Symbol.asyncIterator](): AsyncIterableIterator<Message>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** One invocation, on either side. */
export class Call extends Stream {}
/** One-way data: the sender sends, the receiver iterates. */
export class Transfer extends Stream {}

export interface CallOptions {
  /** Aborting it cancels the call. */
  signal?: AbortSignal;
}

/** A connection whose messages carry trace context. */
export class TracedConnection implements AsyncIterable<Message>, AsyncDisposable {
  private constructor();
  readonly sessionId: string;
  readonly peer: Peer;
  readonly counters: Record<Counter, number>;
  readonly resumption: Resumption;
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly isOpen: boolean;
  readonly openStreams: number;
  call<R>(method: string | undefined, fn: (call: Call) => R): Promise<Awaited<R>>;
  call<R>(method: string | undefined, options: CallOptions, fn: (call: Call) => R): Promise<Awaited<R>>;
  call(method?: string, options?: CallOptions): Call;
  transfer<R>(method: string | undefined, fn: (transfer: Transfer) => R): Promise<Awaited<R>>;
  transfer<R>(method: string | undefined, options: CallOptions, fn: (transfer: Transfer) => R): Promise<Awaited<R>>;
  transfer(method?: string, options?: CallOptions): Transfer;
  send(body: Body, options?: Omit<SendOptions, 'last'>): Promise<void>;
  recv(): Promise<Message | undefined>;
  calls(): AsyncIterableIterator<Call | Transfer>;
  close(code?: number, reason?: string): Promise<{ code: number; reason: string }>;
  [Symbol.asyncIterator](): AsyncIterableIterator<Message>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Serves a call or transfer of the peer; runs inside its span. Returning leaves it, throwing fails it. */
// biome-ignore lint/suspicious/noExplicitAny: a handler may narrow to Call or Transfer.
export type Handler = (stream: any) => unknown;
export type Handlers = Record<string, Handler> | ReadonlyMap<string, Handler>;

/** Vendor data of a span context, by level 2 of the standard. */
export class TraceState implements ApiTraceState {
  constructor(list?: string);
  get(key: string): string | undefined;
  set(key: string, value: string): TraceState;
  unset(key: string): TraceState;
  serialize(): string;
}

/** Propagates trace context and baggage by the letter of W3C Trace Context level 2 and W3C Baggage. */
export class Propagator implements TextMapPropagator {
  inject<C>(context: Context, carrier: C, setter?: TextMapSetter<C>): void;
  extract<C>(context: Context, carrier: C, getter?: TextMapGetter<C>): Context;
  fields(): string[];
}

/** A value with the context in which it left, on its way through a queue. */
export class Carry<T = unknown> {
  private constructor();
  readonly value: T;
  readonly context: Context;
  readonly sessionId: string | undefined;
  readonly sentUnixNs: bigint | undefined;
  readonly contextInvalid: boolean;
  static capture<T>(value: T, options?: { context?: Context; span?: Span; sessionId?: string }): Carry<T>;
  static fromHeaders<T>(value: T, headers: AnyHeaders, options?: { baggage?: string[] }): Carry<T>;
  /** The headers beside a payload; `sentUnixNs` is now if not given, null leaves it out. */
  toHeaders(options?: { baggage?: string[]; sentUnixNs?: bigint | null }): Record<string, string>;
  /** How long it has waited. */
  readonly waitNs: number | undefined;
  restore(): Context;
  run<R, A extends unknown[]>(fn: (value: T, ...args: A) => R, ...args: A): R;
  takeSpan(): Span | undefined;
  static links(carries: Iterable<Carry> & Carry[]): Link[];
  static planSend(destination: string | undefined, sessionId?: string): Plan;
  static planProcess(
    destination: string | undefined,
    carries: Carry | Carry[],
    options?: { continueTrace?: boolean; nowUnixNs?: bigint },
  ): Plan;
  static send<R>(
    destination: string | undefined,
    fn: (headers: Record<string, string>) => R,
    options?: { sessionId?: string; baggage?: string[] },
  ): Promise<Awaited<R>>;
  static process<C extends Carry | Carry[], R>(
    destination: string | undefined,
    carries: C,
    fn: (carries: C) => R,
    options?: { continueTrace?: boolean },
  ): Promise<Awaited<R>>;
}

/** A queue within one process whose items keep the context in which they were put. */
export class CarryQueue<T = unknown> implements AsyncIterable<Carry<T>> {
  constructor(options?: { maxSize?: number });
  readonly size: number;
  put(value: T, options?: { context?: Context; span?: Span; sessionId?: string }): Promise<void>;
  get(): Promise<Carry<T> | undefined>;
  close(): void;
  [Symbol.asyncIterator](): AsyncIterableIterator<Carry<T>>;
}

/** The headers of an envelope; absent ones are left out. */
export interface EnvelopeHead {
  traceparent?: string;
  tracestate?: string;
  baggage?: string;
  session?: string;
  kind?: 'call' | 'transfer';
  method?: string;
  stream?: number;
  seq?: number;
  end?: '1' | 'cancel' | 'error';
  error?: string;
  /** Follows from the body when an envelope is made. */
  content?: 'text' | 'none';
  /** Unix time in nanoseconds. */
  sent?: bigint;
  /** Versions of a hello, highest first. */
  versions?: string;
  /** Role of the sender of a hello. */
  role?: 'client' | 'server';
  own?: [string, string][];
}

/** What a reader left out of a head. */
export interface Drops {
  /** The `traceparent` is invalid. */
  contextInvalid: boolean;
  /** How many other headers have an invalid name or value. */
  headerInvalid: number;
  /** A name stands twice. */
  headerRepeated: boolean;
  /** The `tracestate` is over its limit or has no valid `traceparent`. */
  tracestate: boolean;
  /** The `baggage` is over its limit. */
  baggage: boolean;
  /** The `content` does not fit the body. */
  contentMismatch: boolean;
}

/** What a reader makes of a message. */
export type Unwrapped =
  | {
      envelope: true;
      head: EnvelopeHead & { own: [string, string][]; drops: Drops };
      /** Where the body starts in the message. */
      start: number;
      end: number;
      /** What is delivered: a view of the message, text that travelled inside a JSON string, or undefined for nothing. */
      body: Buffer | string | undefined;
    }
  | {
      envelope: false;
      /** Why it is plain: it does not look like an envelope, its head or version cannot be read, or why it is refused. */
      reason: 'ordinary' | 'head_too_long' | 'version' | Refusal;
    };

/** An envelope, and what was left out for its head to fit. */
export interface Wrapped {
  bytes: Buffer;
  form: Form;
  baggageDropped: boolean;
  tracestateCut: boolean;
  /** How many of the application's own headers were left out. */
  ownDropped: number;
}

interface Recognition {
  binary?: boolean;
  recognition?: 'canonical' | 'any';
  maxNesting?: number;
}

/** A message wrapped with headers, by itself. */
export const Envelope: {
  wrap(
    head: EnvelopeHead,
    body?: Body,
    options?: { json?: boolean; binary?: boolean; maxNesting?: number; maxHeaderBytes?: number },
  ): Wrapped;
  unwrap(message: string | Bytes, options?: Recognition & { maxHeaderBytes?: number }): Unwrapped;
  convertHead(message: string | Bytes, options?: Recognition & { maxHeaderBytes?: number }): Buffer;
  isJson(text: string, options?: { maxNesting?: number }): boolean;
  isLookAlike(message: string | Bytes, options?: Recognition): boolean;
  isSessionId(value: string): boolean;
  isMethod(value: string): boolean;
  isErrorType(value: string): boolean;
  isNumber(value: string): boolean;
};

/** The values of a header: one, or several in the order in which they came, as text or as bytes. */
export type HeaderValues = string | ArrayBufferView | ReadonlyArray<string | ArrayBufferView>;
/** A member of baggage; `properties` is what stands behind the first semicolon. */
export type BaggageMember = [key: string, value: string, properties: string];

/** Reads the values of a `traceparent` header; throws why it is refused. */
export function parseTraceparent(values: HeaderValues): SpanContext | undefined;
/** Reads the values of a `tracestate` header and returns the list as it is sent on; throws why it is refused. */
export function parseTracestate(values: HeaderValues): string;
/** Reads the values of a `baggage` header. */
export function parseBaggage(values: HeaderValues): {
  baggage: Baggage | undefined;
  members: BaggageMember[];
  dropped: number;
};
/** Writes baggage as a header. Members outside the grammar are left out of a `Baggage`, and refused if given as such. */
export function formatBaggage(baggage: Baggage | ReadonlyArray<readonly [key: string, value: string, properties?: string]>): {
  header: string;
  dropped: number;
};

/** The monotonic clock in nanoseconds since the process started. */
export function now(): number;
/** The wall clock in nanoseconds since 1970. */
export function unixNow(): bigint;

/** The words that are shared with the core. */
export const names: {
  readonly version: string;
  readonly errorKinds: readonly ErrorKind[];
  readonly refusals: readonly Refusal[];
  readonly counters: readonly Counter[];
  readonly outcomes: readonly Outcome[];
  readonly reservedHeaders: readonly string[];
  readonly queueWait: string;
  readonly sessionId: string;
  readonly stallThresholdNs: number;
  readonly unknownMethod: string;
  readonly handlerError: string;
};
