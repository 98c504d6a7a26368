"""Chapter "baggage" of SPEC.md."""

from build import bytes_value, case, concat, repeat


def parse(id_: str, title: str, rules: str, values: list, members: list, dropped: int = 0) -> dict:
    expect: dict = {}
    if members:
        expect["members"] = members
    if dropped:
        expect["dropped"] = dropped
    return case(f"baggage/{id_}", title, rules, "reader", "baggage", "baggage.parse", {"values": values}, expect)


def one(id_: str, title: str, rules: str, value: object, *members: tuple, dropped: int = 0) -> dict:
    return parse(id_, title, rules, [value], [list(member) if len(member) == 3 else [*member, ""] for member in members], dropped)


def write(id_: str, title: str, rules: str, members: list, baggage: object, dropped: int = 0) -> dict:
    expect: dict = {"baggage": baggage} if baggage else {}
    if dropped:
        expect["dropped"] = dropped
    full = [list(member) if isinstance(member, dict) or len(member) == 3 else [*member, ""] for member in members]
    return case(f"baggage/{id_}", title, rules, "sender", "baggage", "baggage.write", {"members": full}, expect)


TCHAR = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
# baggage-octet: visible ASCII without the quotation mark, the comma, the semicolon and the backslash.
OCTETS = "".join(chr(c) for c in range(0x21, 0x7F) if chr(c) not in '",;\\')

MEMBERS = [
    one("one-member", "one member", "BG-1", "a=1", ("a", "1")),
    one("two-members", "two members", "BG-1", "a=1,b=2", ("a", "1"), ("b", "2")),
    one("white-space-trimmed", "white space around key, value and member", "BG-1", " a\t=  1 \t, b = 2 ", ("a", "1"), ("b", "2")),
    one("value-empty", "an empty value", "BG-1", "a=", ("a", "")),
    one("value-empty-between", "an empty value among others", "BG-1", "a=1,b=,c=3", ("a", "1"), ("b", ""), ("c", "3")),
    one("value-with-equals", "a value may hold equals signs", "BG-1", "k=a=b", ("k", "a=b")),
    one("value-only-equals", "a value of an equals sign", "BG-1", "k==", ("k", "=")),
    one("value-base64", "base64 with padding", "BG-1", "k=QUJD+/==", ("k", "QUJD+/==")),
    one("key-all-token-characters", "every character of a token", "BG-1", f"{TCHAR}=1", (TCHAR, "1")),
    one("key-not-decoded", "a key is not percent-decoded", "BG-1", "a%20b=1", ("a%20b", "1")),
    one("keys-differ-by-case", "keys compare with case", "BG-1 BG-5", "a=1,A=2", ("a", "1"), ("A", "2")),
    one("value-all-octets", "every baggage-octet, the percent sign encoded", "BG-1 BG-2", "k=" + OCTETS.replace("%", "%25"), ("k", OCTETS)),
    one("key-proto", "__proto__ and constructor are data", "BG-1", "__proto__=1,constructor=2,toString=3", ("__proto__", "1"), ("constructor", "2"), ("toString", "3")),
    one("empty-members-between", "empty members are not members", "BG-1", ",a=1,,b=2,", ("a", "1"), ("b", "2")),
    parse("empty", "an empty value", "BG-1", [""], []),
    parse("blank", "white space alone", "BG-1", [" \t "], []),
    parse("no-value", "no header field at all", "BG-1", [], []),
    parse("two-fields", "fields are read in order", "BG-1", ["a=1", "b=2,c=3"], [["a", "1", ""], ["b", "2", ""], ["c", "3", ""]]),
    *[
        one(f"dropped-{name}", f"{title}: dropped whole, the others kept", "BG-1", f"x=1,{text},y=2", ("x", "1"), ("y", "2"), dropped=1)
        for name, title, text in [
            ("no-equals", "a member without an equals sign", "a"),
            ("no-key", "a member without a key", "=1"),
            ("key-with-space", "a key with a space", "a b=1"),
            ("key-with-slash", "a key with a slash", "a/b=1"),
            ("key-with-colon", "a key with a colon", "a:b=1"),
            ("key-with-at", "a key with @", "a@b=1"),
            ("key-with-parenthesis", "a key with a parenthesis", "(=1"),
            ("key-with-quotes", "a key in quotes", '"a"=1'),
            ("key-non-ascii", "a key outside ASCII", "\u00e9=1"),
            ("value-with-space", "a space within a value", "a=1 2"),
            ("value-with-tab", "a tab within a value", "a=1\t2"),
            ("value-quoted", "a value in quotes", 'a="1"'),
            ("value-backslash", "a backslash in a value", "a=\\"),
            ("value-non-ascii", "a letter outside ASCII in a value", "a=\u00e9"),
            ("value-del", "U+007F in a value", "a=\x7f"),
            ("value-newline", "a newline in a value", "a=1\n"),
            ("value-crlf", "CR LF in a value", "a=1\r\nb: 2"),
            ("value-nul", "a NUL in a value", "a=\x00"),
            ("property-empty", "a semicolon and no property", "a=1;"),
            ("property-empty-between", "two semicolons", "a=1;;p"),
            ("property-no-key", "a property without a key", "a=1;=2"),
            ("property-key-with-space", "a property key with a space", "a=1;p q"),
            ("property-value-quoted", "a property value in quotes", 'a=1;p="x"'),
            ("equals-behind-semicolon", "the only equals sign is of the property", "a;p=1"),
        ]
    ],
    one("dropped-bytes", "a value that is not UTF-8 on the wire", "BG-1", bytes_value(b"x=1,a=\xff,y=2"), ("x", "1"), ("y", "2"), dropped=1),
    one("dropped-two", "two bad members", "BG-1", "a,b=2,c d=3", ("b", "2"), dropped=2),
]  # fmt: skip

DECODING = [
    one("plus-is-plus", "+ is a plus", "BG-2", "a=1+1,b=+", ("a", "1+1"), ("b", "+")),
    one("percent-20", "%20 is a space", "BG-2", "a=x%20y", ("a", "x y")),
    one("percent-2b", "%2B is a plus too", "BG-2", "a=1%2B1", ("a", "1+1")),
    one("percent-25", "%25 is a percent sign", "BG-2", "a=100%25", ("a", "100%")),
    one("percent-decoded-once", "decoding happens once", "BG-2", "a=%2525", ("a", "%25")),
    one("percent-lower-case", "lower-case digits decode", "BG-2", "a=%c3%bc", ("a", "\u00fc")),
    one("percent-mixed-case", "digits of both cases decode", "BG-2", "a=%C3%bC", ("a", "\u00fc")),
    one("percent-comma", "an encoded comma does not separate", "BG-2", "a=1%2C2,b=3", ("a", "1,2"), ("b", "3")),
    one("percent-semicolon", "an encoded semicolon begins no property", "BG-2", "a=1%3B2", ("a", "1;2")),
    one("percent-backslash-quote", "encoded backslash and quotation mark", "BG-2", "a=%5C%22", ("a", '\\"')),
    one("percent-newline", "an encoded newline is data", "BG-2", "a=1%0D%0A2", ("a", "1\r\n2")),
    one("percent-nul", "an encoded NUL is data", "BG-2", "a=%00", ("a", "\0")),
    one("percent-space-at-ends", "encoded spaces are not trimmed", "BG-2", "a=%20x%20", ("a", " x ")),
    one("percent-emoji", "a character outside the basic plane", "BG-2", "a=%F0%9F%8E%A4", ("a", "\U0001f3a4")),
    one("percent-alone", "a percent sign without digits stands for itself", "BG-2", "a=%,b=%4,c=%zz,d=%%41", ("a", "%"), ("b", "%4"), ("c", "%zz"), ("d", "%A")),
    one("bad-utf-8", "bytes that are not UTF-8 become U+FFFD", "BG-2", "a=x%FFy", ("a", "x\ufffdy")),
    one("bad-utf-8-truncated", "a truncated sequence becomes one U+FFFD", "BG-2", "a=%C3", ("a", "\ufffd")),
    one("bad-utf-8-two", "two stray bytes become two", "BG-2", "a=%FF%FE", ("a", "\ufffd\ufffd")),
    one("bad-utf-8-surrogate", "an encoded surrogate is three bad bytes", "BG-2", "a=%ED%A0%80", ("a", "\ufffd\ufffd\ufffd")),
    one("bad-utf-8-overlong", "an overlong form is two bad bytes", "BG-2", "a=%C0%AF", ("a", "\ufffd\ufffd")),
]  # fmt: skip

PROPERTIES = [
    one("property-flag", "a property without a value", "BG-4", "a=1;p", ("a", "1", "p")),
    one("property-value", "a property with a value", "BG-4", "a=1;p=2", ("a", "1", "p=2")),
    one("property-several", "several, in order", "BG-4", "a=1;p;q=2;r", ("a", "1", "p;q=2;r")),
    one("property-repeated", "a repeated property stays", "BG-4", "a=1;p=1;p=2", ("a", "1", "p=1;p=2")),
    one("property-white-space", "white space around the properties is trimmed, white space within is kept", "BG-4 BG-1", "a=1 ;  p = 1 ;q\t, b=2",
        ("a", "1", "p = 1 ;q"), ("b", "2")),
    one("property-not-decoded", "properties are not decoded", "BG-4", "a=1;p=%20", ("a", "1", "p=%20")),
    one("property-value-empty", "a property with an empty value", "BG-4", "a=1;p=", ("a", "1", "p=")),
    one("property-value-equals", "a property value with an equals sign", "BG-4", "a=1;p=x=y", ("a", "1", "p=x=y")),
]  # fmt: skip

REPEATS = [
    one("repeat-last-wins", "the last value of a name wins", "BG-5", "a=1,a=2", ("a", "2")),
    one("repeat-in-place-of-first", "in the place of the first", "BG-5", "a=1,b=2,a=3", ("a", "3"), ("b", "2")),
    one("repeat-takes-properties", "with its own properties", "BG-5 BG-4", "a=1;p,b=2,a=3;q", ("a", "3", "q"), ("b", "2")),
    one("repeat-malformed-loses", "a malformed repeat does not win", "BG-5 BG-1", "a=1,a=x y", ("a", "1"), dropped=1),
    parse("repeat-across-fields", "also over several fields", "BG-5", ["a=1,b=2", "a=3"], [["a", "3", ""], ["b", "2", ""]]),
]  # fmt: skip


def numbered(count: int) -> str:
    return ",".join(f"k{n}={n}" for n in range(count))


LIMITS = [
    parse("members-64", "64 members are kept", "BG-6", [numbered(64)], [[f"k{n}", str(n), ""] for n in range(64)]),
    parse("members-65", "a 65th member is dropped", "BG-6", [numbered(65)], [[f"k{n}", str(n), ""] for n in range(64)], 1),
    parse("members-70", "members over the limit are dropped from the right", "BG-6", [numbered(70)], [[f"k{n}", str(n), ""] for n in range(64)], 6),
    parse("members-64-and-repeat", "a repeat of a kept name is no 65th member", "BG-6 BG-5", [numbered(64) + ",k0=x"],
          [["k0", "x", ""]] + [[f"k{n}", str(n), ""] for n in range(1, 64)]),
    parse("bytes-8192", "8192 bytes are read", "BG-6", [concat("a=", repeat("x", 8190))], [["a", repeat("x", 8190), ""]]),
    parse("bytes-8193", "a member that crosses 8192 bytes is dropped", "BG-6 BG-7", [concat("a=", repeat("x", 8191))], [], 1),
    parse("bytes-last-member-crosses", "only the member that crosses the bound is dropped", "BG-6 BG-7",
          [concat("a=1,b=", repeat("x", 8187))], [["a", "1", ""]], 1),
    parse("mebibyte-of-commas", "a mebibyte of commas is linear, and nothing", "BG-7", [repeat(",", 1048576)], [], 1),
    parse("white-space-8192", "8 KiB of white space", "BG-7", [repeat(" ", 8192)], []),
    parse("percent-expands-nothing", "decoded values are not counted", "BG-6 BG-2", [concat("a=", repeat("%41", 2730))], [["a", repeat("A", 2730), ""]]),
]  # fmt: skip

WRITTEN = [
    write("write-one", "one member", "BG-3", [("a", "1")], "a=1"),
    write("write-order", "members in order", "BG-3", [("b", "1"), ("a", "2")], "b=1,a=2"),
    write("write-nothing", "nothing to write", "BG-3", [], ""),
    write("write-space", "a space is %20, never +", "BG-3", [("a", "x y")], "a=x%20y"),
    write("write-plus", "a plus is a plus", "BG-3", [("a", "1+1")], "a=1+1"),
    write("write-equals", "an equals sign stays", "BG-3", [("a", "b=c")], "a=b=c"),
    write("write-percent", "a percent sign is %25", "BG-3", [("a", "100%"), ("b", "%41")], "a=100%25,b=%2541"),
    write("write-separators", "comma, semicolon, backslash and quotation mark", "BG-3", [("a", ',;\\"')], "a=%2C%3B%5C%22"),
    write("write-controls", "control characters", "BG-3", [("a", "\0\t\r\n\x7f")], "a=%00%09%0D%0A%7F"),
    write("write-utf-8", "letters outside ASCII as UTF-8, upper-case digits", "BG-3", [("a", "J\u00fcrgen \U0001f3a4")], "a=J%C3%BCrgen%20%F0%9F%8E%A4"),
    write("write-empty-value", "an empty value", "BG-3", [("a", "")], "a="),
    write("write-octets", "every baggage-octet but the percent sign stays", "BG-3", [("a", OCTETS.replace("%", ""))], "a=" + OCTETS.replace("%", "")),
    write("write-properties", "properties verbatim", "BG-4", [("a", "1", "p = 1 ;q"), ("b", "2", "r=%20")], "a=1;p = 1 ;q,b=2;r=%20"),
    write("write-64", "64 members", "BG-6", [(f"k{n}", str(n)) for n in range(64)], numbered(64)),
    write("write-65", "the 65th is dropped", "BG-6", [(f"k{n}", str(n)) for n in range(65)], numbered(64), 1),
    write("write-8192-bytes", "8192 bytes are written", "BG-6", [["a", repeat("x", 8190), ""]], concat("a=", repeat("x", 8190))),
    write("write-8193-bytes", "a member that does not fit is dropped", "BG-6", [["a", "1", ""], ["b", repeat("x", 8187), ""]], "a=1", 1),
    write("write-grows-by-encoding", "what counts is the encoded length", "BG-6 BG-3", [["a", "1", ""], ["b", repeat(" ", 2729), ""]], "a=1", 1),
    write("write-from-the-right", "the first that does not fit takes all behind it along", "BG-6",
          [["a", "1", ""], ["b", repeat("x", 8190), ""], ["c", "3", ""]], "a=1", 2),
]  # fmt: skip

FILES = {
    "baggage/members": MEMBERS,
    "baggage/decoding": DECODING,
    "baggage/properties": PROPERTIES,
    "baggage/repeats": REPEATS,
    "baggage/limits": LIMITS,
    "baggage/written": WRITTEN,
}
