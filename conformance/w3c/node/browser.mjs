// The service on wirespan/browser/parts, which is a second implementation of everything; otherwise as service.mjs. A page has no SDK in
// this, so the spans are ids alone.

import { randomBytes } from 'node:crypto';
import { extract, inject, unwrap, wrap } from 'wirespan/browser/parts';
import { serve } from './http.mjs';

const FLAGS_OF_NEW_TRACES = '03'; // sampled, and of random bits

serve({
  extract: ({ rawHeaders }) => extract(rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [[name, rawHeaders[at + 1]]] : []))),
  inject,
  start: (_kind, parent) => ({ context: { ...parent, context: child(parent.context) }, end() {} }),
  forward(context, body, binary) {
    const content = binary ? { binary: body } : { text: body.toString() };
    const read = unwrap(wrap(inject(context), [], content).message);
    if (read.plain !== undefined) throw new Error(`not read as an envelope: ${read.plain}`);
    const headers = Object.entries(read.headers).filter(([, value]) => value !== undefined);
    return [extract(headers), Buffer.from(read.body)];
  },
});

function child(parent) {
  const [, traceId, , flags] = parent?.traceparent.split('-') ?? ['', randomBytes(16).toString('hex'), '', FLAGS_OF_NEW_TRACES];
  return { ...parent, traceparent: `00-${traceId}-${randomBytes(8).toString('hex')}-${flags}` };
}
