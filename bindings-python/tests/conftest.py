"""The fixtures of every test."""

from harness import exporter, spans, tracer

__all__ = ["exporter", "spans", "tracer"]
