"""What one writes by hand: headers and body in one message, with well-kept libraries and the official propagators.

``inject`` and ``extract`` are those of the OpenTelemetry API with its default propagators, trace context and baggage.

Each takes a list of inputs and loops by itself, so that little but its own work is timed.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from typing import Any

import msgspec
import orjson
from opentelemetry.context import Context
from opentelemetry.propagate import extract, inject

NOWHERE = Context()


class Wire(msgspec.Struct):
    """The envelope as one writes it with msgspec."""

    headers: dict[str, str]
    body: msgspec.Raw


encode_msgspec = msgspec.json.Encoder().encode
decode_msgspec = msgspec.json.Decoder(Wire).decode
Items = Iterable[tuple[int, Context | None]]


class Sender:
    """Makes messages of one body. Each item is a stream and the context of its span; None stands for the current one.

    ``first`` is the opening message of a call; others name a stream and a number, and also carry the context: without
    streams a receiver has nothing else to go by. Those named ``bare`` leave it out.
    """

    def __init__(self, body: bytes, first: bool) -> None:
        self.raw, self.first, self.seq = body, first, 1

    def headers(self, stream: int, context: Context | None) -> dict[str, str]:
        headers: dict[str, str] = {}
        inject(headers, context)
        if self.first:
            headers["kind"], headers["method"] = "call", "recognise"
        else:
            self.seq += 1
            headers["seq"] = str(self.seq)
        headers["stream"] = str(stream)
        return headers

    def by_json(self, items: Items) -> None:
        body, dumps = self.raw.decode(), json.dumps
        for stream, context in items:
            ('{"headers":' + dumps(self.headers(stream, context)) + ',"body":' + body + "}").encode()

    def by_orjson(self, items: Items) -> None:
        raw, dumps, fragment = self.raw, orjson.dumps, orjson.Fragment
        for stream, context in items:
            dumps({"headers": self.headers(stream, context), "body": fragment(raw)})

    def by_msgspec(self, items: Items) -> None:
        raw = self.raw
        for stream, context in items:
            encode_msgspec(Wire(self.headers(stream, context), msgspec.Raw(raw)))

    def bare(self, items: Items) -> None:
        body, dumps = self.raw.decode(), json.dumps
        for stream, _ in items:
            self.seq += 1
            headers = {"stream": str(stream), "seq": str(self.seq)}
            ('{"headers":' + dumps(headers) + ',"body":' + body + "}").encode()

    def framed(self, items: Items) -> None:
        for stream, context in items:
            frame(self.headers(stream, context), self.raw)


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """A binary message: the length of the headers, the headers, the payload."""
    head = orjson.dumps(headers)
    return b"".join((struct.pack(">H", len(head)), head, payload))


# Receiving. The context is made, and the payload taken: parsed by json and orjson, as bytes by the others.


def by_json(messages: Iterable[str]) -> None:
    loads = json.loads
    for text in messages:
        message = loads(text)
        extract(message["headers"], NOWHERE), message["body"]


def by_orjson(messages: Iterable[str]) -> None:
    loads = orjson.loads
    for text in messages:
        message = loads(text)
        extract(message["headers"], NOWHERE), message["body"]


def by_msgspec(messages: Iterable[str]) -> None:
    for text in messages:
        message = decode_msgspec(text)
        extract(message.headers, NOWHERE), bytes(message.body)


def by_frame(messages: Iterable[bytes]) -> None:
    for message in messages:
        end = 2 + struct.unpack_from(">H", message)[0]
        extract(orjson.loads(message[2:end]), NOWHERE), message[end:]


# Parsing alone.


def parse_json(messages: Iterable[str]) -> None:
    loads = json.loads
    for text in messages:
        loads(text)


def parse_orjson(messages: Iterable[str]) -> None:
    loads = orjson.loads
    for text in messages:
        loads(text)


def parse_msgspec(messages: Iterable[str]) -> None:
    for text in messages:
        decode_msgspec(text)


# Texts that are not known to be JSON.


def checked_by_json(text: str) -> Any:
    """Splices a text in once it has been parsed, else as a string."""

    def run(items: Items) -> None:
        for stream, context in items:
            headers = {"stream": str(stream)}
            inject(headers, context)
            try:
                json.loads(text)
                body = text
            except ValueError:
                body = json.dumps(text)
            ('{"headers":' + json.dumps(headers) + ',"body":' + body + "}").encode()

    return run


def checked_by_orjson(text: str) -> Any:
    """The same with orjson."""

    def run(items: Items) -> None:
        for stream, context in items:
            headers = {"stream": str(stream)}
            inject(headers, context)
            body: Any = text
            try:
                orjson.loads(text)
                body = orjson.Fragment(text)
            except orjson.JSONDecodeError:
                pass
            orjson.dumps({"headers": headers, "body": body})

    return run
