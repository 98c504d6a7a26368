// What an application in TypeScript writes, as an ES module. It is only checked, not run.
import { context, propagation, type SpanContext } from '@opentelemetry/api';
import {
  type Call,
  Carry,
  CarryQueue,
  Connection,
  Envelope,
  formatBaggage,
  HandshakeRequest,
  type Message,
  now,
  Propagator,
  parseBaggage,
  parseTraceparent,
  SpanMaker,
  StreamMetrics,
  type TracedConnection,
  type Transfer,
  WirespanError,
} from 'wirespan';
import { attach, connect, serve } from 'wirespan/ws';
import { WebSocketServer } from 'ws';

propagation.setGlobalPropagator(new Propagator());

const server = await serve(
  {
    transcribe: async (call: Call) => {
      for await (const chunk of call) {
        const bytes: Buffer = chunk.bytes;
        await call.send(`got ${bytes.length}`, { headers: { part: '1' } });
      }
    },
    upload: async (transfer: Transfer) => {
      const first: Message | undefined = await transfer.recv();
      console.log(first?.text, transfer.signal.aborted);
    },
  },
  { port: 0, trust: 'link', vouch: (id) => id.startsWith('x'), onConnection: (conn) => void conn.send({ hello: 1 }) },
);

const conn: TracedConnection = await connect(`ws://localhost:${server.port}`, { baggageOut: ['user'], ws: { maxPayload: 1 } });
const length: number = await conn.call('transcribe', async (call) => {
  await call.send(new Uint8Array(3), { last: true });
  let total = 0;
  for await (const message of call) total += message.text.length;
  const seconds: number | undefined = call.metrics.received.timeToFirstChunk;
  return total + (seconds ?? 0);
});
console.log(length);

const manual = conn.call('transcribe', { signal: AbortSignal.timeout(1000) });
try {
  await manual.send([1, 2, 3]);
} catch (error) {
  if (error instanceof WirespanError && error.code === 'remote') console.log(error.errorType, error.reason, error.offset);
} finally {
  manual.leave();
}

await conn.transfer('upload', (transfer) => transfer.send('x', { last: true }));
for await (const call of conn.calls()) if (call.kind === 'call') call.fail('unavailable');
attach(new WebSocketServer({ noServer: true }), new Map([['echo', () => undefined]]));

const queue = new CarryQueue<{ id: number }>({ maxSize: 10 });
await queue.put({ id: 1 });
for await (const carry of queue) {
  const id: number = carry.run((value) => value.id);
  console.log(id, carry.waitNs);
}
const headers: Record<string, string> = Carry.capture('x').toHeaders();
const back: Carry<string> = Carry.fromHeaders('x', headers);
context.with(back.restore(), () => undefined);

const metrics = new StreamMetrics({ stallThresholdMs: 500 });
metrics.start(now());
console.log(metrics.recordChunk(3, 12n)?.intervalNs, metrics.summary().outcome);

const sansIo = Connection.client({ session: conn.resumption }, { entropy: new Uint8Array(16) });
const other = Connection.server({}, new HandshakeRequest({ wirespan: '1' }), { entropy: new Uint8Array(16), vouch: true });
const maker = new SpanMaker();
for (const plan of sansIo.planHandshake()) maker.start(plan);
const current: SpanContext | undefined = parseTraceparent(['x']);
const { stream } = sansIo.planCall('m', current, now());
const { bytes } = sansIo.send(stream, 'x', { spanContext: current }, now());
const received = other.receive(bytes, false, now());
const event = other.pollEvent();
if (event?.type === 'spanEnd') console.log(event.metrics?.sent.chunks);
console.log(received.opened?.plan.name);

const unwrapped = Envelope.unwrap(Envelope.wrap({ session: 's-1', end: '1' }, 'x').bytes);
if (unwrapped.envelope) console.log(unwrapped.head.drops.headerRepeated, unwrapped.body?.length);
else if (unwrapped.reason !== 'ordinary') console.log(unwrapped.reason);
console.log(formatBaggage([['key', 'value']]).header, parseBaggage([bytes, 'a=1']).members[0]?.[2]);

// @ts-expect-error: a mode is one of three words.
await connect('ws://localhost', { mode: 'sometimes' });
// @ts-expect-error: connections are made by connect().
new Connection();
