const { context, diag, INVALID_SPAN_CONTEXT, SpanKind, SpanStatusCode, trace } = require('@opentelemetry/api');
const { names } = require('./native.js');
const { wallTime } = require('./clock.js');
const { remoteContext, withBaggage } = require('./context.js');

/**
 * Starts and ends the spans that plans ask for, with whatever tracer provider the process has. Without an SDK the spans
 * record nothing, and contexts still flow.
 */
class SpanMaker {
  #tracer;

  constructor(tracer = trace.getTracer('wirespan', names.version)) {
    this.#tracer = tracer;
  }

  /**
   * Starts the span of a plan and returns the context that holds it. `current` is the host's current context, or ROOT_CONTEXT
   * for what a peer opens; what it holds beside its span stays. `connection` is the context of the connection span.
   */
  start(plan, { current = context.active(), connection = undefined, baggage = undefined } = {}) {
    let parent = current;
    const connectionSpan = connection === undefined ? undefined : trace.getSpan(connection);
    if (plan.parent === 'remote') parent = remoteContext(current, plan.remote);
    else if (plan.parent === 'connection' && connectionSpan !== undefined) parent = trace.setSpan(current, connectionSpan);
    else if (plan.parent !== 'current') parent = trace.deleteSpan(current);
    parent = withBaggage(parent, baggage);
    const links = plan.links.map((link) => ({ context: link }));
    const options = { kind: SpanKind[plan.kind], links, attributes: plan.attributes };
    try {
      return trace.setSpan(parent, this.#tracer.startSpan(plan.name, options, parent));
    } catch (error) {
      // A sampler or processor of the host failed. The message goes on in the parent's context, whose span is not ours to end.
      diag.error(`wirespan: the span ${JSON.stringify(plan.name)} could not be started`, error);
      return trace.setSpanContext(parent, trace.getSpanContext(parent) ?? INVALID_SPAN_CONTEXT);
    }
  }

  /** Sets attributes on the span of a context. */
  update(spanContext, attributes) {
    guarded(() => trace.getSpan(spanContext)?.setAttributes(attributes));
  }

  /** Ends the span of a context as an event of type `spanEnd` says. */
  end(spanContext, event) {
    const span = trace.getSpan(spanContext);
    if (span === undefined) return;
    guarded(() => {
      if (span.isRecording()) {
        span.setAttributes(event.attributes);
        for (const { name, at, attributes } of event.events) span.addEvent(name, attributes, wallTime(at));
        if (event.status === 'error') span.setStatus({ code: SpanStatusCode.ERROR });
      }
      span.end();
    });
  }
}

/** Runs something in the SDK of the host, whose failures are not the application's. */
function guarded(action) {
  try {
    action();
  } catch (error) {
    diag.error('wirespan: the SDK failed', error);
  }
}

module.exports = { SpanMaker };
