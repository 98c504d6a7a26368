// Between the contexts of @opentelemetry/api and those of the core.

const {
  baggageEntryMetadataFromString,
  createContextKey,
  isSpanContextValid,
  propagation,
  trace,
} = require('@opentelemetry/api');
const { native, words, ids, WORD } = require('./native.js');

/** The trace whose id is random. The SDK does not hand the flag that says so on to child spans. */
const RANDOM_TRACE = createContextKey('wirespan random trace');
const RANDOM_FLAG = 2;

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0'));

/**
 * The vendor data of a span context. Unlike that of the API it keeps what level 2 of the standard allows; what is set is
 * checked by the core.
 */
class TraceState {
  #list;

  constructor(list = '') {
    this.#list = list;
  }

  get(key) {
    return native.tracestateGet(this.#list, key);
  }

  /** A list in which the key stands first. What the standard refuses changes nothing, as the API asks. */
  set(key, value) {
    try {
      return new TraceState(native.tracestateSet(this.#list, key, value));
    } catch {
      return this;
    }
  }

  unset(key) {
    return new TraceState(native.tracestateUnset(this.#list, key));
  }

  serialize() {
    return this.#list;
  }
}

/** The header of a span context, not yet checked. */
function traceparentOf(spanContext) {
  return `00-${spanContext.traceId}-${spanContext.spanId}-${HEX[spanContext.traceFlags & 0xff]}`;
}

/** The list of a span context, or undefined. */
function tracestateOf(spanContext) {
  return spanContext.traceState?.serialize() || undefined;
}

/** The header of a valid span context, or undefined. */
function validTraceparent(spanContext) {
  return spanContext !== undefined && spanContext !== null && isSpanContextValid(spanContext)
    ? traceparentOf(spanContext)
    : undefined;
}

/** A remote span context of the 48 digits of its ids. */
function remoteSpanContext(digits, traceFlags, list) {
  const spanContext = { traceId: digits.slice(0, 32), spanId: digits.slice(32), traceFlags, isRemote: true };
  if (list) spanContext.traceState = new TraceState(list);
  return spanContext;
}

/** The span context that the addon left in the words. */
function spanContextLeft(list) {
  return remoteSpanContext(ids.hexSlice(0, 24), words[WORD.TRACE_FLAGS], list);
}

/** A span context as the addon writes it into JSON: `{traceparent, traceState}`. */
function reviveSpanContext(json) {
  if (json === null || json === undefined) return undefined;
  const { traceparent, traceState } = json;
  const digits = traceparent.slice(3, 35) + traceparent.slice(36, 52);
  return remoteSpanContext(digits, Number.parseInt(traceparent.slice(53), 16), traceState);
}

/** A plan whose span contexts are those of the API. */
function revivePlan(plan) {
  plan.remote = reviveSpanContext(plan.remote);
  plan.links = plan.links.map((link) => ({ ...reviveSpanContext(link), isRemote: link.isRemote }));
  return plan;
}

/** A plan that differs from an earlier one in its span, and in the remote span if that is its parent. */
function planLike({ name, kind, parent, links, attributes }, span, remote) {
  // Whoever gets a plan may change it.
  return {
    span,
    name,
    kind,
    parent,
    remote: parent === 'remote' ? remote : undefined,
    links: links.map((link) => ({ ...link })),
    attributes: { ...attributes },
  };
}

/** A context with a remote span. */
function remoteContext(base, spanContext) {
  const context = trace.setSpanContext(base, spanContext);
  return spanContext.traceFlags & RANDOM_FLAG ? context.setValue(RANDOM_TRACE, spanContext.traceId) : context;
}

/** The span context of a context, valid or not, with the random flag of its trace; or undefined. */
function currentSpanContext(context) {
  const spanContext = trace.getSpanContext(context);
  if (spanContext === undefined || spanContext.traceFlags & RANDOM_FLAG) return spanContext;
  if (context.getValue(RANDOM_TRACE) !== spanContext.traceId) return spanContext;
  return { ...spanContext, traceFlags: spanContext.traceFlags | RANDOM_FLAG };
}

/** The valid span context of a context, or undefined. */
function spanContextOf(context) {
  const spanContext = currentSpanContext(context);
  return spanContext !== undefined && isSpanContextValid(spanContext) ? spanContext : undefined;
}

/** Baggage of the API as keys, values and properties in turn; undefined if there is none. */
function flattenBaggage(baggage) {
  const entries = baggage?.getAllEntries() ?? [];
  if (entries.length === 0) return undefined;
  return entries.flatMap(([key, entry]) => [key, entry.value, entry.metadata?.toString() ?? '']);
}

/** Baggage of the API of `[key, value, properties]`. Keys such as `__proto__` are plain data. */
function reviveBaggage(members) {
  if (members === undefined || members.length === 0) return undefined;
  const entries = Object.create(null);
  for (const [key, value, properties] of members) {
    entries[key] = properties === '' ? { value } : { value, metadata: baggageEntryMetadataFromString(properties) };
  }
  return propagation.createBaggage(entries);
}

/** A context with baggage, if there is some. */
function withBaggage(context, baggage) {
  return baggage === undefined ? context : propagation.setBaggage(context, baggage);
}

module.exports = {
  TraceState,
  traceparentOf,
  tracestateOf,
  validTraceparent,
  remoteSpanContext,
  spanContextLeft,
  reviveSpanContext,
  planLike,
  revivePlan,
  currentSpanContext,
  remoteContext,
  spanContextOf,
  flattenBaggage,
  reviveBaggage,
  withBaggage,
};
