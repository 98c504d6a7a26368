// Without an SDK nothing is recorded, nothing fails, and a context that came from outside still flows.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { ROOT_CONTEXT, isSpanContextValid, trace } = require('@opentelemetry/api');
const { Carry, Propagator } = require('wirespan');
const { connect, serve } = require('wirespan/ws');

const parent = { traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1, isRemote: true };

test('calls, transfers and messages work without an SDK', async (t) => {
  const frames = [];
  const plain = [];
  const contexts = [];
  const server = await serve(
    {
      echo: async (call) => {
        contexts.push(trace.getSpanContext(call.context));
        for await (const message of call) await call.send(message.data);
      },
    },
    { host: '127.0.0.1', port: 0, onMessage: (message) => plain.push(message.text) },
  );
  t.after(() => server.close());
  const conn = await connect(`ws://127.0.0.1:${server.port}`);
  for (const socket of server.wss.clients) socket.on('message', (data) => frames.push(data.toString()));
  const call = conn.call('echo');
  await call.send('x', { last: true });
  assert.equal(String(await call.recv()), 'x');
  assert.equal(await call.recv(), undefined);
  assert.equal(call.metrics.received.chunks, 1);
  await conn.send('plain');
  await conn.transfer('echo', (transfer) => transfer.send(1, { last: true }));
  await assert.rejects(
    conn.call('none', async (unknown) => {
      await unknown.send(1);
      await unknown.recv();
    }),
    { errorType: 'unknown_method' },
  );
  assert.deepEqual(plain, ['plain']);
  assert.equal(
    frames.some((frame) => frame.includes('traceparent')),
    false,
  );
  assert.equal(frames[1], 'plain');
  assert.equal(isSpanContextValid(contexts[0]), false);
  await conn.close();
});

test('the propagator and a carry pass a context on without an SDK', () => {
  const carrier = {};
  new Propagator().inject(trace.setSpanContext(ROOT_CONTEXT, parent), carrier);
  const carry = Carry.fromHeaders('x', carrier);
  assert.equal(carry.toHeaders().traceparent, carrier.traceparent);
  carry.run((value) => assert.equal(value, 'x'));
});
