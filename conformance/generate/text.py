"""The text form: read, recognised and written."""

from build import OTHER, PARENT, bytes_value, case, concat, json_string, repeat, text_envelope, text_head


def unwrap(id_: str, title: str, rules: str, text: object, expect: dict, recognition: str = "announced", chapter: str = "text") -> dict:
    message = {"text_base64": bytes_value(text)["base64"]} if isinstance(text, bytes) else {"text": text}
    return case(f"{chapter}/{id_}", title, rules, "reader", "text", "envelope.unwrap", {"message": message, "recognition": recognition}, expect)


def opened(headers: dict | None = None, own: list | None = None, body: object = "1", counts: dict | None = None) -> dict:
    expect: dict = {}
    if headers:
        expect["headers"] = headers
    if own:
        expect["own"] = [list(pair) for pair in own]
    expect["body"] = None if body is None else {"text": body}
    if counts:
        expect["counts"] = counts
    return expect


def read(id_: str, title: str, rules: str, headers: list, expect: dict, body: str = "1") -> dict:
    """A message whose head is canonical, from an announced peer."""
    return unwrap(id_, title, rules, text_envelope(headers, body), expect)


def same(id_: str, title: str, rules: str, headers: list, body: str = "1") -> dict:
    """Every header is valid and comes out as it stands."""
    return read(id_, title, rules, headers, opened(dict(headers), body=body), body)


def plain(id_: str, title: str, rules: str, text: object, reason: str, recognition: str = "announced", chapter: str = "text") -> dict:
    return unwrap(id_, title, rules, text, {"plain": reason}, recognition, chapter)


SESSION_CHARACTERS = "ABCxyz019._~-"

HEADERS = [
    read("no-headers", "an envelope without headers", "TX-1", [], opened()),
    same("traceparent", "a traceparent", "TX-2", [("traceparent", PARENT)]),
    same("traceparent-tracestate", "a traceparent and a tracestate", "TX-2", [("traceparent", PARENT), ("tracestate", "a=1,b=2")]),
    same("baggage", "baggage as it was sent", "TX-2", [("baggage", "a=%c3%bc , b=2;p")]),
    same("call-opens", "the first message of a call", "TX-2", [("traceparent", PARENT), ("kind", "call"), ("method", "order"), ("stream", "1")]),
    same("transfer-opens", "the first message of a transfer", "TX-2", [("kind", "transfer"), ("stream", "2")]),
    same("chunk", "a later chunk", "TX-2", [("stream", "1"), ("seq", "7")]),
    same("every-header", "every header in canonical order", "TX-2",
         [("traceparent", PARENT), ("tracestate", "a=1"), ("baggage", "k=v"), ("session", SESSION_CHARACTERS), ("kind", "call"), ("method", "m"), ("stream", "3"),
          ("seq", "1"), ("end", "error"), ("error", "Boom"), ("sent", "1")]),
    read("other-order", "another order is read as well", "TX-2", [("stream", "1"), ("x", "1"), ("kind", "call"), ("traceparent", PARENT)],
         opened({"traceparent": PARENT, "kind": "call", "stream": "1"}, [("x", "1")])),
    same("hello", "versions and role of a hello", "TX-2", [("wirespan", "1"), ("role", "server"), ("session", "s")]),
    same("hello-versions", "several versions", "TX-2", [("wirespan", "3,2,1"), ("role", "client")]),
    same("stream-largest", "the largest stream id", "TX-2", [("stream", "4294967295")]),
    same("seq-zero", "seq 0 is valid", "TX-2", [("stream", "1"), ("seq", "0")]),
    same("seq-largest", "the largest seq", "TX-2", [("stream", "1"), ("seq", "4294967295")]),
    same("sent-zero", "sent 0 is valid", "TX-2", [("sent", "0")]),
    same("sent-largest", "the largest u64", "TX-2", [("sent", "18446744073709551615")]),
    same("end-1", "end:1", "TX-2", [("stream", "1"), ("end", "1")]),
    same("end-cancel", "end:cancel", "TX-2", [("stream", "1"), ("end", "cancel")]),
    same("error-without-end", "error is read where it stands", "TX-2", [("stream", "1"), ("error", "Boom")]),
    same("method-of-128", "a method of 128 characters", "TX-2", [("kind", "call"), ("method", "m" * 128), ("stream", "1")]),
    same("method-visible-ascii", "every visible ASCII character in a method", "TX-2", [("method", "".join(map(chr, range(0x21, 0x7F))))]),
    same("session-of-128", "a session of 128 characters", "TX-2", [("session", "s" * 128)]),
    read("traceparent-future", "a traceparent of a higher version", "TX-2 TC-4", [("traceparent", "cc" + PARENT[2:] + "-x")], opened({"traceparent": PARENT})),
    read("traceparent-white-space", "white space around a traceparent", "TX-2 TC-9", [("traceparent", f" {PARENT}\t")], opened({"traceparent": PARENT})),
    read("traceparent-flags-masked", "flags are masked", "TC-10", [("traceparent", PARENT[:-2] + "ff")], opened({"traceparent": PARENT[:-2] + "03"})),
    read("empty-tracestate", "an empty tracestate is none", "TX-2", [("traceparent", PARENT), ("tracestate", "")], opened({"traceparent": PARENT})),
    read("empty-baggage", "an empty baggage is none", "TX-2", [("baggage", "")], opened()),
]  # fmt: skip

NAMES = [
    read("own-headers", "own headers keep order and case", "TX-4", [("X-b", "2"), ("x-A", "1"), ("\u0078y", "")], opened(None, [("X-b", "2"), ("x-A", "1"), ("xy", "")])),
    read("reserved-any-case", "reserved names in any case", "TX-4", [("TraceParent", PARENT), ("STREAM", "1"), ("Kind", "call")],
         opened({"traceparent": PARENT, "stream": "1", "kind": "call"})),
    unwrap("reserved-escaped", "a reserved name written with an escape", "TX-4", '{"headers":{"\\u0073tream":"1"},"body":1}', opened({"stream": "1"})),
    unwrap("value-escaped", "a value written with escapes", "TX-4 TX-3", '{"headers":{"x":"\\u0041\\n\\/\\"\\\\"},"body":1}', opened(None, [], counts={"header_invalid": 1}),),
    unwrap("value-escaped-valid", "escapes in a valid value", "TX-4 TX-3", '{"headers":{"x":"\\u0041\\t\\/\\"\\\\\\ud83c\\udfa4"},"body":1}', opened(None, [("x", 'A\t/"\\\U0001f3a4')])),
    read("own-proto", "__proto__ and constructor are data", "TX-4 W-5", [("__proto__", "1"), ("constructor", "2")], opened(None, [("__proto__", "1"), ("constructor", "2")])),
    read("own-value-utf-8", "letters outside ASCII in a value", "TX-5", [("x", "J\u00fcrgen \U0001f3a4")], opened(None, [("x", "J\u00fcrgen \U0001f3a4")])),
    read("own-name-of-255", "a name of 255 bytes", "TX-5", [("n" * 255, "1")], opened(None, [("n" * 255, "1")])),
    read("own-name-of-256", "a name of 256 bytes is dropped", "TX-5", [("n" * 256, "1"), ("x", "1")], opened(None, [("x", "1")], counts={"header_invalid": 1})),
    read("own-name-empty", "an empty name is dropped", "TX-5", [("", "1"), ("x", "1")], opened(None, [("x", "1")], counts={"header_invalid": 1})),
    read("own-name-space", "a name with a space is dropped", "TX-5", [("a b", "1"), ("x", "1")], opened(None, [("x", "1")], counts={"header_invalid": 1})),
    read("own-name-non-ascii", "a name outside ASCII is dropped", "TX-5", [("\u00e9", "1")], opened(counts={"header_invalid": 1})),
    read("own-name-del", "a name with U+007F is dropped", "TX-5", [("a\x7f", "1")], opened(counts={"header_invalid": 1})),
    read("own-value-cr", "a value with CR is dropped", "TX-5", [("x", "1\r2"), ("y", "2")], opened(None, [("y", "2")], counts={"header_invalid": 1})),
    read("own-value-lf", "a value with LF is dropped", "TX-5", [("x", "1\n2"), ("y", "2")], opened(None, [("y", "2")], counts={"header_invalid": 1})),
    read("own-value-nul", "a value with NUL is dropped", "TX-5", [("x", "1\0"), ("y", "2")], opened(None, [("y", "2")], counts={"header_invalid": 1})),
    read("own-value-tab", "a tab is allowed in a value", "TX-5", [("x", "1\t2")], opened(None, [("x", "1\t2")])),
    read("own-two-invalid", "each dropped header counts", "TX-5", [("a b", "1"), ("x", "\r")], opened(counts={"header_invalid": 2})),
]  # fmt: skip

REPEATED = {"header_repeated": 1}

REPEATS = [
    read("repeated-stream", "a reserved name twice", "TX-6", [("stream", "1"), ("stream", "2"), ("kind", "call")], opened(counts=REPEATED)),
    read("repeated-traceparent", "a traceparent twice", "TX-6 TC-8", [("traceparent", PARENT), ("traceparent", OTHER)], opened(counts=REPEATED)),
    read("repeated-same-value", "the same value twice is a repeat", "TX-6", [("traceparent", PARENT), ("traceparent", PARENT)], opened(counts=REPEATED)),
    read("repeated-other-case", "names that differ by case only", "TX-6 TX-4", [("traceparent", PARENT), ("Traceparent", OTHER)], opened(counts=REPEATED)),
    unwrap("repeated-by-escape", "the second name written with an escape", "TX-6 TX-4", '{"headers":{"stream":"1","\\u0073tream":"2"},"body":1}', opened(counts=REPEATED)),
    read("repeated-own", "an own name twice takes the reserved headers along", "TX-6", [("stream", "1"), ("x", "1"), ("y", "2"), ("X", "3")],
         opened(None, [("x", "1"), ("y", "2"), ("X", "3")], counts=REPEATED)),
    read("repeated-content", "a repeated content is ignored, too", "TX-6", [("content", "text"), ("content", "text")], opened(body='"x"', counts=REPEATED), '"x"'),
    read("repeated-keeps-content", "an unrepeated content holds", "TX-6", [("stream", "1"), ("stream", "1"), ("content", "text")],
         opened({"content": "text"}, body="x", counts=REPEATED), '"x"'),
    read("repeated-keeps-content-none", "an unrepeated content:none holds", "TX-6", [("stream", "1"), ("stream", "1"), ("content", "none")],
         opened({"content": "none"}, body=None, counts=REPEATED), "null"),
    read("repeated-and-invalid-own", "repeats are looked for before own headers are dropped", "TX-6 TX-5", [("a b", "1"), ("a b", "2"), ("stream", "1")],
         opened(counts={"header_repeated": 1, "header_invalid": 2})),
    read("repeated-hides-invalid", "what a repeat disables is not counted as invalid", "TX-6 TX-7", [("stream", "0"), ("kind", "x"), ("seq", "1"), ("seq", "2")], opened(counts=REPEATED)),
    read("repeated-thrice", "three of a name count once", "TX-6", [("seq", "1"), ("seq", "2"), ("seq", "3")], opened(counts=REPEATED)),
]  # fmt: skip

INVALID = {"header_invalid": 1}


def invalid(id_: str, title: str, name: str, value: str, rules: str = "TX-7") -> dict:
    """One invalid header beside a valid one that stays."""
    return read(f"invalid-{id_}", title, rules, [(name, value), ("session", "s")], opened({"session": "s"}, counts=INVALID))


VALUES = [
    *[
        read(f"invalid-stream-{words}", f"stream {value!r} takes kind, seq, end and error with it", "TX-7",
             [("session", "s"), ("kind", "call"), ("method", "m"), ("stream", value), ("seq", "1"), ("end", "error"), ("error", "E")],
             opened({"session": "s", "method": "m"}, counts=INVALID))
        for words, value in [("zero", "0"), ("leading-zero", "01"), ("sign", "+1"), ("minus", "-1"), ("hex", "0x1"), ("too-large", "4294967296"), ("empty", ""),
                             ("fraction", "1.0"), ("space", " 1"), ("other-digits", "\u0661"), ("exponent", "1e3"), ("very-long", "9" * 40)]
    ],
    read("kind-without-stream", "kind, seq and end without stream are ignored", "TX-7", [("kind", "call"), ("method", "m"), ("seq", "1"), ("end", "1")], opened({"method": "m"})),
    *[
        read(f"invalid-seq-{words}", f"seq {value!r} counts as absent", "TX-7", [("stream", "1"), ("seq", value)], opened({"stream": "1"}, counts=INVALID))
        for words, value in [("leading-zero", "01"), ("double-zero", "00"), ("sign", "+1"), ("too-large", "4294967296"), ("empty", ""), ("text", "one")]
    ],
    *[
        read(f"invalid-kind-{words}", f"kind {value!r} counts as absent", "TX-7", [("kind", value), ("stream", "1")], opened({"stream": "1"}, counts=INVALID))
        for words, value in [("unknown", "notify"), ("upper-case", "Call"), ("empty", ""), ("number", "1")]
    ],
    *[
        read(f"invalid-end-{words}", f"end {value!r} counts as absent", "TX-7", [("stream", "1"), ("end", value)], opened({"stream": "1"}, counts=INVALID))
        for words, value in [("zero", "0"), ("true", "true"), ("upper-case", "Cancel"), ("empty", ""), ("end", "end")]
    ],
    read("invalid-session-empty", "an empty session", "TX-7", [("session", ""), ("stream", "1")], opened({"stream": "1"}, counts=INVALID)),
    *[
        read(f"invalid-session-{words}", f"a session with {words}", "TX-7", [("session", value), ("stream", "1")], opened({"stream": "1"}, counts=INVALID))
        for words, value in [("a-space", "a b"), ("a-slash", "a/b"), ("a-plus", "a+b"), ("129-characters", "s" * 129), ("a-letter-outside-ascii", "\u00e9"), ("a-newline", "a\n")]
    ],
    invalid("method-empty", "an empty method", "method", ""),
    invalid("method-space", "a method with a space", "method", "a b"),
    invalid("method-of-129", "a method of 129 characters", "method", "m" * 129),
    invalid("method-control", "a method with a control character", "method", "a\x1b[31m"),
    invalid("method-non-ascii", "a method outside ASCII", "method", "\u00e9"),
    invalid("error-empty", "an empty error", "error", ""),
    invalid("error-of-129", "an error of 129 characters", "error", "e" * 129),
    invalid("error-space", "an error with a space", "error", "a b"),
    invalid("content-unknown", "an unknown content", "content", "json"),
    invalid("sent-negative", "a negative time", "sent", "-1"),
    invalid("sent-too-large", "more than a u64", "sent", "18446744073709551616"),
    invalid("sent-leading-zero", "a leading zero", "sent", "01"),
    invalid("sent-fraction", "a fraction", "sent", "1.5"),
    invalid("role-unknown", "an unknown role", "role", "peer"),
    invalid("versions-leading-zero", "versions with a leading zero", "wirespan", "01"),
    invalid("versions-empty", "no version", "wirespan", ""),
    read("invalid-traceparent", "an invalid traceparent counts as context_invalid", "TX-7", [("traceparent", PARENT.upper()), ("session", "s")],
         opened({"session": "s"}, counts={"context_invalid": 1})),
    read("invalid-traceparent-takes-tracestate", "and drops the tracestate", "TX-7 TC-6", [("traceparent", PARENT + "-"), ("tracestate", "a=1")],
         opened(counts={"context_invalid": 1, "dropped_tracestate": 1})),
    read("tracestate-without-traceparent", "a tracestate without traceparent is dropped", "TC-6", [("tracestate", "a=1")], opened(counts={"dropped_tracestate": 1})),
    read("tracestate-malformed", "a malformed tracestate is dropped, the traceparent kept", "TS-5", [("traceparent", PARENT), ("tracestate", "A=1")],
         opened({"traceparent": PARENT}, counts={"dropped_tracestate": 1})),
    unwrap("tracestate-over-8-kib", "a tracestate over its limit in a head that fits", "LI-5",
           concat('{"headers":{"traceparent":"', PARENT, '","tracestate":"a=1', repeat(",", 8190), '"},"body":1}'),
           opened({"traceparent": PARENT}, counts={"dropped_tracestate": 1})),
    unwrap("baggage-over-8-kib", "baggage over its limit in a head that fits", "LI-5",
           concat('{"headers":{"baggage":"a=', repeat("x", 8191), '","stream":"1"},"body":1}'), opened({"stream": "1"}, counts={"dropped_baggage": 1})),
    unwrap("baggage-of-8-kib", "baggage at its limit", "LI-5", concat('{"headers":{"baggage":"a=', repeat("x", 8190), '"},"body":1}'),
           {"headers": {"baggage": concat("a=", repeat("x", 8190))}, "body": {"text": "1"}}),
]  # fmt: skip

CONTENT = [
    read("content-text", "a text that is no JSON", "TX-2", [("content", "text")], opened({"content": "text"}, body="hello"), '"hello"'),
    read("content-text-empty", "an empty text", "TX-2", [("content", "text")], opened({"content": "text"}, body=""), '""'),
    read("content-text-escapes", "escapes are undone", "TX-9 TX-3", [("content", "text")], opened({"content": "text"}, body='a"\\/\b\t\n\f\r\x1f\u00fc\U0001f3a4'),
         '"a\\"\\\\\\/\\b\\t\\n\\f\\r\\u001f\\u00fc\\ud83c\\udfa4"'),
    read("content-text-lone-high", "a lone high surrogate becomes U+FFFD", "TX-9", [("content", "text")], opened({"content": "text"}, body="a\ufffdb"), '"a\\ud83cb"'),
    read("content-text-lone-low", "a lone low surrogate becomes U+FFFD", "TX-9", [("content", "text")], opened({"content": "text"}, body="a\ufffdb"), '"a\\udfa4b"'),
    read("content-text-swapped", "two surrogates in the wrong order become two", "TX-9", [("content", "text")], opened({"content": "text"}, body="\ufffd\ufffd"), '"\\udfa4\\ud83c"'),
    read("content-text-high-and-letter", "a high surrogate before another escape", "TX-9", [("content", "text")], opened({"content": "text"}, body="\ufffdA"), '"\\ud83c\\u0041"'),
    read("content-text-nul", "an escaped NUL is text", "TX-9", [("content", "text")], opened({"content": "text"}, body="\0"), '"\\u0000"'),
    read("content-text-white-space", "white space around the string does not matter", "TX-8", [("content", "text")], opened({"content": "text"}, body="x"), ' \t\r\n"x" '),
    read("content-none", "no body", "TX-2", [("content", "none")], opened({"content": "none"}, body=None), "null"),
    read("content-none-white-space", "white space around null does not matter", "TX-8", [("content", "none")], opened({"content": "none"}, body=None), " null\n"),
    *[
        read(f"content-text-on-{words}", f"content:text on {body} is ignored", "TX-8", [("content", "text")], opened(body=body, counts={"content_mismatch": 1}), body)
        for words, body in [("number", "1"), ("object", '{"a":"b"}'), ("array", '["a"]'), ("null", "null"), ("two-strings", '"a" "b"'), ("broken-string", '"a')]
    ],
    *[
        read(f"content-none-on-{words}", f"content:none on {body} is ignored", "TX-8", [("content", "none")], opened(body=body, counts={"content_mismatch": 1}), body)
        for words, body in [("number", "0"), ("string", '"null"'), ("empty-object", "{}"), ("upper-case", "NULL"), ("longer-word", "nullx")]
    ],
    read("body-string-without-content", "a JSON string without content is the application's, quotes included", "TX-11", [], opened(body='"x"'), '"x"'),
    *[
        read(f"body-{words}", f"{words.replace('-', ' ')}: not a byte is changed", "TX-11 W-1", [("stream", "1")], opened({"stream": "1"}, body=body), body)
        for words, body in [
            ("number-with-zeros", "1.0"), ("number-huge", "1e400"), ("number-above-2-53", "9007199254740993"), ("number-long", "0." + "1" * 60), ("minus-zero", "-0"),
            ("key-order", '{"b":1,"a":2}'), ("repeated-key", '{"a":1,"a":2}'), ("white-space", ' { "a" : [ 1 ,\t2 ] }\n'), ("escapes", '"\\u0041\\/\\ud83c"'),
            ("nan", "NaN"), ("empty", ""), ("not-json", "hello"), ("unbalanced", '{"a":'), ("second-head", '{"a":1},"headers":{"traceparent":"x"},"body":{'),
            ("looks-like-an-envelope", text_envelope([("stream", "9")], "2")), ("proto", '{"__proto__":{"x":1}}'), ("closing-brace", "}"),
        ]
    ],
    unwrap("body-of-a-mebibyte", "a body of a mebibyte", "TX-11 RC-2", concat(text_head([("stream", "1")]), '"', repeat("x", 1048576), '"}'),
           {"headers": {"stream": "1"}, "body": {"text": concat('"', repeat("x", 1048576), '"')}}),
    unwrap("body-nested-100000-deep", "a body nested 100,000 deep is not looked at", "RC-2 RC-3", concat(text_head([("stream", "1")]), repeat("[", 100000), "}"),
           {"headers": {"stream": "1"}, "body": {"text": repeat("[", 100000)}}),
]  # fmt: skip

CANONICAL = [
    plain("ordinary-text", "a text that is no JSON", "RC-4", "hello", "ordinary"),
    plain("ordinary-empty", "an empty message", "RC-4", "", "ordinary"),
    plain("ordinary-json", "another JSON object", "RC-4", '{"a":1}', "ordinary"),
    plain("ordinary-eleven-bytes", "the first eleven bytes alone", "RC-2", '{"headers":', "ordinary"),
    plain("ordinary-headers-null", "headers that are null", "RC-2", '{"headers":null,"body":1}', "ordinary"),
    plain("ordinary-body-first", "the body in front", "RC-2", '{"body":1,"headers":{}}', "ordinary"),
    plain("ordinary-leading-space", "white space in front", "RC-2", ' {"headers":{},"body":1}', "ordinary"),
    plain("ordinary-bom", "a byte order mark in front", "RC-2", '\ufeff{"headers":{},"body":1}', "ordinary"),
    plain("ordinary-space-in-head", "white space before the first colon", "RC-2", '{"headers" :{},"body":1}', "ordinary"),
    plain("ordinary-upper-case", "another case of a member's name", "RC-2", '{"Headers":{},"body":1}', "ordinary"),
    plain("character-space-before-header", "white space within the head", "RC-2", '{"headers":{ "stream":"1"},"body":1}', "character"),
    plain("character-space-before-value", "white space behind a colon", "RC-2", '{"headers":{"stream": "1"},"body":1}', "character"),
    plain("character-space-behind-value", "white space behind a value", "RC-2", '{"headers":{"stream":"1" },"body":1}', "character"),
    plain("character-space-behind-comma", "white space behind a comma", "RC-2", '{"headers":{"stream":"1", "seq":"1"},"body":1}', "character"),
    plain("character-number", "a value that is a number", "TX-1 RC-2", '{"headers":{"stream":1},"body":1}', "character"),
    plain("character-null", "a value that is null", "TX-1 RC-2", '{"headers":{"stream":null},"body":1}', "character"),
    plain("character-nested", "a value that is an object", "TX-1 RC-2", '{"headers":{"a":{}},"body":1}', "character"),
    plain("character-trailing-comma", "a comma behind the last header", "RC-2", '{"headers":{"a":"1",},"body":1}', "character"),
    plain("character-control", "a control character in a string", "RC-2", '{"headers":{"a":"\x01"},"body":1}', "character"),
    plain("character-newline", "a newline in a string", "RC-2", '{"headers":{"a":"\n"},"body":1}', "character"),
    plain("character-bad-escape", "an escape that JSON does not know", "RC-2", '{"headers":{"a":"\\x"},"body":1}', "character"),
    plain("character-bad-unicode-escape", "four characters that are no digits", "RC-2", '{"headers":{"a":"\\u12g4"},"body":1}', "character"),
    plain("character-lone-surrogate", "a lone surrogate in a value", "TX-9", '{"headers":{"a":"\\ud83c"},"body":1}', "character"),
    plain("character-lone-surrogate-in-name", "a lone surrogate in a name", "TX-9", '{"headers":{"a\\udfa4":"1"},"body":1}', "character"),
    plain("character-not-utf-8", "a head that is not UTF-8", "RC-7", b'{"headers":{"a":"\xff"},"body":1}', "character"),
    plain("character-missing-colon", "no colon behind a name", "RC-2", '{"headers":{"a","1"},"body":1}', "character"),
    plain("structure-without-body", "two braces and no body", "RC-2", '{"headers":{"a":"1"}}', "structure"),
    plain("structure-other-second", "another second member", "RC-2", '{"headers":{"a":"1"},"boda":1}', "structure"),
    plain("structure-space-behind-headers", "white space behind the headers", "RC-2", '{"headers":{"a":"1"} ,"body":1}', "structure"),
    plain("structure-space-before-body", "white space in front of the name body", "RC-2", '{"headers":{"a":"1"}, "body":1}', "structure"),
    plain("structure-third-member-first", "another member between", "RC-2", '{"headers":{"a":"1"},"x":1,"body":1}', "structure"),
    plain("trailing-newline", "a newline behind the last brace", "RC-2", '{"headers":{"a":"1"},"body":1}\n', "trailing"),
    plain("trailing-no-brace", "no last brace", "RC-2", '{"headers":{"a":"1"},"body":1', "trailing"),
    plain("trailing-bracket", "a bracket for the last brace", "RC-2", '{"headers":{"a":"1"},"body":1]', "trailing"),
    unwrap("third-member-behind-body", "what stands behind the body is of the body: it is not looked at", "RC-2", '{"headers":{"a":"1"},"body":1,"x":2}', opened(None, [("a", "1")], body='1,"x":2')),
    *[
        plain(f"truncated-{words}", f"cut off {words.replace('-', ' ')}", "RC-2", text, "truncated")
        for words, text in [
            ("behind-the-first-brace", '{"headers":{'), ("in-a-name", '{"headers":{"str'), ("behind-a-name", '{"headers":{"stream"'), ("behind-a-colon", '{"headers":{"stream":'),
            ("in-a-value", '{"headers":{"stream":"1'), ("in-an-escape", '{"headers":{"a":"\\u00'), ("behind-a-value", '{"headers":{"stream":"1"'),
            ("behind-a-comma", '{"headers":{"stream":"1",'), ("behind-the-headers", '{"headers":{"stream":"1"}'), ("in-the-name-body", '{"headers":{"stream":"1"},"bo'),
            ("before-the-body", '{"headers":{"stream":"1"},"body":'),
        ]
    ],
    unwrap("body-empty-brace", "the last brace may follow at once", "RC-2", '{"headers":{"stream":"1"},"body":}', opened({"stream": "1"}, body="")),
]  # fmt: skip


def head_of(total: int) -> object:
    """A canonical head of this many bytes, and the value of its one own header."""
    rest = total - len(text_head([("x", "")]))
    return concat('{"headers":{"x":"', repeat("v", rest), '"},"body":'), repeat("v", rest)


FITS, FITS_VALUE = head_of(16384)
OVER, _ = head_of(16385)
SIXTY_FOUR = [(f"h{n}", str(n)) for n in range(64)]

LIMITS = [
    unwrap("head-of-16-kib", "a head of 16,384 bytes is read", "LI-1 LI-2", concat(FITS, "1}"), {"own": [["x", FITS_VALUE]], "body": {"text": "1"}}),
    plain("head-of-16-kib-and-one", "one byte more is plain", "LI-4 LI-2", concat(OVER, "1}"), "head_too_long"),
    plain("head-without-end", "a head without an end", "LI-4 W-4", concat('{"headers":{"x":"', repeat("v", 1048576)), "head_too_long"),
    read("headers-64", "64 entries", "LI-1", SIXTY_FOUR, opened(None, SIXTY_FOUR)),
    plain("headers-65", "65 entries", "LI-4", text_envelope([*SIXTY_FOUR, ("h64", "64")], "1"), "head_too_long"),
    plain("headers-1000", "a thousand entries", "LI-4", text_envelope([(f"h{n}", "") for n in range(1000)], "1"), "head_too_long"),
]  # fmt: skip


def always(id_: str, title: str, rules: str, text: object, expect: dict) -> dict:
    return unwrap(f"always-{id_}", title, rules, text, expect, "always")


def always_plain(id_: str, title: str, rules: str, text: object, reason: str) -> dict:
    return plain(f"always-{id_}", title, rules, text, reason, "always")


ALWAYS = [
    always("canonical", "the canonical form", "RC-3", text_envelope([("stream", "1")], "1"), opened({"stream": "1"})),
    always("white-space", "white space everywhere; that around the body is its", "RC-3", ' { "headers" : { "stream" : "1" } ,\n"body" : 1 } \n', opened({"stream": "1"}, body=" 1 ")),
    always("body-first", "the body in front, with the white space around it", "RC-3", '{"body": {"a":1} ,"headers":{"stream":"1"}}', opened({"stream": "1"}, body=' {"a":1} ')),
    always("escaped-names", "member names written with escapes", "RC-3", '{"h\\u0065aders":{"stream":"1"},"\\u0062ody":1}', opened({"stream": "1"})),
    always("no-headers", "an empty object of headers", "RC-3", '{"headers":{},"body":null}', opened(body="null")),
    always("body-unchanged", "not a byte of the body is changed", "RC-3 TX-11", '{"headers":{},"body": {"b":1.0,"a":[1e400 ,"\\u0041\\ud83c"]} }', opened(body=' {"b":1.0,"a":[1e400 ,"\\u0041\\ud83c"]} ')),
    always("nesting-512", "a body nested 512 deep", "RC-3 LI-1", concat('{"headers":{},"body":', repeat("[", 512), repeat("]", 512), "}"),
           {"body": {"text": concat(repeat("[", 512), repeat("]", 512))}}),
    always_plain("nesting-513", "a body nested 513 deep", "RC-3 LI-1", concat('{"headers":{},"body":', repeat("[", 513), repeat("]", 513), "}"), "too_many"),
    always_plain("nesting-100000", "100,000 deep, without a stack", "RC-3", concat('{"headers":{},"body":', repeat('{"a":[', 50000), repeat("]}", 50000), "}"), "too_many"),
    always_plain("ordinary-text", "a text that is no JSON", "RC-4", "hello", "ordinary"),
    always_plain("ordinary-array", "an array", "RC-4", "[1]", "ordinary"),
    always_plain("ordinary-empty", "an empty message", "RC-4", "", "ordinary"),
    always_plain("third-member", "a third member", "RC-3", '{"headers":{},"body":1,"x":2}', "structure"),
    always_plain("repeated-body", "a repeated outer name is a third member", "RC-3", '{"headers":{},"body":1,"body":2}', "structure"),
    always_plain("repeated-headers", "headers twice and no body", "RC-3", '{"headers":{},"headers":{}}', "structure"),
    always_plain("only-headers", "one member", "RC-3", '{"headers":{}}', "structure"),
    always_plain("only-body", "one member", "RC-3", '{"body":1}', "structure"),
    always_plain("empty-object", "no member", "RC-3", "{}", "structure"),
    always_plain("other-member", "another member", "RC-3", '{"headers":{},"data":1}', "structure"),
    always_plain("name-upper-case", "names compare exactly", "RC-3", '{"Headers":{},"body":1}', "structure"),
    always_plain("headers-null", "headers that are null", "RC-3", '{"headers":null,"body":1}', "structure"),
    always_plain("headers-array", "headers that are an array", "RC-3", '{"headers":[],"body":1}', "structure"),
    always_plain("header-number", "a header that is a number", "RC-3 TX-1", '{"headers":{"stream":1},"body":1}', "structure"),
    always_plain("header-null", "a header that is null", "RC-3 TX-1", '{"headers":{"a":null},"body":1}', "structure"),
    always_plain("lone-surrogate-in-header", "a lone surrogate in a header", "TX-9", '{"headers":{"a":"\\ud83c"},"body":1}', "structure"),
    always_plain("trailing-text", "something behind the object", "RC-3", '{"headers":{},"body":1} x', "structure"),
    always_plain("second-object", "a second object behind", "RC-3", '{"headers":{},"body":1}{}', "structure"),
    always_plain("body-not-json", "a body that is not JSON", "RC-3", '{"headers":{},"body":hello}', "structure"),
    always_plain("body-nan", "NaN is not JSON", "RC-3", '{"headers":{},"body":NaN}', "structure"),
    always_plain("body-leading-zero", "a number with a leading zero", "RC-3", '{"headers":{},"body":01}', "structure"),
    always_plain("body-empty", "an empty body", "RC-3", '{"headers":{},"body":}', "structure"),
    always_plain("body-trailing-comma", "a comma behind the last element", "RC-3", '{"headers":{},"body":[1,]}', "structure"),
    always_plain("body-control-character", "a control character in a string", "RC-3", '{"headers":{},"body":"\x01"}', "structure"),
    always_plain("body-unquoted-key", "a key without quotes", "RC-3", '{"headers":{},"body":{a:1}}', "structure"),
    always_plain("truncated", "cut off", "RC-3", '{"headers":{"stream":"1"},"body":[1', "structure"),
    always_plain("not-utf-8", "a body that is not UTF-8", "RC-7", b'{"headers":{},"body":"\xff"}', "structure"),
    always("repeated-header", "a repeated header", "RC-3 TX-6", '{"headers":{"stream":"1", "Stream":"2"},"body":1}', opened(counts=REPEATED)),
    always("content-text", "a text body", "RC-3 TX-8", '{"body": "x" ,"headers":{"content":"text"}}', opened({"content": "text"}, body="x")),
    always("head-of-16-kib", "a head of 16,384 bytes", "LI-2", concat(FITS, "1}"), {"own": [["x", FITS_VALUE]], "body": {"text": "1"}}),
    always_plain("head-of-16-kib-and-one", "one more", "LI-2 LI-4", concat(OVER, "1}"), "head_too_long"),
    always("body-first-head", "where the body comes first, the head is the headers object", "LI-2",
           concat('{"body":"', repeat("b", 20000), '","headers":{"x":"', repeat("v", 16376), '"}}'),
           {"own": [["x", repeat("v", 16376)]], "body": {"text": concat('"', repeat("b", 20000), '"')}}),
    always_plain("body-first-head-over", "and one byte more is too long", "LI-2 LI-4", concat('{"body":1,"headers":{"x":"', repeat("v", 16377), '"}}'), "head_too_long"),
    always_plain("headers-65", "65 entries", "LI-4", text_envelope([*SIXTY_FOUR, ("h64", "64")], "1"), "head_too_long"),
]  # fmt: skip


def wrap(id_: str, title: str, rules: str, headers: list, body: dict, expect: dict, own: list | None = None) -> dict:
    input_: dict = {"headers": dict(headers), "body": body}
    if own is not None:
        input_["own"] = [list(pair) for pair in own]
    return case(f"text/{id_}", title, rules, "sender", "text", "envelope.wrap", input_, expect)


def written(id_: str, title: str, rules: str, headers: list, body: dict, out: object, own: list | None = None) -> dict:
    return wrap(id_, title, rules, headers, body, {"message": {"text": out}}, own)


def raises(id_: str, title: str, rules: str, own: list, kind: str = "invalid_argument") -> dict:
    return wrap(id_, title, rules, [("stream", "1")], {"text": "1"}, {"raises": kind}, own)


CALL = [("traceparent", PARENT), ("kind", "call"), ("method", "order"), ("stream", "1")]

WRITTEN = [
    written("write-no-headers", "no headers", "TX-1", [], {"text": "1"}, '{"headers":{},"body":1}'),
    written("write-call", "the first message of a call", "TX-2", CALL, {"text": '{"n":1.0}'}, text_envelope(CALL, '{"n":1.0}')),
    written("write-canonical-order", "the canonical order, whatever the order given", "TX-2 TX-12",
            [("sent", "5"), ("error", "E"), ("end", "error"), ("seq", "2"), ("stream", "3"), ("method", "m"), ("kind", "call"), ("session", "s"), ("baggage", "k=v"),
             ("tracestate", "a=1"), ("traceparent", PARENT)], {"text": "1"},
            text_envelope([("traceparent", PARENT), ("tracestate", "a=1"), ("baggage", "k=v"), ("session", "s"), ("kind", "call"), ("method", "m"), ("stream", "3"), ("seq", "2"),
                           ("end", "error"), ("error", "E"), ("sent", "5")], "1")),
    written("write-content-before-sent", "content stands in front of sent, own headers behind", "TX-2", [("sent", "5"), ("stream", "1")], {"text": "hi"},
            text_envelope([("stream", "1"), ("content", "text"), ("sent", "5"), ("b", "2"), ("a", "1")], '"hi"'), [("b", "2"), ("a", "1")]),
    written("write-seq-zero", "seq 0 is not written", "TX-2", [("stream", "1"), ("seq", "0")], {"text": "1"}, text_envelope([("stream", "1")], "1")),
    written("write-flags-masked", "flags are masked", "TC-10", [("traceparent", PARENT[:-2] + "ff")], {"text": "1"}, text_envelope([("traceparent", PARENT[:-2] + "03")], "1")),
    written("write-empty-tracestate", "an empty tracestate is left out", "TX-2", [("traceparent", PARENT), ("tracestate", "")], {"text": "1"}, text_envelope([("traceparent", PARENT)], "1")),
    written("write-own-escapes", "escapes of an own header", "TX-3", [], {"text": "1"}, '{"headers":{"x":"\\"\\\\/\\b\\t\\f\\u0001\u00e9\x7f\U0001f3a4"},"body":1}',
            [("x", '"\\/\b\t\f\x01\u00e9\x7f\U0001f3a4')]),
    written("write-text-escapes", "escapes of a text body", "TX-3", [], {"text": 'a"\\/\b\t\n\f\r\x00\x1f\x7f\u2028\u00e9\U0001f3a4'},
            '{"headers":{"content":"text"},"body":"a\\"\\\\/\\b\\t\\n\\f\\r\\u0000\\u001f\x7f\u2028\u00e9\U0001f3a4"}'),
    *[
        written(f"write-json-{words}", f"{words.replace('-', ' ')}: a text that is JSON goes in raw", "TX-10 TX-11", [], {"text": text}, f'{{"headers":{{}},"body":{text}}}')
        for words, text in [
            ("object", '{"b":1.0,"a":[]}'), ("white-space", ' {"a" : 1}\n'), ("string", '"x"'), ("number", "1e400"), ("minus-zero", "-0"), ("true", "true"), ("null", "null"),
            ("lone-surrogate-escape", '"\\ud83c"'), ("repeated-key", '{"a":1,"a":2}'), ("large-number", "12345678901234567890123"), ("envelope", text_envelope([("stream", "9")], "1")),
        ]
    ],
    *[
        written(f"write-text-{words}", f"{words.replace('-', ' ')}: any other text goes in as content:text", "TX-10", [], {"text": text},
                f'{{"headers":{{"content":"text"}},"body":{json_string(text)}}}')
        for words, text in [
            ("word", "hello"), ("empty", ""), ("white-space", " \n"), ("two-values", "1 2"), ("leading-zero", "01"), ("nan", "NaN"), ("single-quotes", "'a'"), ("comment", "1 // one"),
            ("trailing-comma", "[1,]"), ("upper-case-true", "True"), ("bom", "\ufeff1"), ("nbsp", "\u00a01"), ("unbalanced", '{"a":'), ("plus-sign", "+1"), ("second-head",
            '{"a":1},"headers":{"traceparent":"x"},"body":{'), ("control-in-string", '"\x01"'), ("bad-escape", '"\\x"'), ("form-feed", "\f1"),
        ]
    ],
    written("write-marked-json", "a body marked as JSON is not looked at", "TX-10", [], {"json": ' {"a":1} '}, '{"headers":{},"body": {"a":1} }'),
    written("write-none", "no body", "TX-2", [("stream", "1"), ("seq", "1"), ("end", "1")], {"none": "text"}, text_envelope([("stream", "1"), ("seq", "1"), ("end", "1"), ("content", "none")], "null")),
    written("write-nesting-512", "a text nested 512 deep is JSON", "TX-10 LI-1", [], {"text": concat(repeat("[", 512), repeat("]", 512))},
            concat('{"headers":{},"body":', repeat("[", 512), repeat("]", 512), "}")),
    written("write-nesting-513", "a text nested 513 deep is content:text", "TX-10 LI-1", [], {"text": concat(repeat("[", 513), repeat("]", 513))},
            concat('{"headers":{"content":"text"},"body":"', repeat("[", 513), repeat("]", 513), '"}')),
    written("write-mebibyte", "a text of a mebibyte", "TX-10", [("stream", "1")], {"text": concat('"', repeat("x", 1048576), '"')},
            concat(text_head([("stream", "1")]), '"', repeat("x", 1048576), '"}')),
    raises("write-own-reserved", "an own header with a reserved name", "TX-5", [("stream", "2")]),
    raises("write-own-reserved-case", "a reserved name in another case", "TX-5", [("TraceParent", PARENT)]),
    raises("write-own-twice", "an own header twice", "TX-5", [("x", "1"), ("x", "2")]),
    raises("write-own-twice-case", "an own header twice, in another case", "TX-5", [("x", "1"), ("X", "2")]),
    raises("write-own-empty-name", "an empty name", "TX-5", [("", "1")]),
    raises("write-own-name-of-256", "a name of 256 bytes", "TX-5", [("n" * 256, "1")]),
    raises("write-own-name-space", "a name with a space", "TX-5", [("a b", "1")]),
    raises("write-own-name-non-ascii", "a name outside ASCII", "TX-5", [("\u00e9", "1")]),
    raises("write-own-value-cr", "a value with CR", "TX-5", [("x", "a\rb")]),
    raises("write-own-value-lf", "a value with LF", "TX-5", [("x", "a\nb")]),
    raises("write-own-value-nul", "a value with NUL", "TX-5", [("x", "a\0b")]),
    wrap("write-session-invalid", "a session outside its grammar", "TX-2", [("session", "a b")], {"text": "1"}, {"raises": "invalid_argument"}),
    wrap("write-method-invalid", "a method outside its grammar", "TX-2", [("kind", "call"), ("method", "a b"), ("stream", "1")], {"text": "1"}, {"raises": "invalid_argument"}),
    wrap("write-error-invalid", "an error type outside its grammar", "TX-2", [("stream", "1"), ("end", "error"), ("error", "a b")], {"text": "1"}, {"raises": "invalid_argument"}),
]  # fmt: skip


def fitting(id_: str, title: str, rules: str, headers: list, own: list, kept: object, counts: dict) -> dict:
    expect: dict = {"message": {"text": kept}}
    if counts:
        expect["counts"] = counts
    return wrap(id_, title, rules, headers, {"text": "1"}, expect, own)


LONG = repeat("v", 9000)
# 32 members of 240 to 242 characters: 31 long ones behind a short one, 7,500 characters in all; with an own header of 9000 the head is over.
NAMES_OF_LONG = [f"k{n:02}" for n in range(31)]
LONG_MEMBERS = ",".join(f"{name}={'s' * 236}" for name in NAMES_OF_LONG)
# The head is `{"headers":{"traceparent":"…","tracestate":"…","stream":"1","a":"…"},"body":`: what stands around the tracestate is fixed, and each long member costs 241 characters with its comma.
AROUND = len(text_head([("traceparent", PARENT), ("tracestate", ""), ("stream", "1"), ("a", "v" * 9000)]))
KEPT = next(n for n in range(31, -1, -1) if AROUND + len("a=1") + 241 * n <= 16384)
CUT = concat(text_head([("traceparent", PARENT), ("tracestate", ",".join(["a=1", *[f"{name}={'s' * 236}" for name in NAMES_OF_LONG[:KEPT]]])), ("stream", "1"), ("a", "")])[:-len('"},"body":')], LONG, '"},"body":1}')



def own_value_for(tracestate: str, over: int) -> str:
    """An own header `a` of this value makes the head so many bytes too long."""
    around = len(text_head([("traceparent", PARENT), ("tracestate", tracestate), ("stream", "1"), ("a", "")]))
    return "v" * (16384 + over - around)


# The example of TS-9: 818 characters, of which the long member goes first, though it stands at the left; then the last.
SHORT_MEMBERS = [f"m{n:02}={'s' * 46}" for n in range(12)]
LONG_LEFT = ",".join(["a=1", f"b={'l' * 200}", *SHORT_MEMBERS])
LONG_LEFT_CUT = ",".join(["a=1", *SHORT_MEMBERS[:-1]])
# 15 members of 51 characters, 779 with their commas, 400 too many: the last five go, and of the 519 that stay no more can go.
FIFTEEN = ",".join([f"m{n:02}={'s' * 47}" for n in range(15)])
FIFTEEN_CUT = ",".join([f"m{n:02}={'s' * 47}" for n in range(10)])


def fitted_to_600() -> dict:
    value = own_value_for(LONG_LEFT, 218)
    kept = [("traceparent", PARENT), ("tracestate", LONG_LEFT_CUT), ("stream", "1"), ("a", value)]
    return fitting("fit-tracestate-long-member-at-the-left", "a member over 128 characters goes before shorter ones at its right", "TS-9 LI-3",
                   [("traceparent", PARENT), ("tracestate", LONG_LEFT), ("stream", "1")], [("a", value)], text_envelope(kept, "1"), {"dropped_tracestate": 1})  # fmt: skip


def fitted_to_512() -> dict:
    value = own_value_for(FIFTEEN, 400)
    kept = [("traceparent", PARENT), ("tracestate", FIFTEEN_CUT), ("stream", "1")]
    return fitting("fit-tracestate-keeps-512", "512 characters of a tracestate stay while own headers can go", "TS-9 LI-3",
                   [("traceparent", PARENT), ("tracestate", FIFTEEN), ("stream", "1")], [("a", value)], text_envelope(kept, "1"),
                   {"dropped_header": 1, "dropped_tracestate": 1})  # fmt: skip


FITTED = [
    fitting("fit-own-last-first", "own headers go, the last first", "LI-3", [("stream", "1")], [("a", LONG), ("b", LONG), ("c", "1")],
            concat('{"headers":{"stream":"1","a":"', LONG, '"},"body":1}'), {"dropped_header": 2}),
    fitting("fit-baggage-first", "baggage goes first, whole", "LI-3", [("baggage", concat("k=", repeat("x", 8000))), ("stream", "1")], [("a", LONG)],
            concat('{"headers":{"stream":"1","a":"', LONG, '"},"body":1}'), {"dropped_baggage": 1}),
    fitting("fit-tracestate-long-members-first", "a tracestate loses members over 128 characters first, from the right", "LI-3 TS-9", [("traceparent", PARENT), ("tracestate", concat("a=1,", LONG_MEMBERS)), ("stream", "1")],
            [("a", LONG)], CUT, {"dropped_tracestate": 1}),
    fitted_to_600(),
    fitted_to_512(),
    fitting("fit-64-entries", "own headers over 64 entries go", "LI-3 LI-1", [("stream", "1")], SIXTY_FOUR,
            text_envelope([("stream", "1"), *SIXTY_FOUR[:63]], "1"), {"dropped_header": 1}),
    fitting("fit-exactly", "a head of exactly 16,384 bytes is written", "LI-1", [], [("x", FITS_VALUE)], concat(FITS, "1}"), {}),
    fitting("fit-one-over", "with one byte more the own header goes", "LI-1 LI-3", [], [("x", concat(FITS_VALUE, "v"))], '{"headers":{},"body":1}', {"dropped_header": 1}),
]  # fmt: skip

FILES = {
    "text/headers": HEADERS,
    "text/names": NAMES,
    "text/repeats": REPEATS,
    "text/values": VALUES,
    "text/content": CONTENT,
    "text/canonical": CANONICAL,
    "text/limits": LIMITS,
    "text/always": ALWAYS,
    "text/written": WRITTEN,
    "text/fitted": FITTED,
}
