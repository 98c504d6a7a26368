const assert = require('node:assert/strict');
const { after, before, beforeEach, test } = require('node:test');
const { ROOT_CONTEXT, SpanStatusCode, context, propagation, trace } = require('@opentelemetry/api');
const { connect, serve } = require('wirespan/ws');
const { WirespanError } = require('wirespan');
const { id, linkIds, parentId, setUp, traceId, until } = require('./helpers/sdk.js');

let sdk;
before(() => {
  sdk = setUp();
});
beforeEach(() => sdk.reset());
after(() => sdk.tearDown());

/** A server and a client, closed when the test ends. */
async function pair(t, handlers, serverOptions = {}, clientOptions = {}) {
  const server = await serve(handlers, { host: '127.0.0.1', port: 0, ...serverOptions });
  const conn = await connect(`ws://127.0.0.1:${server.port}`, clientOptions);
  t.after(async () => {
    await conn.close();
    await server.close();
  });
  return { server, conn, peer: [...server.connections][0] };
}

async function echo(call) {
  for await (const message of call) await call.send(message.data);
}

test('a call makes a CLIENT and a SERVER span, child of each other, that link the handshakes', async (t) => {
  const { conn } = await pair(t, { echo });
  const root = await sdk.inSpan('root', async () => {
    const answer = await conn.call('echo', async (call) => {
      await call.send('hello', { last: true });
      const texts = [];
      for await (const message of call) texts.push(String(message));
      return texts;
    });
    assert.deepEqual(answer, ['hello']);
  });
  await until(() => sdk.spans('echo').length === 2);
  const client = sdk.span('echo', 'CLIENT');
  const server = sdk.span('echo', 'SERVER');
  assert.equal(parentId(client), id(root));
  assert.equal(parentId(server), id(client));
  assert.equal(server.parentSpanContext.isRemote, true);
  assert.equal(traceId(server), traceId(root));
  const handshake = sdk.span('websocket.handshake', 'CLIENT');
  assert.deepEqual(linkIds(client), [id(handshake)]);
  const accepted = sdk.span('websocket.handshake', 'SERVER');
  assert.deepEqual(linkIds(server), [id(accepted)]);
  assert.equal(parentId(accepted), id(handshake));
  for (const span of [client, server, handshake, accepted]) {
    assert.equal(span.attributes['websocket.session.id'], conn.sessionId);
    assert.equal(span.attributes['network.protocol.name'], 'websocket');
    assert.equal(span.attributes['server.address'], '127.0.0.1');
    assert.equal(span.status.code, SpanStatusCode.UNSET);
  }
  for (const span of [client, server]) {
    assert.equal(span.attributes['rpc.method'], 'echo');
    assert.equal(span.attributes['websocket.stream.outcome'], 'complete');
    assert.equal(span.attributes['websocket.stream.sent.chunks'], 1);
    assert.equal(span.attributes['websocket.stream.received.chunks'], 1);
    assert.equal(span.attributes['websocket.stream.received.bytes'], 5);
    assert.equal(typeof span.attributes['websocket.stream.received.time_to_first_chunk'], 'number');
  }
});

test('a stream is one span each side, with its metrics, and its context travels once', async (t) => {
  const frames = [];
  const { server, conn } = await pair(t, {
    count: async (call) => {
      for await (const message of call) {
        assert.equal(trace.getActiveSpan(), trace.getSpan(call.context));
        await call.send({ n: message.json() });
      }
      await call.send('done', { last: true });
    },
  });
  for (const socket of server.wss.clients) socket.on('message', (data) => frames.push(data.toString()));
  const metrics = await conn
    .call('count', async (call) => {
      for (let n = 0; n < 20; n++) await call.send(n);
      await call.end();
      const got = [];
      for await (const message of call) got.push(message.text);
      assert.equal(got.length, 21);
      assert.equal(got[19], '{"n":19}');
      assert.equal(got[20], 'done');
      return call;
    })
    .then((call) => call.metrics);
  assert.equal(metrics.sent.chunks, 20);
  assert.equal(metrics.received.chunks, 21);
  assert.equal(metrics.received.outcome, 'complete');
  assert.ok(metrics.received.timeToFirstChunk > 0 && metrics.received.timeToFirstChunk < 5);
  assert.equal(metrics.received.timeToFirstChunk, metrics.received.timeToFirstChunkNs / 1e9);
  await until(() => sdk.spans('count').length === 2);
  const span = sdk.span('count', 'SERVER');
  assert.equal(span.attributes['websocket.stream.received.chunks'], 20);
  assert.equal(span.attributes['websocket.stream.sent.chunks'], 21);
  assert.ok(span.attributes['websocket.stream.sent.interval.p99'] > 0);
  assert.equal(frames.filter((frame) => frame.includes('traceparent')).length, 1);
  assert.match(
    frames[0],
    /^\{"headers":\{"traceparent":"00-[0-9a-f]{32}-[0-9a-f]{16}-01","kind":"call","method":"count","stream":"1"\},"body":0\}$/,
  );
  assert.equal(frames[1], '{"headers":{"stream":"1","seq":"1"},"body":1}');
  assert.equal(frames[20], '{"headers":{"stream":"1","seq":"20","end":"1","content":"none"},"body":null}');
});

test('the server calls the client, and the kinds follow who calls', async (t) => {
  const { conn, peer } = await pair(
    t,
    {},
    {},
    {
      handlers: {
        confirm: async (call) => {
          const question = await call.recv();
          await call.send(`yes to ${question}`, { last: true });
        },
      },
    },
  );
  const answer = await sdk
    .inSpan('order', () =>
      peer
        .call('confirm', async (call) => {
          await call.send('the order?', { last: true });
          return (await call.recv()).text;
        })
        .then((text) => assert.equal(text, 'yes to the order?')),
    )
    .then(() => 'asked');
  assert.equal(answer, 'asked');
  await until(() => sdk.spans('confirm').length === 2);
  assert.equal(parentId(sdk.span('confirm', 'CLIENT')), id(sdk.span('order')));
  assert.equal(parentId(sdk.span('confirm', 'SERVER')), id(sdk.span('confirm', 'CLIENT')));
  assert.equal(sdk.span('confirm', 'CLIENT').attributes['websocket.session.id'], conn.sessionId);
  assert.deepEqual(linkIds(sdk.span('confirm', 'CLIENT')), [id(sdk.span('websocket.handshake', 'SERVER'))]);
});

test('a transfer is a PRODUCER span and a CONSUMER span of its own trace that links it', async (t) => {
  const seen = [];
  const { conn } = await pair(t, {
    upload: async (transfer) => {
      assert.equal(transfer.kind, 'transfer');
      for await (const message of transfer) seen.push(message.bytes.length);
      await assert.rejects(transfer.send('an answer'), { code: 'invalid_state' });
    },
  });
  const root = await sdk.inSpan('root', () =>
    conn.transfer('upload', async (transfer) => {
      await transfer.send(Buffer.alloc(1000));
      await transfer.send(Buffer.alloc(10), { last: true });
    }),
  );
  await until(() => sdk.spans('process upload').length === 1);
  assert.deepEqual(seen, [1000, 10]);
  const sent = sdk.span('send upload', 'PRODUCER');
  const processed = sdk.span('process upload', 'CONSUMER');
  assert.equal(parentId(sent), id(root));
  assert.equal(parentId(processed), undefined);
  assert.notEqual(traceId(processed), traceId(sent));
  assert.deepEqual(linkIds(processed), [id(sent)]);
});

test('a plain message carries the current context and makes no span', async (t) => {
  const got = [];
  const { conn, peer } = await pair(
    t,
    {},
    {
      onMessage: (message) => {
        got.push({ text: message.text, active: trace.getActiveSpan()?.spanContext(), headers: message.headers, message });
      },
    },
  );
  await conn.send('outside');
  const root = await sdk.inSpan('root', () => conn.send({ inside: true }, { headers: { part: 'one' } }));
  await until(() => got.length === 2);
  assert.equal(got[0].active, undefined);
  assert.equal(got[0].message.context, ROOT_CONTEXT);
  assert.equal(got[1].active.spanId, id(root));
  assert.equal(got[1].active.isRemote, true);
  assert.deepEqual(got[1].headers, [['part', 'one']]);
  assert.deepEqual(got[1].message.json(), { inside: true });
  // The other way, by recv() and run().
  await sdk.inSpan('news', () => peer.send(Buffer.from([1, 2])));
  const message = await conn.recv();
  assert.deepEqual([...message.data], [1, 2]);
  assert.equal(trace.getActiveSpan(), undefined, 'reading attaches nothing');
  const child = message.run(() => sdk.tracer.startSpan('work'));
  child.end();
  assert.equal(parentId(sdk.span('work')), id(sdk.span('news')));
  assert.deepEqual(
    sdk.finished((span) => span.name.startsWith('websocket ')),
    [],
  );
});

test('under trust link a server starts a new trace that links the caller', async (t) => {
  const plain = [];
  const { conn } = await pair(t, { echo }, { trust: 'link', onMessage: (message) => plain.push(message) });
  const root = await sdk.inSpan('root', async () => {
    await conn.call('echo', (call) => call.send('x', { last: true }));
    await conn.send('plain');
  });
  await until(() => sdk.spans('echo').length === 2 && plain.length === 1);
  const server = sdk.span('echo', 'SERVER');
  assert.equal(parentId(server), undefined);
  assert.notEqual(traceId(server), traceId(root));
  assert.deepEqual(linkIds(server), [id(sdk.span('echo', 'CLIENT')), id(sdk.span('websocket.handshake', 'SERVER'))]);
  assert.deepEqual(
    server.links.map((link) => link.context.isRemote),
    [true, false],
  );
  assert.equal(trace.getSpanContext(plain[0].context), undefined);
  assert.deepEqual(
    plain[0].links.map((link) => link.context.spanId),
    [id(root)],
  );
});

test('under trust ignore a server reads nothing of the caller', async (t) => {
  const { conn } = await pair(t, { echo }, { trust: 'ignore' });
  await conn.call('echo', (call) => call.send('x', { last: true }));
  await until(() => sdk.spans('echo').length === 2);
  const server = sdk.span('echo', 'SERVER');
  assert.equal(parentId(server), undefined);
  assert.deepEqual(linkIds(server), [id(sdk.span('websocket.handshake', 'SERVER'))]);
});

test('baggage passes the allow-lists of both sides only', async (t) => {
  const seen = [];
  const handlers = {
    look: () =>
      seen.push(
        propagation
          .getBaggage(context.active())
          ?.getAllEntries()
          .map(([key, { value }]) => `${key}=${value}`),
      ),
  };
  const baggage = propagation.createBaggage({
    user: { value: 'ann é=;,"' },
    secret: { value: 's' },
    __proto__x: { value: 'y' },
  });
  const call = (conn) =>
    context.with(propagation.setBaggage(ROOT_CONTEXT, baggage), () =>
      conn.call('look', (call) => call.send(1, { last: true })),
    );
  const closed = await pair(t, handlers);
  await call(closed.conn);
  const open = await pair(t, handlers, { baggageIn: ['user', 'secret'] }, { baggageOut: ['user', '__proto__x'] });
  await call(open.conn);
  await until(() => seen.length === 2);
  assert.deepEqual(seen, [undefined, ['user=ann é=;,"']]);
});

test('with the scope connection every span is in the trace of the connection span', async (t) => {
  const server = await serve({ echo }, { host: '127.0.0.1', port: 0, traceScope: 'connection' });
  t.after(() => server.close());
  const conn = await connect(`ws://127.0.0.1:${server.port}`, { traceScope: 'connection' });
  await conn.call('echo', (call) => call.send('x', { last: true }));
  await conn.close(1000, 'bye');
  await until(() => sdk.spans('websocket.connection').length === 2 && sdk.spans('echo').length === 2);
  const client = sdk.span('websocket.connection', 'CLIENT');
  assert.equal(parentId(sdk.span('echo', 'CLIENT')), id(client));
  const [handshake] = sdk.spans('websocket.handshake', 'INTERNAL').filter((span) => parentId(span) === id(client));
  assert.equal(parentId(sdk.span('websocket.connection', 'SERVER')), id(handshake));
  assert.equal(client.attributes['websocket.close.code'], 1000);
  assert.equal(client.status.code, SpanStatusCode.UNSET);
  assert.equal(new Set(sdk.finished().map(traceId)).size, 1);
});

test('an exception of a handler ends the call with its type on both sides', async (t) => {
  const { conn } = await pair(t, {
    fail: () => {
      throw new RangeError('out of range');
    },
  });
  const error = await conn
    .call('fail', async (call) => {
      await call.send('x');
      for await (const _ of call) assert.fail('no answer is expected');
    })
    .catch((thrown) => thrown);
  assert.ok(error instanceof WirespanError);
  assert.deepEqual([error.code, error.kind, error.errorType], ['remote', 'remote', 'RangeError']);
  await until(() => sdk.spans('fail').length === 2);
  for (const kind of ['CLIENT', 'SERVER']) {
    const span = sdk.span('fail', kind);
    assert.equal(span.status.code, SpanStatusCode.ERROR);
    assert.equal(span.attributes['error.type'], 'RangeError');
    assert.equal(span.attributes['websocket.stream.outcome'], 'error');
  }
  assert.equal(sdk.span('fail', 'SERVER').events[0].name, 'exception');
});

test('an exception in the block of a caller fails the call, and reaches the caller', async (t) => {
  let reached;
  const { conn } = await pair(t, {
    wait: async (call) => {
      try {
        for await (const _ of call);
      } catch (error) {
        reached = error;
        assert.equal(call.signal.aborted, true);
      }
    },
  });
  await assert.rejects(
    conn.call('wait', async (call) => {
      await call.send('x');
      throw new TypeError('mine');
    }),
    TypeError,
  );
  await until(() => reached !== undefined && sdk.spans('wait').length === 2);
  assert.deepEqual([reached.code, reached.errorType], ['remote', 'TypeError']);
  assert.equal(sdk.span('wait', 'CLIENT').events[0].attributes['exception.message'], 'mine');
});

test('a method that nobody serves, and a peer without handlers, answer unknown_method', async (t) => {
  const { conn, peer } = await pair(t, { echo });
  for (const caller of [conn, peer]) {
    const error = await caller
      .call('nothing', async (call) => {
        await call.send('x');
        await call.recv();
      })
      .catch((thrown) => thrown);
    assert.deepEqual([error.code, error.errorType], ['remote', 'unknown_method']);
  }
  await until(() => sdk.spans('websocket call', 'SERVER').length === 2);
  assert.equal(sdk.spans('nothing', 'SERVER').length, 0, 'a peer chooses no names');
});

test('aborting the signal cancels the call on both sides, which is no error', async (t) => {
  let reached;
  const { conn } = await pair(t, {
    wait: async (call) => {
      await call.send('started');
      await call
        .recv()
        .then(() => call.recv())
        .catch((error) => {
          reached = error;
        });
    },
  });
  const stop = new AbortController();
  const error = await conn
    .call('wait', { signal: stop.signal }, async (call) => {
      await call.send('x');
      await call.recv();
      setTimeout(() => stop.abort(new Error('enough')), 5);
      await call.recv();
    })
    .catch((thrown) => thrown);
  assert.equal(error.code, 'cancelled');
  assert.equal(error.cause.message, 'enough');
  await until(() => reached !== undefined && sdk.spans('wait').length === 2);
  assert.equal(reached.code, 'cancelled');
  for (const span of sdk.spans('wait')) {
    assert.equal(span.status.code, SpanStatusCode.UNSET);
    assert.equal(span.attributes['websocket.stream.outcome'], 'cancelled');
  }
  assert.throws(() => conn.call('wait', { signal: AbortSignal.abort() }), { code: 'cancelled' });
});

test('a call without a block is ended by hand, and leaving early abandons the reply', async (t) => {
  const { conn } = await pair(t, {
    many: async (call) => {
      await call.recv();
      for (let n = 0; n < 3; n++) await call.send(n);
      await new Promise((resolve) => setTimeout(resolve, 20));
    },
  });
  const call = conn.call('many');
  assert.equal(trace.getActiveSpan(), undefined);
  await call.send('x');
  assert.equal((await call.recv()).text, '0');
  await call[Symbol.asyncDispose]();
  assert.equal(call.ended, true);
  await assert.rejects(call.send('more'), { code: 'invalid_state' });
  await until(() => sdk.spans('many').length === 2);
  assert.equal(sdk.span('many', 'CLIENT').attributes['websocket.stream.outcome'], 'abandoned');
  assert.equal(sdk.span('many', 'CLIENT').status.code, SpanStatusCode.UNSET);
});

test('calls() hands out the calls of the peer', async (t) => {
  const server = await serve(
    {},
    {
      host: '127.0.0.1',
      port: 0,
      onConnection: async (conn) => {
        for await (const call of conn.calls()) {
          assert.equal(call.registered, false);
          await call.send(`mine: ${await call.recv()}`);
          call.leave();
        }
      },
    },
  );
  t.after(() => server.close());
  const conn = await connect(`ws://127.0.0.1:${server.port}`);
  const answer = await conn.call('any', async (call) => {
    await call.send('x', { last: true });
    return String(await call.recv());
  });
  assert.equal(answer, 'mine: x');
  await conn.close();
});

test('at most maxRunning handlers run at once', async (t) => {
  let running = 0;
  let most = 0;
  const { conn } = await pair(
    t,
    {
      work: async (call) => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 10));
        running -= 1;
        await call.send('ok');
      },
    },
    { maxRunning: 3 },
  );
  await Promise.all(
    Array.from({ length: 12 }, () =>
      conn.call('work', async (call) => {
        await call.send('x', { last: true });
        assert.equal(String(await call.recv()), 'ok');
      }),
    ),
  );
  assert.equal(most, 3);
});

test('what is not sampled makes no span, and its context still travels with the bit 0', async (t) => {
  const seen = [];
  const { conn } = await pair(t, {
    look: (call) => {
      seen.push(trace.getSpanContext(call.context));
    },
  });
  sdk.reset();
  const parent = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 0, isRemote: true };
  await context.with(trace.setSpanContext(ROOT_CONTEXT, parent), () =>
    conn.call('look', (call) => call.send('x', { last: true })),
  );
  await until(() => seen.length === 1);
  assert.equal(seen[0].traceId, parent.traceId);
  assert.equal(seen[0].traceFlags & 1, 0);
  assert.deepEqual(sdk.spans('look'), []);
});

test('the random flag of a trace is handed on by every span, sampled or not', async (t) => {
  const { conn } = await pair(t, {
    show: (call) => {
      const headers = {};
      propagation.inject(call.context, headers);
      return call.send(headers.traceparent);
    },
  });
  for (const flags of ['03', '02', '01', '00']) {
    const remote = propagation.extract(ROOT_CONTEXT, { traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-${flags}` });
    const shown = await context.with(remote, () =>
      conn.call('show', async (call) => {
        await call.send('', { last: true });
        return String(await call.recv());
      }),
    );
    assert.match(shown, new RegExp(`^00-a{32}-[0-9a-f]{16}-${flags}$`));
  }
});

test('sessions: the client proposes, the server adopts; a resumed connection links the earlier one', async (t) => {
  const server = await serve({ echo }, { host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  const first = await connect(`ws://127.0.0.1:${server.port}`, { session: 'my-session' });
  assert.equal(first.sessionId, 'my-session');
  const resumption = first.resumption;
  assert.equal(resumption.span.spanId, id(sdk.span('websocket.handshake', 'CLIENT')));
  await first.close();
  await until(() => server.connections.size === 0);
  const [client, accepted] = [sdk.span('websocket.handshake', 'CLIENT'), sdk.span('websocket.handshake', 'SERVER')];
  sdk.reset();
  const second = await connect(`ws://127.0.0.1:${server.port}`, { session: resumption });
  assert.equal(second.sessionId, 'my-session');
  assert.deepEqual(linkIds(sdk.span('websocket.handshake', 'CLIENT')), [id(client)]);
  assert.deepEqual(linkIds(sdk.span('websocket.handshake', 'SERVER')), [id(accepted)]);
  // The id is live, so nobody else gets it.
  const thief = await connect(`ws://127.0.0.1:${server.port}`, { session: 'my-session' });
  assert.notEqual(thief.sessionId, 'my-session');
  assert.equal(
    [...server.connections].map((conn) => conn.counters.session_replaced).reduce((a, b) => a + b),
    1,
  );
  await Promise.all([second.close(), thief.close()]);
});

test('a client that is vouched for takes a live session over, whose calls end superseded', async (t) => {
  const server = await serve(
    { wait: (call) => call.recv().then(() => call.recv()) },
    { host: '127.0.0.1', port: 0, vouch: (sessionId, request) => sessionId === 'mine' && request.headers.token === 'good' },
  );
  t.after(() => server.close());
  const headers = { token: 'good' };
  const first = await connect(`ws://127.0.0.1:${server.port}`, { session: 'mine', headers });
  const lost = first
    .call('wait', async (call) => {
      await call.send('x');
      await call.recv();
    })
    .catch((error) => error);
  await until(() => [...server.connections][0].openStreams === 1);
  const second = await connect(`ws://127.0.0.1:${server.port}`, { session: 'mine', headers });
  const error = await lost;
  assert.deepEqual([error.code, error.errorType], ['remote', 'superseded']);
  const stranger = await connect(`ws://127.0.0.1:${server.port}`, { session: 'mine' });
  assert.notEqual(stranger.sessionId, 'mine');
  await Promise.all([first, second, stranger].map((conn) => conn.close()));
});

test("an application's own traceparent in the handshake is left alone", async (t) => {
  const requests = [];
  const server = await serve(
    {},
    { host: '127.0.0.1', port: 0, onConnection: (_, request) => requests.push(request.rawHeaders) },
  );
  t.after(() => server.close());
  const own = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  for (const options of [{ headers: { TraceParent: own } }, { ws: { headers: { traceparent: own } } }]) {
    await (await connect(`ws://127.0.0.1:${server.port}`, options)).close();
    const at = requests.pop().map((text) => text.toLowerCase());
    assert.equal(at.filter((text) => text === 'traceparent').length, 1);
    assert.ok(at.includes(own));
  }
});

test('a handler reaches the connection of its call', async (t) => {
  const { conn, peer } = await pair(t, { who: (call) => call.send(call.connection === peer_()) });
  const peer_ = () => peer;
  const answer = await conn.call('who', async (call) => {
    await call.send(1, { last: true });
    return (await call.recv()).json();
  });
  assert.equal(answer, true);
});
