"""The Python service under W3C's trace-context suite; conformance/w3c/README.md says what it does."""

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientSession, ClientTimeout, web
from multidict import MultiMapping
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind
from wirespan import Propagator, SpanContext, parse_traceparent, unwrap, wrap

MAX_BODY_BYTES = 1024 * 1024
MAX_FIELD_BYTES = 16 * 1024  # aiohttp's own limit is below that of baggage
CALL_TIMEOUT = ClientTimeout(total=10)
PROPAGATOR = Propagator()
SESSION = web.AppKey("SESSION", ClientSession)


class Headers(Getter[MultiMapping[str]]):
    """Reads the headers of aiohttp, each field of a name by itself."""

    def get(self, carrier: MultiMapping[str], key: str) -> list[str] | None:
        return carrier.getall(key, None)

    def keys(self, carrier: MultiMapping[str]) -> list[str]:
        return list(carrier.keys())


class Service:
    def __init__(self, through: str) -> None:
        self.through = through
        self.tracer = TracerProvider().get_tracer("w3c")

    async def handle(self, request: web.Request) -> web.Response:
        """Calls what the request lists, with the context that came with it."""
        context = PROPAGATOR.extract(request.headers, Context(), Headers())
        body = await request.read()
        if self.through != "direct":
            context, body = forward(context, body, text=self.through == "text")
        try:
            calls = [(call["url"], call["arguments"]) for call in json.loads(body)]
        except (ValueError, KeyError, TypeError):
            return web.Response(status=400, text="not a list of {url, arguments}")
        with self.tracer.start_as_current_span("POST", context, SpanKind.SERVER) as span:
            served = trace.set_span_in_context(span, context)
            for url, arguments in calls:
                await self.call(request.app[SESSION], served, url, arguments)
        return web.json_response({"calls": len(calls)})

    async def call(self, session: ClientSession, context: Context, url: str, arguments: Any) -> None:
        with self.tracer.start_as_current_span("POST", context, SpanKind.CLIENT) as span:
            headers: dict[str, str] = {}
            PROPAGATOR.inject(headers, trace.set_span_in_context(span, context))
            async with session.post(url, json=arguments, headers=headers) as response:
                await response.read()


def forward(context: Context, body: bytes, text: bool) -> tuple[Context, bytes]:
    """Sends a context and a body through the envelope, and returns what comes out of it."""
    headers: dict[str, str] = {}
    PROPAGATOR.inject(headers, context)
    wrapped = wrap(body.decode() if text else body, span=span_of(headers), baggage=headers.get("baggage", ""))
    envelope, why = unwrap(wrapped.message)
    if envelope is None:
        raise RuntimeError(f"not read as an envelope: {why}")
    arrived: dict[str, str] = {}
    if envelope.span is not None:
        arrived = {"traceparent": envelope.span.traceparent, "tracestate": envelope.span.trace_state}
    if envelope.baggage is not None:
        arrived["baggage"] = envelope.baggage
    payload = envelope.body or b""
    return PROPAGATOR.extract(arrived, Context()), payload.encode() if isinstance(payload, str) else payload


def span_of(headers: Mapping[str, str]) -> SpanContext | None:
    parent = parse_traceparent([headers["traceparent"]]) if "traceparent" in headers else None
    if parent is None:
        return None
    return SpanContext(parent.trace_id, parent.span_id, parent.trace_flags, headers.get("tracestate", ""))


async def serve(through: str) -> None:
    """Serves until the standard input ends, so that no service outlives who started it."""
    app = web.Application(client_max_size=MAX_BODY_BYTES)
    app.router.add_post("/{path:.*}", Service(through).handle)
    runner = web.AppRunner(app, shutdown_timeout=1, max_field_size=MAX_FIELD_BYTES)
    async with ClientSession(timeout=CALL_TIMEOUT) as session:
        app[SESSION] = session
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        print(f"listening on {runner.addresses[0][1]}", flush=True)
        await asyncio.to_thread(sys.stdin.buffer.read)
        await runner.cleanup()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--through", choices=("direct", "text", "binary"), default="direct")
    asyncio.run(serve(parser.parse_args().through))
