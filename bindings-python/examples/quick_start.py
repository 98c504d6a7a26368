import asyncio

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from wirespan.websockets import connect, serve

spans = InMemorySpanExporter()  # in place of the exporter that you have
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)


async def transcribe(call):  # inside its SERVER span, a child of the caller's
    size = 0
    async for chunk in call:
        size += len(chunk)
    await call.send(f"heard {size} bytes")  # returning ends my direction


async def main():
    async with serve({"transcribe": transcribe}, "localhost", 8765):
        async with connect("ws://localhost:8765") as connection:
            async with connection.call("transcribe") as call:  # the CLIENT span
                for _ in range(3):
                    await call.send(bytes(1280))  # context on the first message only
                await call.end()  # my direction is done
                async for text in call:  # chunks of the reply, measured
                    print(text)


asyncio.run(main())
for span in spans.get_finished_spans():
    parent = f"{span.parent.span_id:016x}" if span.parent else "none"
    print(f"{span.name} {span.kind.name} {span.context.span_id:016x}, parent {parent}")
