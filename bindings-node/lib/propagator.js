const {
  INVALID_SPAN_CONTEXT,
  createContextKey,
  defaultTextMapGetter,
  defaultTextMapSetter,
  propagation,
} = require('@opentelemetry/api');
const { native } = require('./native.js');
const {
  currentSpanContext,
  flattenBaggage,
  remoteContext,
  reviveBaggage,
  spanContextLeft,
  traceparentOf,
  tracestateOf,
} = require('./context.js');

/** Set by SDKs while they export, so that their own requests are not traced; the name is fixed in `@opentelemetry/core`. */
const SUPPRESS = createContextKey('OpenTelemetry SDK Context Key SUPPRESS_TRACING');

/**
 * Propagates trace context and baggage in the headers of any carrier, by the letter of W3C Trace Context level 2 and W3C
 * Baggage. What is invalid counts as absent and changes nothing.
 */
class Propagator {
  inject(context, carrier, setter = defaultTextMapSetter) {
    if (context.getValue(SUPPRESS) !== true) {
      const spanContext = currentSpanContext(context) ?? INVALID_SPAN_CONTEXT;
      const traceparent = native.injectContext(traceparentOf(spanContext));
      if (traceparent !== undefined) {
        setter.set(carrier, 'traceparent', traceparent);
        const list = tracestateOf(spanContext);
        const tracestate = list && native.tracestateTruncated(list);
        if (tracestate) setter.set(carrier, 'tracestate', tracestate);
      }
    }
    const parts = flattenBaggage(propagation.getBaggage(context));
    if (parts === undefined) return;
    const { header } = JSON.parse(native.formatBaggage(parts));
    if (header !== '') setter.set(carrier, 'baggage', header);
  }

  extract(context, carrier, getter = defaultTextMapGetter) {
    let extracted = context;
    const traceparent = getter.get(carrier, 'traceparent');
    if (isText(traceparent)) {
      const tracestate = getter.get(carrier, 'tracestate');
      const list = native.extractContext(traceparent, isText(tracestate) ? tracestate : undefined);
      if (list !== undefined) extracted = remoteContext(extracted, spanContextLeft(list));
    }
    const values = getter.get(carrier, 'baggage');
    if (isText(values)) {
      const baggage = reviveBaggage(JSON.parse(native.parseBaggage(values)).members);
      if (baggage !== undefined) extracted = propagation.setBaggage(extracted, baggage);
    }
    return extracted;
  }

  fields() {
    return ['traceparent', 'tracestate', 'baggage'];
  }
}

/** Whether a carrier's value is text, or several texts; anything else counts as absent. */
function isText(value) {
  return typeof value === 'string' || (Array.isArray(value) && value.every((item) => typeof item === 'string'));
}

module.exports = { Propagator };
