// The gateway as a process: what it prints, what it exports, how it ends.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { connect, serve } from 'wirespan/ws';

const PROGRAM = fileURLToPath(new URL('../gateway.mjs', import.meta.url));
const SERVICES = ['--recogniser', 'ws://127.0.0.1:1', '--kitchen', 'ws://127.0.0.1:1'];

/** Starts the gateway; `lines` and `errors` grow while it runs. */
function start(t, args, env = {}) {
  const own = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('OTEL_')));
  const child = spawn(process.execPath, [PROGRAM, ...args], { env: { ...own, ...env } });
  t.after(() => child.kill('SIGKILL'));
  const gateway = { child, output: '', errors: '', exited: once(child, 'exit').then(([code]) => code) };
  child.stdout.on('data', (data) => {
    gateway.output += data;
  });
  child.stderr.on('data', (data) => {
    gateway.errors += data;
  });
  return gateway;
}

/** Waits for `ready PORT`; returns the port. */
async function ready(gateway) {
  await until(() => /^ready \d+$/m.test(gateway.output), 'ready');
  return Number(/^ready (\d+)$/m.exec(gateway.output)[1]);
}

async function stop(gateway, signal = 'SIGTERM') {
  gateway.child.kill(signal);
  assert.equal(await gateway.exited, 0, gateway.errors);
}

async function until(condition, what) {
  for (const end = Date.now() + 10_000; !condition(); ) {
    if (Date.now() > end) assert.fail(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** A server of OTLP/HTTP that keeps what it is sent. */
async function collector(t) {
  const requests = [];
  const server = createServer(async (request, response) => {
    const parts = await request.toArray();
    requests.push({ url: request.url, type: request.headers['content-type'], body: Buffer.concat(parts).toString('latin1') });
    response.writeHead(200, { 'content-type': 'application/x-protobuf' }).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return { requests, endpoint: `http://127.0.0.1:${server.address().port}` };
}

/** A recogniser and a kitchen, as arguments of the gateway. */
async function services(t) {
  const local = { host: '127.0.0.1', port: 0 };
  const transcribe = async (call) => {
    for await (const _ of call);
    await call.send({ text: 'a small coffee', final: true });
  };
  const recogniser = await serve({ transcribe }, local);
  const kitchen = await serve({ order: (call) => call.send('done') }, local);
  t.after(async () => {
    await recogniser.close();
    await kitchen.close();
  });
  return ['--recogniser', `ws://127.0.0.1:${recogniser.port}`, '--kitchen', `ws://127.0.0.1:${kitchen.port}`];
}

async function order(port) {
  const conn = await connect(`ws://127.0.0.1:${port}`, { handlers: { confirm: (call) => call.send('yes') } });
  const answers = await conn.call('order', async (call) => {
    await call.send(Buffer.alloc(1280), { last: true });
    const items = [];
    for await (const message of call) items.push(message.json());
    return items;
  });
  await conn.close();
  return answers;
}

const ANSWERS = [{ order: 'a small coffee' }, { word: 'done' }];

test('spans are exported under the name of the service when SIGTERM comes', async (t) => {
  const { requests, endpoint } = await collector(t);
  const gateway = start(t, await services(t), { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint });
  assert.deepEqual(await order(await ready(gateway)), ANSWERS);
  await stop(gateway);
  assert.deepEqual([...new Set(requests.map(({ url, type }) => `${url} ${type}`))], ['/v1/traces application/x-protobuf']);
  const sent = requests.map(({ body }) => body).join('');
  for (const word of ['gateway', 'order', 'transcribe', 'confirm', 'websocket.session.id'])
    assert.ok(sent.includes(word), word);
  assert.equal(gateway.errors, '');
});

test('OTEL_SERVICE_NAME names the service, and OTEL_TRACES_SAMPLER is honoured', async (t) => {
  const { requests, endpoint } = await collector(t);
  const named = start(t, await services(t), { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_SERVICE_NAME: 'front-door' });
  await order(await ready(named));
  await stop(named);
  assert.ok(requests.some(({ body }) => body.includes('front-door')));
  requests.length = 0;
  const silent = start(t, [...(await services(t)), '--print-context'], {
    OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
    OTEL_TRACES_SAMPLER: 'always_off',
  });
  assert.deepEqual(await order(await ready(silent)), ANSWERS);
  await stop(silent);
  assert.equal(requests.length, 0);
  assert.match(silent.output, /^traceparent: 00-[0-9a-f]{32}-[0-9a-f]{16}-0[02]$/m);
});

test('without an endpoint it serves, says so, and exports nothing', async (t) => {
  const gateway = start(t, [...(await services(t)), '--print-context']);
  assert.deepEqual(await order(await ready(gateway)), ANSWERS);
  await stop(gateway, 'SIGINT');
  assert.match(gateway.errors, /OTEL_EXPORTER_OTLP_ENDPOINT is not set/);
  // This device has no SDK: there is no context to print.
  assert.match(gateway.output, /^traceparent: none$/m);
});

test('a collector that is not there delays nothing and fails nothing', async (t) => {
  const gateway = start(t, await services(t), { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:1' });
  assert.deepEqual(await order(await ready(gateway)), ANSWERS);
  const begin = Date.now();
  await stop(gateway);
  assert.ok(Date.now() - begin < 8_000);
});

test('a port in use is said and is an error', async (t) => {
  const { endpoint } = await collector(t);
  const { port } = new URL(endpoint);
  const gateway = start(t, [...SERVICES, '--port', port]);
  assert.equal(await gateway.exited, 1);
  assert.match(gateway.errors, new RegExp(`^gateway: cannot listen at 127\\.0\\.0\\.1:${port} \\(.*EADDRINUSE`, 'm'));
});

for (const [args, message] of [
  [[], /--recogniser must be a URL such as ws:/],
  [['--recogniser', 'http://127.0.0.1:1', '--kitchen', 'ws://127.0.0.1:1'], /--recogniser must be a URL/],
  [['--recogniser', 'ws://127.0.0.1:1'], /--kitchen must be a URL/],
  [[...SERVICES, '--port', '65536'], /--port: "65536" is no port/],
  [[...SERVICES, '--speed', '2'], /Unknown option '--speed'.*\nusage:/],
]) {
  test(`the arguments ${JSON.stringify(args)} are refused`, async (t) => {
    const gateway = start(t, args);
    assert.equal(await gateway.exited, 1);
    assert.match(gateway.errors, message);
    assert.equal(gateway.output, '');
  });
}
