// The driver of wirespan/browser: node driver.mjs [FOLDER], where FOLDER holds the compiled package.

import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { resolve } from 'node:path';
import { bodyOf, bytesOf, contextOf, fromMessage, toMessage, without } from './values.mjs';

const folder = process.argv[2] ?? new URL('../../../bindings-node/browser/dist', import.meta.url).pathname;
const url = (file) => pathToFileURL(resolve(folder, file)).href;
const wirespan = await import(url('parts.js'));
const { connectionCase } = wirespan.Connection ? await import('./connection.mjs') : {};

const refusal = (act) => {
  try {
    return act();
  } catch (error) {
    if (error instanceof wirespan.Refused) return { refused: error.reason };
    throw error;
  }
};
const valuesOf = (input) => input.values.map((value) => (typeof value === 'string' ? value : bytesOf(value)));
const pairs = (headers = []) => headers.map(([name, value]) => [name, typeof value === 'string' ? value : bytesOf(value)]);
const entries = (baggage = {}) => Object.entries(baggage);
const itemOf = ({ context, ...rest }) => ({ ...rest, ...(context && { context: contextOf(context) }) });

const operations = {
  'traceparent.parse': (input) => refusal(() => without({ traceparent: wirespan.parseTraceparent(valuesOf(input)) })),
  'tracestate.parse': (input) => refusal(() => without({ tracestate: wirespan.parseTracestate(valuesOf(input)) })),
  'baggage.parse': (input) => {
    const { members, dropped } = wirespan.parseBaggage(valuesOf(input));
    return without({ members: members.map(([key, value, properties = '']) => [key, value, properties]), dropped });
  },
  'baggage.write': (input) => without(wirespan.writeBaggage(input.members)),
  propagate: (input) => {
    const local = input.local && { context: contextOf(input.local) };
    return wirespan.inject(wirespan.extract(pairs(input.headers), local));
  },
  'envelope.unwrap': ({ message, recognition }) => {
    const result = wirespan.unwrap(fromMessage(message, wirespan), recognition);
    if (result.plain !== undefined) return result;
    const { headers, own, body, counts } = result;
    return { ...without({ headers: without(headers), own, counts }), body: body === undefined ? null : toMessage(body) };
  },
  'envelope.wrap': ({ headers, own, body }) => {
    const { message, counts } = wirespan.wrap(headers ?? {}, own ?? [], bodyOf(body));
    return without({ message: toMessage(message), counts });
  },
  'envelope.convert': ({ message, recognition }) => {
    const result = wirespan.convertHead(fromMessage(message, wirespan), recognition);
    return result.plain !== undefined ? result : { head: toMessage(result.head) };
  },
  'carry.to_headers': (input) => {
    const { baggage, baggage_out, ...rest } = itemOf(input);
    return without({ headers: wirespan.toHeaders({ ...rest, baggage: entries(baggage) }, baggage_out) });
  },
  'carry.from_headers': ({ headers, baggage_in }) => {
    const { baggage, ...rest } = wirespan.fromHeaders(pairs(headers), baggage_in);
    return without({ ...rest, baggage: Object.fromEntries(baggage ?? []) });
  },
  'carry.plan_send': ({ destination, session }) => ({ plan: without(wirespan.planSend(destination, session)) }),
  'carry.plan_process': (input) => ({
    plan: without(wirespan.planProcess(input.destination ?? '', input.items.map(itemOf), input.now, input.continue)),
  }),
  metrics: ({ options, series }) => {
    const stalls = [];
    const all = series.map((steps, at) => {
      const metrics = new wirespan.StreamMetrics(options);
      for (const [act, ...args] of steps) {
        const stall = metrics[act](...args);
        if (stall) stalls.push([at, stall.chunk, stall.interval]);
      }
      return metrics;
    });
    for (const other of all.slice(1)) all[0].merge(other);
    return { ...without({ stalls }), summary: all[0].summary() };
  },
  connection: (input) => connectionCase(input, wirespan),
};

const features = [
  'traceparent', 'tracestate', 'baggage', 'propagate', 'text', 'binary', 'convert', 'carry', 'metrics',
  ...(wirespan.Connection ? ['connection'] : []),
];

function run({ op, input }) {
  if (!Object.hasOwn(operations, op)) return { unsupported: op };
  try {
    return { output: operations[op](input) };
  } catch (error) {
    if (error instanceof wirespan.WirespanError) return { output: { raises: error.kind } };
    return { error: error.stack ?? String(error) };
  }
}

function answer(request) {
  if (request.do === 'hello') return { implementation: 'wirespan/browser', version: '0.1.0', language: 'typescript', spec: ['1'], features };
  return request.do === 'run' ? run(request) : {};
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  process.stdout.write(`${JSON.stringify({ seq: request.seq, ...answer(request) })}\n`);
  if (request.do === 'stop') break;
}
process.exit(0);
