// Beside the official HTTP instrumentation: one context in the handshake, never two.

const assert = require('node:assert/strict');
const { after, test } = require('node:test');
const { registerInstrumentations } = require('@opentelemetry/instrumentation');
const { HttpInstrumentation } = require('@opentelemetry/instrumentation-http');
const { id, parentId, setUp } = require('./helpers/sdk.js');

const sdk = setUp();
registerInstrumentations({ instrumentations: [new HttpInstrumentation()] });
// Loaded behind the instrumentation, as in an application.
require('node:http');
const { connect, serve } = require('wirespan/ws');

after(() => sdk.tearDown());

test('the HTTP span is in between, and the header is there once', async (t) => {
  const requests = [];
  const server = await serve(
    {},
    { host: '127.0.0.1', port: 0, onConnection: (_, request) => requests.push(request.rawHeaders) },
  );
  t.after(() => server.close());
  const conn = await connect(`ws://127.0.0.1:${server.port}`);
  await conn.close();
  const names = requests[0].filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase());
  assert.equal(names.filter((name) => name === 'traceparent').length, 1);
  assert.equal(names.filter((name) => name === 'wirespan').length, 1);
  const client = sdk.span('websocket.handshake', 'CLIENT');
  const http = sdk.span('GET', 'CLIENT');
  assert.equal(parentId(http), id(client));
  assert.equal(parentId(sdk.span('websocket.handshake', 'SERVER')), id(http));
});
