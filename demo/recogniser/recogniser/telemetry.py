"""Spans over OTLP/HTTP, where the ``OTEL_*`` variables say."""

import logging
import os
import threading
from collections.abc import Callable

from opentelemetry import trace

#: How long exporting may take at the end.
GRACE_SECONDS = 5

_logger = logging.getLogger(__name__)


def start() -> Callable[[], None]:
    """Sets the tracer provider up; returns a function that exports what is left.

    Without an endpoint, or without the packages of the SDK, no spans are made; everything else works as with them.
    """
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if not any(os.environ.get(name) for name in endpoints):
        _logger.warning("OTEL_EXPORTER_OTLP_ENDPOINT is not set, so spans are not exported")
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        _logger.warning("spans are not exported: %s", error)
        return lambda: None
    if not os.environ.get("OTEL_SERVICE_NAME"):
        os.environ["OTEL_SERVICE_NAME"] = "recogniser"
    # The resource and the sampler are those that the environment names.
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)

    def flush() -> None:
        # The exporter tries a collector that is not there again and again; the end does not wait for that.
        flushing = threading.Thread(target=provider.shutdown, daemon=True)
        flushing.start()
        flushing.join(GRACE_SECONDS)
        if flushing.is_alive():
            _logger.warning("some spans could not be exported")

    return flush
