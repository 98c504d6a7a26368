// The Node.js service under W3C's trace-context suite; conformance/w3c/README.md says what it does.

import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import { BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import { Envelope, Propagator } from 'wirespan';

const { values: options } = parseArgs({ options: { through: { type: 'string', default: 'direct' } } });
if (!['direct', 'text', 'binary'].includes(options.through)) throw new Error(`no such way: ${options.through}`);

const propagator = new Propagator();
const tracer = new BasicTracerProvider().getTracer('w3c');

/** Calls what the request lists, with the context that came with it. */
async function handle(request, response) {
  let body = await buffer(request);
  // Each field of a name by itself: `request.headers` would join or drop repeated ones.
  let context = propagator.extract(ROOT_CONTEXT, request.headersDistinct);
  if (options.through !== 'direct') [context, body] = forward(context, body, options.through === 'binary');
  let calls;
  try {
    calls = callsOf(JSON.parse(body));
  } catch {
    response.writeHead(400).end('not a list of {url, arguments}');
    return;
  }
  const span = tracer.startSpan('POST', { kind: SpanKind.SERVER }, context);
  try {
    for (const { url, args } of calls) await call(trace.setSpan(context, span), url, args);
  } finally {
    span.end();
  }
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ calls: calls.length }));
}

function callsOf(list) {
  return list.map(({ url, arguments: args }) => {
    if (args === undefined) throw new TypeError('a call without arguments');
    return { url: new URL(url), args };
  });
}

async function call(context, url, args) {
  const span = tracer.startSpan('POST', { kind: SpanKind.CLIENT }, context);
  const headers = { 'content-type': 'application/json' };
  propagator.inject(trace.setSpan(context, span), headers);
  try {
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(args) });
    await response.arrayBuffer();
  } finally {
    span.end();
  }
}

/** Sends a context and a body through the envelope, and returns what comes out of it. */
function forward(context, body, binary) {
  const headers = {};
  propagator.inject(context, headers);
  const { bytes } = Envelope.wrap(headers, binary ? body : body.toString());
  const read = Envelope.unwrap(bytes, { binary });
  if (!read.envelope) throw new Error(`not read as an envelope: ${read.reason}`);
  return [propagator.extract(ROOT_CONTEXT, read.head), read.body];
}

const server = createServer((request, response) => {
  handle(request, response).catch((error) => {
    console.error(error);
    response.writeHead(500).end();
  });
});
server.listen(0, '127.0.0.1', () => console.log(`listening on ${server.address().port}`));

// Serves until the standard input ends, so that no service outlives who started it.
process.stdin.resume().on('end', () => process.exit());
