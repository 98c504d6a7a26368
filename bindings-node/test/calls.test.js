'use strict';

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
