const { randomBytes } = require('node:crypto');
const { once } = require('node:events');
const { context: contexts, diag } = require('@opentelemetry/api');
const { WebSocketServer } = require('ws');
const { Connection } = require('./connection.js');
const { HandshakeRequest, SessionRegistry } = require('./handshake.js');
const { SpanMaker } = require('./spans.js');
const { TracedConnection, checkFunction, checkHandlers } = require('./traced.js');
const { WirespanError, invalid } = require('./error.js');
const { WsTransport, wire } = require('./ws-transport.js');
const { failHandshake, startHandshake } = require('./handshake-spans.js');
const { NAMES, encodeOptions, withOptionNames } = require('./options.js');
const { native } = require('./native.js');
const { spanContextOf } = require('./context.js');

/** Options of the server beside those of its connections. */
const OTHERS = ['defaultHandler', 'onMessage', 'onConnection', 'registry', 'vouch'];
/** Options that `serve` gives to the library `ws`. */
const LISTEN = ['host', 'port', 'server', 'path', 'ws'];

/** A server whose connections are traced. */
class TracedServer {
  #wss;

  constructor(wss, connections) {
    this.#wss = wss;
    /** The open connections. */
    this.connections = connections;
  }

  /** The server of the library `ws`. */
  get wss() {
    return this.#wss;
  }

  /** The address that the server listens on. */
  address() {
    return this.#wss.address();
  }

  /** The port that the server listens on. */
  get port() {
    return this.#wss.address()?.port;
  }

  /** Stops accepting and closes every connection. */
  async close(code = 1001, reason = '') {
    const stopped = new Promise((resolve) => this.#wss.close(resolve));
    await Promise.all([...this.connections].map((connection) => connection.close(code, reason)));
    await stopped;
  }

  async [Symbol.asyncDispose]() {
    await this.close();
  }
}

/** Listens and serves: `handlers` maps methods to functions that get the call. Resolves when the server listens. */
async function serve(handlers, options = {}) {
  const own = {};
  const listen = {};
  for (const [name, value] of Object.entries(options)) {
    if (LISTEN.includes(name)) listen[name] = value;
    else own[name] = value;
  }
  checkOptions(handlers, own);
  const { ws, ...where } = listen;
  const wss = new WebSocketServer({ ...ws, ...where });
  const server = attach(wss, handlers, own);
  if (wss.address() === null) {
    // Rejects with the server's error, such as a port in use.
    await once(where.server ?? wss, 'listening').catch((error) => {
      throw new WirespanError('io', `io: ${error.message}`, { cause: error });
    });
  }
  return server;
}

/** Traces the connections of a `WebSocketServer` that the application has made. */
function attach(wss, handlers, options = {}) {
  checkOptions(handlers, options);
  const own = Object.fromEntries(Object.entries(options).filter(([name]) => !OTHERS.includes(name)));
  const acceptor = new Acceptor(handlers, options, own);
  const select = wss.options.handleProtocols;
  wss.options.handleProtocols = (_, request) => acceptor.select(request, select);
  wss.on('headers', (headers, request) => acceptor.answer(headers, request));
  wss.on('connection', (socket, request) => acceptor.open(socket, request));
  return new TracedServer(wss, acceptor.connections);
}

function checkOptions(handlers, options) {
  for (const name of Object.keys(options)) {
    if (!(name in NAMES) && !OTHERS.includes(name)) throw invalid(name, 'is no option of a server');
  }
  checkHandlers(handlers);
  for (const name of ['defaultHandler', 'onMessage', 'onConnection', 'vouch']) checkFunction(name, options[name]);
  if (options.registry !== undefined && !(options.registry instanceof SessionRegistry)) {
    throw invalid('registry', 'must be a SessionRegistry');
  }
  // Wrong options are found here, and not when the first client connects.
  const encoded = encodeOptions(options, OTHERS);
  withOptionNames(() => native.hostsAllow(encoded, ''));
}

/** Does the handshakes of one server. */
class Acceptor {
  connections = new Set();
  #handlers;
  #options;
  #own;
  #registry;
  #handshakes = new WeakMap();

  constructor(handlers, options, own) {
    this.#handlers = handlers;
    this.#options = options;
    this.#own = own;
    this.#registry = options.registry ?? new SessionRegistry();
  }

  /** Selects a subprotocol: the application's own choice, ours only where nothing else was offered. */
  select(request, select) {
    const handshake = this.#begin(request);
    const offered = new Set(handshake.request.applicationSubprotocols);
    let selected;
    if (select !== undefined && select !== null) selected = select(offered, request);
    else selected = offered.values().next().value;
    selected = selected === false ? undefined : selected;
    handshake.additions = handshake.core.response(handshake.request, selected);
    return selected ?? handshake.additions.subprotocol ?? false;
  }

  /** Adds our headers to the response. */
  answer(headers, request) {
    const handshake = this.#begin(request);
    handshake.additions ??= handshake.core.response(handshake.request, undefined);
    for (const [name, value] of handshake.additions.headers) headers.push(`${name}: ${value}`);
  }

  /** Opens the connection of a request that was answered. */
  open(socket, request) {
    const handshake = this.#begin(request);
    this.#handshakes.delete(request);
    request.socket.off('close', handshake.lost);
    const { core, maker, spans } = handshake;
    const driver = TracedConnection._drive(core, new WsTransport(socket), {
      maker,
      spans,
      handlers: this.#handlers,
      defaultHandler: this.#options.defaultHandler,
      onMessage: this.#options.onMessage,
      plainPolicy: 'discard',
      sendsBaggage: this.#options.baggageOut !== undefined,
    });
    const { connection } = driver;
    const live = this.#registry._connections;
    const { connectionId, superseded } = core;
    live.set(connectionId, driver);
    this.connections.add(connection);
    connection.closed.then(() => {
      live.delete(connectionId);
      this.connections.delete(connection);
    });
    wire(socket, driver);
    driver.opened((opened, at) => opened.openServer(at));
    if (superseded !== undefined) live.get(superseded)?.onSuperseded();
    this.#announce(connection, request);
  }

  async #announce(connection, request) {
    try {
      await this.#options.onConnection?.(connection, request);
    } catch (error) {
      diag.error('wirespan: the onConnection callback failed', error);
    }
  }

  /** The handshake of a request, begun by whichever hook comes first. */
  #begin(request) {
    let handshake = this.#handshakes.get(request);
    if (handshake === undefined) {
      handshake = this.#start(request);
      this.#handshakes.set(request, handshake);
      request.socket.once('close', handshake.lost);
    }
    return handshake;
  }

  #start(message) {
    const at = message.url.indexOf('?');
    const request = new HandshakeRequest(message.rawHeaders, at < 0 ? undefined : message.url.slice(at + 1));
    const { remoteAddress, localAddress, localPort } = message.socket;
    const core = Connection.server(this.#own, request, {
      registry: this.#registry,
      remote: remoteAddress,
      vouch: this.#vouch(message, request.proposedSession),
      address: localAddress,
      port: localPort,
      entropy: randomBytes(16),
    });
    const maker = new SpanMaker();
    const current = contexts.active();
    const { spans } = startHandshake(core, maker, current, spanContextOf(current));
    return { request, core, maker, spans, additions: undefined, lost: () => failHandshake(core, maker, spans, 'closed') };
  }

  #vouch(message, proposed) {
    const { vouch } = this.#options;
    if (vouch === undefined) return undefined;
    if (proposed === undefined) return false;
    try {
      return vouch(proposed, message) === true;
    } catch (error) {
      diag.error('wirespan: the vouch callback failed', error);
      return false;
    }
  }
}

module.exports = { TracedServer, attach, serve };
