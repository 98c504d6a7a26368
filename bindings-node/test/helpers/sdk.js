// The real SDK, with its spans kept in memory.

const assert = require('node:assert/strict');
const api = require('@opentelemetry/api');
const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks');
const { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-node');
const { Propagator } = require('wirespan');

const KINDS = ['INTERNAL', 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'];

/** Registers an SDK and returns what tests ask of it. */
function setUp(options = {}) {
  const exporter = new InMemorySpanExporter();
  const provider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)], ...options });
  provider.register({ contextManager: new AsyncLocalStorageContextManager(), propagator: new Propagator() });
  const tracer = api.trace.getTracer('test');
  const finished = (filter = () => true) => exporter.getFinishedSpans().filter(filter);
  return {
    tracer,
    reset: () => exporter.reset(),
    finished,
    /** The finished spans of a name and kind. */
    spans: (name, kind) => finished((span) => span.name === name && (kind === undefined || KINDS[span.kind] === kind)),
    /** The one finished span of a name and kind. */
    span(name, kind) {
      const found = this.spans(name, kind);
      assert.equal(found.length, 1, `spans ${kind} ${name} among ${describe(finished())}`);
      return found[0];
    },
    /** Runs a function in a new root span and returns the span. */
    async inSpan(name, fn) {
      const span = tracer.startSpan(name, {}, api.ROOT_CONTEXT);
      await api.context.with(api.trace.setSpan(api.ROOT_CONTEXT, span), fn);
      span.end();
      return span;
    },
    async tearDown() {
      await provider.shutdown();
      for (const part of [api.trace, api.context, api.propagation]) part.disable();
    },
  };
}

function describe(spans) {
  return JSON.stringify(spans.map((span) => `${KINDS[span.kind]} ${span.name}`));
}

const id = (span) => span.spanContext().spanId;
const parentId = (span) => span.parentSpanContext?.spanId;
const traceId = (span) => span.spanContext().traceId;
const linkIds = (span) => span.links.map((link) => link.context.spanId);

/** Waits until a condition holds; fails after five seconds. */
async function until(condition, what = condition.toString()) {
  const end = Date.now() + 5000;
  while (!condition()) {
    if (Date.now() > end) assert.fail(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

module.exports = { KINDS, setUp, id, parentId, traceId, linkIds, until };
