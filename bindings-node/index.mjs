// A thin layer over the CommonJS module: both module systems share one instance.
import wirespan from './index.js';

export const {
  Call,
  Carry,
  CarryQueue,
  Connection,
  Envelope,
  HandshakeRequest,
  Message,
  Propagator,
  Received,
  SessionRegistry,
  SpanMaker,
  StreamMetrics,
  Summary,
  TraceState,
  TracedConnection,
  Transfer,
  WirespanError,
  formatBaggage,
  names,
  now,
  parseBaggage,
  parseTraceparent,
  parseTracestate,
  unixNow,
} = wirespan;
