import type { Context } from './context.js';

/** The kinds of spans, with the numbers of the OpenTelemetry API. */
export enum SpanKind {
  INTERNAL,
  SERVER,
  CLIENT,
  PRODUCER,
  CONSUMER,
}
export type Attributes = Record<string, string | number>;
/** A link of a span; `remote` where the span is the peer's. */
export type Link = Context & { remote?: boolean };
export type Parent = 'root' | 'current' | 'connection' | { remote: Context };

/** A span that the host makes with its own OpenTelemetry API (SP-1). */
export interface Plan<Kind = SpanKind> {
  name: string;
  kind: Kind;
  parent: Parent;
  links: Link[];
  attributes: Attributes;
}
