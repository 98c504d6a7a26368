// An order through the real handler, over real connections, with the real SDK: device, recogniser and kitchen are in this process.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { after, afterEach, before, test } from 'node:test';
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import { AsyncLocalStorageContextManager } from '@opentelemetry/context-async-hooks';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { connect, serve } from 'wirespan/ws';
import { WebSocket } from 'ws';
import { takeOrder } from '../lib/order.mjs';
import { Service } from '../lib/service.mjs';

const { CLIENT, SERVER } = SpanKind;
const exporter = new InMemorySpanExporter();
const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const SPEECH = [Buffer.alloc(1280, 1), Buffer.alloc(1280, 2), Buffer.alloc(100, 3)];

before(() => provider.register({ contextManager: new AsyncLocalStorageContextManager() }));
after(() => provider.shutdown());
afterEach(() => exporter.reset());

/** The recogniser's side of a good order: a text for each chunk. */
async function transcribe(call) {
  let bytes = 0;
  for await (const chunk of call) {
    bytes += chunk.bytes.length;
    await call.send({ text: `heard ${bytes}`, final: false });
  }
  await call.send({ text: 'two large pizzas', final: true });
}

/** The kitchen's side of a good order. */
async function cook(call) {
  const order = await call.recv();
  for (const word of `we make ${order} now`.split(' ')) await call.send(word);
}

const answer = (text) => (call) => call.send(text);

/** Services, a gateway and a device on it. */
async function setUp(t, parts = {}) {
  const { recogniser = { transcribe }, kitchen = { order: cook }, device = { confirm: answer('Yes') } } = parts;
  const local = { host: '127.0.0.1', port: 0 };
  const servers = { recogniser: await serve(recogniser, local), kitchen: await serve(kitchen, local) };
  const services = {
    recogniser: new Service('recogniser', `ws://127.0.0.1:${servers.recogniser.port}`),
    kitchen: new Service('kitchen', `ws://127.0.0.1:${servers.kitchen.port}`),
  };
  const gateway = await serve({ order: takeOrder(services) }, local);
  const url = `ws://127.0.0.1:${gateway.port}`;
  const connectDevice = () => connect(url, { handlers: device });
  const conn = await connectDevice();
  t.after(async () => {
    await conn.close();
    for (const part of [gateway, ...Object.values(services), ...Object.values(servers)]) await part.close();
  });
  return { conn, connectDevice, servers, url };
}

/** Orders as the device does; returns what it was answered. */
function order(conn, speech = SPEECH) {
  return conn.call('order', async (call) => {
    const answers = [];
    const reading = (async () => {
      for await (const message of call) answers.push(message.json());
    })();
    const speaking = (async () => {
      for (const chunk of speech) await call.send(chunk);
      await call.end();
    })();
    // Where the call failed, its reader says why.
    speaking.catch(() => {});
    await reading;
    await speaking;
    return answers;
  });
}

/** The one finished span of a name, kind and parent, once it has finished. */
async function span(name, kind, parent = undefined) {
  const found = () =>
    exporter
      .getFinishedSpans()
      .filter((item) => item.name === name && item.kind === kind && (parent === undefined || isChild(item, parent)));
  await until(() => found().length > 0, `span ${name}`);
  assert.equal(found().length, 1, `spans ${name}`);
  return found()[0];
}

const isChild = (child, parent) => child.parentSpanContext?.spanId === parent.spanContext().spanId;

async function until(condition, what = condition.toString()) {
  for (const end = Date.now() + 5000; !condition(); ) {
    if (Date.now() > end) assert.fail(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

test('an order goes through the recogniser, the device and the kitchen, in one trace', async (t) => {
  const questions = [];
  const confirm = async (call) => {
    questions.push(String(await call.recv()));
    await call.send('yes');
  };
  const { conn } = await setUp(t, { device: { confirm } });
  assert.deepEqual(await order(conn), [
    { partial: 'heard 1280' },
    { partial: 'heard 2560' },
    { partial: 'heard 2660' },
    { order: 'two large pizzas' },
    ...['we', 'make', 'two', 'large', 'pizzas', 'now'].map((word) => ({ word })),
  ]);
  assert.deepEqual(questions, ['Two large pizzas. Shall I order?']);

  const served = await span('order', SERVER, await rootOrder());
  const device = await rootOrder();
  const speech = await span('transcribe', CLIENT, served);
  const question = await span('confirm', CLIENT, served);
  const dish = await span('order', CLIENT, served);
  const all = [device, served, speech, question, dish];
  all.push(
    await span('transcribe', SERVER, speech),
    await span('confirm', SERVER, question),
    await span('order', SERVER, dish),
  );
  for (const item of all) {
    assert.equal(item.spanContext().traceId, device.spanContext().traceId);
    assert.equal(item.status.code, SpanStatusCode.UNSET);
    assert.equal(item.attributes['websocket.stream.outcome'], 'complete');
  }
  // The connections to the services outlive the order: their handshakes are in no order's trace.
  const handshakes = exporter.getFinishedSpans().filter(({ name }) => name === 'websocket.handshake');
  assert.equal(handshakes.length, 6);
  for (const item of handshakes) assert.notEqual(item.spanContext().traceId, device.spanContext().traceId);
});

/** The span of the device's call. */
async function rootOrder() {
  const found = () => exporter.getFinishedSpans().find((item) => item.name === 'order' && item.parentSpanContext === undefined);
  await until(() => found() !== undefined, 'the root span');
  return found();
}

test('orders of several devices share the connections to the services, and do not mix', async (t) => {
  const echo = async (call) => {
    let heard = '';
    for await (const chunk of call) heard += chunk.bytes.toString();
    await call.send({ text: heard, final: true });
  };
  const { connectDevice, servers } = await setUp(t, { recogniser: { transcribe: echo } });
  const devices = await Promise.all([connectDevice(), connectDevice(), connectDevice()]);
  const answers = await Promise.all(devices.map((conn, at) => order(conn, [Buffer.from(`a${at}`), Buffer.from(`b${at}`)])));
  answers.forEach((items, at) => {
    assert.deepEqual(items[0], { order: `a${at}b${at}` });
    assert.deepEqual(
      items.slice(1),
      ['we', 'make', `a${at}b${at}`, 'now'].map((word) => ({ word })),
    );
  });
  assert.equal(servers.recogniser.connections.size, 1);
  assert.equal(servers.kitchen.connections.size, 1);
  await Promise.all(devices.map((conn) => conn.close()));
});

test('what the device declines never reaches the kitchen', async (t) => {
  let cooked = 0;
  const count = () => {
    cooked += 1;
  };
  const { conn } = await setUp(t, { kitchen: { order: count }, device: { confirm: answer('no') } });
  const answers = await order(conn);
  assert.deepEqual(answers.slice(-2), [{ order: 'two large pizzas' }, { declined: 'two large pizzas' }]);
  assert.equal(cooked, 0);
});

const FAILURES = {
  'speech that is none': { type: 'NoSpeech', parts: { recogniser: { transcribe: (call) => call.fail('NoSpeech') } } },
  'a recogniser that answers nonsense': { type: 'BadReply', parts: { recogniser: { transcribe: answer('{"text":1}') } } },
  'a recogniser without a final text': {
    type: 'BadReply',
    parts: { recogniser: { transcribe: answer({ text: 'two', final: false }) } },
  },
  'a recogniser that does not know the call': { type: 'unknown_method', parts: { recogniser: { other: transcribe } } },
  'text instead of speech': { type: 'BadAudio', speech: ['hello'] },
  'a device that cannot be asked': { type: 'NotConfirmed', parts: { device: { other: answer('yes') } } },
  'a kitchen that fails': { type: 'NoOven', parts: { kitchen: { order: (call) => call.fail('NoOven') } } },
};

for (const [what, { type, parts, speech }] of Object.entries(FAILURES)) {
  test(`${what}: the device's call fails with ${type}`, async (t) => {
    const { conn } = await setUp(t, parts);
    await assert.rejects(order(conn, speech), (error) => {
      assert.equal(error.errorType, type);
      return true;
    });
    const served = await span('order', SERVER, await rootOrder());
    assert.equal(served.attributes['error.type'], type);
    assert.equal(served.status.code, SpanStatusCode.ERROR);
    // Nothing that the order began is left open.
    await until(() => conn.openStreams === 0);
  });
}

test('a service that goes away in the middle fails the order, and the next order finds it again', async (t) => {
  let first = true;
  let server;
  const drop = async (call) => {
    if (!first) return transcribe(call);
    first = false;
    await call.recv();
    for (const socket of server.wss.clients) socket.terminate();
  };
  const { conn, servers } = await setUp(t, { recogniser: { transcribe: drop } });
  server = servers.recogniser;
  await assert.rejects(order(conn), { errorType: 'RecogniserUnavailable' });
  const lost = await span('transcribe', CLIENT);
  assert.equal(lost.status.code, SpanStatusCode.ERROR);
  const session = lost.attributes['websocket.session.id'];
  await span('transcribe', SERVER);
  exporter.reset();
  assert.deepEqual((await order(conn)).at(-1), { word: 'now' });
  const found = await span('transcribe', CLIENT);
  assert.equal(found.attributes['websocket.session.id'], session, 'the session goes on');
});

test('a service that cannot be reached fails the order with its name', async (t) => {
  const { conn, servers } = await setUp(t);
  await servers.kitchen.close();
  await assert.rejects(order(conn), { errorType: 'KitchenUnavailable' });
});

test('garbage harms nobody', async (t) => {
  const { conn, url } = await setUp(t);
  const garbage = [
    '',
    '\0',
    '{"headers":{',
    '{"headers":{"stream":"1","kind":"call","method":"order","traceparent":"00-zz"},"body":}',
    '{"headers":{"stream":"1","kind":"call","method":"order"},"body":"no speech"}',
    '{"headers":{"stream":"4294967296","kind":"dance"},"body":1}',
    Buffer.from([0xff, 0x57, 1, 1, 0xff, 0xff]),
    randomBytes(2000),
  ];
  for (const headers of [{ wirespan: '1' }, {}]) {
    const socket = new WebSocket(url, { headers });
    await once(socket, 'open');
    for (const message of garbage) socket.send(message);
    socket.close();
    await once(socket, 'close');
  }
  const noise = createConnection(Number(new URL(url).port), '127.0.0.1');
  noise.on('error', () => {});
  noise.end(randomBytes(500));
  await once(noise.resume(), 'close');
  assert.deepEqual((await order(conn)).at(-1), { word: 'now' });
});

test('an order that the device cancels is cancelled at the recogniser', async (t) => {
  let heard = 0;
  let ended;
  const watch = async (call) => {
    try {
      for await (const _ of call) heard += 1;
    } catch (error) {
      ended = error.code;
      throw error;
    }
  };
  const { conn } = await setUp(t, { recogniser: { transcribe: watch } });
  const call = conn.call('order');
  await call.send(SPEECH[0]);
  await until(() => heard === 1, 'a chunk at the recogniser');
  call.cancel();
  await until(() => ended !== undefined, 'the end at the recogniser');
  assert.equal(ended, 'cancelled');
  const speech = await span('transcribe', CLIENT);
  assert.equal(speech.attributes['websocket.stream.outcome'], 'cancelled');
  assert.equal((await span('order', SERVER)).attributes['websocket.stream.outcome'], 'cancelled');
});
