const { native } = require('./native.js');
const { bytesOf } = require('./body.js');
const { flattenBaggage, reviveBaggage, reviveSpanContext } = require('./context.js');

/**
 * The values of a header as the addon takes them: a string, bytes, or an array of either for a header that came several times.
 */
function valuesOf(values) {
  const one = (value) => (ArrayBuffer.isView(value) ? bytesOf(value, 'values') : value);
  return Array.isArray(values) ? values.map(one) : one(values);
}

/**
 * Reads the values of a `traceparent` header. Returns a span context, or undefined if there is none; throws `malformed` with the
 * reason and the offset.
 */
function parseTraceparent(values) {
  const traceparent = native.parseTraceparent(valuesOf(values));
  return traceparent === undefined ? undefined : reviveSpanContext({ traceparent });
}

/** Reads the values of a `tracestate` header and returns the list as it is sent on; throws why it is refused. */
function parseTracestate(values) {
  return native.parseTracestate(valuesOf(values));
}

/** Reads the values of a `baggage` header: the baggage, and the number of members that were dropped. Never throws. */
function parseBaggage(values) {
  const { members, dropped } = JSON.parse(native.parseBaggage(valuesOf(values)));
  return { baggage: reviveBaggage(members), members, dropped };
}

/**
 * Writes baggage as a header; members that do not fit its limits are dropped and counted. Given as members, `[key, value,
 * properties]`, it is written in their order, and one that is outside the grammar throws `invalid_argument`.
 */
function formatBaggage(baggage) {
  if (!Array.isArray(baggage)) return JSON.parse(native.formatBaggage(flattenBaggage(baggage), false));
  return JSON.parse(
    native.formatBaggage(
      baggage.flatMap(([key, value, properties = '']) => [key, value, properties]),
      true,
    ),
  );
}

module.exports = { parseTraceparent, parseTracestate, parseBaggage, formatBaggage };
