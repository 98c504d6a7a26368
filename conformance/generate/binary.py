"""The binary form: read and written; and conversion between the forms."""

from build import (
    OTHER, PARENT, SPAN, TRACE, base64_of, binary_head, binary_message, binary_of, bytes_value, case, concat, entry, header_entry, other, repeat, text_envelope, text_head,
    trace_block,
)  # fmt: skip


def unwrap(id_: str, title: str, rules: str, message: object, expect: dict, recognition: str = "announced") -> dict:
    made = {"binary": base64_of(message)} if isinstance(message, bytes) else {"binary": message}
    return case(f"binary/{id_}", title, rules, "reader", "binary", "envelope.unwrap", {"message": made, "recognition": recognition}, expect)


def opened(headers: dict | None = None, own: list | None = None, body: bytes | None = b"payload", counts: dict | None = None) -> dict:
    expect: dict = {}
    if headers:
        expect["headers"] = headers
    if own:
        expect["own"] = [list(pair) for pair in own]
    expect["body"] = None if body is None else binary_message(body)
    if counts:
        expect["counts"] = counts
    return expect


def read(id_: str, title: str, rules: str, rest: bytes, expect: dict, trace: bytes = b"", payload: bytes = b"payload") -> dict:
    return unwrap(id_, title, rules, binary_head(rest, trace) + payload, expect)


def same(id_: str, title: str, rules: str, headers: list, own: list = (), payload: bytes = b"payload") -> dict:
    return unwrap(id_, title, rules, binary_of(headers, own) + payload, opened(dict(headers), list(own), payload))


def plain(id_: str, title: str, rules: str, message: bytes, reason: str, recognition: str = "announced") -> dict:
    return unwrap(id_, title, rules, message, {"plain": reason}, recognition)


EVERY = [
    ("traceparent", PARENT), ("tracestate", "a=1"), ("baggage", "k=v"), ("session", "s-1"), ("kind", "call"), ("method", "m"), ("stream", "3"), ("seq", "1"), ("end", "error"),
    ("error", "Boom"), ("sent", "1700000000000000000"),
]  # fmt: skip

HEADERS = [
    read("no-headers", "an envelope without headers", "BN-1", b"", opened()),
    read("trace-block-alone", "31 bytes in front of the payload", "BN-2", b"", opened({"traceparent": PARENT}), trace_block()),
    same("every-header", "every header", "BN-3", EVERY, [("x", "1"), ("y", "")]),
    same("transfer", "kind 2 is transfer", "BN-3", [("kind", "transfer"), ("stream", "2")]),
    same("end-1", "end 1", "BN-3", [("stream", "1"), ("seq", "2"), ("end", "1")]),
    same("end-cancel", "end 2 is cancel", "BN-3", [("stream", "1"), ("end", "cancel")]),
    same("stream-largest", "the largest stream id", "BN-3", [("stream", "4294967295")]),
    same("sent-largest", "the largest u64", "BN-3", [("sent", "18446744073709551615")]),
    same("seq-zero", "seq 0 is valid", "BN-3", [("stream", "1"), ("seq", "0")]),
    same("own-repeatable", "type 15 stands several times", "BN-3", [], [("a", "1"), ("b", "2"), ("c", "3")]),
    same("own-value-utf-8", "a value outside ASCII", "BN-3", [], [("x", "J\u00fcrgen")]),
    same("own-name-of-255", "a name of 255 bytes", "BN-3 TX-5", [], [("n" * 255, "1")]),
    same("payload-empty", "an empty payload is an empty message", "BN-9", [("stream", "1")], (), b""),
    same("payload-like-an-envelope", "the payload is not looked at", "BN-3", [("stream", "1")], (), binary_of([("stream", "9")]) + b"x"),
    same("payload-any-bytes", "every byte of a payload stays", "W-1", [("stream", "1")], (), bytes(range(256))),
    read("content-none", "no body", "BN-3", header_entry("stream", "1") + header_entry("content", "none"), opened({"stream": "1", "content": "none"}, body=None), payload=b""),
    read("content-none-with-payload", "content:none on a payload is ignored", "TX-8", header_entry("content", "none"), opened(counts={"content_mismatch": 1})),
    read("content-text-ignored", "content:text says nothing here", "BN-3", header_entry("content", "text"), opened()),
    read("flags-masked", "flags of the trace block are masked", "CV-4 TC-10", b"", opened({"traceparent": PARENT[:-2] + "03"}), bytes.fromhex(TRACE + SPAN) + b"\xff"),
    read("critical-known", "a known type with bit 7 set is that type", "BN-4", bytes([0x86]) + header_entry("stream", "1")[1:], opened({"stream": "1"})),
    read("unknown-skipped", "an unknown type without bit 7 is skipped", "BN-5 NV-2", header_entry("stream", "1") + entry(14, b"what"), opened({"stream": "1"})),
    read("unknown-13-skipped", "type 13 is unknown", "BN-5", header_entry("stream", "1") + entry(13, b""), opened({"stream": "1"})),
    read("unknown-127-skipped", "the highest type is skipped", "BN-5", entry(127, b"\xff" * 9), opened()),
    read("unknown-0-skipped", "type 0 is unknown", "BN-5", entry(0, b"x") + header_entry("stream", "1"), opened({"stream": "1"})),
    read("retired-skipped", "the retired type is skipped", "BN-5", entry(11, b"\x01"), opened()),
    read("unknown-behind-own", "an unknown type behind type 15", "BN-5", other("x", "1") + entry(16, b""), opened(None, [("x", "1")])),
    unwrap("payload-of-a-mebibyte", "a payload of a mebibyte", "BN-10", {"$base64": [bytes_value(binary_of([("stream", "1")])), repeat("x", 1048576)]},
           {"headers": {"stream": "1"}, "body": {"binary": {"$base64": repeat("x", 1048576)}}}),
    unwrap("always-is-alike", "from an always peer the binary form is the same", "BN-1 RC-3", binary_of([("stream", "1")]) + b"x", opened({"stream": "1"}, body=b"x"), "always"),
]  # fmt: skip

PLAIN = [
    plain("ordinary-empty", "an empty message", "RC-4", b"", "ordinary"),
    plain("ordinary-bytes", "other bytes", "RC-4", b"\x00\x01\x02", "ordinary"),
    plain("ordinary-ff-alone", "the first byte alone", "BN-1", b"\xff", "ordinary"),
    plain("ordinary-ff-56", "another second byte", "BN-1", b"\xff\x56\x01\x00\x00\x00", "ordinary"),
    plain("ordinary-text", "a text envelope in a binary message", "BN-1", text_envelope([("stream", "1")], "1").encode(), "ordinary"),
    *[plain(f"truncated-fixed-{n}", f"{n} of the first six bytes", "BN-4", b"\xff\x57\x01\x00\x00\x00"[:n], "truncated") for n in (2, 3, 4, 5)],
    plain("version-0", "version 0", "BN-4", binary_head(b"", version=0), "version"),
    plain("version-2", "version 2", "BN-4", binary_head(header_entry("stream", "1"), version=2) + b"x", "version"),
    plain("version-255", "version 255", "BN-4", binary_head(b"", version=255), "version"),
    *[plain(f"flag-bit-{n}", f"flag bit {n}", "BN-4", binary_head(b"", flags=1 << n), "structure") for n in range(1, 8)],
    plain("flag-trace-and-other", "an unknown flag beside the known one", "BN-4", binary_head(b"", trace_block(), flags=3), "structure"),
    plain("version-before-flags", "the version counts before the flags", "BN-4", binary_head(b"", version=2, flags=2), "version"),
    plain("flags-before-length", "the flags count before the length", "BN-4", binary_head(b"", flags=2, length=9), "structure"),
    plain("length-beyond-message", "a length beyond the message", "BN-4", binary_head(b"", length=1), "truncated"),
    plain("length-maximum", "the largest length on a short message", "BN-4 BN-10", binary_head(b"abc", length=65535), "truncated"),
    plain("trace-block-short", "24 bytes for a trace block", "BN-4", binary_head(b"", trace_block()[:24]) + b"", "truncated"),
    plain("trace-block-missing", "the flag and no block", "BN-4", binary_head(b"", flags=1) + b"payload that is long enough for one", "truncated"),
    plain("entry-cut-in-type", "one byte of an entry", "BN-4", binary_head(b"\x06"), "truncated"),
    plain("entry-cut-in-length", "two bytes of an entry", "BN-4", binary_head(b"\x06\x00"), "truncated"),
    plain("entry-beyond-head", "a value that goes beyond the head", "BN-4", binary_head(b"\x05\x00\x09abc") + b"payload", "truncated"),
    plain("entry-length-maximum", "the largest length of an entry", "BN-4 BN-10", binary_head(b"\x05\xff\xffabc"), "truncated"),
    plain("order-descending", "entries in descending order", "BN-4", binary_head(header_entry("stream", "1") + header_entry("kind", "call")), "order"),
    plain("order-own-first", "type 15 in front", "BN-4", binary_head(other("x", "1") + header_entry("stream", "1")), "order"),
    plain("order-critical-bit", "the order goes by the low seven bits", "BN-4 BN-3", binary_head(bytes([0x86]) + header_entry("stream", "1")[1:] + header_entry("kind", "call")), "order"),
    plain("order-unknown", "also of unknown types", "BN-4", binary_head(entry(20, b"") + entry(19, b"")), "order"),
    *[
        plain(f"length-{name}-{len(value)}", f"{name} of {len(value)} bytes", "BN-4", binary_head(entry(type_, value)), "length")
        for name, type_, value in [("kind", 4, b""), ("kind", 4, b"\0\1"), ("stream", 6, b"\0\0\1"), ("stream", 6, b"\0\0\0\0\1"), ("stream", 6, b""), ("seq", 7, b"\1"), ("end", 8, b"\0\1"),
                                   ("content", 10, b""), ("sent", 12, b"\0\0\0\1"), ("sent", 12, b"\0" * 9)]
    ],
    plain("unknown-critical", "an unknown type with bit 7", "BN-4", binary_head(header_entry("stream", "1") + entry(0x80 | 14, b"x")), "unknown_critical"),
    plain("unknown-critical-retired", "the retired type with bit 7", "BN-4", binary_head(entry(0x80 | 11, b"x")), "unknown_critical"),
    plain("unknown-critical-0", "type 0 with bit 7", "BN-4", binary_head(entry(0x80, b"")), "unknown_critical"),
    plain("own-without-name-length", "type 15 without a byte", "BN-4", binary_head(entry(15, b"")), "truncated"),
    plain("own-name-beyond-value", "a name that goes beyond its value", "BN-4", binary_head(entry(15, b"\x05ab")), "truncated"),
]  # fmt: skip

REPEATED = {"header_repeated": 1}
INVALID = {"header_invalid": 1}

VALUES = [
    read("repeated-stream", "a type twice", "BN-6", header_entry("stream", "1") + header_entry("stream", "1"), opened(counts=REPEATED)),
    read("repeated-with-critical-bit", "once with bit 7", "BN-6", header_entry("stream", "1") + bytes([0x86]) + header_entry("stream", "1")[1:], opened(counts=REPEATED)),
    read("repeated-unknown", "an unknown type twice", "BN-6", header_entry("stream", "1") + entry(14, b"") + entry(14, b""), opened(counts=REPEATED)),
    read("repeated-retired", "the retired type twice", "BN-6", entry(11, b"") + entry(11, b""), opened(counts=REPEATED)),
    read("repeated-own-name", "a name of type 15 twice", "BN-6", header_entry("stream", "1") + other("x", "1") + other("x", "2"), opened(None, [("x", "1"), ("x", "2")], counts=REPEATED)),
    read("repeated-own-name-case", "twice in another case", "BN-6 TX-4", header_entry("stream", "1") + other("x", "1") + other("X", "2"), opened(None, [("x", "1"), ("X", "2")], counts=REPEATED)),
    read("repeated-disables-trace-block", "the trace block is a reserved header", "BN-6", header_entry("seq", "1") + header_entry("seq", "1"), opened(counts=REPEATED), trace_block()),
    read("repeated-keeps-content-none", "an unrepeated content:none holds", "BN-6 TX-6", header_entry("seq", "1") * 2 + header_entry("content", "none"),
         opened({"content": "none"}, body=None, counts=REPEATED), payload=b""),
    read("own-reserved-ignored", "a type 15 with a reserved name is ignored", "BN-7", header_entry("stream", "1") + other("kind", "call") + other("x", "1"), opened({"stream": "1"}, [("x", "1")])),
    read("own-reserved-is-no-repeat", "before repeats are looked for", "BN-7", header_entry("stream", "1") + other("stream", "2") + other("Stream", "3"), opened({"stream": "1"})),
    read("own-traceparent-valid-ignored", "a valid version 00 traceparent as type 15 is ignored", "BN-7", other("traceparent", PARENT), opened()),
    read("own-traceparent-future", "a traceparent of a higher version travels so", "BN-7", other("traceparent", "cc" + PARENT[2:] + "-x"), opened({"traceparent": PARENT})),
    read("own-traceparent-invalid", "an invalid one, too", "BN-7", other("traceparent", "x"), opened(counts={"context_invalid": 1})),
    read("own-traceparent-and-block", "beside a trace block it is a repeat", "BN-7 BN-6", other("traceparent", "cc" + OTHER[2:]), opened(counts=REPEATED), trace_block()),
    read("own-traceparent-twice", "two of them are a repeat", "BN-7 BN-6", other("traceparent", "x") + other("TRACEPARENT", "y"), opened(counts=REPEATED)),
    read("own-value-not-utf-8", "a value that is not UTF-8", "BN-8 TX-5", other("x", b"\xff") + other("y", "1"), opened(None, [("y", "1")], counts=INVALID)),
    read("own-value-lf", "a value with LF", "TX-5", other("x", "\n") + other("y", "1"), opened(None, [("y", "1")], counts=INVALID)),
    read("own-name-empty", "an empty name", "TX-5", other("", "1") + other("y", "1"), opened(None, [("y", "1")], counts=INVALID)),
    read("own-name-space", "a name with a space", "TX-5", other("a b", "1"), opened(counts=INVALID)),
    read("zero-trace-id", "a trace-id of zeros", "BN-8 TC-5", b"", opened(counts={"context_invalid": 1}), trace_block(f"00-{'0' * 32}-{SPAN}-01")),
    read("zero-span-id", "a span-id of zeros", "BN-8 TC-5", b"", opened(counts={"context_invalid": 1}), trace_block(f"00-{TRACE}-{'0' * 16}-01")),
    read("zero-ids-drop-tracestate", "and the tracestate goes with it", "BN-8 TC-6", header_entry("tracestate", "a=1"), opened(counts={"context_invalid": 1, "dropped_tracestate": 1}),
         bytes(25)),
    read("tracestate-without-block", "a tracestate without trace block", "TC-6", header_entry("tracestate", "a=1"), opened(counts={"dropped_tracestate": 1})),
    read("stream-zero", "stream 0 takes kind, seq, end and error with it", "TX-7", header_entry("session", "s") + header_entry("kind", "call") + entry(6, bytes(4)) + header_entry("seq", "1")
         + header_entry("end", "error") + header_entry("error", "E"), opened({"session": "s"}, counts=INVALID)),
    read("kind-unknown", "an unknown kind", "TX-7", entry(4, b"\x03") + header_entry("stream", "1"), opened({"stream": "1"}, counts=INVALID)),
    read("kind-zero", "kind 0", "TX-7", entry(4, b"\x00") + header_entry("stream", "1"), opened({"stream": "1"}, counts=INVALID)),
    read("end-unknown", "an unknown end", "TX-7", header_entry("stream", "1") + entry(8, b"\x04"), opened({"stream": "1"}, counts=INVALID)),
    read("content-unknown", "an unknown content", "TX-7", entry(10, b"\x03"), opened(counts=INVALID)),
    read("session-invalid", "a session outside its grammar", "TX-7", entry(3, b"a b"), opened(counts=INVALID)),
    read("session-not-utf-8", "a session that is not UTF-8", "BN-8", entry(3, b"\xff"), opened(counts=INVALID)),
    read("method-empty", "an empty method", "TX-7", entry(5, b""), opened(counts=INVALID)),
    read("kind-without-stream", "kind, seq and end without stream are ignored", "TX-7", header_entry("kind", "call") + header_entry("seq", "1") + header_entry("end", "1"), opened()),
    unwrap("tracestate-over-8-kib", "a tracestate over its limit in a head that fits", "LI-5",
           binary_head(entry(1, b"a=1" + b"," * 8190), trace_block()) + b"payload", opened({"traceparent": PARENT}, counts={"dropped_tracestate": 1})),
    unwrap("baggage-over-8-kib", "baggage over its limit in a head that fits", "LI-5",
           binary_head(entry(2, b"a=" + b"x" * 8191) + header_entry("stream", "1")) + b"payload", opened({"stream": "1"}, counts={"dropped_baggage": 1})),
]  # fmt: skip


def own_of(total: int) -> tuple[bytes, str]:
    """A head of this many bytes with one own header, and its value."""
    value = "v" * (total - 6 - 3 - 2)
    return binary_head(other("x", value)), value


FITS, FITS_VALUE = own_of(16384)
SIXTY_FOUR = [(f"h{n}", str(n)) for n in range(64)]
SKIPPED = b"".join(entry(16 + n, b"") for n in range(100))

LIMITS = [
    unwrap("head-of-16-kib", "a head of 16,384 bytes is read", "LI-1 LI-2", FITS + b"payload", opened(None, [("x", FITS_VALUE)])),
    plain("head-of-16-kib-and-one", "one byte more is plain", "LI-4", own_of(16385)[0] + b"payload", "head_too_long"),
    plain("head-of-64-kib", "the largest head", "LI-4", binary_head(entry(14, bytes(65532)), length=65535) + b"payload", "head_too_long"),
    plain("head-too-long-and-cut", "a length beyond the message counts first", "LI-4 BN-4", binary_head(b"x", length=20000), "truncated"),
    unwrap("headers-64", "64 entries", "LI-1", binary_of([], SIXTY_FOUR) + b"payload", opened(None, SIXTY_FOUR)),
    plain("headers-65", "65 entries", "LI-4", binary_of([], [*SIXTY_FOUR, ("h64", "64")]) + b"payload", "head_too_long"),
    plain("trace-block-is-an-entry", "the trace block and 64 others", "LI-2 LI-4", binary_of([("traceparent", PARENT)], SIXTY_FOUR) + b"payload", "head_too_long"),
    unwrap("skipped-are-no-entries", "skipped types do not count", "LI-2", binary_head(b"".join(other(*pair) for pair in SIXTY_FOUR) + SKIPPED) + b"payload", opened(None, SIXTY_FOUR)),
]  # fmt: skip


def wrap(id_: str, title: str, rules: str, headers: list, body: dict, expect: dict, own: list = ()) -> dict:
    input_: dict = {"headers": dict(headers), "body": body}
    if own:
        input_["own"] = [list(pair) for pair in own]
    return case(f"binary/{id_}", title, rules, "sender", "binary", "envelope.wrap", input_, expect)


def written(id_: str, title: str, rules: str, headers: list, out: bytes, own: list = (), payload: bytes = b"payload", counts: dict | None = None) -> dict:
    expect: dict = {"message": binary_message(out + payload)}
    if counts:
        expect["counts"] = counts
    return wrap(id_, title, rules, headers, binary_message(payload), expect, own)


WRITTEN = [
    written("write-no-headers", "no headers", "BN-1", [], b"\xff\x57\x01\x00\x00\x00"),
    written("write-trace-block", "a trace block alone", "BN-2", [("traceparent", PARENT)], b"\xff\x57\x01\x01\x00\x19" + bytes.fromhex(TRACE + SPAN) + b"\x01"),
    written("write-call", "a call on stream 1", "BN-3", [("kind", "call"), ("stream", "1")], bytes.fromhex("ff57 0100 000b 04 0001 01 06 0004 00000001")),
    written("write-every-header", "every header", "BN-3", EVERY, binary_of(EVERY, [("b", "2"), ("a", "1")]), [("b", "2"), ("a", "1")]),
    written("write-order", "ascending, whatever the order given", "BN-3", list(reversed(EVERY)), binary_of(EVERY)),
    written("write-seq-zero", "seq 0 is not written", "TX-2", [("stream", "1"), ("seq", "0")], binary_of([("stream", "1")])),
    written("write-flags-masked", "flags are masked", "CV-4", [("traceparent", PARENT[:-2] + "ff")], binary_of([("traceparent", PARENT[:-2] + "03")])),
    written("write-payload-empty", "an empty payload is an empty message", "BN-9", [("stream", "1")], binary_of([("stream", "1")]), payload=b""),
    written("write-payload-like-an-envelope", "any payload", "W-1", [], binary_head(b""), payload=b"\xff\x57\x01\x00\x00\x00"),
    wrap("write-none", "no body", "BN-3", [("stream", "1"), ("end", "1")], {"none": "binary"}, {"message": binary_message(binary_of([("stream", "1"), ("end", "1"), ("content", "none")]))}),
    written("write-fit-own-last-first", "own headers go, the last first", "LI-3", [("stream", "1")], binary_of([("stream", "1")], [("a", "v" * 9000)]),
            [("a", "v" * 9000), ("b", "v" * 9000), ("c", "1")], counts={"dropped_header": 2}),
    written("write-fit-baggage-first", "baggage goes first, whole", "LI-3", [("baggage", "k=" + "x" * 8000), ("stream", "1")], binary_of([("stream", "1")], [("a", "v" * 9000)]),
            [("a", "v" * 9000)], counts={"dropped_baggage": 1}),
    written("write-fit-64-entries", "the trace block is one of 64", "LI-2 LI-3", [("traceparent", PARENT)], binary_of([("traceparent", PARENT)], SIXTY_FOUR[:63]), SIXTY_FOUR,
            counts={"dropped_header": 1}),
    written("write-fit-exactly", "a head of exactly 16,384 bytes", "LI-1", [], FITS, [("x", FITS_VALUE)]),
    written("write-fit-one-over", "one byte more", "LI-1 LI-3", [], binary_head(b""), [("x", FITS_VALUE + "v")], counts={"dropped_header": 1}),
    wrap("write-own-twice", "an own header twice", "TX-5", [], binary_message(b"x"), {"raises": "invalid_argument"}, [("x", "1"), ("X", "2")]),
    wrap("write-own-reserved", "an own header with a reserved name", "TX-5", [], binary_message(b"x"), {"raises": "invalid_argument"}, [("Stream", "1")]),
]  # fmt: skip


def convert(id_: str, title: str, rules: str, message: dict, expect: dict, recognition: str = "announced") -> dict:
    return case(f"convert/{id_}", title, rules, "sender", "convert", "envelope.convert", {"message": message, "recognition": recognition}, expect)


def both(id_: str, title: str, rules: str, headers: list, own: list = ()) -> list[dict]:
    """The same headers in both forms."""
    text, binary = text_head([*headers, *own]), binary_of(headers, own)
    return [
        convert(f"{id_}-to-binary", title, rules, {"text": text + "1}"}, {"head": binary_message(binary)}),
        convert(f"{id_}-to-text", title, rules, binary_message(binary + b"payload"), {"head": {"text": text}}),
    ]


def to_binary(id_: str, title: str, rules: str, headers: list, out: bytes, recognition: str = "announced") -> dict:
    return convert(id_, title, rules, {"text": text_envelope(headers, "1")}, {"head": binary_message(out)}, recognition)


def to_text(id_: str, title: str, rules: str, message: bytes, headers: list) -> dict:
    return convert(id_, title, rules, binary_message(message), {"head": {"text": text_head(headers)}})


CONVERTED = [
    *both("no-headers", "no headers", "CV-1", []),
    *both("every-header", "every header", "CV-1", EVERY, [("x", "1"), ("Y-z", "")]),
    *both("call", "the first message of a call", "CV-1", [("traceparent", PARENT), ("kind", "call"), ("method", "order"), ("stream", "1")]),
    *both("chunk", "a later chunk", "CV-1", [("stream", "4294967295"), ("seq", "7")]),
    *both("transfer", "a transfer", "CV-1", [("kind", "transfer"), ("stream", "2"), ("end", "1")]),
    *both("cancel", "a cancel", "CV-1", [("stream", "2"), ("seq", "3"), ("end", "cancel"), ("content", "none")]),
    *both("sent", "the largest time", "CV-1", [("sent", "18446744073709551615")]),
    *both("own-escapes", "an own value with escapes", "CV-1 TX-3", [], [("x", '"\\\t\x01\u00e9')]),
    *both("content-text", "content:text", "CV-1", [("stream", "1"), ("content", "text")]),
    *both("seq-zero", "seq 0", "CV-1", [("stream", "1"), ("seq", "0")]),
    to_binary("order-to-binary", "another order becomes the canonical one, own headers as they came", "CV-1 BN-3 CV-5", [("x", "1"), ("stream", "1"), ("a", "2"), ("kind", "call"), ("traceparent", PARENT)],
              binary_of([("traceparent", PARENT), ("kind", "call"), ("stream", "1")], [("x", "1"), ("a", "2")])),
    to_binary("names-any-case", "reserved names in any case", "CV-1 TX-4", [("STREAM", "1"), ("Session", "s")], binary_of([("session", "s"), ("stream", "1")])),
    to_binary("hello-left-out", "versions and role are not converted", "CV-3", [("wirespan", "1"), ("role", "server"), ("session", "s"), ("content", "none")], binary_of([("session", "s"), ("content", "none")])),
    to_binary("flags-masked", "flags are masked", "CV-4", [("traceparent", PARENT[:-2] + "ff")], binary_of([("traceparent", PARENT[:-2] + "03")])),
    to_binary("traceparent-future", "a traceparent of a higher version travels as type 15", "CV-2", [("traceparent", "cc" + PARENT[2:] + "-x"), ("stream", "1")],
              binary_head(header_entry("stream", "1") + other("traceparent", "cc" + PARENT[2:] + "-x"))),
    to_binary("traceparent-invalid", "an invalid one, too", "CV-2", [("traceparent", "x"), ("x", "1")], binary_head(other("traceparent", "x") + other("x", "1"))),
    to_binary("numeric-invalid-left-out", "an invalid number or code is left out", "CV-2", [("kind", "x"), ("stream", "01"), ("seq", "-1"), ("end", "?"), ("content", "json"), ("sent", "1.5"), ("session", "s")],
              binary_of([("session", "s")])),
    to_binary("text-invalid-travels", "an invalid text travels as it is", "CV-2", [("session", "a b"), ("method", "c d"), ("error", "e f")], binary_of([("session", "a b"), ("method", "c d"), ("error", "e f")])),
    to_binary("repeat-left-out", "of a repeated name the ignored reserved headers are left out", "CV-2 TX-6", [("stream", "1"), ("stream", "2"), ("x", "1")], binary_of([], [("x", "1")])),
    to_binary("repeat-keeps-content", "an unrepeated content is kept", "CV-2 TX-6", [("stream", "1"), ("stream", "2"), ("content", "none")], binary_of([("content", "none")])),
    to_text("traceparent-future-to-text", "and back", "CV-2", binary_head(header_entry("stream", "1") + other("traceparent", "cc" + PARENT[2:])), [("traceparent", "cc" + PARENT[2:]), ("stream", "1")]),
    to_text("unknown-left-out", "unknown types are not converted", "CV-1 BN-5", binary_head(header_entry("stream", "1") + entry(14, b"x")), [("stream", "1")]),
    to_text("codes-invalid-left-out", "unknown codes are left out", "CV-2", binary_head(entry(4, b"\x09") + header_entry("stream", "1") + entry(8, b"\x09")), [("stream", "1")]),
    to_text("zero-ids-left-out", "a trace block of zeros is left out", "CV-2 BN-8", binary_head(header_entry("stream", "1"), bytes(25)), [("stream", "1")]),
    to_text("own-reserved-left-out", "a type 15 with a reserved name is left out", "BN-7", binary_head(header_entry("stream", "1") + other("kind", "call")), [("stream", "1")]),
    convert("plain-text", "what is no envelope is not converted", "CV-1", {"text": "hello"}, {"plain": "ordinary"}),
    convert("plain-binary-version", "an unknown version is not converted", "CV-1", binary_message(binary_head(b"", version=2)), {"plain": "version"}),
    convert("always-body-first", "from an always peer, the body in front", "CV-1 RC-3", {"text": '{"body": 1, "headers": {"stream": "1"}}'}, {"head": binary_message(binary_of([("stream", "1")]))}, "always"),
    convert("head-at-limit", "a head that just fits in the other form", "CV-1 LI-1", {"text": concat('{"headers":{"x":"', repeat("v", 16000), '"},"body":1}')},
            {"head": {"binary": {"$base64": [bytes_value(binary_head(other("x", "v" * 16000))[:11]), repeat("v", 16000)]}}}),
]  # fmt: skip

FILES = {
    "binary/headers": HEADERS,
    "binary/plain": PLAIN,
    "binary/values": VALUES,
    "binary/limits": LIMITS,
    "binary/written": WRITTEN,
    "convert/heads": CONVERTED,
}
