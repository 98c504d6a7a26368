import type { Context as OtelContext } from '@opentelemetry/api';
import type { BaggageMember } from './baggage.js';
import type { Context } from './context.js';
import type { SpanName } from './core.js';
import type { Attributes, Plan } from './plans.js';
import type { SpanEvent } from './stream.js';

/** The module `@opentelemetry/api`. */
export type Api = typeof import('@opentelemetry/api');

const STATUS_ERROR = 2 satisfies Api['SpanStatusCode']['ERROR'];

/** Makes the spans of plans with the OpenTelemetry API that the page gives; without one there are none. */
export function spansWith(api: Api | undefined) {
  const open = new Map<SpanName, OtelContext>();

  const spanContext = ({ traceparent, tracestate }: Context, isRemote = false) => {
    const [, traceId, spanId, flags] = traceparent.split('-') as [string, string, string, string];
    return {
      traceId,
      spanId,
      traceFlags: Number(flags),
      isRemote,
      ...(tracestate && { traceState: api?.createTraceState(tracestate) }),
    };
  };
  const spanOf = (name: SpanName) => {
    const context = open.get(name);
    return context && api?.trace.getSpan(context);
  };

  return {
    active_: (): OtelContext | undefined => api?.context.active(),

    /** What of a context goes along with a message: its span and its baggage. */
    carried_(context: OtelContext | undefined): { context?: Context; baggage?: BaggageMember[] } {
      if (!context || !api) return {};
      const span = api.trace.getSpanContext(context);
      return {
        context:
          span && api.isSpanContextValid(span)
            ? {
                traceparent: `00-${span.traceId}-${span.spanId}-0${span.traceFlags & 3}`,
                tracestate: span.traceState?.serialize(),
              }
            : undefined,
        baggage: (api.propagation.getBaggage(context)?.getAllEntries() ?? []).map(([key, { value, metadata }]) => [
          key,
          value,
          metadata?.toString(),
        ]),
      };
    },

    /** The context of a peer's span and baggage. */
    remote_(context?: Context, baggage: readonly BaggageMember[] = []): OtelContext | undefined {
      if (!api) return undefined;
      let given = api.propagation.createBaggage();
      for (const [key, value, properties = ''] of baggage) {
        given = given.setEntry(key, { value, metadata: api.baggageEntryMetadataFromString(properties) });
      }
      const root = api.propagation.setBaggage(api.ROOT_CONTEXT, given);
      return context ? api.trace.setSpanContext(root, spanContext(context, true)) : root;
    },

    /** Starts the span of a plan; gives the context that holds it. */
    start_(
      { name, kind, parent, links, attributes }: Plan,
      span: SpanName,
      current: OtelContext | undefined,
    ): OtelContext | undefined {
      if (!api || !current) return undefined;
      const { trace } = api;
      let context = trace.deleteSpan(current);
      if (parent === 'current') context = current;
      else if (parent === 'connection') context = open.get(parent) ?? context;
      else if (parent !== 'root') context = trace.setSpanContext(context, spanContext(parent.remote, true));
      const made = trace
        .getTracer('wirespan')
        .startSpan(
          name,
          { kind, links: links.map((link) => ({ context: spanContext(link, link.remote) })), attributes },
          context,
        );
      context = trace.setSpan(context, made);
      open.set(span, context);
      return context;
    },

    updateSpan_(name: SpanName, attributes: Attributes): void {
      spanOf(name)?.setAttributes(attributes);
    },

    endSpan_(name: SpanName, attributes: Attributes, failed: boolean, events: SpanEvent[]): void {
      const span = spanOf(name);
      open.delete(name);
      if (!span) return;
      span.setAttributes(attributes);
      // Readings of `performance.now()` in milliseconds are times of the API.
      for (const event of events) span.addEvent(event.name, event.attributes, event.at / 1e6);
      if (failed) span.setStatus({ code: STATUS_ERROR });
      span.end();
    },

    within_: <T>(context: OtelContext | undefined, run: () => T): T =>
      context && api ? api.context.with(context, run) : run(),

    report_: (error: unknown): void => api?.diag.error('wirespan: a handler failed', error),
  };
}
