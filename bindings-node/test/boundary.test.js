// The boundary to the addon: the sans-IO connection as a whole, wrong arguments, memory, workers.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Worker } = require('node:worker_threads');
const { TraceFlags, propagation } = require('@opentelemetry/api');
const { Connection, HandshakeRequest, SessionRegistry, TracedConnection, WirespanError, names } = require('wirespan');
const { connect, serve } = require('wirespan/ws');
const { native } = require('../lib/native.js');

const entropy = Buffer.alloc(16, 7);
const span = (digit) => ({ traceId: digit.repeat(32), spanId: digit.repeat(16), traceFlags: TraceFlags.SAMPLED });

/** Two open ends without any transport. */
function ends(clientOptions = {}, serverOptions = {}) {
  const client = Connection.client(clientOptions, { address: 'localhost', port: 80, entropy });
  client.planHandshake({ current: false });
  const { headers } = client.request({ host: 'localhost', current: span('a') });
  const request = new HandshakeRequest(Object.fromEntries(headers), undefined);
  const server = Connection.server(serverOptions, request, { registry: new SessionRegistry(), remote: '::1', entropy });
  server.planHandshake();
  client.openClient(server.response(request).headers, 0);
  server.openServer(0);
  return { client, server };
}

function events(connection) {
  const all = [];
  for (let event = connection.pollEvent(); event !== undefined; event = connection.pollEvent()) all.push(event);
  return all;
}

test('the sans-IO connection does a handshake, a call and its end', () => {
  const client = Connection.client({ session: 's-1' }, { address: 'localhost', port: 8080, entropy });
  const [plan] = client.planHandshake({ current: true });
  assert.deepEqual(plan, {
    span: 1,
    name: 'websocket.handshake',
    kind: 'CLIENT',
    parent: 'current',
    remote: undefined,
    links: [],
    attributes: {
      'network.protocol.name': 'websocket',
      'server.address': 'localhost',
      'server.port': 8080,
      'websocket.session.id': 's-1',
    },
  });
  client.spanStarted(1, span('a'));
  const additions = client.request({ host: 'localhost', current: span('a') });
  assert.deepEqual(additions, {
    headers: [
      ['wirespan', '1;session=s-1'],
      ['traceparent', `00-${'a'.repeat(32)}-${'a'.repeat(16)}-01`],
    ],
    subprotocol: undefined,
    query: undefined,
  });
  const request = new HandshakeRequest([...additions.headers.flat(), 'sec-websocket-protocol', 'chat, wirespan.v1'], 'x=y');
  assert.equal(request.proposedSession, 's-1');
  assert.deepEqual(request.applicationSubprotocols, ['chat']);
  const registry = new SessionRegistry({ maxSessions: 10, maxPerRemote: 5 });
  const server = Connection.server({}, request, { registry, remote: '10.0.0.1', entropy });
  const [accepted] = server.planHandshake();
  assert.equal(accepted.parent, 'remote');
  assert.deepEqual(accepted.remote, { ...span('a'), isRemote: true });
  assert.deepEqual(server.response(request, 'chat'), { headers: [['wirespan', '1;session=s-1']], subprotocol: undefined });
  server.openServer(5);
  client.openClient(['Wirespan', '1;session=s-1'], 5n);
  assert.deepEqual(client.peer, { known: 'announced', version: 1 });
  assert.deepEqual(
    [client.role, client.isOpen, client.isReady, client.mayRead, client.openStreams],
    ['client', true, true, true, 0],
  );
  assert.deepEqual([server.role, server.sessionId, server.connectionId, server.superseded], ['server', 's-1', 1, undefined]);
  assert.equal(registry.size, 1);
  assert.deepEqual(
    events(client).map((event) => [event.type, event.span, event.status]),
    [['spanEnd', 1, 'unset']],
  );

  server.setMethods(['add']);
  const { stream, plan: call } = client.planCall('add', span('b'), 10);
  assert.deepEqual([call.name, call.kind, call.parent, call.links[0].spanId], ['add', 'CLIENT', 'current', 'a'.repeat(16)]);
  const baggage = propagation.createBaggage({ user: { value: 'x' } });
  const frame = client.send(stream, { a: 1 }, { spanContext: span('c'), baggage, headers: { part: '1' }, last: true }, 11);
  assert.equal(frame.form, 'text');
  assert.equal(
    frame.bytes.toString(),
    `{"headers":{"traceparent":"00-${'c'.repeat(32)}-${'c'.repeat(16)}-01","kind":"call","method":"add","stream":"1","end":"1","part":"1"},"body":{"a":1}}`,
  );
  assert.equal(server.nextDeadline, Number.POSITIVE_INFINITY);
  const received = server.receive(frame.bytes, false, 20);
  assert.equal(server.nextDeadline, 20 + 300e9);
  assert.equal(received.opened.plan.remote.spanId, 'c'.repeat(16));
  assert.deepEqual([received.opened.kind, received.opened.method, received.opened.registered], ['call', 'add', true]);
  assert.deepEqual(
    [received.payload.toString(), received.headers, received.baggage, received.link],
    ['{"a":1}', [['part', '1']], undefined, undefined],
  );
  assert.equal(received.payload.buffer, frame.bytes.buffer, 'the payload is a view');
  server.take(received.stream, received.payload.length, 21);
  assert.deepEqual(
    events(server).filter((event) => event.type === 'readEnd'),
    [{ type: 'readEnd', stream: 2, complete: true, kind: undefined, errorType: undefined }],
  );
  assert.equal(server.metrics(received.stream).received.chunks, 1);
  const answer = server.send(received.stream, Buffer.from('12'), {}, 30);
  assert.equal(answer.form, 'binary');
  assert.equal(client.receive(answer.bytes, true, 40).payload.toString(), '12');
  server.leave(received.stream, 50);
  const [last, ended] = events(server);
  assert.deepEqual([last.type, last.form, ended.type, ended.outcome], ['frame', 'binary', 'spanEnd', 'complete']);
  assert.equal(ended.metrics.sent.bytes, 2);
  client.receive(last.bytes, true, 60);
  const over = events(client).find((event) => event.type === 'spanEnd');
  assert.equal(over.attributes['websocket.stream.received.time_to_first_chunk'], 29e-9);
  assert.equal(over.metrics.received.timeToFirstChunkNs, 29);
  assert.deepEqual(client.resumption, { sessionId: 's-1', span: { ...span('a'), isRemote: true } });
  client.onClose(undefined, '', 70);
  assert.equal(client.isOpen, false);
  assert.throws(() => client.send(0, 'x', {}, 71), { code: 'closed' });
  assert.equal(Object.keys(client.counters).join(), names.counters.join());
});

test('text, JSON, bytes and no body go out as told', () => {
  const { client, server } = ends({ mode: 'always' }, { mode: 'always' });
  const { stream } = client.planCall(undefined, undefined, 0);
  const get = (body, options) => {
    const { bytes, form } = client.send(stream, body, options, 1);
    return [form, server.receive(bytes, form === 'binary', 2).payload];
  };
  assert.deepEqual(get('plain'), ['text', 'plain']);
  assert.deepEqual(get('lone \ud800'), ['text', 'lone \ufffd']);
  assert.deepEqual(get(' [1] '), ['text', Buffer.from(' [1] ')]);
  assert.deepEqual(get(Buffer.from('{"n":1e400}'), { json: true }), ['text', Buffer.from('{"n":1e400}')]);
  assert.deepEqual(get(Buffer.from('é'), { text: true }), ['text', 'é']);
  assert.deepEqual(get(new Uint16Array([258])), ['binary', Buffer.from([2, 1])]);
  assert.deepEqual(get(new DataView(new ArrayBuffer(2))), ['binary', Buffer.alloc(2)]);
  assert.deepEqual(get(new SharedArrayBuffer(2)), ['binary', Buffer.alloc(2)]);
  assert.deepEqual(get(undefined, { last: true }), ['binary', undefined]);
  assert.throws(() => client.send(0, Buffer.from([0xff]), { text: true }, 3), { code: 'invalid_argument', field: 'body' });
});

test('frames larger than the slab, and frames that fill it, are whole', () => {
  const { client, server } = ends();
  for (const size of [0, 1, 1000, 65535, 65536, 65537, 300_000, 1 << 20]) {
    for (let n = 0; n < 5; n++) {
      const body = Buffer.alloc(size, n + 1);
      const { bytes } = client.send(0, body, { spanContext: span('d') }, 1);
      const got = server.receive(bytes, true, 2);
      assert.ok(got.payload.equals(body), `${size} bytes`);
      assert.equal(got.spanContext.spanId, 'd'.repeat(16));
      const text = 'é'.repeat(size / 2);
      const { bytes: sent } = client.send(0, text, { spanContext: span('d') }, 1);
      assert.equal(server.receive(sent, false, 2).payload, text);
    }
  }
  // A body that lies in the slab itself.
  const { bytes } = client.send(0, 'x'.repeat(1000), {}, 1);
  const whole = Buffer.from(bytes.buffer);
  assert.ok(client.send(0, whole, {}, 1).bytes.equals(whole));
});

test('long texts are made around the text, with any head', () => {
  const { client, server } = ends();
  for (const size of [4095, 4096, 4097, 20_000, 300_000]) {
    for (const headers of [undefined, { long: 'x'.repeat(2000) }]) {
      for (const text of [
        JSON.stringify('é'.repeat(size / 2)),
        JSON.stringify('x'.repeat(size)),
        `no JSON ${'y'.repeat(size)}`,
      ]) {
        for (const json of text.startsWith('n') ? [false] : [false, true]) {
          const { bytes } = client.send(0, text, { spanContext: span('d'), headers, json }, 1);
          const { payload, spanContext, headers: own } = server.receive(bytes, false, 2);
          assert.equal(payload.toString(), text);
          assert.equal(spanContext.spanId, 'd'.repeat(16));
          assert.deepEqual(own, headers === undefined ? [] : Object.entries(headers));
        }
      }
    }
  }
  const bare = Connection.client({ mode: 'never' }, { entropy });
  bare.openClient([], 0);
  const text = 'z'.repeat(10_000);
  assert.equal(bare.send(0, text, {}, 1).bytes.toString(), text);
});

test('a sending that fails leaves no context for the next one', () => {
  const { client, server } = ends();
  const [first, second] = [span('1'), span('2')];
  const sent = (spanContext) => server.receive(client.send(0, 'x', { spanContext }, 1).bytes, false, 2).spanContext?.spanId;
  assert.equal(sent(first), '1'.repeat(16));
  assert.throws(() => client.send(0, 'x', { spanContext: second, headers: { traceparent: '' } }, 1), {
    code: 'invalid_argument',
  });
  assert.throws(() => client.send(99, 'x', { spanContext: second }, 1), { code: 'invalid_state' });
  assert.equal(sent(first), '1'.repeat(16));
  assert.equal(sent(second), '2'.repeat(16));
  const odd = [
    { ...second, traceId: 'zz' },
    { ...second, spanId: undefined },
    { ...second, traceId: '\u0161'.repeat(32) },
  ];
  for (const spanContext of odd) assert.equal(sent(spanContext), undefined);
  assert.equal(sent(second), '2'.repeat(16));
  const vendor = { ...second, traceState: { serialize: () => 'a=1' } };
  const received = server.receive(client.send(0, 'x', { spanContext: vendor }, 1).bytes, false, 2);
  assert.equal(received.spanContext.traceState.serialize(), 'a=1');
  assert.equal(
    server.receive(client.send(0, 'x', { spanContext: first }, 1).bytes, false, 2).spanContext.traceState,
    undefined,
  );
});

test('wrong arguments say what is wrong', async () => {
  const { client } = ends();
  const rows = [
    [() => Connection.client({ mode: 'sometimes' }, { entropy }), 'mode', /one of "auto", "always", "never"/],
    [() => Connection.client({ modus: 1 }, { entropy }), 'modus', /is no option/],
    [() => Connection.client({ maxStreams: 0 }, { entropy }), 'maxStreams', /maxStreams: must be from 1 to 1024/],
    [() => Connection.client({ maxStreams: 1.5 }, { entropy }), 'maxStreams', /whole number/],
    [() => Connection.client({ idleTimeoutMs: -1 }, { entropy }), 'idleTimeoutMs', /not negative/],
    [() => Connection.client({ session: 'a b' }, { entropy }), 'session', /1 to 128 characters/],
    [() => Connection.client({ baggageIn: [1] }, { entropy }), 'baggageIn', /list of names/],
    [() => Connection.client({}, { entropy: Buffer.alloc(3) }), 'entropy', /16 bytes/],
    [() => Connection.client({}, { entropy: 'x' }), 'entropy', /Buffer/],
    [() => Connection.client({}, { entropy, port: 99999 }), 'port', /65535/],
    [() => Connection.server({}, {}, { entropy }), 'request', /HandshakeRequest/],
    [() => new Connection(1), 'Connection', /Connection.client/],
    [() => new TracedConnection(), 'TracedConnection', /connect\(\)/],
    [() => client.planCall('a b', undefined, 0), 'method', /visible ASCII/],
    [() => client.planCall('x', undefined, -1), 'now', /not negative/],
    [() => client.planCall('x', undefined, 'soon'), 'now', /number or bigint/],
    [() => client.send(0, undefined, {}, 0), 'body', /must be given/],
    [() => client.send(0, () => {}, {}, 0), 'body', /JSON can hold/],
    [() => client.send(0, 'x', { headers: { TraceParent: 'x' } }, 0), 'header TraceParent', /reserved/],
    [() => client.send(0, 'x', { headers: 'x' }, 0), 'headers', /object or an array/],
    [() => client.receive('text', false, 0), 'message', /Buffer/],
    [() => client.count('nothing'), 'counter', /no counter/],
    [() => client.setPlainPolicy('lose'), 'policy', /one of/],
    [() => new HandshakeRequest(null), 'headers', /object or an array/],
  ];
  for (const [action, field, message] of rows) {
    assert.throws(action, (error) => {
      assert.ok(error instanceof WirespanError, String(error));
      assert.deepEqual([error.code, error.field], ['invalid_argument', field], action.toString());
      assert.match(error.message, message);
      return true;
    });
  }
  const rejected = [
    [connect('not a url'), 'url'],
    [connect('ftp://x'), 'url'],
    [connect('ws://x', { mood: 1 }), 'mood'],
    [connect('ws://x', { handlers: { a: 1 } }), 'handlers'],
    [serve({ a: 1 }), 'handlers'],
    [serve({}, { trust: 'maybe', port: 0 }), 'trust'],
    [serve({}, { vouch: true }), 'vouch'],
    [serve({}, { registry: {} }), 'registry'],
  ];
  for (const [promise, field] of rejected) await assert.rejects(promise, { code: 'invalid_argument', field });
});

test('a detached Buffer is an error, never a use after free', () => {
  const { client } = ends();
  const buffer = new Uint8Array(100);
  structuredClone(buffer.buffer, { transfer: [buffer.buffer] });
  assert.throws(() => client.receive(buffer, true, 0), { code: 'invalid_argument', field: 'message', message: /detached/ });
  assert.throws(() => client.send(0, buffer, {}, 0), { code: 'invalid_argument', field: 'body', message: /detached/ });
  assert.equal(client.receive(new Uint8Array(0), true, 0).payload.length, 0, 'an empty one is an empty message');
});

test('a frame whose memory is given to another thread takes nothing of later frames along', async () => {
  const { client, server } = ends();
  const { bytes } = client.send(0, 'one', { spanContext: span('e') }, 0);
  const kept = bytes.toString();
  const moved = structuredClone(bytes, { transfer: [bytes.buffer] });
  assert.equal(bytes.length, 0, 'the memory has left');
  assert.equal(Buffer.from(moved).toString(), kept);
  for (let n = 0; n < 2000; n++) {
    const received = server.receive(client.send(0, `later ${n}`, { spanContext: span('e') }, 1).bytes, false, 2);
    assert.equal(received.payload, `later ${n}`);
    if (n % 100 === 0) {
      const worker = new Worker('require("node:worker_threads").parentPort.once("message", () => {})', { eval: true });
      const frame = client.send(0, 'x', {}, 1).bytes;
      worker.postMessage(frame, [frame.buffer]);
      await worker.terminate();
    }
  }
  assert.equal(Buffer.from(moved).toString(), kept);
});

test('freed objects answer with an error, and forgotten ones are freed', async () => {
  const { client } = ends();
  client.free();
  client.free();
  assert.throws(() => client.receive(Buffer.alloc(1), true, 0), { code: 'invalid_state' });
  const before = native.handles();
  (() => {
    for (let n = 0; n < 100; n++) ends();
  })();
  assert.ok(native.handles() >= before + 400);
  for (let n = 0; native.handles() > before && n < 500; n++) {
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.ok(native.handles() <= before, `${native.handles()} handles are left`);
});

test('the addon refuses foreign arguments without a crash', () => {
  for (const name of Object.keys(native)) {
    for (const args of [
      [],
      [undefined],
      [{}],
      ['x', 'y', 'z'],
      [4294967295, 1, Buffer.alloc(1), 0, Buffer.alloc(1), 9, 1, ['a']],
      [Symbol('s'), 1n],
      [-1, Number.NaN, Number.POSITIVE_INFINITY],
    ]) {
      try {
        native[name](...args);
      } catch (error) {
        assert.ok(error instanceof WirespanError, `${name}: ${error}`);
        assert.notEqual(error.code, 'panic', `${name}: ${error.message}`);
      }
    }
  }
});

test('each worker has its own instance, and an exit in the middle harms nobody', async () => {
  const script = `
    const { workerData, parentPort } = require('node:worker_threads');
    const { connect } = require('wirespan/ws');
    (async () => {
      const conn = await connect(workerData.url);
      const text = await conn.call('echo', async (call) => { await call.send('from a worker', { last: true }); return String(await call.recv()); });
      parentPort.postMessage(text);
      if (workerData.exit) process.exit(0);
      await conn.close();
    })();`;
  const server = await serve(
    {
      echo: async (call) => {
        await call.send((await call.recv()).data);
      },
    },
    { host: '127.0.0.1', port: 0 },
  );
  const url = `ws://127.0.0.1:${server.port}`;
  const run = (exit) =>
    new Promise((resolve, reject) => {
      const worker = new Worker(script, { eval: true, workerData: { url, exit } });
      let text;
      worker.on('message', (message) => {
        text = message;
      });
      worker.on('error', reject);
      worker.on('exit', () => resolve(text));
    });
  const texts = await Promise.all([run(false), run(true), run(false), run(true)]);
  assert.deepEqual(texts, Array(4).fill('from a worker'));
  await server.close();
});

test('strings of every length and alphabet arrive as they were, from the slab and from memory of their own', () => {
  const { client, server } = ends();
  const alphabets = ['a', '\u00e9', '\u4e2d', '\u{1f600}', 'a\u00e9\u4e2d\u{1f600}'];
  // Around where strings are read in another way, and where they get memory of their own.
  const lengths = [0, 1, 2, 255, 510, 511, 512, 513, 1535, 1536, 4095, 4096, 4097, 20000, 70000];
  for (const alphabet of alphabets) {
    for (const length of lengths) {
      const text = alphabet.repeat(length).slice(0, length).toWellFormed();
      const plain = server.receive(client.send(0, text, {}, 1).bytes, false, 1);
      assert.equal(plain._text, text);
      const json = server.receive(client.send(0, JSON.stringify(text), { json: true }, 1).bytes, false, 1);
      assert.equal(JSON.parse(json.payload), text);
    }
  }
});
