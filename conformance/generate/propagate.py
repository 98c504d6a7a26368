"""What a propagator makes of headers: extracted into a context, and injected again. The file "w3c" follows the requests of W3C's own test suite."""

from build import OTHER, PARENT, SPAN, TRACE, bytes_value, case, concat, repeat


def propagate(id_: str, title: str, rules: str, headers: list, expect: dict, local: object = None, chapter: str = "propagate") -> dict:
    input_: dict = {"headers": [list(pair) for pair in headers]}
    if local is not None:
        input_["local"] = local
    return case(f"{chapter}/{id_}", title, rules, "reader", "propagate", "propagate", input_, expect)


TP = ("traceparent", PARENT)

CONTEXTS = [
    propagate("traceparent-alone", "a traceparent alone", "TC-1", [TP], {"traceparent": PARENT}),
    propagate("all-three", "traceparent, tracestate and baggage", "TC-1 TS-3 BG-1 PR-2", [TP, ("tracestate", "a=1,b=2"), ("baggage", "k=v")],
              {"traceparent": PARENT, "tracestate": "a=1,b=2", "baggage": "k=v"}),
    propagate("any-order", "headers in any order", "TC-1", [("baggage", "k=v"), ("tracestate", "a=1"), ("x-other", "1"), TP],
              {"traceparent": PARENT, "tracestate": "a=1", "baggage": "k=v"}),
    propagate("any-case", "names in any case", "TX-4", [("TraceParent", PARENT), ("TRACESTATE", "a=1"), ("Baggage", "k=v")],
              {"traceparent": PARENT, "tracestate": "a=1", "baggage": "k=v"}),
    propagate("two-cases-are-two-values", "two fields whose names differ by case are two values", "TC-8", [TP, ("TRACEPARENT", OTHER)], {}),
    propagate("nothing", "no headers", "TC-6", [], {}),
    propagate("tracestate-alone", "a tracestate without traceparent is dropped", "TC-6", [("tracestate", "a=1")], {}),
    propagate("tracestate-beside-invalid", "a tracestate beside an invalid traceparent is dropped", "TC-6", [("traceparent", PARENT + "-"), ("tracestate", "a=1")], {}),
    propagate("tracestate-beside-duplicate", "a tracestate beside two traceparents is dropped", "TC-6 TC-8", [TP, TP, ("tracestate", "a=1")], {}),
    propagate("tracestate-malformed", "a malformed tracestate is dropped, the traceparent kept", "TS-5", [TP, ("tracestate", "a=1,B=2")], {"traceparent": PARENT}),
    propagate("tracestate-33-members", "33 members are dropped, the traceparent kept", "TS-6",
              [TP, ("tracestate", ",".join(f"k{n}={n}" for n in range(33)))], {"traceparent": PARENT}),
    propagate("tracestate-over-8-kib", "a tracestate over 8 KiB is dropped, the traceparent kept", "TS-6",
              [TP, ("tracestate", concat("a=1", repeat(",", 8190)))], {"traceparent": PARENT}),
    propagate("tracestate-empty", "an empty tracestate is not sent on", "TS-3", [TP, ("tracestate", "")], {"traceparent": PARENT}),
    propagate("tracestate-normalised", "white space and empty members go, the order stays", "TS-3", [TP, ("tracestate", " b=2 ,, a=1")],
              {"traceparent": PARENT, "tracestate": "b=2,a=1"}),
    propagate("baggage-alone", "baggage does not need a traceparent", "BG-1", [("baggage", "k=v")], {"baggage": "k=v"}),
    propagate("baggage-beside-invalid", "baggage beside an invalid traceparent", "BG-1 TC-6", [("traceparent", "x"), ("baggage", "k=v")], {"baggage": "k=v"}),
    propagate("baggage-two-fields", "two baggage fields become one", "BG-1", [("baggage", "a=1"), ("baggage", "b=2;p")], {"baggage": "a=1,b=2;p"}),
    propagate("baggage-re-encoded", "digits become upper case, what need not be encoded is decoded", "BG-2 BG-3", [("baggage", "a=%c3%bc%41%2B")],
              {"baggage": "a=%C3%BCA+"}),
    propagate("baggage-malformed-member", "a malformed member goes, the others stay", "BG-1", [("baggage", "a=1,b c=2,d=3")], {"baggage": "a=1,d=3"}),
    propagate("baggage-65-members", "members over 64 go", "BG-6", [("baggage", ",".join(f"k{n}={n}" for n in range(65)))],
              {"baggage": ",".join(f"k{n}={n}" for n in range(64))}),
    propagate("unsampled", "an unsampled context travels on", "TC-10", [("traceparent", PARENT[:-1] + "0"), ("tracestate", "a=1")],
              {"traceparent": PARENT[:-1] + "0", "tracestate": "a=1"}),
    propagate("flags-masked", "unknown flags are cleared", "TC-10", [("traceparent", PARENT[:-2] + "ff")], {"traceparent": PARENT[:-2] + "03"}),
    propagate("higher-version-sent-on-as-00", "a higher version is sent on as 00, with its tracestate", "TC-4", [("traceparent", f"42-{TRACE}-{SPAN}-01-x"), ("tracestate", "a=1")],
              {"traceparent": PARENT, "tracestate": "a=1"}),
    propagate("traceparent-not-utf-8", "bytes that are no text", "TC-1 PR-1", [("traceparent", bytes_value(b"\xff\xfe"))], {}),
    propagate("mebibyte-of-headers", "header values of a mebibyte", "TC-14 TS-6 BG-7",
              [("traceparent", repeat("0", 1048576)), ("tracestate", repeat(",", 1048576)), ("baggage", repeat(" ", 1048576))], {}),
]  # fmt: skip

LOCAL = [
    propagate("local-kept-when-absent", "nothing extracted: the local context stays", "TC-6", [], {"traceparent": OTHER}, OTHER),
    propagate("local-kept-when-invalid", "an invalid traceparent never overwrites a valid context", "TC-6", [("traceparent", "00-x")], {"traceparent": OTHER}, OTHER),
    propagate("local-kept-when-duplicate", "two traceparents leave the local context", "TC-8", [TP, TP], {"traceparent": OTHER}, OTHER),
    propagate("local-tracestate-kept", "and its tracestate is not mixed with what came", "TC-6", [("traceparent", "x"), ("tracestate", "a=1")],
              {"traceparent": OTHER, "tracestate": "local=1"}, {"traceparent": OTHER, "tracestate": "local=1"}),
    propagate("local-replaced-by-remote", "a valid remote context replaces the local one", "TC-1", [TP], {"traceparent": PARENT}, OTHER),
    propagate("local-replaced-whole", "with its tracestate, also when it has none", "TC-1", [TP], {"traceparent": PARENT}, {"traceparent": OTHER, "tracestate": "local=1"}),
    propagate("local-tracestate-malformed-remote", "a malformed remote tracestate does not bring the local one back", "TS-5", [TP, ("tracestate", "A=1")],
              {"traceparent": PARENT}, {"traceparent": OTHER, "tracestate": "local=1"}),
]  # fmt: skip

# Requests of the suite at https://github.com/w3c/trace-context, named by its tests. It looks at what a service sends on; here that is said exactly.
W_TRACE, W_SPAN = "12345678901234567890123456789012", "1234567890123456"
W_SAMPLED, W_NOT = f"00-{W_TRACE}-{W_SPAN}-01", f"00-{W_TRACE}-{W_SPAN}-00"


def w3c(id_: str, title: str, rules: str, headers: list, expect: dict) -> dict:
    return propagate(id_, title, rules, headers, expect, chapter="w3c")


def parent(id_: str, title: str, rules: str, value: str, sent_on: str | None = None) -> dict:
    return w3c(id_, title, rules, [("traceparent", value)], {} if sent_on is None else {"traceparent": sent_on})


def state(id_: str, title: str, rules: str, values: list, sent_on: object = None, name: str = "tracestate") -> dict:
    expect = {"traceparent": W_NOT}
    if sent_on is not None:
        expect["tracestate"] = sent_on
    return w3c(id_, title, rules, [("traceparent", W_NOT), *[(name, value) for value in values]], expect)


ALL_KEY = "abcdefghijklmnopqrstuvwxyz0123456789_-*/"
ALL_VALUE = "".join(map(chr, [*range(0x20, 0x2C), *range(0x2D, 0x3D), *range(0x3E, 0x7F)]))
BARS = [",".join(f"bar{n:02}={n:02}" for n in span) for span in (range(1, 11), range(11, 21), range(21, 31), range(31, 33))]

W3C = [
    w3c("both-traceparent-and-tracestate-missing", "neither header", "TC-6", [], {}),
    parent("traceparent-included-tracestate-missing", "a traceparent alone", "TC-1", W_SAMPLED, W_SAMPLED),
    w3c("traceparent-duplicated", "two traceparents", "TC-8",
        [("traceparent", f"00-12345678901234567890123456789011-{W_SPAN}-01"), ("traceparent", W_SAMPLED)], {}),
    w3c("traceparent-header-name-dash", "trace-parent is another header", "TC-1", [("trace-parent", W_SAMPLED)], {}),
    w3c("traceparent-header-name-dot", "trace.parent is another header", "TC-1", [("trace.parent", W_SAMPLED)], {}),
    *[
        w3c(f"traceparent-header-name-valid-casing-{words}", f"the name {name}", "TX-4", [(name, W_SAMPLED)], {"traceparent": W_SAMPLED})
        for words, name in [("camel", "TraceParent"), ("mixed", "TrAcEpArEnT"), ("upper", "TRACEPARENT")]
    ],
    parent("traceparent-version-0x00-dot", "version 00 with a dot behind", "TC-3", f"{W_SAMPLED}."),
    parent("traceparent-version-0x00-tail", "version 00 with a tail", "TC-3", f"{W_SAMPLED}-what-the-future-will-be-like"),
    parent("traceparent-version-0xcc-short", "version cc", "TC-4", f"cc-{W_TRACE}-{W_SPAN}-01", W_SAMPLED),
    parent("traceparent-version-0xcc-tail", "version cc with a tail", "TC-4", f"cc-{W_TRACE}-{W_SPAN}-01-what-the-future-will-be-like", W_SAMPLED),
    parent("traceparent-version-0xcc-dot", "version cc with a tail behind a dot", "TC-4", f"cc-{W_TRACE}-{W_SPAN}-01.what-the-future-will-be-like"),
    parent("traceparent-version-0xff", "version ff", "TC-2", f"ff-{W_TRACE}-{W_SPAN}-01"),
    parent("traceparent-version-illegal-characters-first", "a dot in the version", "TC-1", f".0-{W_TRACE}-{W_SPAN}-01"),
    parent("traceparent-version-illegal-characters-second", "a dot in the version", "TC-1", f"0.-{W_TRACE}-{W_SPAN}-01"),
    parent("traceparent-version-too-long-three", "a version of three digits", "TC-1", f"000-{W_TRACE}-{W_SPAN}-01"),
    parent("traceparent-version-too-long-four", "a version of four digits", "TC-1", f"0000-{W_TRACE}-{W_SPAN}-01"),
    parent("traceparent-version-too-short", "a version of one digit", "TC-1", f"0-{W_TRACE}-{W_SPAN}-01"),
    parent("traceparent-trace-id-all-zero", "a trace-id of zeros", "TC-5", f"00-{'0' * 32}-{W_SPAN}-01"),
    parent("traceparent-trace-id-illegal-characters-first", "a dot in the trace-id", "TC-1", f"00-.{W_TRACE[1:]}-{W_SPAN}-01"),
    parent("traceparent-trace-id-illegal-characters-last", "a dot in the trace-id", "TC-1", f"00-{W_TRACE[:-1]}.-{W_SPAN}-01"),
    parent("traceparent-trace-id-too-long", "a trace-id of 33 digits", "TC-1", f"00-{W_TRACE}3-{W_SPAN}-01"),
    parent("traceparent-trace-id-too-short", "a trace-id of 31 digits", "TC-1", f"00-{W_TRACE[:-1]}-{W_SPAN}-01"),
    parent("traceparent-parent-id-all-zero", "a parent-id of zeros", "TC-5", f"00-{W_TRACE}-{'0' * 16}-01"),
    parent("traceparent-parent-id-illegal-characters-first", "a dot in the parent-id", "TC-1", f"00-{W_TRACE}-.{W_SPAN[1:]}-01"),
    parent("traceparent-parent-id-illegal-characters-last", "a dot in the parent-id", "TC-1", f"00-{W_TRACE}-{W_SPAN[:-1]}.-01"),
    parent("traceparent-parent-id-too-long", "a parent-id of 17 digits", "TC-1", f"00-{W_TRACE}-{W_SPAN}7-01"),
    parent("traceparent-parent-id-too-short", "a parent-id of 15 digits", "TC-1", f"00-{W_TRACE}-{W_SPAN[:-1]}-01"),
    parent("traceparent-trace-flags-illegal-characters-first", "a dot in the flags", "TC-1", f"00-{W_TRACE}-{W_SPAN}-.0"),
    parent("traceparent-trace-flags-illegal-characters-second", "a dot in the flags", "TC-1", f"00-{W_TRACE}-{W_SPAN}-0."),
    parent("traceparent-trace-flags-too-long", "flags of three digits", "TC-3", f"00-{W_TRACE}-{W_SPAN}-001"),
    parent("traceparent-trace-flags-too-short", "flags of one digit", "TC-1", f"00-{W_TRACE}-{W_SPAN}-1"),
    *[
        parent(f"traceparent-ows-handling-{words}", "white space around the value", "TC-9", value, W_SAMPLED)
        for words, value in [
            ("space-before", f" {W_SAMPLED}"), ("tab-before", f"\t{W_SAMPLED}"), ("space-behind", f"{W_SAMPLED} "),
            ("tab-behind", f"{W_SAMPLED}\t"), ("around", f"\t {W_SAMPLED} \t"),
        ]
    ],
    w3c("tracestate-included-traceparent-missing-one", "a tracestate alone", "TC-6", [("tracestate", "foo=1")], {}),
    w3c("tracestate-included-traceparent-missing-two", "a tracestate of two alone", "TC-6", [("tracestate", "foo=1,bar=2")], {}),
    state("tracestate-included-traceparent-included", "both headers", "TS-3", ["foo=1,bar=2"], "foo=1,bar=2"),
    state("tracestate-header-name-dash", "trace-state is another header", "TS-3", ["foo=1"], None, "trace-state"),
    state("tracestate-header-name-dot", "trace.state is another header", "TS-3", ["foo=1"], None, "trace.state"),
    *[
        state(f"tracestate-header-name-valid-casing-{words}", f"the name {name}", "TX-4", ["foo=1"], "foo=1", name)
        for words, name in [("camel", "TraceState"), ("mixed", "TrAcEsTaTe"), ("upper", "TRACESTATE")]
    ],
    state("tracestate-empty-header-alone", "an empty tracestate", "TS-3", [""]),
    state("tracestate-empty-header-behind", "an empty field behind another", "TS-3 TS-4", ["foo=1", ""], "foo=1"),
    state("tracestate-empty-header-before", "an empty field before another", "TS-3 TS-4", ["", "foo=1"], "foo=1"),
    state("tracestate-multiple-headers-different-keys", "three fields", "TS-4", ["foo=1,bar=2", "rojo=1,congo=2", "baz=3"], "foo=1,bar=2,rojo=1,congo=2,baz=3"),
    state("tracestate-duplicated-keys-same", "a member twice", "TS-7", ["foo=1,foo=1"], "foo=1"),
    state("tracestate-duplicated-keys-other-value", "a key twice", "TS-7", ["foo=1,foo=2"], "foo=1"),
    state("tracestate-duplicated-keys-same-in-two-fields", "a member twice, in two fields", "TS-7 TS-4", ["foo=1", "foo=1"], "foo=1"),
    state("tracestate-duplicated-keys-other-value-in-two-fields", "a key twice, in two fields", "TS-7 TS-4", ["foo=1", "foo=2"], "foo=1"),
    state("tracestate-all-allowed-characters-key", "all characters", "TS-1 TS-2", [f"{ALL_KEY}={ALL_VALUE}"], f"{ALL_KEY}={ALL_VALUE}"),
    state("tracestate-all-allowed-characters-vendor", "all characters and a vendor", "TS-1 TS-2", [f"{ALL_KEY}@a-z0-9_-*/={ALL_VALUE}"], f"{ALL_KEY}@a-z0-9_-*/={ALL_VALUE}"),
    state("tracestate-ows-handling-spaces", "white space around members", "TS-3", ["foo=1 \t , \t bar=2, \t baz=3"], "foo=1,bar=2,baz=3"),
    state("tracestate-ows-handling-tabs", "white space around members", "TS-3", ["foo=1\t \t,\t \tbar=2,\t \tbaz=3"], "foo=1,bar=2,baz=3"),
    *[
        state(f"tracestate-ows-handling-{words}", "white space around the list", "TS-3", [value], "foo=1")
        for words, value in [
            ("space-before", " foo=1"), ("tab-before", "\tfoo=1"), ("space-behind", "foo=1 "), ("tab-behind", "foo=1\t"), ("around", "\t foo=1 \t"),
        ]
    ],
    state("tracestate-key-illegal-characters-space", "a space in a key", "TS-1 TS-5", ["foo =1"]),
    state("tracestate-key-illegal-characters-upper-case", "upper case in a key", "TS-1 TS-5", ["FOO=1"]),
    state("tracestate-key-illegal-characters-dot", "a dot in a key", "TS-1 TS-5", ["foo.bar=1"]),
    state("tracestate-key-illegal-vendor-format-at-last", "@ at the end is legal in level 2", "TS-1", ["foo@=1,bar=2"], "foo@=1,bar=2"),
    state("tracestate-key-illegal-vendor-format-at-first", "@ in front is not", "TS-1 TS-5", ["@foo=1,bar=2"]),
    state("tracestate-key-illegal-vendor-format-two-at", "two @ are legal in level 2", "TS-1", ["foo@@bar=1,bar=2"], "foo@@bar=1,bar=2"),
    state("tracestate-key-illegal-vendor-format-at-apart", "two @ apart are legal in level 2", "TS-1", ["foo@bar@baz=1,bar=2"], "foo@bar@baz=1,bar=2"),
    state("tracestate-member-count-limit-32", "32 members in four fields", "TS-6 TS-4", BARS, ",".join(BARS)),
    state("tracestate-member-count-limit-33", "33 members in four fields", "TS-6 TS-4", [*BARS[:3], BARS[3] + ",bar33=33"]),
    state("tracestate-key-length-limit-256", "a key of 256", "TS-1", ["foo=1", "z" * 256 + "=1"], "foo=1," + "z" * 256 + "=1"),
    state("tracestate-key-length-limit-257", "a key of 257", "TS-1 TS-5", ["foo=1", "z" * 257 + "=1"]),
    state("tracestate-key-length-limit-tenant-241", "a tenant of 241", "TS-1", ["foo=1", "t" * 241 + "@" + "v" * 14 + "=1"], "foo=1," + "t" * 241 + "@" + "v" * 14 + "=1"),
    state("tracestate-key-length-limit-tenant-242", "a tenant of 242", "TS-1", ["foo=1", "t" * 242 + "@v=1"], "foo=1," + "t" * 242 + "@v=1"),
    state("tracestate-key-length-limit-system-15", "a system of 15", "TS-1", ["foo=1", "t@" + "v" * 15 + "=1"], "foo=1,t@" + "v" * 15 + "=1"),
    state("tracestate-value-illegal-characters-equals", "an equals sign in a value", "TS-2 TS-5", ["foo=bar=baz"]),
    state("tracestate-value-illegal-characters-empty", "an empty value", "TS-2 TS-5", ["foo=,bar=3"]),
    parent("multiple-requests-with-illegal-traceparent", "a trace-id of zeros", "TC-5", f"00-{'0' * 32}-{W_SPAN}-01"),
    parent("propagates-random-flag", "the random flag", "TC-10", f"00-{W_TRACE}-{W_SPAN}-02", f"00-{W_TRACE}-{W_SPAN}-02"),
]  # fmt: skip

FILES = {"propagate/contexts": CONTEXTS, "propagate/local": LOCAL, "w3c/propagate": W3C}
