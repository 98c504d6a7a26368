// Failures of the host's SDK, and defects of the addon itself: the application goes on.

const assert = require('node:assert/strict');
const { after, test } = require('node:test');
const { DiagLogLevel, SpanStatusCode, diag } = require('@opentelemetry/api');
const { connect, serve } = require('wirespan/ws');
const { Connection } = require('../lib/connection.js');
const { setUp, until } = require('./helpers/sdk.js');

const reports = [];
diag.setLogger(
  { ...console, error: (...args) => reports.push(args.map(String).join(' ')), warn() {}, info() {}, debug() {}, verbose() {} },
  DiagLogLevel.ERROR,
);

let failing = false;
const sdk = setUp({
  sampler: {
    shouldSample: () => {
      if (failing) throw new Error('the sampler failed');
      return { decision: 2 };
    },
    toString: () => 'failing',
  },
});
after(() => sdk.tearDown());

const echo = async (call) => {
  for await (const message of call) await call.send(message.data);
};

test('a sampler that throws costs the span and nothing else', async (t) => {
  const server = await serve({ echo }, { host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  const root = await sdk.inSpan('root', async () => {
    failing = true;
    const conn = await connect(`ws://127.0.0.1:${server.port}`);
    const answer = await conn.call('echo', async (call) => {
      await call.send('x', { last: true });
      return String(await call.recv());
    });
    failing = false;
    assert.equal(answer, 'x');
    await conn.close();
    assert.deepEqual(sdk.spans('root'), [], 'the span of the application is not ended for it');
  });
  assert.equal(root.ended, true);
  assert.ok(reports.some((report) => report.includes('the sampler failed')));
});

test('a handler that throws is reported to the host and to the caller', async (t) => {
  const server = await serve({ fail: () => Promise.reject(new RangeError('mine')) }, { host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  const conn = await connect(`ws://127.0.0.1:${server.port}`);
  const call = conn.call('fail');
  await call.send('x');
  await assert.rejects(call.recv(), { code: 'remote', errorType: 'RangeError' });
  await conn.close();
  assert.ok(reports.some((report) => report.includes('RangeError: mine')));
});

test('a defect of the addon ends the connection and its spans with an error, and throws nowhere', async (t) => {
  sdk.reset();
  const server = await serve({ echo }, { host: '127.0.0.1', port: 0 });
  t.after(() => server.close());
  const conn = await connect(`ws://127.0.0.1:${server.port}`);
  const call = conn.call('echo');
  await call.send('x');
  await call.recv();
  // What a panic leaves behind: the connection's handle is gone.
  const receive = Connection.prototype._receive;
  Connection.prototype._receive = function (...args) {
    Connection.prototype._receive = receive;
    this.free();
    return receive.apply(this, args);
  };
  await call.send('y');
  await assert.rejects(call.recv());
  await conn.closed;
  await until(() => server.connections.size === 0 && sdk.spans('echo').length === 2);
  for (const span of sdk.spans('echo')) assert.equal(span.status.code, SpanStatusCode.ERROR);
  assert.ok(reports.some((report) => report.includes('given up because of a defect')));
});
