// Plans and ends that the addon tells by their place and their numbers are those that it tells in full.

const assert = require('node:assert/strict');
const { test } = require('node:test');
const { Connection, HandshakeRequest } = require('wirespan');

const METHODS = ['order', 'refund', undefined, 'a', 'b', 'c', 'd', 'e', 'f', 'g'];
const STEP_NS = 1e12;

/** Two ends that know each other. */
function ends(options) {
  const entropy = Buffer.alloc(16, 1);
  const client = Connection.client({}, { entropy, address: 'localhost', port: 80 });
  client.planHandshake({ current: false });
  client.spanStarted(1, { traceId: 'ef'.repeat(16), spanId: 'ef'.repeat(8), traceFlags: 1 });
  const { headers } = client.request({ host: 'localhost' });
  const request = new HandshakeRequest(headers);
  const server = Connection.server(options, request, { entropy });
  server.planHandshake();
  server.spanStarted(1, { traceId: 'ef'.repeat(16), spanId: '12'.repeat(8), traceFlags: 1 });
  client.openClient(server.response(request).headers, 0);
  server.openServer(0);
  server.setMethods(['order', 'a', 'b']);
  told(server, client, 0);
  told(client, server, 0);
  return { client, server };
}

/** Numbers that are the same in each run of the test. */
function random(seed) {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % below;
  };
}

/** Everything that a connection tells now. Frames reach the other end. */
function told(end, peer, at) {
  const events = [];
  for (let event = end.pollEvent(); event !== undefined; event = end.pollEvent()) {
    if (event.type === 'frame') peer.receive(event.bytes, event.form === 'binary', at);
    else events.push({ ...event, metrics: event.metrics && JSON.parse(JSON.stringify(event.metrics)) });
  }
  return events;
}

/** One call or transfer, with all that both ends were told about it; the number of its stream is left out. */
function run({ client, server }, seed) {
  const next = random(seed);
  const spanId = (seed + 1).toString(16).padStart(16, '0');
  const spanContext = next(4) > 0 ? { traceId: 'ab'.repeat(16), spanId, traceFlags: next(2) } : undefined;
  let at = seed * STEP_NS + 1;
  const method = METHODS[next(METHODS.length)];
  const { stream, plan } =
    next(4) > 0 ? client.planCall(method, spanContext, at) : client.planTransfer(method, spanContext, at);
  const all = [plan];
  const headers = next(6) === 0 ? [['x-own', 'yes']] : undefined;
  const chunks = 1 + next(4);
  for (let n = 0; n < chunks; n++) {
    at += next(5) === 0 ? 4e9 : next(1e6);
    const { bytes, form } = client.send(stream, 'x'.repeat(next(20)), { spanContext, headers, last: n === chunks - 1 }, at);
    const received = server.receive(bytes, form === 'binary', at + 1);
    all.push(received.opened, received.headers, received.spanContext, received.payload?.toString());
    server.take(stream, received._size, at + 2);
  }
  const finish = [
    () => server.leave(stream, at),
    () => server.fail(stream, 'Broken', at),
    () => client.cancel(stream, at),
    () => client.fail(stream, 'Lost', at),
  ];
  finish[Math.max(0, next(8) - 4)]();
  all.push(told(server, client, at), told(client, server, at), told(server, client, at));
  server.leave(stream, at);
  client.leave(stream, at);
  all.push(told(server, client, at), told(client, server, at));
  return JSON.parse(
    JSON.stringify(all, (key, value) => ((key === 'span' || key === 'stream') && value === stream ? 'own' : value)),
  );
}

for (const options of [{}, { trust: 'link' }, { trust: 'ignore' }]) {
  test(`what a connection has told before is told the same in short: ${JSON.stringify(options)}`, () => {
    const long = ends(options);
    for (let seed = 0; seed < 300; seed++) {
      assert.deepEqual(run(long, seed), run(ends(options), seed), `seed ${seed}`);
    }
  });
}

test('what is told is its taker’s to change', () => {
  const { client, server } = ends({});
  const spanContext = { traceId: 'ab'.repeat(16), spanId: 'cd'.repeat(8), traceFlags: 1 };
  const seen = [];
  for (let n = 0; n < 3; n++) {
    const { stream, plan } = client.planCall('order', spanContext, n);
    const received = server.receive(client.send(stream, 'x', { spanContext, last: true }, n).bytes, false, n);
    server.leave(stream, n);
    const ended = told(server, client, n).find((event) => event.type === 'spanEnd');
    const taken = [plan, received.opened.plan, ended];
    seen.push(JSON.stringify(taken.map(({ attributes, links }) => ({ attributes, links }))));
    for (const { attributes, links } of taken) {
      attributes['websocket.stream.outcome'] = attributes.own = 'changed';
      if (links?.length > 0) links.pop().traceId = 'changed';
    }
  }
  assert.deepEqual(seen, [seen[0], seen[0], seen[0]]);
});
