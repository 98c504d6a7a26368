const assert = require('node:assert/strict');
const net = require('node:net');
const { after, before, beforeEach, test } = require('node:test');
const { SpanStatusCode, context, trace } = require('@opentelemetry/api');
const { WebSocket, WebSocketServer } = require('ws');
const { connect, serve } = require('wirespan/ws');
const { id, linkIds, setUp, until } = require('./helpers/sdk.js');

let sdk;
before(() => {
  sdk = setUp();
});
beforeEach(() => sdk.reset());
after(() => sdk.tearDown());

/** A TCP relay whose connections can be cut without a word. */
async function relay(t, port) {
  const pairs = new Set();
  const server = net.createServer((near) => {
    const far = net.connect(port, '127.0.0.1');
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) socket.on('error', () => {});
    pairs.add([near, far]);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const cut = () => {
    for (const pair of pairs) for (const socket of pair) socket.resetAndDestroy();
    pairs.clear();
  };
  t.after(() => {
    cut();
    server.close();
  });
  return { port: server.address().port, cut };
}

/** A server without Wirespan that keeps what it got. */
async function rawServer(t, onMessage = () => {}) {
  const wss = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await new Promise((resolve) => wss.on('listening', resolve));
  const got = [];
  wss.on('connection', (socket) =>
    socket.on('message', (data, binary) => {
      got.push([binary, data.toString('latin1')]);
      onMessage(socket, data, binary);
    }),
  );
  t.after(() => wss.close());
  return { url: `ws://127.0.0.1:${wss.address().port}`, got, wss };
}

test('messages with room for headers carry the context there, and arrive whole', async (t) => {
  const { url, got } = await rawServer(t, (socket, data, binary) => socket.send(data, { binary }));
  const conn = await connect(url, { profile: 'seed', naming: 'loongsuite' });
  const job = trace.getTracer('test').startSpan('job');
  await context.with(trace.setSpan(context.active(), job), () => conn.send('{ "headers": null, "body": {"n": 1.0} }'));
  const answer = await conn.recv();
  job.end();
  const { traceId, spanId } = job.spanContext();
  const sent = `{ "headers": {"traceparent":"00-${traceId}-${spanId}-01"}, "body": {"n": 1.0} }`;
  assert.deepEqual(got, [[false, sent]]);
  assert.equal(answer.text, sent);
  assert.equal(trace.getSpanContext(answer.context).spanId, spanId);
  await conn.call('ask', async (call) => {
    await call.send('{}', { last: true });
    assert.match(String(await call.recv()), /^\{"headers":\{"traceparent":"/);
  });
  await conn.close();
  assert.equal(sdk.spans('Client send message', 'CLIENT').length, 1);
});

test('to a peer that does not know Wirespan every message goes byte for byte', async (t) => {
  const { url, got } = await rawServer(t, (socket, data, binary) => socket.send(data, { binary }));
  const conn = await connect(url);
  assert.equal(conn.peer.known, 'unknown');
  await conn.send('{"headers":{"a":"b"},"body":1}');
  await conn.send(Buffer.from([0xff, 0x57, 1]), { headers: { lost: 'x' } });
  const answers = await conn.call('ask', async (call) => {
    await call.send(' {"n": 1e400 }');
    await call.send(Buffer.from([0, 0xff]));
    await call.send({ a: '\u2028' });
    const texts = [];
    // The answers to the plain messages came first, outside the call, or within it: nobody can tell them apart.
    while (texts.length < 3) {
      const message = await call.recv();
      if (!message.bytes.includes('headers') && message.bytes.length !== 3) texts.push(message.bytes.toString('latin1'));
    }
    return texts;
  });
  assert.deepEqual(got, [
    [false, '{"headers":{"a":"b"},"body":1}'],
    [true, '\xffW\x01'],
    [false, ' {"n": 1e400 }'],
    [true, '\0\xff'],
    [false, '{"a":"\xe2\x80\xa8"}'],
  ]);
  assert.deepEqual(
    answers,
    got.slice(2).map(([, bytes]) => bytes),
  );
  assert.equal(conn.counters.dropped_header, 1);
  assert.throws(
    () => {
      conn.call('one');
      conn.call('two');
    },
    { code: 'busy' },
  );
  await conn.close();
  assert.equal(sdk.span('ask', 'CLIENT').attributes['websocket.stream.outcome'], 'complete');
});

test('from a client that does not know Wirespan every message arrives byte for byte', async (t) => {
  const got = [];
  const server = await serve(
    {},
    {
      host: '127.0.0.1',
      port: 0,
      onMessage: (message, conn) => {
        got.push(message.data);
        conn.send(message.data);
      },
    },
  );
  t.after(() => server.close());
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}`, ['chat', 'other']);
  const back = [];
  const headers = new Promise((resolve) => socket.on('upgrade', (response) => resolve(response.headers)));
  await new Promise((resolve) => socket.on('open', resolve));
  socket.on('message', (data) => back.push(data.toString()));
  const spoof =
    '{"headers":{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","kind":"call","stream":"1"},"body":1}';
  socket.send(spoof);
  socket.send(Buffer.from('bytes'));
  await until(() => back.length === 2);
  assert.deepEqual(got, [spoof, Buffer.from('bytes')]);
  assert.deepEqual(back, [spoof, 'bytes']);
  assert.equal((await headers).wirespan, undefined);
  assert.equal(socket.protocol, 'chat');
  socket.close();
});

test('a peer that sends garbage neither throws nor leaves anything open', async (t) => {
  const plain = [];
  const server = await serve(
    {
      echo: async (call) => {
        for await (const message of call) await call.send(message.data);
      },
    },
    {
      host: '127.0.0.1',
      port: 0,
      onMessage: (message) => plain.push(message.data),
    },
  );
  t.after(() => server.close());
  const socket = new WebSocket(`ws://127.0.0.1:${server.port}`, {
    headers: { wirespan: '1;session=x y', traceparent: 'zz', tracestate: '=\u00ff' },
  });
  await new Promise((resolve) => socket.on('open', resolve));
  const garbage = [
    '',
    '{',
    '{"headers":{',
    '{"headers":{"a":1},"body":1}',
    '\u0000',
    `{"headers":{"x":"${'y'.repeat(20000)}"},"body":0}`,
    '['.repeat(100000),
    Buffer.from([0xff, 0x57]),
    Buffer.from([0xff, 0x57, 1, 0, 0xff, 0xff]),
    Buffer.from([0xff, 0x57, 9, 0, 0, 0]),
    Buffer.from([0xff]),
    Buffer.from([0xff, 0x57, 1, 1, 0, 1, 0]),
  ];
  const envelopes = [
    '{"headers":{"traceparent":"00-00"},"body":10}',
    '{"headers":{"stream":"99999999999","kind":"call"},"body":11}',
    '{"headers":{"stream":"2","kind":"call"},"body":12}',
    '{"headers":{"stream":"7","seq":"3"},"body":13}',
    '{"headers":{"kind":"call","stream":"1","KIND":"call"},"body":14}',
  ];
  for (const message of [...garbage, ...envelopes]) socket.send(message);
  await until(() => plain.length === garbage.length + envelopes.length);
  assert.deepEqual(plain.splice(garbage.length), ['10', '11', '12', '13', '14']);
  const [conn] = server.connections;
  assert.equal(conn.openStreams, 0);
  assert.equal(conn.counters.role, 1);
  assert.equal(conn.counters.unmatched, 1);
  assert.equal(conn.counters.header_repeated, 1);
  assert.equal(conn.counters.head_too_long, 1);
  assert.deepEqual(plain, garbage);
  socket.terminate();
  await until(() => server.connections.size === 0);
  assert.deepEqual(
    sdk.finished().map((span) => span.name),
    ['websocket.handshake'],
  );
});

test('TCP cut in the middle of a stream: all spans end with errors, and a reconnect links both sides', async (t) => {
  let serving = 0;
  const ended = [];
  const server = await serve(
    {
      stream: async (call) => {
        serving += 1;
        try {
          for await (const message of call) await call.send(message.data);
        } catch (error) {
          ended.push(error.code);
          throw error;
        }
      },
    },
    { host: '127.0.0.1', port: 0 },
  );
  t.after(() => server.close());
  const { port, cut } = await relay(t, server.port);
  const conn = await connect(`ws://127.0.0.1:${port}`);
  const error = await conn
    .call('stream', async (call) => {
      for (let n = 0; n < 5; n++) {
        await call.send({ n });
        await call.recv();
      }
      cut();
      await call.recv();
    })
    .catch((thrown) => thrown);
  assert.equal(error.code, 'closed');
  assert.equal((await conn.closed).code, 1006);
  await until(() => server.connections.size === 0 && sdk.spans('stream').length === 2);
  assert.equal(serving, 1);
  assert.deepEqual(ended, ['closed']);
  const before = {};
  for (const kind of ['CLIENT', 'SERVER']) {
    const span = sdk.span('stream', kind);
    assert.equal(span.status.code, SpanStatusCode.ERROR);
    assert.equal(span.attributes['error.type'], 'closed');
    assert.equal(span.attributes['websocket.stream.outcome'], 'error');
    assert.equal(span.attributes['websocket.stream.received.chunks'], 5);
    before[kind] = sdk.span('websocket.handshake', kind);
  }
  await assert.rejects(conn.send('x'), { code: 'closed' });
  assert.throws(() => conn.call('stream'), { code: 'closed' });

  sdk.reset();
  const again = await connect(`ws://127.0.0.1:${port}`, { session: conn.resumption });
  assert.equal(again.sessionId, conn.sessionId);
  await again.call('stream', async (call) => {
    await call.send('x', { last: true });
    assert.equal(String(await call.recv()), 'x');
  });
  await again.close();
  await until(() => sdk.spans('stream').length === 2);
  for (const kind of ['CLIENT', 'SERVER']) {
    assert.deepEqual(linkIds(sdk.span('websocket.handshake', kind)), [id(before[kind])]);
    assert.deepEqual(linkIds(sdk.span('stream', kind)), [id(sdk.span('websocket.handshake', kind))]);
    assert.equal(sdk.span('stream', kind).attributes['websocket.session.id'], conn.sessionId);
  }
});

test('of eight calls one stalls: the others resume, no ping times out, memory stays bounded', async (t) => {
  const blob = Buffer.alloc(16 * 1024, 1);
  const server = await serve(
    {
      flood: async (call) => {
        await call.recv();
        for (let n = 0; n < 200; n++) await call.send(blob);
      },
    },
    { host: '127.0.0.1', port: 0 },
  );
  t.after(() => server.close());
  // The waiting time is an option: the test lowers it from its 5 s.
  const conn = await connect(`ws://127.0.0.1:${server.port}`, { maxUnread: 16, overflowWaitMs: 500 });
  let lastPong = Date.now();
  let longest = 0;
  const [socket] = server.wss.clients;
  socket.on('pong', () => {
    lastPong = Date.now();
  });
  const pings = setInterval(() => {
    longest = Math.max(longest, Date.now() - lastPong);
    socket.ping();
  }, 50);
  t.after(() => clearInterval(pings));
  const memory = process.memoryUsage().rss;
  const started = Date.now();
  const stalled = conn.call('flood');
  await stalled.send('go', { last: true });
  const others = await Promise.all(
    Array.from({ length: 7 }, () =>
      conn.call('flood', async (call) => {
        await call.send('go', { last: true });
        let count = 0;
        for await (const message of call) count += message.bytes.length;
        return count;
      }),
    ),
  );
  assert.deepEqual(others, Array(7).fill(200 * blob.length));
  assert.ok(Date.now() - started < 5000, `resumed after ${Date.now() - started} ms`);
  assert.ok(longest < 5000, `a ping was open for ${longest} ms`);
  await assert.rejects(
    async () => {
      for await (const _ of stalled);
    },
    { code: 'overflow' },
  );
  assert.equal(conn.counters.overflow, 1);
  assert.ok(process.memoryUsage().rss - memory < 100 * 1024 * 1024);
  await until(() => sdk.spans('flood', 'CLIENT').length === 8);
  const failed = sdk.spans('flood', 'CLIENT').filter((span) => span.attributes['error.type'] === 'overflow');
  assert.equal(failed.length, 1);
  await conn.close();
});

test('a slow transport makes send wait', async (t) => {
  const server = await serve(
    {
      slow: async (call) => {
        await call.recv();
        await new Promise((resolve) => call.signal.addEventListener('abort', resolve));
      },
    },
    { host: '127.0.0.1', port: 0, maxUnread: 1 },
  );
  t.after(() => server.close());
  const conn = await connect(`ws://127.0.0.1:${server.port}`);
  const call = conn.call('slow');
  await call.send('x');
  const blob = Buffer.alloc(1024 * 1024);
  let waited = false;
  for (let n = 0; n < 64 && !waited; n++) {
    waited = await Promise.race([
      call.send(blob).then(
        () => false,
        () => true,
      ),
      new Promise((resolve) => setTimeout(resolve, 100, true)),
    ]);
  }
  assert.equal(waited, true);
  call.cancel();
  await conn.close();
});

test('a call that is silent for too long ends with timeout', async (t) => {
  const server = await serve({ wait: (call) => call.recv().then(() => call.recv()) }, { host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  const conn = await connect(`ws://127.0.0.1:${server.port}`, { idleTimeoutMs: 50 });
  const error = await conn
    .call('wait', async (call) => {
      await call.send('x');
      await call.recv();
    })
    .catch((thrown) => thrown);
  assert.equal(error.code, 'timeout');
  await conn.close();
  assert.equal(sdk.span('wait', 'CLIENT').attributes['error.type'], 'timeout');
});

test('a handshake that fails ends its span and says why', async (t) => {
  const { url, wss } = await rawServer(t);
  wss.options.verifyClient = (_, done) => done(false, 403);
  await assert.rejects(connect(url), { code: 'io', message: /403/ });
  assert.equal(sdk.span('websocket.handshake', 'CLIENT').attributes['error.type'], '403');
  sdk.reset();
  await assert.rejects(connect('ws://127.0.0.1:1'), { code: 'io' });
  assert.equal(sdk.span('websocket.handshake', 'CLIENT').attributes['error.type'], 'ECONNREFUSED');
  assert.equal(sdk.span('websocket.handshake', 'CLIENT').status.code, SpanStatusCode.ERROR);
  const stop = new AbortController();
  const silent = net.createServer(() => {});
  await new Promise((resolve) => silent.listen(0, '127.0.0.1', resolve));
  t.after(() => silent.close());
  setTimeout(() => stop.abort(), 20);
  await assert.rejects(connect(`ws://127.0.0.1:${silent.address().port}`, { signal: stop.signal }), { name: 'AbortError' });
});

test('a port in use is an error that names it', async (t) => {
  const { wss } = await rawServer(t);
  await assert.rejects(serve({}, { host: '127.0.0.1', port: wss.address().port }), { code: 'io', message: /EADDRINUSE/ });
});

test('clients that cannot see headers are answered by a hello', async (t) => {
  const server = await serve(
    {
      echo: async (call) => {
        for await (const message of call) await call.send(message.data);
      },
    },
    { host: '127.0.0.1', port: 0 },
  );
  t.after(() => server.close());
  for (const options of [{ subprotocol: 'alone' }, { subprotocol: 'beside', protocols: ['chat'] }, { query: true }]) {
    const socket = new WebSocket(
      `ws://127.0.0.1:${server.port}/${options.query ? '?wirespan=1.abc' : ''}`,
      options.query ? [] : [...(options.protocols ?? []), 'wirespan.v1.abc'],
    );
    const hello = await new Promise((resolve) => socket.on('message', (data) => resolve(data.toString())));
    assert.equal(hello, '{"headers":{"wirespan":"1","role":"server","session":"abc","content":"none"},"body":null}');
    assert.equal(socket.protocol, options.query ? '' : (options.protocols?.[0] ?? 'wirespan.v1.abc'));
    await new Promise((resolve) => {
      socket.on('close', resolve);
      socket.close();
    });
    await until(() => server.connections.size === 0);
    const conn = await connect(`ws://127.0.0.1:${server.port}`, options);
    assert.equal(conn.peer.known, 'announced');
    await conn.close();
  }
});
