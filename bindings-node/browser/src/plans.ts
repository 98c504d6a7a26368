import type { Context } from './context.js';

export type SpanKind = 'CLIENT' | 'SERVER' | 'INTERNAL' | 'PRODUCER' | 'CONSUMER';
export type Attributes = Record<string, string | number>;
/** A link of a span; `remote` where the span is the peer's. */
export type Link = Context & { remote?: boolean };

/** A span that the host makes with its own OpenTelemetry API (SP-1). */
export interface Plan {
  name: string;
  kind: SpanKind;
  parent: 'root' | 'current' | 'connection' | { remote: Context };
  links: Link[];
  attributes: Attributes;
}
