// The driver of the Node.js package: node driver.mjs. It uses what every application can use and nothing else.

import { createInterface } from 'node:readline';
import { api, wirespan } from './package.mjs';
import { connectionCase, optionsOf } from './connection.mjs';
import {
  bodyOf, contextOf, counts, messageOf, pairsOf, showContext, showMessage, showPayload, showPlan, showSummary, valueOf, without,
} from './values.mjs';

const { propagation, ROOT_CONTEXT, trace } = api;
const {
  Carry, Envelope, formatBaggage, names, parseBaggage, parseTraceparent, parseTracestate, Propagator, StreamMetrics, WirespanError,
} = wirespan;

const refusal = (act) => {
  try {
    return act();
  } catch (error) {
    if (error instanceof WirespanError && error.reason !== undefined) return { refused: error.reason };
    throw error;
  }
};
const recognised = ({ recognition }, binary) => ({ binary, recognition: recognition === 'always' ? 'any' : 'canonical' });
const baggageOf = (baggage = {}) =>
  propagation.createBaggage(Object.fromEntries(Object.entries(baggage).map(([key, value]) => [key, { value }])));

/** Header fields in order, repeated ones included. */
const fields = {
  get: (carrier, wanted) => {
    const values = carrier.filter(([name]) => name.toLowerCase() === wanted).map(([, value]) => value);
    return values.length === 0 ? undefined : values;
  },
  keys: (carrier) => carrier.map(([name]) => name),
};

/** The reserved headers as they stand in a text envelope. */
function showHead(head) {
  const { versions, role, traceparent, tracestate, baggage, session, kind, method, stream, seq, end, error, content, sent } = head;
  const all = { wirespan: versions, role, traceparent, tracestate, baggage, session, kind, method, stream, seq, end, error, content, sent };
  return Object.fromEntries(
    Object.entries(all).filter(([, value]) => value !== undefined).map(([name, value]) => [name, String(value)]),
  );
}

function headOf({ wirespan, stream, seq, sent, ...rest } = {}, own) {
  const number = (value) => (value === undefined ? undefined : Number(value));
  return { ...rest, versions: wirespan, stream: number(stream), seq: number(seq), sent: sent && BigInt(sent), own };
}

function carryOf({ context, baggage, session }) {
  const spanContext = contextOf(context);
  const base = spanContext === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, spanContext);
  return Carry.capture(undefined, { context: propagation.setBaggage(base, baggageOf(baggage)), sessionId: session });
}

const operations = {
  'traceparent.parse': ({ values }) =>
    refusal(() => without({ traceparent: showContext(parseTraceparent(values.map(valueOf)))?.traceparent })),
  'tracestate.parse': ({ values }) => refusal(() => without({ tracestate: parseTracestate(values.map(valueOf)) })),
  'baggage.parse': ({ values }) => {
    const { members, dropped } = parseBaggage(values.map(valueOf));
    return without({ members, dropped });
  },
  'baggage.write': ({ members }) => {
    const { header, dropped } = formatBaggage(members);
    return without({ baggage: header, dropped });
  },
  propagate: ({ headers, local }) => {
    const current = local === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, contextOf(local));
    const propagator = new Propagator();
    // Node.js has header values as text in which each character is a byte.
    const carrier = pairsOf(headers).map(([name, value]) => [name, typeof value === 'string' ? value : value.toString('latin1')]);
    const next = {};
    propagator.inject(propagator.extract(current, carrier, fields), next);
    return next;
  },
  'envelope.unwrap': (input) => {
    const [message, binary] = messageOf(input.message);
    const read = Envelope.unwrap(message, recognised(input, binary));
    if (!read.envelope) return { plain: read.reason };
    const { head, body } = read;
    const { drops } = head;
    return {
      ...without({ headers: showHead(head), own: head.own }),
      body: body === undefined ? null : showPayload(body, binary),
      ...without({
        counts: counts({
          context_invalid: drops.contextInvalid, header_invalid: drops.headerInvalid, header_repeated: drops.headerRepeated,
          dropped_tracestate: drops.tracestate, dropped_baggage: drops.baggage, content_mismatch: drops.contentMismatch,
        }),
      }),
    };
  },
  'envelope.wrap': ({ headers, own, body }) => {
    const [content, options] = bodyOf(body);
    const made = Envelope.wrap(headOf(headers, own), content, options);
    const { baggageDropped, tracestateCut, ownDropped } = made;
    return {
      message: showMessage(made.bytes, made.form === 'binary'),
      ...without({
        counts: counts({ dropped_baggage: baggageDropped, dropped_tracestate: tracestateCut, dropped_header: ownDropped }),
      }),
    };
  },
  'envelope.convert': (input) => {
    const [message, binary] = messageOf(input.message);
    const read = Envelope.unwrap(message, recognised(input, binary));
    if (!read.envelope) return { plain: read.reason };
    return { head: showMessage(Envelope.convertHead(message, recognised(input, binary)), !binary) };
  },
  'carry.to_headers': (input) => {
    const { sent = null, baggage_out } = input;
    const headers = carryOf(input).toHeaders({ baggage: baggage_out, sentUnixNs: sent && BigInt(sent) });
    return without({ headers: Object.entries(headers) });
  },
  'carry.from_headers': ({ headers, baggage_in }) => {
    const { context, sessionId, sentUnixNs, contextInvalid } = Carry.fromHeaders(undefined, pairsOf(headers), { baggage: baggage_in });
    const baggage = propagation.getBaggage(context)?.getAllEntries() ?? [];
    return without({
      context: showContext(trace.getSpanContext(context)),
      baggage: Object.fromEntries(baggage.map(([key, { value }]) => [key, value])),
      session: sessionId,
      sent: sentUnixNs?.toString(),
      counts: counts({ context_invalid: contextInvalid }),
    });
  },
  'carry.plan_send': ({ destination, session }) => ({ plan: showPlan(Carry.planSend(destination, session)) }),
  'carry.plan_process': ({ destination, items = [], continue: continueTrace, now }) => {
    const carries = items.map(({ sent = null, ...item }) => {
      const headers = carryOf(item).toHeaders({ baggage: ['*'], sentUnixNs: sent && BigInt(sent) });
      return Carry.fromHeaders(undefined, headers);
    });
    return { plan: showPlan(Carry.planProcess(destination, carries, { continueTrace, nowUnixNs: BigInt(now) })) };
  },
  metrics: ({ options, series }) => {
    const stalls = [];
    const all = series.map((steps, at) => {
      const metrics = new StreamMetrics(optionsOf(options));
      const acts = { start: 'start', chunk: 'recordChunk', finish: 'finish' };
      for (const [act, ...args] of steps) {
        const stall = metrics[acts[act]](...args);
        if (stall !== undefined) stalls.push([at, stall.chunk, stall.intervalNs]);
      }
      return metrics;
    });
    const [first, ...others] = all;
    for (const other of others) first.merge(other);
    return { ...without({ stalls }), summary: showSummary(first.summary()) };
  },
  connection: connectionCase,
};

const FEATURES = [
  'traceparent', 'tracestate', 'baggage', 'propagate', 'text', 'binary', 'convert', 'connection', 'carry', 'metrics',
];

function run({ op, input }) {
  if (!Object.hasOwn(operations, op)) return { unsupported: op };
  try {
    return { output: operations[op](input) };
  } catch (error) {
    if (error instanceof WirespanError) return { output: { raises: error.kind } };
    return { error: error.stack ?? String(error) };
  }
}

function answer(request) {
  if (request.do === 'hello') {
    return { implementation: 'wirespan', version: names.version, language: 'node', spec: ['1'], features: FEATURES };
  }
  return request.do === 'run' ? run(request) : {};
}

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  process.stdout.write(`${JSON.stringify({ seq: request.seq, ...answer(request) })}\n`);
  if (request.do === 'stop') break;
}
