// The Node.js peer of the end-to-end benchmark: `peer.mjs server MODE` or `client MODE PORT`; see bench/README.md.

import { EventEmitter, once } from 'node:events';
import { createInterface } from 'node:readline';
import {
  context as contexts,
  defaultTextMapGetter,
  defaultTextMapSetter,
  ROOT_CONTEXT,
  SpanKind,
  trace,
} from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { connect, serve } from 'wirespan/ws';
import { WebSocket, WebSocketServer } from 'ws';

const WORDS = 'The quick brown fox jumps over the lazy dog. ';

/** Takes spans and lets them go: what an exporter costs is not Wirespan's. */
class NoExport {
  export(_, done) {
    done({ code: 0 });
  }
  async shutdown() {}
}

const provider = new NodeTracerProvider({ spanProcessors: [new BatchSpanProcessor(new NoExport())] });
provider.register();
const tracer = trace.getTracer('bench');
const propagator = new W3CTraceContextPropagator();

/** What the orchestrator asks a client for: `SIZE FORM SECONDS WINDOW`. */
function parseRun(line) {
  const [size, form, seconds, window] = line.split(' ');
  const room = Number(size) - '{"text":""}'.length;
  const text = WORDS.repeat(room / WORDS.length + 1).slice(0, room);
  const body =
    form === 'text' ? JSON.stringify({ text }) : Buffer.from(Array.from({ length: Number(size) }, (_, n) => (n * 7) & 255));
  const until = performance.now() + Number(seconds) * 1000;
  return { body, isText: form === 'text', window: Number(window), goesOn: () => performance.now() < until };
}

// -- the envelope by hand: the JSON text between spliced headers, or a length, JSON of the headers, and the payload

function wrap(body, context) {
  const headers = {};
  propagator.inject(context, headers, defaultTextMapSetter);
  const head = JSON.stringify(headers);
  if (typeof body === 'string') return `{"headers":${head},"body":${body}}`;
  const frame = Buffer.allocUnsafe(2 + head.length + body.length);
  frame.writeUInt16BE(head.length, 0);
  frame.latin1Write(head, 2);
  body.copy(frame, 2 + head.length);
  return frame;
}

/** The context and the body: a value of JSON, or bytes. */
function unwrap(data, isBinary) {
  if (!isBinary) {
    const { headers, body } = JSON.parse(data.toString());
    return [propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter), body];
  }
  const end = 2 + data.readUInt16BE(0);
  const headers = JSON.parse(data.latin1Slice(2, end));
  return [propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter), data.subarray(end)];
}

// -- servers

/** The body of an answer as text or bytes: by hand, the value of JSON is written anew. */
const bodyOf = (body, isBinary) => (isBinary ? body : JSON.stringify(body));

const ECHO = {
  untraced: (socket, data, isBinary) => socket.send(data, { binary: isBinary }),
  idiom: (socket, data, isBinary) => {
    const [context, body] = unwrap(data, isBinary);
    socket.send(wrap(bodyOf(body, isBinary), context));
  },
  'idiom-call': (socket, data, isBinary) => {
    const [parent, body] = unwrap(data, isBinary);
    const span = tracer.startSpan('echo', { kind: SpanKind.SERVER }, parent);
    socket.send(wrap(bodyOf(body, isBinary), trace.setSpan(parent, span)));
    span.end();
  },
};

async function echoCall(call) {
  for await (const chunk of call) await call.send(chunk.data, { json: !chunk.binary });
}

async function answerCall(call) {
  const { data, binary } = await call.recv();
  await call.send(data, { last: true, json: !binary });
}

async function startServer(mode) {
  if (mode === 'plain') {
    const onMessage = (message, connection) => connection.send(message.data, { json: !message.binary });
    return serve({}, { host: '127.0.0.1', port: 0, onMessage });
  }
  if (mode === 'stream' || mode === 'call')
    return serve({ echo: echoCall, answer: answerCall }, { host: '127.0.0.1', port: 0 });
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  server.on('connection', (socket) => socket.on('message', (data, isBinary) => ECHO[mode](socket, data, isBinary)));
  await once(server, 'listening');
  return server;
}

// -- clients

/** Keeps a window of messages on their way until the time is over, and gives the number of round trips. */
async function windowed(run, send, receive) {
  let [roundTrips, onWay] = [0, 0];
  for (; onWay < run.window; onWay++) send();
  while (onWay > 0) {
    await receive();
    roundTrips++;
    if (run.goesOn()) send();
    else onWay--;
  }
  return roundTrips;
}

/** The same with a function for each message, as the library itself has it. */
function windowedOnEvents(run, events, send, received) {
  return new Promise((resolve) => {
    let [roundTrips, onWay] = [0, 0];
    events.on('message', function listener(data, isBinary) {
      received?.(data, isBinary);
      roundTrips++;
      if (run.goesOn()) send();
      else if (--onWay === 0) {
        events.off('message', listener);
        resolve(roundTrips);
      }
    });
    for (; onWay < run.window; onWay++) send();
  });
}

const RUN = {
  untraced: (socket, run) => windowedOnEvents(run, socket, () => socket.send(run.body)),
  idiom: (socket, run) => windowedOnEvents(run, socket, () => socket.send(wrap(run.body, contexts.active())), unwrap),
  'idiom-call': (socket, run) => {
    const spans = [];
    const send = () => {
      const span = tracer.startSpan('echo', { kind: SpanKind.CLIENT });
      spans.push(span);
      socket.send(wrap(run.body, trace.setSpan(contexts.active(), span)));
    };
    return windowedOnEvents(run, socket, send, (data, isBinary) => {
      unwrap(data, isBinary);
      spans.shift().end();
    });
  },
  plain: ({ connection, messages }, run) =>
    windowedOnEvents(run, messages, () => connection.send(run.body, { json: run.isText })),
  stream: (connection, run) =>
    connection.call('echo', async (call) => {
      const roundTrips = await windowed(
        run,
        () => call.send(run.body, { json: run.isText }),
        () => call.recv(),
      );
      await call.end();
      while ((await call.recv()) !== undefined);
      return roundTrips;
    }),
  call: async (connection, run) => {
    const calls = async () => {
      let roundTrips = 0;
      for (; run.goesOn(); roundTrips++) {
        await connection.call('answer', async (call) => {
          await call.send(run.body, { last: true, json: run.isText });
          while ((await call.recv()) !== undefined);
        });
      }
      return roundTrips;
    };
    const all = await Promise.all(Array.from({ length: run.window }, calls));
    return all.reduce((sum, one) => sum + one, 0);
  },
};

async function openClient(mode, url) {
  if (mode === 'plain') {
    const messages = new EventEmitter();
    const connection = await connect(url, { onMessage: (message) => messages.emit('message', message) });
    return { connection, messages };
  }
  if (mode === 'stream' || mode === 'call') return connect(url);
  const socket = new WebSocket(url);
  await once(socket, 'open');
  return socket;
}

async function main([role, mode, port]) {
  const lines = createInterface({ input: process.stdin });
  if (role === 'server' && port === undefined) {
    const server = await startServer(mode);
    console.log('port', server.address().port);
    await once(lines, 'close');
  } else if (role === 'client' && port !== undefined) {
    const connection = await openClient(mode, `ws://127.0.0.1:${port}`);
    console.log('ready');
    for await (const line of lines) {
      const run = parseRun(line);
      // What is sent outside a call is sent inside this span.
      await tracer.startActiveSpan('run', async (span) => {
        const started = process.hrtime.bigint();
        const roundTrips = await RUN[mode](connection, run);
        console.log('done', roundTrips, String(process.hrtime.bigint() - started));
        span.end();
      });
    }
  } else {
    console.error('usage: peer.mjs server MODE | client MODE PORT');
    process.exit(2);
  }
  await provider.shutdown();
  process.exit(0);
}

await main(process.argv.slice(2));
