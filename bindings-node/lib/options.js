const { WirespanError, invalid } = require('./error.js');
const { validTraceparent, tracestateOf } = require('./context.js');

/** Options of a connection: their names here and in the specification. Those in milliseconds become nanoseconds. */
const NAMES = {
  mode: 'mode',
  hello: 'hello',
  query: 'query',
  subprotocol: 'subprotocol',
  helloWaitMs: 'hello_wait',
  traceScope: 'trace_scope',
  trust: 'trust',
  session: 'session',
  baggageIn: 'baggage_in',
  baggageOut: 'baggage_out',
  hosts: 'hosts',
  naming: 'naming',
  profile: 'profile',
  stallThresholdMs: 'stall_threshold',
  skipEmptyFirst: 'skip_empty_first',
  idleTimeoutMs: 'idle_timeout',
  overflowWaitMs: 'overflow_wait',
  maxRunning: 'max_running',
  maxStreams: 'max_streams',
  maxUnread: 'max_unread',
  maxUnreadBytes: 'max_unread_bytes',
  maxHeaderBytes: 'max_header_bytes',
  maxNesting: 'max_nesting',
};

const HERE = Object.fromEntries(Object.entries(NAMES).map(([here, there]) => [there, here]));

/** The options of a connection among `options`, as the addon reads them; names in `others` are somebody else's. */
function encodeOptions(options, others = []) {
  const encoded = {};
  for (const [name, value] of Object.entries(options)) {
    if (others.includes(name) || value === undefined) continue;
    const there = NAMES[name];
    if (there === undefined) throw invalid(name, 'is no option');
    encoded[there] = encodeValue(name, value);
  }
  return JSON.stringify(encoded);
}

function encodeValue(name, value) {
  if (name === 'session' && typeof value === 'object' && value !== null) return encodeResumption(value);
  if (typeof value !== 'number') return value ?? invalidType(name);
  if (!Number.isFinite(value) || value < 0) throw invalid(name, 'must be a number that is not negative');
  return name.endsWith('Ms') ? Math.round(value * 1e6) : value;
}

function invalidType(name) {
  throw invalid(name, 'must not be null');
}

function encodeResumption({ sessionId, span }) {
  const traceparent = validTraceparent(span);
  return { sessionId, traceparent, traceState: traceparent && tracestateOf(span) };
}

/** Runs something that reads encoded options: an error names the option as it is called here. */
function withOptionNames(action) {
  try {
    return action();
  } catch (error) {
    const here = error instanceof WirespanError ? HERE[error.field] : undefined;
    if (here !== undefined && here !== error.field) {
      error.message = error.message.replace(error.field, here);
      error.field = here;
    }
    throw error;
  }
}

module.exports = { NAMES, encodeOptions, withOptionNames };
