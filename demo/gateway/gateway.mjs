#!/usr/bin/env node
// The gateway of the demo: devices call `order` on it, it calls the recogniser and the kitchen.
//
// It prints `ready PORT` when it listens. On SIGTERM or Ctrl-C it closes, exports its spans, and exits with 0.

import { isSpanContextValid, trace } from '@opentelemetry/api';
import { serve } from 'wirespan/ws';
import { readArguments } from './lib/arguments.mjs';
import { takeOrder } from './lib/order.mjs';
import { Service } from './lib/service.mjs';
import { startTelemetry } from './lib/telemetry.mjs';

/** The largest message that a device may send, in bytes; a chunk of 40 ms has 1280. */
const MAX_MESSAGE_BYTES = 1024 * 1024;
/** How long closing and exporting may each take at the end. */
const GRACE_MS = 5_000;

try {
  await main(readArguments(process.argv.slice(2)));
} catch (error) {
  process.stderr.write(`gateway: ${error.message}\n`);
  process.exitCode = 1;
}

async function main({ host, port, recogniser, kitchen, printContext }) {
  const flush = startTelemetry();
  const services = { recogniser: new Service('recogniser', recogniser), kitchen: new Service('kitchen', kitchen) };
  const handle = takeOrder(services);
  const order = (call) => {
    if (printContext) process.stdout.write(`traceparent: ${traceparent(call.context)}\n`);
    return handle(call);
  };
  const server = await serve({ order }, { host, port, ws: { maxPayload: MAX_MESSAGE_BYTES } }).catch((error) => {
    throw new Error(`cannot listen at ${host}:${port} (${error.message})`);
  });

  let stopping = false;
  const stop = async () => {
    if (stopping) return;
    stopping = true;
    await within(GRACE_MS, Promise.all([server, services.recogniser, services.kitchen].map((part) => part.close())));
    await within(GRACE_MS, flush()).catch((error) => {
      process.stderr.write(`gateway: some spans could not be exported: ${error.message}\n`);
    });
    process.exit(0);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);
  process.stdout.write(`ready ${server.port}\n`);
}

/** The context that the order came with, as a traceparent. Without an SDK it is the caller's own. */
function traceparent(context) {
  const spanContext = trace.getSpanContext(context);
  if (spanContext === undefined || !isSpanContextValid(spanContext)) return 'none';
  const { traceId, spanId, traceFlags } = spanContext;
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

/** Waits for something, but not for ever. */
function within(ms, promise) {
  let timer;
  const late = new Promise((resolve) => {
    timer = setTimeout(resolve, ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
