const { performance } = require('node:perf_hooks');

/**
 * The monotonic clock in nanoseconds since the process (or worker) started. A number holds it exactly for 104 days, and to
 * two nanoseconds for the years after; a bigint would cost more than the message.
 */
function now() {
  return Math.round(performance.now() * 1e6);
}

/** The wall clock in nanoseconds since 1970. */
function unixNow() {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e3)) * 1000n;
}

/** The wall-clock time, as OpenTelemetry takes it, of a reading of the monotonic clock. */
function wallTime(atNs) {
  const unixMs = Date.now() - (now() - atNs) / 1e6;
  const seconds = Math.floor(unixMs / 1e3);
  return [seconds, Math.round((unixMs - seconds * 1e3) * 1e6)];
}

module.exports = { now, unixNow, wallTime };
