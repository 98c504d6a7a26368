// Servers that the application has made, and what a handshake chooses.

const assert = require('node:assert/strict');
const http = require('node:http');
const { after, before, beforeEach, test } = require('node:test');
const { ROOT_CONTEXT, context, trace } = require('@opentelemetry/api');
const { WebSocket, WebSocketServer } = require('ws');
const { SessionRegistry } = require('wirespan');
const { attach, connect, serve } = require('wirespan/ws');
const { id, linkIds, parentId, setUp, until } = require('./helpers/sdk.js');

let sdk;
before(() => {
  sdk = setUp();
});
beforeEach(() => sdk.reset());
after(() => sdk.tearDown());

const ping = { ping: (call) => call.send('pong', { last: true }) };

async function pong(conn) {
  return conn.call('ping', async (call) => {
    await call.send('ping', { last: true });
    return String(await call.recv());
  });
}

test('serve shares an HTTP server and a path', async (t) => {
  const web = http.createServer((_, response) => response.end('web'));
  await new Promise((resolve) => web.listen(0, '127.0.0.1', resolve));
  t.after(() => web.close());
  const server = await serve(ping, { server: web, path: '/ws' });
  t.after(() => server.close());
  const { port } = web.address();
  const conn = await connect(new URL(`http://127.0.0.1:${port}/ws?user=1`));
  assert.equal(await pong(conn), 'pong');
  await conn.close();
  await assert.rejects(connect(`ws://127.0.0.1:${port}/elsewhere`), { code: 'io' });
  assert.equal(sdk.spans('websocket.handshake', 'SERVER').length, 1, 'a request that was refused makes no span');
});

test('attach traces a server without a port, beside the application’s own choice of subprotocol', async (t) => {
  const offered = [];
  const wss = new WebSocketServer({
    noServer: true,
    handleProtocols: (protocols) => {
      offered.push([...protocols]);
      return protocols.has('v2') && 'v2';
    },
  });
  const server = attach(wss, ping);
  const web = http.createServer();
  web.on('upgrade', (request, socket, head) => {
    wss.handleUpgrade(request, socket, head, (ws) => wss.emit('connection', ws, request));
  });
  await new Promise((resolve) => web.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    await server.close();
    web.close();
  });
  const url = `ws://127.0.0.1:${web.address().port}`;
  const conn = await connect(url, { protocols: ['v1', 'v2'], subprotocol: 'beside' });
  assert.deepEqual(offered, [['v1', 'v2']], 'the application does not see ours');
  assert.equal(await pong(conn), 'pong');
  await conn.close();
  const raw = new WebSocket(url, ['wirespan.v1']);
  await new Promise((resolve) => raw.on('open', resolve));
  assert.equal(raw.protocol, 'wirespan.v1', 'offered alone, it is selected');
  raw.close();
});

test('a span that is current while a request is accepted stands for the handshake', async (t) => {
  const wss = new WebSocketServer({ noServer: true });
  const server = attach(wss, ping);
  const web = http.createServer();
  const span = sdk.tracer.startSpan('GET', {}, ROOT_CONTEXT);
  web.on('upgrade', (request, socket, head) => {
    context.with(trace.setSpan(ROOT_CONTEXT, span), () => {
      wss.handleUpgrade(request, socket, head, (ws) => wss.emit('connection', ws, request));
    });
  });
  await new Promise((resolve) => web.listen(0, '127.0.0.1', resolve));
  t.after(async () => {
    await server.close();
    web.close();
  });
  const conn = await connect(`ws://127.0.0.1:${web.address().port}`);
  await pong(conn);
  await conn.close();
  span.end();
  await until(() => sdk.spans('ping').length === 2);
  assert.deepEqual(sdk.spans('websocket.handshake', 'SERVER'), []);
  const served = sdk.span('ping', 'SERVER');
  assert.equal(parentId(served), id(sdk.span('ping', 'CLIENT')));
  assert.deepEqual(linkIds(served), [id(span)]);
});

test('servers that share a registry share their sessions', async (t) => {
  const registry = new SessionRegistry();
  const servers = await Promise.all([0, 1].map(() => serve(ping, { host: '127.0.0.1', port: 0, registry })));
  t.after(() => Promise.all(servers.map((server) => server.close())));
  const [first, second] = await Promise.all(
    servers.map(({ port }) => connect(`ws://127.0.0.1:${port}`, { session: 'shared' })),
  );
  assert.equal([first, second].filter((conn) => conn.sessionId === 'shared').length, 1);
  assert.equal(registry.size, 2);
  await Promise.all([first.close(), second.close()]);
});

test('callbacks that throw harm no connection', async (t) => {
  const server = await serve(ping, {
    host: '127.0.0.1',
    port: 0,
    vouch: () => {
      throw new Error('vouch');
    },
    onConnection: () => {
      throw new Error('onConnection');
    },
    onMessage: (message) => {
      if (message.text === 'now') throw new Error('onMessage');
      return Promise.reject(new Error('onMessage'));
    },
  });
  t.after(() => server.close());
  const conn = await connect(`ws://127.0.0.1:${server.port}`, { session: 'mine' });
  assert.notEqual(conn.sessionId, 'mine');
  await conn.send('now');
  await conn.send('later');
  assert.equal(await pong(conn), 'pong');
  await conn.close();
});

test('closing a server closes its connections with 1001, which is no error', async () => {
  const server = await serve(ping, { host: '127.0.0.1', port: 0, traceScope: 'connection' });
  const conn = await connect(`ws://127.0.0.1:${server.port}`, { traceScope: 'connection' });
  await server.close();
  assert.deepEqual(await conn.closed, { code: 1001, reason: '' });
  await until(() => sdk.spans('websocket.connection').length === 2);
  for (const span of sdk.spans('websocket.connection')) {
    assert.equal(span.attributes['websocket.close.code'], 1001);
    assert.equal(span.attributes['error.type'], undefined);
  }
  assert.equal(await conn.recv(), undefined);
});

test('a span that is current while serve is called is no HTTP span of its connections', async (t) => {
  let server;
  const startup = await sdk.inSpan('startup', async () => {
    server = await serve(ping, { host: '127.0.0.1', port: 0 });
  });
  t.after(() => server.close());
  const conn = await context.with(ROOT_CONTEXT, () => connect(`ws://127.0.0.1:${server.port}`));
  assert.equal(await pong(conn), 'pong');
  await conn.close();
  await until(() => sdk.spans('ping').length === 2);
  const handshake = sdk.span('websocket.handshake', 'SERVER');
  assert.deepEqual(linkIds(sdk.span('ping', 'SERVER')), [id(handshake)]);
  assert.notEqual(handshake.spanContext().traceId, startup.spanContext().traceId);
});
