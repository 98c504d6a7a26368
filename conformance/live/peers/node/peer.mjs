// The Node.js peer of the live matrix; conformance/live/PEERS.md says what it is asked.

import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import { context, propagation, ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
import { CarryQueue, Propagator } from 'wirespan';
import { connect, serve } from 'wirespan/ws';
import { WebSocket, WebSocketServer } from 'ws';

const LARGE = 65_536;
const { version } = createRequire(import.meta.url)('ws/package.json');

const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ 'service.name': process.argv[2] }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
});
provider.register();
const tracer = trace.getTracer('peer');

/** What handlers and callers raise when they are told to. */
class Boom extends Error {
  name = 'Boom';
}

function toBody(message) {
  if (message.text !== undefined) return message.text;
  if (message.size !== undefined) return `"${'x'.repeat(message.size)}"`;
  if (message.zeros !== undefined) return Buffer.alloc(message.zeros);
  return Buffer.from(message.binary, 'base64');
}

function toMessage(body) {
  if (typeof body === 'string') {
    const isLarge = body.length > LARGE && body === `"${'x'.repeat(body.length - 2)}"`;
    return isLarge ? { size: body.length } : { text: body };
  }
  const isLarge = body.length > LARGE && body.every((byte) => byte === 0);
  return isLarge ? { zeros: body.length } : { binary: body.toString('base64') };
}

/** Runs a function under the parent that a command names, as a remote span. */
function under(command, run) {
  let parent = ROOT_CONTEXT;
  if (command.parent) {
    const headers = { traceparent: command.parent, ...(command.state && { tracestate: command.state }) };
    const getter = { get: (carrier, key) => carrier[key], keys: Object.keys };
    parent = new Propagator().extract(parent, headers, getter);
  }
  if (command.baggage) {
    const entries = Object.entries(command.baggage).map(([key, value]) => [key, { value }]);
    parent = propagation.setBaggage(parent, propagation.createBaggage(Object.fromEntries(entries)));
  }
  return context.with(parent, run);
}

/** Options under the names of this language. */
function optionsOf({ options = {} }) {
  const camel = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase());
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [camel(name), value]));
}

const connections = new Map();
const inboxes = new Map();
const resumptions = new Map();
const servers = new Map();
const logs = new Map();

/** Messages that wait for `recv`. */
class Inbox {
  #messages = [];
  #waiting = [];

  put(message) {
    const waiting = this.#waiting.shift();
    if (waiting) waiting(message);
    else this.#messages.push(message);
  }

  take() {
    const message = this.#messages.shift();
    return message ?? new Promise((resolve) => this.#waiting.push(resolve));
  }
}

const jobs = new CarryQueue();
(async () => {
  for await (const carried of jobs) {
    const { call, body, done } = carried.value;
    carried.run(() =>
      tracer.startActiveSpan('work', async (span) => {
        await call.send(body);
        span.end();
        done();
      }),
    );
  }
})();

const handlers = {
  async echo(call) {
    for await (const chunk of call) await call.send(chunk.data);
  },
  async count(call) {
    let count = 0;
    for await (const _ of call) count++;
    await call.send(String(count));
  },
  async burst(call) {
    const count = Number((await call.recv()).text);
    for (let n = 0; n < count; n++) await call.send(String(n));
  },
  async ask(call) {
    const first = await call.recv();
    await call.connection.call('confirm', async (confirm) => {
      await confirm.send(first.data, { last: true });
      for await (const answer of confirm) await call.send(answer.data);
    });
  },
  async relay(call) {
    const { url, text } = (await call.recv()).json();
    const onward = await connect(url);
    await onward.call('echo', async (echo) => {
      await echo.send(text, { last: true });
      for await (const answer of echo) await call.send(answer.data);
    });
    await onward.close();
  },
  async queue(call) {
    const first = await call.recv();
    await new Promise((done) => jobs.put({ call, body: first.data, done }));
  },
  async fail(call) {
    await call.recv();
    throw new Boom();
  },
  async slow(call) {
    await call.send((await call.recv()).data);
    const timeout = new Promise((resolve) => setTimeout(resolve, 10_000).unref());
    const ended = new Promise((resolve) => call.signal.addEventListener('abort', resolve, { once: true }));
    await Promise.race([ended, call.connection.closed, timeout]);
  },
};

async function confirm(call) {
  await call.send((await call.recv()).data);
}

const listening = (wss) => new Promise((resolve) => wss.once('listening', () => resolve(wss.address().port)));

const commands = {
  hello: async () => ({ language: 'node', library: `ws ${version}`, deflate: true, roles: ['client', 'server'] }),

  async serve(command) {
    const ws = { perMessageDeflate: Boolean(command.deflate) && { threshold: 0 }, maxPayload: 1 << 28 };
    if (command.raw) {
      const wss = new WebSocketServer({ port: 0, host: '127.0.0.1', ...ws });
      wss.on('connection', (socket) => {
        socket.on('message', (data, binary) => socket.send(data, { binary }));
        socket.on('error', () => {});
      });
      servers.set(command.as, wss);
      return { port: await listening(wss) };
    }
    const log = [];
    logs.set(command.as, log);
    const keep = async (transfer) => {
      for await (const chunk of transfer) log.push(toMessage(chunk.data));
    };
    const onMessage = (message, connection) => connection.send(message.data);
    const server = await serve(
      { ...handlers, log: keep },
      { host: '127.0.0.1', port: 0, onMessage, ws, ...optionsOf(command) },
    );
    servers.set(command.as, server);
    return { port: server.port };
  },

  async connect(command) {
    const ws = { perMessageDeflate: Boolean(command.deflate) && { threshold: 0 }, maxPayload: 1 << 28 };
    const inbox = new Inbox();
    inboxes.set(command.as, inbox);
    if (command.raw) {
      const socket = new WebSocket(command.url, { ...ws, headers: Object.fromEntries(command.headers ?? []) });
      socket.on('message', (data, binary) => inbox.put({ data: binary ? data : String(data) }));
      await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
      connections.set(command.as, socket);
      return { session: '', peer: 'unknown' };
    }
    const options = { handlers: { confirm }, onMessage: (message) => inbox.put(message), ws, ...optionsOf(command) };
    if (command.resume) options.session = resumptions.get(command.resume);
    const connection = await under(command, () => connect(command.url, options));
    connections.set(command.as, connection);
    resumptions.set(command.as, connection.resumption);
    return { session: connection.sessionId, peer: connection.peer.known };
  },

  async call(command) {
    const replies = [];
    const answer = { replies };
    try {
      await under(command, () => connections.get(command.on).call(command.method, (call) => exchange(call, command, replies)));
    } catch (error) {
      if (!(error instanceof Boom)) answer.error = error.kind ?? String(error);
    }
    return answer;
  },

  async calls(command) {
    const one = async (_, number) => {
      const messages = command.messages.map(({ text }) => ({ text: JSON.stringify(`${number}:${JSON.parse(text)}`) }));
      return (await commands.call({ ...command, messages, interleave: true })).replies;
    };
    return { replies: await Promise.all(Array.from({ length: command.count }, one)) };
  },

  async transfer(command) {
    await under(command, () =>
      connections.get(command.on).transfer(command.method, async (transfer) => {
        for (const message of command.messages) await transfer.send(toBody(message));
      }),
    );
    return {};
  },

  async send(command) {
    await under(command, () => connections.get(command.on).send(toBody(command.message)));
    return {};
  },

  async recv(command) {
    const message = await inboxes.get(command.on).take();
    const answer = { message: toMessage(message.data) };
    const span = message.context && trace.getSpanContext(message.context);
    if (span) answer.context = `00-${span.traceId}-${span.spanId}-${span.traceFlags.toString(16).padStart(2, '0')}`;
    return answer;
  },

  async logged(command) {
    const log = logs.get(command.on);
    while (log.length < command.count) await new Promise((resolve) => setTimeout(resolve, 10));
    return { messages: log };
  },

  async state(command) {
    const connection = connections.get(command.on);
    return { session: connection.sessionId, peer: connection.peer.known, counters: connection.counters };
  },

  async close(command) {
    await connections.get(command.on).close(command.code ?? 1000);
    return {};
  },

  async stop_serving(command) {
    await servers.get(command.on).close();
    return {};
  },

  async flush() {
    await provider.forceFlush();
    return {};
  },
};

async function exchange(call, command, replies) {
  const end = command.end ?? 'normal';
  for (const message of command.messages) {
    await call.send(toBody(message));
    if (command.interleave) replies.push(toMessage((await call.recv()).data));
  }
  if (end === 'normal') await call.end();
  for (let reply = await call.recv(); reply !== undefined; reply = await call.recv()) {
    replies.push(toMessage(reply.data));
    if (end !== 'normal') break;
  }
  if (end === 'cancel') call.cancel();
  if (end === 'raise') throw new Boom();
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  if (command.do === 'stop') break;
  commands[command.do](command)
    .then(
      (ok) => ({ seq: command.seq, ok }),
      (error) => ({ seq: command.seq, error: String(error?.stack ?? error) }),
    )
    .then((answer) => process.stdout.write(`${JSON.stringify(answer)}\n`));
}
await provider.shutdown();
process.exit(0);
