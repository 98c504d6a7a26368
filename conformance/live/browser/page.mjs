// What the page runs: wirespan/browser with the OpenTelemetry SDK for the web. It is bundled with both.

import * as api from '@opentelemetry/api';
import {
  InMemorySpanExporter,
  SimpleSpanProcessor,
  StackContextManager,
  WebTracerProvider,
} from '@opentelemetry/sdk-trace-web';
import { connect } from 'wirespan/browser';
import { always } from 'wirespan/browser/parts';

const exporter = new InMemorySpanExporter();
const provider = new WebTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
provider.register({ contextManager: new StackContextManager() });

const shown = (data) => (typeof data === 'string' ? data : Array.from(data));

/** The spans that have ended, as they are compared. */
globalThis.finishedSpans = () =>
  exporter.getFinishedSpans().map((span) => ({
    name: span.name,
    kind: api.SpanKind[span.kind],
    traceId: span.spanContext().traceId,
    spanId: span.spanContext().spanId,
    parent: span.parentSpanContext?.spanId,
    links: span.links.map(({ context }) => context.spanId),
    attributes: span.attributes,
    isError: span.status.code === api.SpanStatusCode.ERROR,
  }));

const replies = async (call) => {
  const all = [];
  for await (const chunk of call) all.push(shown(chunk.data));
  return all;
};

/** Everything that a page does with a server, one after the other. */
globalThis.exercise = async (url, options, withApi = true) => {
  const handlers = { confirm: async (call) => call.send((await call.recv()).data) };
  const connection = await connect(url, { handlers, ...(withApi && { api }), ...options });
  const seen = { peer: connection.peer, session: connection.sessionId };
  seen.echo = await connection.call('echo', async (call) => {
    for (const chunk of ['"text"', 'not JSON', '', Uint8Array.of(0, 255, 87, 1), new ArrayBuffer(0)]) await call.send(chunk);
    call.end();
    return replies(call);
  });
  seen.large = await connection.call('echo', async (call) => {
    await call.send('x'.repeat(300_000), { last: true });
    return (await replies(call))[0].length;
  });
  seen.ask = await connection.call('ask', async (call) => {
    await call.send('"sure?"', { last: true });
    return replies(call);
  });
  seen.failed = await connection
    .call('fail', async (call) => {
      await call.send('1', { last: true });
      await replies(call);
    })
    .catch((error) => [error.kind, error.errorType]);
  seen.unknown = await connection
    .call('nobody', async (call) => {
      await call.send('1', { last: true });
      await replies(call);
    })
    .catch((error) => [error.kind, error.errorType]);
  await connection.transfer('log', async (transfer) => {
    await transfer.send('"logged"', { last: true });
  });
  await connection.send('plain');
  seen.plain = shown((await connection.recv()).data);
  seen.concurrent = await Promise.all(
    Array.from({ length: 8 }, (_, n) =>
      connection.call('echo', async (call) => {
        await call.send(`${n}`);
        const first = await call.recv();
        call.end();
        return [String(first), ...(await replies(call))];
      }),
    ),
  );
  await connection.close();
  const again = await connect(url, { ...(withApi && { api }), ...options, resume: connection });
  seen.resumed = again.sessionId;
  await again.close();
  seen.counters = connection.counters;
  return seen;
};

/** A call toward a server that knows nothing of Wirespan, or to which this page has not announced itself. */
globalThis.exerciseUnknown = async (url) => {
  const connection = await connect(url, { api });
  const call = connection.call();
  await call.send('{"headers":{"a":"b"},"body":1}');
  const reply = String(await call.recv());
  call.leave();
  await connection.close();
  return { peer: connection.peer, reply };
};

/** A call toward a server that is known to speak Wirespan without any negotiation. */
globalThis.exerciseAlways = async (url) => {
  const connection = await connect(url, { api, mode: always });
  const echo = await connection.call('echo', async (call) => {
    await call.send('"hello"');
    await call.send(Uint8Array.of(1), { last: true });
    return replies(call);
  });
  await connection.close();
  return { peer: connection.peer, echo, counters: connection.counters };
};

globalThis.refused = async (url) => connect(url, { api }).catch((error) => [error.kind, error.message]);

globalThis.exerciseSubprotocol = async (url) => {
  const connection = await connect(url, { api, protocols: 'chat' });
  const reply = await connection.call('echo', async (call) => {
    await call.send('hello', { last: true });
    return String(await call.recv());
  });
  await connection.close();
  return { peer: connection.peer, reply };
};
