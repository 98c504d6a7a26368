import type { Server as HttpServer, IncomingMessage } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { ClientOptions, ServerOptions, WebSocketServer } from 'ws';
import type { Handler, Handlers, Message, Options, SessionRegistry, TracedConnection } from './index.js';

interface Common extends Options {
  /** Serves the calls and transfers of methods that `handlers` does not name. */
  defaultHandler?: Handler;
  /** Takes the messages outside every call; runs inside the message's context. */
  onMessage?: (message: Message, connection: TracedConnection) => unknown;
}

export interface ConnectOptions extends Common {
  /** Serves the calls that the server makes. */
  handlers?: Handlers;
  /** Subprotocols of the application. */
  protocols?: string | string[];
  /** Headers of the request. */
  headers?: Record<string, string>;
  /** Options of the library `ws`. */
  ws?: ClientOptions;
  /** Aborts connecting. */
  signal?: AbortSignal;
}

export interface AttachOptions extends Omit<Common, 'session'> {
  /** Called for each connection when it is open. */
  onConnection?: (connection: TracedConnection, request: IncomingMessage) => unknown;
  registry?: SessionRegistry;
  /** Whether a client may use the session id that it proposes; asked while the request is answered; one named later is not honoured then. */
  vouch?: (sessionId: string, request: IncomingMessage) => boolean;
}

export interface ServeOptions extends AttachOptions {
  host?: string;
  port?: number;
  server?: HttpServer | HttpsServer;
  path?: string;
  /** Options of the library `ws`. */
  ws?: ServerOptions;
}

/** A server whose connections are traced. */
export class TracedServer implements AsyncDisposable {
  private constructor();
  readonly connections: ReadonlySet<TracedConnection>;
  readonly wss: WebSocketServer;
  readonly port: number;
  address(): AddressInfo | string | null;
  close(code?: number, reason?: string): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Connects to a server; resolves with a traced connection. */
export function connect(url: string | URL, options?: ConnectOptions): Promise<TracedConnection>;
/** Listens and serves; resolves when the server listens. */
export function serve(handlers: Handlers, options?: ServeOptions): Promise<TracedServer>;
/** Traces the connections of a `WebSocketServer` that the application has made. */
export function attach(wss: WebSocketServer, handlers: Handlers, options?: AttachOptions): TracedServer;
