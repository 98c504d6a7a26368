const { Connection } = require('./lib/connection.js');
const { Received } = require('./lib/received.js');
const { HandshakeRequest, SessionRegistry } = require('./lib/handshake.js');
const { StreamMetrics, Summary } = require('./lib/metrics.js');
const { TraceState } = require('./lib/context.js');
const { WirespanError } = require('./lib/error.js');
const { SpanMaker } = require('./lib/spans.js');
const { Propagator } = require('./lib/propagator.js');
const { Carry, CarryQueue } = require('./lib/carry.js');
const { Envelope } = require('./lib/envelope.js');
const { TracedConnection } = require('./lib/traced.js');
const { Call, Transfer } = require('./lib/call.js');
const { Message } = require('./lib/message.js');
const { parseTraceparent, parseTracestate, parseBaggage, formatBaggage } = require('./lib/parse.js');
const { now, unixNow } = require('./lib/clock.js');
const { names } = require('./lib/native.js');

module.exports = {
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
};
