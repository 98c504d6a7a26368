import { SpanKind } from '@opentelemetry/api';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';
import { connect, serve } from 'wirespan/ws';

const spans = new InMemorySpanExporter(); // in place of the exporter that you have
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }).register();

async function transcribe(call) {
  // inside its SERVER span, a child of the caller's
  let bytes = 0;
  for await (const chunk of call) bytes += chunk.bytes.length;
  await call.send(`heard ${bytes} bytes`); // returning ends my direction
}

const server = await serve({ transcribe }, { port: 8766 });
const connection = await connect('ws://localhost:8766');
await connection.call('transcribe', async (call) => {
  // inside the CLIENT span
  for (let n = 0; n < 3; n++) await call.send(Buffer.alloc(1280)); // context on the first message only
  await call.end(); // my direction is done
  for await (const text of call) console.log(String(text)); // chunks of the reply, measured
});
await connection.close();
await server.close();

for (const span of spans.getFinishedSpans()) {
  const { spanId } = span.spanContext();
  console.log(`${span.name} ${SpanKind[span.kind]} ${spanId}, parent ${span.parentSpanContext?.spanId ?? 'none'}`);
}
