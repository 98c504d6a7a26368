const { native } = require('./native.js');
const { flattenBaggage, reviveBaggage, reviveSpanContext } = require('./context.js');

/**
 * Reads the values of a `traceparent` header: a string, an array for a header that came several times, or bytes. Returns a
 * span context, or undefined if there is none; throws `malformed` with the reason and the offset.
 */
function parseTraceparent(values) {
  const traceparent = native.parseTraceparent(values);
  return traceparent === undefined ? undefined : reviveSpanContext({ traceparent });
}

/** Reads the values of a `tracestate` header and returns the list as it is sent on; throws why it is refused. */
function parseTracestate(values) {
  return native.parseTracestate(values);
}

/** Reads the values of a `baggage` header: the baggage, and the number of members that were dropped. Never throws. */
function parseBaggage(values) {
  const { members, dropped } = JSON.parse(native.parseBaggage(values));
  return { baggage: reviveBaggage(members), members, dropped };
}

/** Writes baggage as a header; members that do not fit its limits are dropped and counted. */
function formatBaggage(baggage) {
  return JSON.parse(native.formatBaggage(flattenBaggage(baggage)));
}

module.exports = { parseTraceparent, parseTracestate, parseBaggage, formatBaggage };
