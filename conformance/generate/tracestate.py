"""Chapter "tracestate" of SPEC.md."""

from build import bytes_value, case, concat, repeat


def parse(id_: str, title: str, rules: str, values: list, expect: dict) -> dict:
    return case(f"tracestate/{id_}", title, rules, "reader", "tracestate", "tracestate.parse", {"values": values}, expect)


def kept(id_: str, title: str, rules: str, value: object, out: object = None) -> dict:
    """The list is accepted; what is sent on is the value itself unless said otherwise."""
    return parse(id_, title, rules, [value], {"tracestate": value if out is None else out})


def refused(id_: str, title: str, rules: str, value: object, reason: str) -> dict:
    return parse(id_, title, rules, [value], {"refused": reason})


def members(count: int, start: int = 0) -> str:
    return ",".join(f"k{start + n}={start + n}" for n in range(count))


KEYS = [
    kept("key-one-letter", "a key of one letter", "TS-1", "a=1"),
    kept("key-digit-first", "level 2: a key that starts with a digit", "TS-1", "1a=1"),
    kept("key-digits-only", "level 2: a key of digits", "TS-1", "0123=1"),
    kept("key-all-characters", "every character that a key can have", "TS-1", "abcdefghijklmnopqrstuvwxyz0123456789_-*/@=1"),
    kept("key-tenant", "tenant and system", "TS-1", "fw529a3039@dt=FfD5"),
    kept("key-at-last", "level 2: a key that ends with @", "TS-1", "foo@=1"),
    kept("key-several-at", "level 2: several @", "TS-1", "a@b@c=1"),
    kept("key-at-chain", "level 2: @ followed by @", "TS-1", "a@@b=1"),
    kept("key-long-system", "level 2: a system of more than 14 characters", "TS-1", "t@abcdefghijklmnopqrs=1"),
    kept("key-of-256", "a key of 256 characters", "TS-1", concat(repeat("z", 256), "=1")),
    kept("key-of-256-with-at", "a key of 256 characters with @ behind 241", "TS-1", concat(repeat("t", 241), "@", repeat("v", 14), "=1")),
    refused("key-of-257", "a key of 257 characters", "TS-1 TS-5", concat(repeat("z", 257), "=1"), "member"),
    refused("key-empty", "no key", "TS-1 TS-5", "=1", "member"),
    refused("key-upper-case", "an upper-case letter in a key", "TS-1 TS-5", "Foo=1", "member"),
    refused("key-upper-case-later", "an upper-case letter behind the first", "TS-1 TS-5", "fOO=1", "member"),
    *[
        refused(f"key-starts-with-{name}", f"a key that starts with {sign}", "TS-1 TS-5", f"{sign}a=1", "member")
        for name, sign in [("underscore", "_"), ("dash", "-"), ("star", "*"), ("slash", "/"), ("at", "@")]
    ],
    *[
        refused(f"key-with-{name}", f"a key with {sign!r}", "TS-1 TS-5", f"a{sign}b=1", "member")
        for name, sign in [("dot", "."), ("plus", "+"), ("space", " "), ("colon", ":"), ("percent", "%"), ("semicolon", ";"), ("umlaut", "\u00e4"), ("nul", "\0")]
    ],
    refused("key-space-before-equals", "a space in front of the equals sign", "TS-1 TS-5", "foo =1", "member"),
    refused("key-tab-before-equals", "a tab in front of the equals sign", "TS-1 TS-5", "foo\t=1", "member"),
]  # fmt: skip

VALUES = [
    kept("value-one-character", "a value of one character", "TS-2", "a=~"),
    kept("value-leading-spaces", "leading spaces belong to the value", "TS-2", "a=  1"),
    kept("value-inner-spaces", "spaces within a value", "TS-2", "a=1  2"),
    kept("value-all-characters", "every character that a value can have", "TS-2",
         "a=" + "".join(chr(c) for c in range(0x20, 0x7F) if chr(c) not in ",=") ),
    kept("value-of-256", "a value of 256 characters", "TS-2", concat("a=", repeat("v", 256))),
    kept("key-and-value-of-256", "both at their length", "TS-1 TS-2", concat(repeat("k", 256), "=", repeat("v", 256))),
    refused("value-of-257", "a value of 257 characters", "TS-2 TS-5", concat("a=", repeat("v", 257)), "member"),
    refused("value-empty", "no value", "TS-2 TS-5", "a=", "member"),
    refused("value-equals-sign", "an equals sign in a value", "TS-2 TS-5", "a=1=2", "member"),
    refused("value-only-equals-sign", "a value that is an equals sign", "TS-2 TS-5", "a==", "member"),
    refused("value-tab-within", "a tab in a value", "TS-2 TS-5", "a=1\t2", "member"),
    refused("value-del", "U+007F in a value", "TS-2 TS-5", "a=1\x7f2", "member"),
    refused("value-control", "a control character in a value", "TS-2 TS-5", "a=1\x012", "member"),
    refused("value-non-ascii", "a letter outside ASCII in a value", "TS-2 TS-5", "a=\u00e9", "member"),
    refused("value-not-utf-8", "a byte that is not UTF-8 in a value", "TS-2 TS-5", bytes_value(b"a=\xff"), "member"),
    refused("value-newline-behind", "a trailing newline", "TS-3 TS-5", "a=1\n", "member"),
    refused("value-crlf-behind", "a trailing CR LF", "TS-3 TS-5", "a=1\r\n", "member"),
    refused("value-nbsp-behind", "a trailing no-break space", "TS-3 TS-5", "a=1\u00a0", "member"),
    refused("no-equals-sign", "a member without an equals sign", "TS-5", "foo", "member"),
    refused("no-equals-sign-beside-valid", "one bad member discards the list", "TS-5", "a=1,foo,b=2", "member"),
    refused("bad-member-last", "the last member is bad", "TS-5", "a=1,b=2,=3", "member"),
    refused("bad-member-first", "the first member is bad", "TS-5", "A=1,b=2", "member"),
    refused("semicolons-for-commas", "semicolons do not separate", "TS-5 TS-2", "a=1;b=2", "member"),
]  # fmt: skip

LISTS = [
    kept("two-members", "two members", "TS-3", "a=1,b=2"),
    kept("order-kept", "the order is kept", "TS-3", "z=1,a=2,m=3"),
    kept("white-space-around-members", "spaces and tabs around members are trimmed", "TS-3", "a=1 \t, \tb=2", "a=1,b=2"),
    kept("white-space-around-list", "spaces and tabs around the list are trimmed", "TS-3", " \ta=1,b=2\t ", "a=1,b=2"),
    kept("trailing-space-is-not-of-the-value", "a space behind a value is trimmed", "TS-2 TS-3", "a=1 ", "a=1"),
    kept("empty-member-between", "an empty member is dropped", "TS-3", "a=1,,b=2", "a=1,b=2"),
    kept("empty-members-around", "empty members at both ends are dropped", "TS-3", ",,a=1,b=2,,", "a=1,b=2"),
    kept("blank-member-between", "a member of white space is empty", "TS-3", "a=1, \t ,b=2", "a=1,b=2"),
    parse("empty-value", "an empty value is accepted and not sent on", "TS-3", [""], {}),
    parse("blank-value", "white space alone is an empty list", "TS-3", [" \t "], {}),
    parse("commas-only", "commas alone are an empty list", "TS-3", [",,,"], {}),
    parse("no-value", "no header field at all", "TS-3", [], {}),
    parse("two-fields", "two fields are joined in order", "TS-4", ["a=1", "b=2"], {"tracestate": "a=1,b=2"}),
    parse("three-fields", "fields with several members are joined in order", "TS-4", ["a=1,b=2", "c=3", "d=4,e=5"], {"tracestate": "a=1,b=2,c=3,d=4,e=5"}),
    parse("empty-field-between", "an empty field among others", "TS-4 TS-3", ["a=1", "", "b=2"], {"tracestate": "a=1,b=2"}),
    parse("two-empty-fields", "only empty fields", "TS-4 TS-3", ["", ""], {}),
    parse("bad-second-field", "a bad member in the second field discards all", "TS-4 TS-5", ["a=1", "B=2"], {"refused": "member"}),
    parse("repeat-across-fields", "the left-most of two fields wins", "TS-4 TS-7", ["a=1", "a=2,b=3"], {"tracestate": "a=1,b=3"}),
    kept("repeated-key", "the left-most member of a repeated key is kept, and the others", "TS-7", "a=1,b=2,a=3", "a=1,b=2"),
    kept("repeated-key-same-value", "an exact repeat", "TS-7", "a=1,a=1", "a=1"),
    kept("repeated-key-thrice", "three of a key, apart", "TS-7", "a=1,b=2,a=3,c=4,a=5", "a=1,b=2,c=4"),
    refused("repeated-key-bad-value", "a repeat that is malformed is malformed", "TS-7 TS-5", "a=1,a=", "member"),
    kept("prefix-is-no-repeat", "a key that another one begins with", "TS-7", "a=1,a1=2,a@=3"),
]  # fmt: skip

LIMITS = [
    kept("members-32", "32 members are kept", "TS-6", members(32)),
    refused("members-33", "a 33rd member discards the list", "TS-6", members(33), "too_many"),
    parse("members-33-in-two-fields", "members of all fields count together", "TS-6 TS-4", [members(32), "x=1"], {"refused": "too_many"}),
    parse("members-32-in-two-fields", "32 members in two fields", "TS-6 TS-4", [members(16), members(16, 16)], {"tracestate": members(32)}),
    refused("members-33-with-repeat", "a repeat counts as a member", "TS-6", members(32) + ",k0=9", "too_many"),
    kept("members-32-and-empty", "empty members do not count", "TS-6 TS-3", ",".join(f"k{n}=1," for n in range(32)), ",".join(f"k{n}=1" for n in range(32))),
    kept("bytes-8192", "8192 bytes are read", "TS-6",
         concat(*[part for n in range(16) for part in (("," if n else "") + f"{chr(97 + n)}", repeat("k", 254 if n else 255), "=", repeat("v", 255))])),
    refused("bytes-8193", "8193 bytes are too long", "TS-6", concat("a=1", repeat(",", 8190)), "too_long"),
    kept("bytes-8192-of-commas", "8192 bytes of which most are commas", "TS-6 TS-3", concat("a=1", repeat(",", 8189)), "a=1"),
    parse("bytes-8193-in-two-fields", "the joined length counts", "TS-6 TS-4", [concat("a=1", repeat(",", 4093)), repeat(",", 4096)], {"refused": "too_long"}),
    parse("bytes-8192-in-two-fields", "a joined length of 8192, comma between included", "TS-6 TS-4", [concat("a=1", repeat(",", 4092)), repeat(",", 4096)], {"tracestate": "a=1"}),
    refused("mebibyte-of-commas", "a mebibyte of commas is refused by its length", "TS-6", repeat(",", 1048576), "too_long"),
    refused("mebibyte-of-white-space", "a mebibyte of white space is refused by its length", "TS-6", concat("a=1", repeat(" ", 1048573)), "too_long"),
    refused("too-long-before-member", "the length counts before what is wrong within", "TS-6 TS-5", concat("A=1", repeat(",", 8190)), "too_long"),
]  # fmt: skip

FILES = {
    "tracestate/keys": KEYS,
    "tracestate/values": VALUES,
    "tracestate/lists": LISTS,
    "tracestate/limits": LIMITS,
}
