// What the rivals have in common: spans, contexts, and two ends of a connection.

const { ROOT_CONTEXT, context, trace } = require('@opentelemetry/api');
const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks');
const { W3CTraceContextPropagator } = require('@opentelemetry/core');
const { Connection, HandshakeRequest } = require('wirespan');

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const propagator = new W3CTraceContextPropagator();

let spanCount = 0;
/** A span that nobody has seen, as each call has one. Its ids are made as SDKs make theirs. */
function newSpan() {
  spanCount += 1;
  const ids = Buffer.alloc(24, 0xab);
  ids.writeUInt32BE(spanCount, 4);
  ids.writeUInt32BE(spanCount, 20);
  return { traceId: ids.toString('hex', 0, 16), spanId: ids.toString('hex', 16, 24), traceFlags: 1 };
}

function contextOf(span) {
  return trace.setSpanContext(ROOT_CONTEXT, span);
}

/** Two ends that know each other, or of which the accepting one takes the other to speak version 1. */
function ends({ always = false } = {}) {
  const entropy = Buffer.alloc(16, 1);
  const options = always ? { mode: 'always' } : {};
  const client = Connection.client(options, { entropy });
  const { headers } = client.request({ host: 'localhost' });
  const request = new HandshakeRequest(always ? [] : headers);
  const server = Connection.server(options, request, { entropy });
  client.openClient(always ? [] : server.response(request).headers, 0);
  server.openServer(0);
  return { client, server };
}

module.exports = { propagator, newSpan, contextOf, ends };
