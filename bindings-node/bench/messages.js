// Messages: the envelope of a connection beside one written by hand. Both sides get the same body and the same span, and give
// the same result. A message by hand always has its context: there are no streams that would make the first one known by the
// later ones.

const { ROOT_CONTEXT, defaultTextMapGetter, defaultTextMapSetter } = require('@opentelemetry/api');
const { sink, measure, repeated, prepared } = require('./measure.js');
const { propagator, newSpan, contextOf, ends } = require('./ends.js');

const SIZES = [64, 256, 4096, 65536, 1048576];
const FILLER = 'The quick brown fox jumps over the lazy dog. ';

const VALUE = 'JSON.stringify of {headers, body} to a Buffer, W3C propagator';
const SPLICED = 'JSON of headers, the body as it is between them, W3C propagator';
const PARSED = 'JSON.parse of {headers, body} from a Buffer, W3C propagator';
const BASE64 = 'JSON of {headers, body: base64}, W3C propagator';
const LENGTH = 'length, JSON of headers, payload, W3C propagator';

const span = newSpan();
const current = contextOf(span);

function injected() {
  const headers = {};
  propagator.inject(current, headers, defaultTextMapSetter);
  return headers;
}

function extracted(headers) {
  return propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
}

function copyOf(bytes) {
  const copy = Buffer.allocUnsafe(bytes.length);
  bytes.copy(copy);
  return copy;
}

/** The ways in which one writes and reads messages by hand. */
const byHand = {
  value: (body) => Buffer.from(JSON.stringify({ headers: injected(), body })),
  text: (text) => Buffer.from(`{"headers":${JSON.stringify(injected())},"body":${text}}`),
  bytes(raw) {
    const head = `{"headers":${JSON.stringify(injected())},"body":`;
    const frame = Buffer.allocUnsafe(head.length + raw.length + 1);
    frame.latin1Write(head, 0);
    raw.copy(frame, head.length);
    frame[frame.length - 1] = 0x7d;
    return frame;
  },
  base64: (bytes) => Buffer.from(JSON.stringify({ headers: injected(), body: bytes.toString('base64') })),
  length(bytes) {
    const head = JSON.stringify(injected());
    const frame = Buffer.allocUnsafe(2 + head.length + bytes.length);
    frame.writeUInt16BE(head.length, 0);
    frame.latin1Write(head, 2);
    bytes.copy(frame, 2 + head.length);
    return frame;
  },
  parse(frame) {
    const { headers, body } = JSON.parse(frame.toString());
    return [extracted(headers), body];
  },
  parseBase64(frame) {
    const { headers, body } = JSON.parse(frame.toString());
    return [extracted(headers), Buffer.from(body, 'base64')];
  },
  parseLength(frame) {
    const end = 2 + frame.readUInt16BE(0);
    return [extracted(JSON.parse(frame.latin1Slice(2, end))), frame.subarray(end)];
  },
};

function run(action) {
  return repeated((n) => {
    sink.value = action(n);
  });
}

/** Targets hold at one size. */
function at(size, where, target) {
  return size === where ? target : null;
}

/** Rows of sending one body: first message of a call, later chunk, plain message. `given` says what the body is. */
function encodes(size, form, body, given, idioms, target, floor) {
  const what = (operation) => ({ operation, size, form, peer: 'announced' });
  const checked = { floor, target };
  const batch = Math.max(16, Math.min(1000, 2 ** 24 / size));
  const firsts = () => {
    const { client } = ends();
    const calls = Array.from({ length: batch }, () => {
      const spanContext = newSpan();
      const { json, text } = given;
      return [client.planCall('order', spanContext, 0).stream, { json, text, spanContext }];
    });
    return (n) => {
      sink.value = client.send(calls[n][0], body, calls[n][1], n).bytes;
    };
  };
  measure(what('encode.first'), prepared(firsts, batch), idioms(), checked);
  const { client } = ends();
  const { stream } = client.planCall('order', span, 0);
  client.send(stream, body, { ...given, spanContext: span }, 0);
  measure(
    what('encode.later'),
    run((n) => client.send(stream, body, given, n).bytes),
    idioms(),
    checked,
  );
  const inSpan = { ...given, spanContext: span };
  measure(
    what('encode.plain'),
    run((n) => client.send(0, body, inSpan, n).bytes),
    idioms(),
    checked,
  );
}

/** Rows of receiving, from a peer that announced itself. */
function decodes(size, binary, frame, chunks, idioms, target) {
  const what = (operation) => ({ operation, size, form: binary ? 'binary' : 'text', peer: 'announced' });
  const { server } = ends();
  measure(
    what('decode.lazy'),
    run((n) => server.receive(frame, binary, n).payload),
    idioms(),
    { target },
  );
  const withContext = (n) => {
    const received = server.receive(frame, binary, n);
    return [contextOf(received.spanContext), received.payload];
  };
  measure(what('decode.context'), run(withContext), idioms());
  const later = (taken) => () => {
    const { server } = ends();
    const { stream } = server.receive(chunks[0], binary, 0);
    return (n) => {
      const received = server.receive(chunks[n + 1], binary, n);
      sink.value = received.payload;
      if (taken) server.take(stream, received.payload.length, n);
    };
  };
  measure(what('decode.later'), prepared(later(false), chunks.length - 1), idioms(), { target });
  measure(what('decode.taken'), prepared(later(true), chunks.length - 1), idioms());
}

/** A call's opening and the chunks behind it, as its peer gets them. */
function chunksOf(body, given) {
  const { client } = ends();
  const { stream } = client.planCall('order', span, 0);
  const length = Math.max(16, Math.min(1000, 2 ** 24 / body.length));
  return Array.from({ length }, () => Buffer.from(client.send(stream, body, { ...given, spanContext: span }, 0).bytes));
}

function texts(size) {
  const value = { text: FILLER.repeat(Math.ceil(size / FILLER.length)).slice(0, Math.max(1, size - 11)) };
  const text = JSON.stringify(value);
  const raw = Buffer.from(text);
  const given = { json: true, text: true };
  const floor = run(() => copyOf(raw));
  const target = at(size, 256, 0.15) ?? (size >= 65536 ? { floor: 1.25 } : null);
  encodes(size, 'text', raw, given, () => ({ [SPLICED]: run(() => byHand.bytes(raw)) }), target, floor);

  const { client, server } = ends();
  const plain = (operation) => ({ operation, size, form: 'text', peer: 'announced' });
  const inSpan = { spanContext: span };
  const asJson = { ...inSpan, json: true };
  measure(
    plain('encode.json_string'),
    run((n) => client.send(0, text, asJson, n).bytes),
    { [SPLICED]: run(() => byHand.text(text)) },
  );
  measure(
    plain('encode.string'),
    run((n) => client.send(0, text, inSpan, n).bytes),
    { [VALUE]: run(() => byHand.value(text)) },
  );
  measure(
    plain('encode.value'),
    run((n) => client.send(0, value, inSpan, n).bytes),
    { [VALUE]: run(() => byHand.value(value)) },
  );

  const frame = Buffer.from(client.send(0, raw, { ...given, spanContext: span }, 0).bytes);
  const parsed = () => ({ [PARSED]: run(() => byHand.parse(frame)) });
  decodes(size, false, frame, chunksOf(raw, given), parsed, at(size, 256, 0.06));
  const withValue = (from) => (n) => {
    const received = from.receive(frame, false, n);
    return [contextOf(received.spanContext), JSON.parse(received.payload.toString())];
  };
  measure(plain('decode.value'), run(withValue(server)), parsed());
  const always = ends({ always: true }).server;
  const withContext = (n) => {
    const received = always.receive(frame, false, n);
    return [contextOf(received.spanContext), received.payload];
  };
  measure({ ...plain('decode.context'), peer: 'always' }, run(withContext), parsed(), { target: at(size, 65536, 1) });
}

function binaries(size) {
  const bytes = Buffer.from(Uint8Array.from({ length: size }, (_, n) => n % 251));
  const floor = run(() => copyOf(bytes));
  const written = () => ({ [LENGTH]: run(() => byHand.length(bytes)), [BASE64]: run(() => byHand.base64(bytes)) });
  const target = at(size, 256, 0.15) ?? (size >= 65536 ? { floor: 1.25 } : null);
  encodes(size, 'binary', bytes, {}, written, target, floor);

  const { client } = ends();
  const frame = Buffer.from(client.send(0, bytes, { spanContext: span }, 0).bytes);
  const [base64, length] = [byHand.base64(bytes), byHand.length(bytes)];
  const parsed = () => ({ [BASE64]: run(() => byHand.parseBase64(base64)), [LENGTH]: run(() => byHand.parseLength(length)) });
  decodes(size, true, frame, chunksOf(bytes, {}), parsed, at(size, 256, 0.05));
}

function measureMessages(sizes) {
  for (const size of sizes.length > 0 ? sizes : SIZES) {
    texts(size);
    binaries(size);
  }
}

module.exports = { measureMessages };
