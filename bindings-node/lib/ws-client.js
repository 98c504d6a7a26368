const { randomBytes } = require('node:crypto');
const { context: contexts } = require('@opentelemetry/api');
const { WebSocket } = require('ws');
const { Connection } = require('./connection.js');
const { SpanMaker } = require('./spans.js');
const { TracedConnection, checkFunction, checkHandlers } = require('./traced.js');
const { WirespanError, invalid } = require('./error.js');
const { WsTransport, wire } = require('./ws-transport.js');
const { failHandshake, startHandshake } = require('./handshake-spans.js');
const { NAMES } = require('./options.js');
const { spanContextOf } = require('./context.js');

/** Options that are not the connection's own. */
const OTHERS = ['handlers', 'defaultHandler', 'onMessage', 'protocols', 'headers', 'ws', 'signal'];

/**
 * Connects to a server and resolves with a traced connection. `ws` are options of the library `ws`, `headers` those of the
 * request, `protocols` the application's subprotocols.
 */
async function connect(url, options = {}) {
  const target = parseUrl(url);
  checkNames(options);
  checkHandlers(options.handlers);
  checkFunction('defaultHandler', options.defaultHandler);
  checkFunction('onMessage', options.onMessage);
  options.signal?.throwIfAborted();
  const own = Object.fromEntries(Object.entries(options).filter(([name]) => !OTHERS.includes(name)));
  const address = target.hostname.replace(/^\[|\]$/g, '');
  const port = Number(target.port) || (target.protocol === 'wss:' ? 443 : 80);
  const core = Connection.client(own, { address, port, entropy: randomBytes(16) });
  const maker = new SpanMaker();
  const current = contexts.active();
  const { spans, inner } = startHandshake(core, maker, current, undefined);
  let socket;
  try {
    socket = open(core, target, address, options, inner);
  } catch (error) {
    failHandshake(core, maker, spans, error.name);
    throw error;
  }
  const driver = TracedConnection._drive(core, new WsTransport(socket), {
    maker,
    spans,
    handlers: options.handlers,
    defaultHandler: options.defaultHandler,
    onMessage: options.onMessage,
    plainPolicy: 'queue',
    sendsBaggage: options.baggageOut !== undefined,
  });
  await upgraded(socket, driver, options.signal).catch((error) => {
    failHandshake(core, maker, spans, errorType(error));
    throw error.name === 'AbortError' ? error : new WirespanError('io', `io: ${error.message}`, { cause: error });
  });
  return driver.connection;
}

function parseUrl(url) {
  let target;
  try {
    target = new URL(url);
  } catch {
    throw invalid('url', 'must be a URL such as ws://localhost:8765');
  }
  target.protocol = target.protocol.replace(/^http/, 'ws');
  if (target.protocol !== 'ws:' && target.protocol !== 'wss:') throw invalid('url', 'must start with ws:// or wss://');
  return target;
}

function checkNames(options) {
  for (const name of Object.keys(options)) {
    if (!(name in NAMES) && !OTHERS.includes(name)) throw invalid(name, 'is no option of connect()');
  }
}

function open(core, target, host, options, inner) {
  const protocols = [options.protocols ?? []].flat();
  const headers = { ...options.ws?.headers, ...options.headers };
  const additions = core.request({
    host,
    hasSubprotocol: protocols.length > 0,
    hasTraceContext: Object.keys(headers).some((name) => name.toLowerCase() === 'traceparent'),
    current: spanContextOf(contexts.active()),
  });
  // An HTTP instrumentation writes its own context under the same names, in lower case, and so replaces these.
  for (const [name, value] of additions.headers) headers[name] = value;
  if (additions.subprotocol !== undefined) protocols.push(additions.subprotocol);
  if (additions.query !== undefined) target.search += `${target.search === '' ? '?' : '&'}${additions.query}`;
  return contexts.with(inner, () => new WebSocket(target, protocols, { ...options.ws, headers }));
}

/** Resolves when the connection is open and the peer known; rejects with the error of the handshake. */
function upgraded(socket, driver, signal) {
  return new Promise((resolve, reject) => {
    let rawHeaders = [];
    const abort = () => {
      reject(abortError(signal.reason));
      socket.terminate();
    };
    signal?.addEventListener('abort', abort, { once: true });
    const done = (settle, value) => {
      signal?.removeEventListener('abort', abort);
      settle(value);
    };
    socket.once('upgrade', (response) => {
      rawHeaders = response.rawHeaders;
    });
    // Stays: a socket without a listener for errors would throw them.
    socket.on('error', (error) => done(reject, error));
    socket.once('open', () => {
      wire(socket, driver);
      done(
        resolve,
        driver.opened((opened, at) => opened.openClient(rawHeaders, at)),
      );
    });
  });
}

function abortError(reason) {
  const error = new Error('connect() was aborted', { cause: reason });
  error.name = 'AbortError';
  return error;
}

/** The type of a handshake's error: the status of the response, else the code of the system, else the name. */
function errorType(error) {
  return /^Unexpected server response: (\d{3})$/.exec(error.message)?.[1] ?? error.code ?? error.name;
}

module.exports = { connect };
