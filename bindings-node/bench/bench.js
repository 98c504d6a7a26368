// The product against what one would write by hand, and against the copy of the body: bench.js OUTPUT
//
// Both sides get the same body and the same span and give the same result. They take turns in one process (A B B A), and
// medians are compared. Text bodies are values that become JSON; binary ones are bytes.

const fs = require('node:fs');
const { ROOT_CONTEXT, context, defaultTextMapGetter, defaultTextMapSetter, trace } = require('@opentelemetry/api');
const { AsyncLocalStorageContextManager } = require('@opentelemetry/context-async-hooks');
const { W3CTraceContextPropagator } = require('@opentelemetry/core');
const { Carry, Connection, HandshakeRequest, StreamMetrics, now } = require('wirespan');

const SIZES = [64, 256, 4096, 65536, 1048576];
const ROUNDS = 21;
const ROUND_NS = 4e6;

context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable());
const propagator = new W3CTraceContextPropagator();

/** Spans that are new each time, as they are for calls and sends of different requests. */
const spans = Array.from({ length: 64 }, (_, n) => ({
  traceId: (n + 1).toString(16).padStart(32, 'a'),
  spanId: (n + 1).toString(16).padStart(16, 'b'),
  traceFlags: 1,
}));
const contexts = spans.map((span) => trace.setSpanContext(ROOT_CONTEXT, span));

/** Two ends that know each other. */
function ends() {
  const entropy = Buffer.alloc(16, 1);
  const client = Connection.client({}, { entropy });
  const { headers } = client.request({ host: 'localhost' });
  const request = new HandshakeRequest(headers);
  const server = Connection.server({}, request, { entropy });
  client.openClient(server.response(request).headers, 0);
  server.openServer(0);
  return { client, server };
}

function nowNs() {
  return Number(process.hrtime.bigint());
}

/** Times of one operation, in nanoseconds, of each of the rivals by turns. */
function compare(rivals) {
  const runs = rivals.map((rival) => {
    let count = 1;
    for (;;) {
      // The quickest of three: what else the machine does must not make a round too short.
      let took = Number.POSITIVE_INFINITY;
      for (let attempt = 0; attempt < 3; attempt++) {
        const start = nowNs();
        for (let n = 0; n < count; n++) rival(n);
        took = Math.min(took, nowNs() - start);
      }
      if (took > ROUND_NS / 4) return { rival, count: Math.max(1, Math.round((count * ROUND_NS) / took)), times: [] };
      count *= 2;
    }
  });
  for (let round = 0; round < ROUNDS; round++) {
    const turn = round % 2 === 0 ? runs : [...runs].reverse();
    for (const run of [...turn, ...[...turn].reverse()]) {
      const start = nowNs();
      for (let n = 0; n < run.count; n++) run.rival(n);
      run.times.push((nowNs() - start) / run.count);
    }
  }
  return runs.map(({ times }) => times.sort((a, b) => a - b)[times.length >> 1]);
}

const rows = [];
/** What the rivals leave here cannot be optimised away. */
const sink = { value: undefined };

function measure(operation, size, idiom, product, byHand, floor) {
  const [productNs, idiomNs, floorNs] = compare(floor === undefined ? [product, byHand] : [product, byHand, floor]);
  const round = (value) => (value === undefined ? null : Math.round(value * 1000) / 1000);
  rows.push({
    language: 'node',
    operation,
    size,
    product_ns: round(productNs),
    idiom,
    idiom_ns: round(idiomNs),
    ratio: round(productNs / idiomNs),
    floor_ns: round(floorNs),
    floor_ratio: round(floorNs === undefined ? undefined : productNs / floorNs),
  });
}

function copyOf(bytes) {
  const copy = Buffer.allocUnsafe(bytes.length);
  bytes.copy(copy);
  return copy;
}

const BY_HAND_TEXT = 'JSON.stringify/parse of {headers, body} with the W3C propagator';
const BY_HAND_SPLICED = 'the JSON text between spliced headers, with the W3C propagator';
const BY_HAND_BASE64 = 'JSON.parse of {headers, body: base64} with the W3C propagator';
const BY_HAND_BINARY = 'length, JSON of headers, payload with the W3C propagator';

for (const size of SIZES) {
  const { client, server } = ends();
  const value = { text: 'x'.repeat(Math.max(1, size - 11)) };
  const serialised = Buffer.from(JSON.stringify(value));
  measure(
    'encode',
    size,
    BY_HAND_TEXT,
    (n) => {
      sink.value = client.send(0, value, { spanContext: spans[n & 63] }, n).bytes;
    },
    (n) => {
      const headers = {};
      propagator.inject(contexts[n & 63], headers, defaultTextMapSetter);
      sink.value = Buffer.from(JSON.stringify({ headers, body: value }));
    },
    () => {
      sink.value = copyOf(serialised);
    },
  );
  const frames = spans.map((spanContext) => Buffer.from(client.send(0, value, { spanContext }, 0).bytes));
  measure(
    'decode',
    size,
    BY_HAND_TEXT,
    (n) => {
      const received = server.receive(frames[n & 63], false, n);
      sink.value = [received.spanContext, JSON.parse(received.payload.toString())];
    },
    (n) => {
      const { headers, body } = JSON.parse(frames[n & 63].toString());
      sink.value = [trace.getSpanContext(propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter)), body];
    },
    () => {
      sink.value = copyOf(serialised);
    },
  );
  // A body that is JSON text already, and one that its receiver passes on as it is.
  const text = JSON.stringify(value);
  measure(
    'encode_json_text',
    size,
    BY_HAND_SPLICED,
    (n) => {
      sink.value = client.send(0, text, { spanContext: spans[n & 63], json: true }, n).bytes;
    },
    (n) => {
      const headers = {};
      propagator.inject(contexts[n & 63], headers, defaultTextMapSetter);
      sink.value = Buffer.from(`{"headers":${JSON.stringify(headers)},"body":${text}}`);
    },
    () => {
      sink.value = copyOf(serialised);
    },
  );
  measure(
    'decode_json_bytes',
    size,
    BY_HAND_TEXT,
    (n) => {
      const received = server.receive(frames[n & 63], false, n);
      sink.value = [received.spanContext, received.payload];
    },
    (n) => {
      const { headers, body } = JSON.parse(frames[n & 63].toString());
      sink.value = [trace.getSpanContext(propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter)), body];
    },
    () => {
      sink.value = copyOf(serialised);
    },
  );

  const bytes = Buffer.alloc(size, 7);
  const byHand = (n) => {
    const headers = {};
    propagator.inject(contexts[n & 63], headers, defaultTextMapSetter);
    const text = JSON.stringify(headers);
    const frame = Buffer.allocUnsafe(2 + text.length + bytes.length);
    frame.writeUInt16BE(text.length, 0);
    frame.latin1Write(text, 2);
    bytes.copy(frame, 2 + text.length);
    return frame;
  };
  measure(
    'encode',
    size,
    BY_HAND_BINARY,
    (n) => {
      sink.value = client.send(0, bytes, { spanContext: spans[n & 63] }, n).bytes;
    },
    (n) => {
      sink.value = byHand(n);
    },
    () => {
      sink.value = copyOf(bytes);
    },
  );
  const ours = spans.map((spanContext) => Buffer.from(client.send(0, bytes, { spanContext }, 0).bytes));
  const theirs = spans.map((_, n) => byHand(n));
  const decode = (n) => {
    const received = server.receive(ours[n & 63], true, n);
    sink.value = [received.spanContext, received.payload];
  };
  measure(
    'decode',
    size,
    BY_HAND_BINARY,
    decode,
    (n) => {
      const frame = theirs[n & 63];
      const end = 2 + frame.readUInt16BE(0);
      const headers = JSON.parse(frame.latin1Slice(2, end));
      sink.value = [trace.getSpanContext(propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter)), frame.subarray(end)];
    },
    () => {
      sink.value = copyOf(bytes);
    },
  );
  const inText = spans.map((_, n) => {
    const headers = {};
    propagator.inject(contexts[n], headers, defaultTextMapSetter);
    return Buffer.from(JSON.stringify({ headers, body: bytes.toString('base64') }));
  });
  measure('decode_binary', size, BY_HAND_BASE64, decode, (n) => {
    const { headers, body } = JSON.parse(inText[n & 63].toString());
    const context = propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
    sink.value = [trace.getSpanContext(context), Buffer.from(body, 'base64')];
  });
}

/** What one writes for time to first chunk and the average interval. */
class PlainMetrics {
  chunks = 0;
  bytes = 0;
  first;
  last;
  sum = 0;
  min = Number.POSITIVE_INFINITY;
  max = 0;

  record(bytes, at) {
    if (this.first === undefined) this.first = at;
    else {
      const interval = at - this.last;
      this.sum += interval;
      if (interval < this.min) this.min = interval;
      if (interval > this.max) this.max = interval;
    }
    this.last = at;
    this.chunks += 1;
    this.bytes += bytes;
  }
}

const STREAM = 1000;
const KEEPS_SUMS = 'a class that keeps sums, the least and the most';
let plain = new PlainMetrics();
let metrics = new StreamMetrics();
/** `clock` reads the time that both record: none is the number of the chunk, which costs nothing. */
function measureChunks(operation, idiom, clock) {
  measure(
    operation,
    256,
    idiom,
    (n) => {
      if (n % STREAM === 0) {
        metrics.free();
        metrics = new StreamMetrics();
      }
      sink.value = clock === undefined ? metrics.recordChunk(256, n * 1000) : metrics.recordChunk(256);
    },
    (n) => {
      if (n % STREAM === 0) plain = new PlainMetrics();
      sink.value = plain.record(256, clock === undefined ? n * 1000 : clock());
    },
  );
}
measureChunks('record_chunk', `${KEEPS_SUMS}, and reads the clock`, now);
measureChunks('record_chunk_at', `${KEEPS_SUMS}, of times that are given`, undefined);

const item = { id: 1 };
measure(
  'carry',
  64,
  'W3C headers beside the item, extracted and made current',
  (n) => {
    const carry = Carry.capture(item, { context: contexts[n & 63] });
    sink.value = carry.run((value) => value);
  },
  (n) => {
    const headers = {};
    propagator.inject(contexts[n & 63], headers, defaultTextMapSetter);
    const queued = { headers, item, at: process.hrtime.bigint() };
    const restored = propagator.extract(ROOT_CONTEXT, queued.headers, defaultTextMapGetter);
    sink.value = context.with(restored, (value) => [value, process.hrtime.bigint() - queued.at], undefined, queued.item);
  },
);

fs.writeFileSync(process.argv[2], `${JSON.stringify(rows, null, 1)}\n`);
for (const row of rows) {
  console.log([row.operation, row.size, row.product_ns, row.idiom_ns, row.ratio, row.floor_ratio, row.idiom].join('\t'));
}
