"""Small builders that follow SPEC.md, shared by the tables of cases."""

import base64
import json

TRACE = "0af7651916cd43dd8448eb211c80319c"
SPAN = "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{SPAN}-01"
# Another one, where two must be told apart.
OTHER_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER_SPAN = "00f067aa0ba902b7"
OTHER = f"00-{OTHER_TRACE}-{OTHER_SPAN}-01"


def case(id_: str, title: str, rules: str, level: str, feature: str, op: str, input_: dict, expect: dict | None, note: str = "") -> dict:
    made = {"id": id_, "title": title, "rules": rules.split(), "level": level, "feature": feature, "op": op, "input": input_}
    if expect is not None:
        made["expect"] = expect
    if note:
        made["note"] = note
    return made


def repeat(text: str, times: int) -> dict:
    return {"$repeat": text, "times": times}


def concat(*parts: object) -> dict:
    return {"$concat": list(parts)}


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def bytes_value(data: bytes) -> dict:
    return {"base64": base64_of(data)}


# The text form (SPEC, "Text envelope").

ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}


def json_string(text: str) -> str:
    """TX-3: the escapes that are written, and no other."""
    return '"' + "".join(ESCAPES.get(c, f"\\u{ord(c):04x}" if c < " " else c) for c in text) + '"'


def text_head(headers: list[tuple[str, str]]) -> str:
    return '{"headers":{' + ",".join(f"{json_string(n)}:{json_string(v)}" for n, v in headers) + '},"body":'


def text_envelope(headers: list[tuple[str, str]], body: str) -> str:
    return text_head(headers) + body + "}"


# The binary form (SPEC, "Binary envelope").

TYPES = {
    "tracestate": 1, "baggage": 2, "session": 3, "kind": 4, "method": 5, "stream": 6, "seq": 7, "end": 8, "error": 9, "content": 10, "sent": 12,
}  # fmt: skip
CODES = {"kind": {"call": 1, "transfer": 2}, "end": {"1": 1, "cancel": 2, "error": 3}, "content": {"text": 1, "none": 2}}


def entry(type_: int, value: bytes) -> bytes:
    return bytes([type_]) + len(value).to_bytes(2, "big") + value


def other(name: str, value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return entry(15, bytes([len(name)]) + name.encode() + data)


def trace_block(traceparent: str = PARENT) -> bytes:
    _, trace_id, span_id, flags = traceparent.split("-")
    return bytes.fromhex(trace_id + span_id) + bytes([int(flags, 16)])


def header_entry(name: str, value: str) -> bytes:
    """An entry of a reserved header, from its value in the text form."""
    if name in CODES:
        return entry(TYPES[name], bytes([CODES[name][value]]))
    if name in ("stream", "seq"):
        return entry(TYPES[name], int(value).to_bytes(4, "big"))
    if name == "sent":
        return entry(TYPES[name], int(value).to_bytes(8, "big"))
    return entry(TYPES[name], value.encode())


def binary_head(rest: bytes, trace: bytes = b"", version: int = 1, flags: int | None = None, length: int | None = None) -> bytes:
    header = trace + rest
    flag = (1 if trace else 0) if flags is None else flags
    return b"\xff\x57" + bytes([version, flag]) + (len(header) if length is None else length).to_bytes(2, "big") + header


def binary_of(headers: list[tuple[str, str]], own: list[tuple[str, str]] = ()) -> bytes:
    """The head of an envelope with these headers, in canonical order."""
    trace = b"".join(trace_block(value) for name, value in headers if name == "traceparent")
    rest = b"".join(header_entry(name, value) for name, value in headers if name != "traceparent")
    return binary_head(rest + b"".join(other(name, value) for name, value in own), trace)


def text_message(text: object) -> dict:
    return {"text": text}


def binary_message(data: bytes) -> dict:
    return {"binary": base64_of(data)}


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
