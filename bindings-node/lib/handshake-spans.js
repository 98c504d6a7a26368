const { trace } = require('@opentelemetry/api');
const { spanContextOf } = require('./context.js');

/**
 * Starts the spans of a handshake. Returns their contexts by the number of their span, and the context to do the handshake in.
 */
function startHandshake(core, maker, current, http) {
  const spans = new Map();
  let inner = current;
  for (const plan of core.planHandshake({ http, current: spanContextOf(current) !== undefined })) {
    inner = maker.start(plan, { current, connection: spans.get(0) });
    spans.set(plan.span, inner);
    core.spanStarted(plan.span, trace.getSpanContext(inner));
  }
  return { spans, inner };
}

/** Ends what a failed handshake has started. */
function failHandshake(core, maker, spans, errorType) {
  core.failHandshake(errorType);
  for (let event = core.pollEvent(); event !== undefined; event = core.pollEvent()) {
    const context = event.type === 'spanEnd' ? spans.get(event.span) : undefined;
    if (context !== undefined) maker.end(context, event);
  }
}

module.exports = { startHandshake, failHandshake };
