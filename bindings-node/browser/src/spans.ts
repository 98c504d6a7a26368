import type { Context as OtelContext } from '@opentelemetry/api';
import type { Context } from './context.js';
import type { SpanName } from './handshake.js';
import type { Attributes, Plan } from './plans.js';
import type { SpanEvent } from './stream.js';

/** The module `@opentelemetry/api`. */
export type Api = typeof import('@opentelemetry/api');

/** Makes the spans of plans with the OpenTelemetry API that the page gives; without one there are none. */
export class Spans {
  private readonly open = new Map<SpanName, OtelContext>();

  constructor(private readonly api: Api | undefined) {}

  active(): OtelContext | undefined {
    return this.api?.context.active();
  }

  root(): OtelContext | undefined {
    return this.api?.ROOT_CONTEXT;
  }

  /** The span that a context holds, as it is sent. */
  contextOf(context: OtelContext | undefined): Context | undefined {
    const span = context && this.api?.trace.getSpanContext(context);
    if (!span || !this.api?.isSpanContextValid(span)) return undefined;
    const tracestate = span.traceState?.serialize();
    const traceparent = `00-${span.traceId}-${span.spanId}-0${span.traceFlags & 3}`;
    return tracestate ? { traceparent, tracestate } : { traceparent };
  }

  /** The context of a peer's span. */
  remote(context: Context): OtelContext | undefined {
    return this.api?.trace.setSpanContext(this.api.ROOT_CONTEXT, this.spanContext(context, true));
  }

  start(plan: Plan, name: SpanName, current: OtelContext | undefined): OtelContext | undefined {
    const { api } = this;
    if (!api || !current) return undefined;
    const connection = this.open.get('connection');
    let parent = api.trace.deleteSpan(current);
    if (plan.parent === 'current') parent = current;
    else if (plan.parent === 'connection' && connection) parent = connection;
    else if (typeof plan.parent === 'object') parent = this.remote(plan.parent.remote) ?? parent;
    const links = plan.links.map((link) => ({ context: this.spanContext(link, Boolean(link.remote)) }));
    const { attributes } = plan;
    const tracer = api.trace.getTracer('wirespan');
    const span = tracer.startSpan(plan.name, { kind: api.SpanKind[plan.kind], links, attributes }, parent);
    const context = api.trace.setSpan(parent, span);
    this.open.set(name, context);
    return context;
  }

  update(name: SpanName, attributes: Attributes): void {
    const context = this.open.get(name);
    if (context) this.api?.trace.getSpan(context)?.setAttributes(attributes);
  }

  end(name: SpanName, { error, attributes, events }: { error: boolean; attributes: Attributes; events: SpanEvent[] }): void {
    const context = this.open.get(name);
    const span = context && this.api?.trace.getSpan(context);
    this.open.delete(name);
    if (!span || !this.api) return;
    span.setAttributes(attributes);
    // Readings of `performance.now()` in milliseconds are times of the API.
    for (const event of events) span.addEvent(event.name, event.attributes, event.at / 1e6);
    if (error) span.setStatus({ code: this.api.SpanStatusCode.ERROR });
    span.end();
  }

  within<T>(context: OtelContext | undefined, run: () => T): T {
    return context && this.api ? this.api.context.with(context, run) : run();
  }

  report(error: unknown): void {
    this.api?.diag.error('wirespan: a handler failed', error);
  }

  private spanContext({ traceparent, tracestate }: Context, isRemote: boolean) {
    const [, traceId, spanId, flags] = traceparent.split('-') as [string, string, string, string];
    const traceState = tracestate ? this.api?.createTraceState(tracestate) : undefined;
    return { traceId, spanId, traceFlags: Number(flags), isRemote, ...(traceState && { traceState }) };
  }
}
