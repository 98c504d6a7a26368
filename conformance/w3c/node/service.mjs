// The Node.js service under W3C's trace-context suite; conformance/w3c/README.md says what it does.

import { ROOT_CONTEXT, SpanKind, trace } from '@opentelemetry/api';
import { BasicTracerProvider } from '@opentelemetry/sdk-trace-base';
import { Envelope, Propagator } from 'wirespan';
import { serve } from './http.mjs';

const propagator = new Propagator();
const tracer = new BasicTracerProvider().getTracer('w3c');

serve({
  // Each field of a name by itself: `request.headers` would join or drop repeated ones.
  extract: (request) => propagator.extract(ROOT_CONTEXT, request.headersDistinct),
  inject,
  start(kind, parent) {
    const span = tracer.startSpan('POST', { kind: SpanKind[kind] }, parent);
    return { context: trace.setSpan(parent, span), end: () => span.end() };
  },
  forward(context, body, binary) {
    const { bytes } = Envelope.wrap(inject(context), binary ? body : body.toString());
    const read = Envelope.unwrap(bytes, { binary });
    if (!read.envelope) throw new Error(`not read as an envelope: ${read.reason}`);
    return [propagator.extract(ROOT_CONTEXT, read.head), read.body];
  },
});

function inject(context) {
  const headers = {};
  propagator.inject(context, headers);
  return headers;
}
