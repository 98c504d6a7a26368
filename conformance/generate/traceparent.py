"""Chapter "traceparent" of SPEC.md."""

from build import OTHER, PARENT, SPAN, TRACE, bytes_value, case, concat, repeat


def parse(id_: str, title: str, rules: str, values: list, expect: dict) -> dict:
    return case(f"traceparent/{id_}", title, rules, "reader", "traceparent", "traceparent.parse", {"values": values}, expect)


def accepted(id_: str, title: str, rules: str, value: object, sent_on: str = PARENT) -> dict:
    return parse(id_, title, rules, [value], {"traceparent": sent_on})


def refused(id_: str, title: str, rules: str, value: object, reason: str) -> dict:
    return parse(id_, title, rules, [value], {"refused": reason})


def flags(out: str) -> str:
    return f"00-{TRACE}-{SPAN}-{out}"


VALID = [
    accepted("sampled", "a sampled version 00 context", "TC-1 TC-10", PARENT),
    accepted("not-sampled", "an unsampled context", "TC-1 TC-10", flags("00"), flags("00")),
    accepted("random-flag-kept", "the random flag is kept", "TC-10", flags("02"), flags("02")),
    accepted("sampled-and-random", "both known flags are kept", "TC-10", flags("03"), flags("03")),
    accepted("flags-masked-ff", "bits 2 to 7 are zero on output", "TC-10", flags("ff"), flags("03")),
    accepted("flags-masked-fe", "bit 0 is not set by masking", "TC-10", flags("fe"), flags("02")),
    accepted("flags-masked-fd", "bit 1 is not set by masking", "TC-10", flags("fd"), flags("01")),
    accepted("flags-masked-04", "an unknown flag alone is cleared", "TC-10", flags("04"), flags("00")),
    accepted("flags-masked-80", "the highest flag alone is cleared", "TC-10", flags("80"), flags("00")),
    accepted("flags-09-is-sampled", "flags are bits, not a number compared with 01", "TC-10", flags("09"), flags("01")),
    accepted("flags-letter-digits", "letters are hexadecimal digits of the flags", "TC-1 TC-10", flags("0b"), flags("03")),
    accepted("smallest-ids", "ids that are all zero but for the last bit", "TC-5",
             f"00-{'0' * 31}1-{'0' * 15}1-00", f"00-{'0' * 31}1-{'0' * 15}1-00"),
    accepted("largest-ids", "ids of f only", "TC-5", f"00-{'f' * 32}-{'f' * 16}-01", f"00-{'f' * 32}-{'f' * 16}-01"),
    accepted("high-bit-ids", "ids with only the highest bit set", "TC-5", f"00-8{'0' * 31}-8{'0' * 15}-01", f"00-8{'0' * 31}-8{'0' * 15}-01"),
    parse("no-value", "no header field at all", "TC-6", [], {}),
]  # fmt: skip

VERSIONS = [
    *[
        accepted(f"version-{v}-short", f"version {v} of exactly 55 characters is read and sent on as 00", "TC-4", f"{v}-{TRACE}-{SPAN}-01")
        for v in ("01", "02", "0a", "42", "7f", "cc", "f0", "fe")
    ],
    *[
        accepted(f"version-{v}-tail", f"version {v} with a tail behind a dash", "TC-4", f"{v}-{TRACE}-{SPAN}-01-what-the-future-will-be-like")
        for v in ("01", "02", "cc", "fe")
    ],
    accepted("version-01-dash-only", "a higher version whose flags are followed by a dash alone", "TC-4", f"01-{TRACE}-{SPAN}-01-"),
    accepted("version-01-tail-of-dashes", "a higher version with a tail of dashes", "TC-4", f"01-{TRACE}-{SPAN}-01---"),
    accepted("version-01-flags-masked", "flags of a higher version are masked", "TC-4 TC-10", f"01-{TRACE}-{SPAN}-ff-x", flags("03")),
    accepted("version-cc-upper-case-tail", "the tail of a higher version may hold upper case", "TC-4", f"cc-{TRACE}-{SPAN}-01-ABC"),
    refused("version-01-tail-without-dash", "a higher version whose flags are followed by something else", "TC-4", f"01-{TRACE}-{SPAN}-01.what", "trailing"),
    refused("version-cc-tail-without-dash", "a dot behind the flags", "TC-4", f"cc-{TRACE}-{SPAN}-01.", "trailing"),
    refused("version-01-digit-behind-flags", "three digits of flags", "TC-4", f"01-{TRACE}-{SPAN}-012", "trailing"),
    refused("version-01-of-54-characters", "a higher version below 55 characters", "TC-4 TC-1", f"01-{TRACE}-{SPAN}-0", "length"),
    refused("version-ff", "version ff", "TC-2", f"ff-{TRACE}-{SPAN}-01", "version"),
    refused("version-ff-tail", "version ff with a tail", "TC-2 TC-1", f"ff-{TRACE}-{SPAN}-01-x", "version"),
    refused("version-ff-zero-ids", "the version counts before the ids", "TC-2 TC-1", f"ff-{'0' * 32}-{SPAN}-01", "version"),
    refused("version-upper-case", "an upper-case version", "TC-1", f"0A-{TRACE}-{SPAN}-01", "character"),
    refused("version-upper-case-ff", "an upper-case FF is a wrong character, not version ff", "TC-1", f"FF-{TRACE}-{SPAN}-01", "character"),
    refused("version-0x", "0x is no version", "TC-1", f"0x-{TRACE}-{SPAN}-01", "character"),
    refused("version-signed", "a sign is no digit", "TC-1", f"+0-{TRACE}-{SPAN}-01", "character"),
    refused("version-dot-zero", "a dot is no digit", "TC-1", f".0-{TRACE}-{SPAN}-01", "character"),
    refused("version-space", "a space within the version", "TC-1", f"0 -{TRACE}-{SPAN}-01", "character"),
    refused("version-one-digit", "a version of one digit moves everything, and is too short", "TC-1", f"0-{TRACE}-{SPAN}-01", "length"),
    refused("version-three-digits", "a version of three digits moves the dash", "TC-1", f"000-{TRACE}-{SPAN}-01", "character"),
    refused("version-empty", "no version", "TC-1", f"-{TRACE}-{SPAN}-01", "length"),
]

LENGTHS = [
    refused("empty", "an empty value", "TC-1", "", "length"),
    refused("one-character", "one character", "TC-1", "0", "length"),
    refused("version-only", "a version alone", "TC-1", "00", "length"),
    refused("without-flags", "no flags", "TC-1", f"00-{TRACE}-{SPAN}", "length"),
    refused("flags-missing-behind-dash", "a dash, and no flags", "TC-1", f"00-{TRACE}-{SPAN}-", "length"),
    refused("flags-one-digit", "flags of one digit", "TC-1", f"00-{TRACE}-{SPAN}-1", "length"),
    refused("flags-three-digits", "flags of three digits", "TC-3", f"00-{TRACE}-{SPAN}-001", "trailing"),
    refused("trace-id-short", "a trace-id of 31 digits", "TC-1", f"00-{TRACE[:31]}-{SPAN}-01", "length"),
    refused("trace-id-long", "a trace-id of 33 digits", "TC-1", f"00-{TRACE}a-{SPAN}-01", "character"),
    refused("trace-id-of-64-bits", "a trace-id of 16 digits", "TC-1", f"00-{TRACE[:16]}-{SPAN}-01", "length"),
    refused("trace-id-empty", "no trace-id", "TC-1", f"00--{SPAN}-01", "length"),
    refused("parent-id-short", "a parent-id of 15 digits", "TC-1", f"00-{TRACE}-{SPAN[:15]}-01", "length"),
    refused("parent-id-long", "a parent-id of 17 digits", "TC-1", f"00-{TRACE}-{SPAN}b-01", "character"),
    refused("parent-id-empty", "no parent-id", "TC-1", f"00-{TRACE}--01", "length"),
    refused("ids-swapped", "parent-id in front of trace-id", "TC-1", f"00-{SPAN}-{TRACE}-01", "character"),
    refused("trailing-dash", "version 00 with a trailing dash", "TC-3", f"{PARENT}-", "trailing"),
    refused("trailing-tail", "version 00 with a tail", "TC-3", f"{PARENT}-what-the-future-will-be-like", "trailing"),
    refused("trailing-dot", "version 00 with a dot behind the flags", "TC-3", f"{PARENT}.", "trailing"),
    refused("trailing-comma-and-context", "two contexts joined by a comma in one value", "TC-3 TC-8", f"{PARENT},{OTHER}", "trailing"),
    refused("at-512-bytes", "a higher version of 512 bytes is looked at", "TC-14 TC-3", concat(f"00-{TRACE}-{SPAN}-01-", repeat("x", 456)), "trailing"),
    accepted("version-01-of-512-bytes", "512 bytes are the most that is read", "TC-14 TC-4", concat(f"01-{TRACE}-{SPAN}-01-", repeat("x", 456))),
    refused("version-01-of-513-bytes", "513 bytes are too long", "TC-14", concat(f"01-{TRACE}-{SPAN}-01-", repeat("x", 457)), "too_long"),
    refused("one-mebibyte", "a mebibyte is refused by its length", "TC-14", repeat("0", 1048576), "too_long"),
]  # fmt: skip

BODY = f"{TRACE}-{SPAN}"


def at(position: int, replacement: str) -> str:
    return PARENT[:position] + replacement + PARENT[position + 1 :]


CHARACTERS = [
    refused("upper-case-trace-id", "upper-case digits in the trace-id", "TC-1", f"00-{TRACE.upper()}-{SPAN}-01", "character"),
    refused("upper-case-parent-id", "upper-case digits in the parent-id", "TC-1", f"00-{TRACE}-{SPAN.upper()}-01", "character"),
    refused("upper-case-flags", "upper-case digits in the flags", "TC-1", f"00-{TRACE}-{SPAN}-0A", "character"),
    refused("flags-signed", "flags with a sign are no digits", "TC-1", f"00-{TRACE}-{SPAN}-+1", "character"),
    refused("flags-space", "a space among the flags", "TC-1", f"00-{TRACE}-{SPAN}- 1", "character"),
    refused("flags-0x", "0x is no value of the flags", "TC-1", f"00-{TRACE}-{SPAN}-0x", "character"),
    refused("flags-g", "g is no hexadecimal digit", "TC-1", f"00-{TRACE}-{SPAN}-0g", "character"),
    refused("flags-dot-zero", "a dot among the flags", "TC-1", f"00-{TRACE}-{SPAN}-.0", "character"),
    refused("trace-id-dot", "a dot in the trace-id", "TC-1", at(20, "."), "character"),
    refused("trace-id-g", "a g at the first digit of the trace-id", "TC-1", at(3, "g"), "character"),
    refused("trace-id-last-g", "a g at the last digit of the trace-id", "TC-1", at(34, "g"), "character"),
    refused("trace-id-colon", "the character behind 9", "TC-1", at(10, ":"), "character"),
    refused("trace-id-slash", "the character before 0", "TC-1", at(10, "/"), "character"),
    refused("trace-id-grave", "the character before a", "TC-1", at(10, "`"), "character"),
    refused("trace-id-at", "the character before A", "TC-1", at(10, "@"), "character"),
    refused("parent-id-dot", "a dot in the parent-id", "TC-1", at(40, "."), "character"),
    refused("parent-id-first-g", "a g at the first digit of the parent-id", "TC-1", at(36, "g"), "character"),
    refused("parent-id-last-g", "a g at the last digit of the parent-id", "TC-1", at(51, "g"), "character"),
    refused("trace-id-underscore", "digits with a separator", "TC-1", at(12, "_"), "character"),
    refused("first-dash-missing", "a digit for the first dash", "TC-1", at(2, "0"), "character"),
    refused("second-dash-missing", "a digit for the second dash", "TC-1", at(35, "0"), "character"),
    refused("third-dash-missing", "a digit for the third dash", "TC-1", at(52, "0"), "character"),
    refused("underscores-for-dashes", "underscores for dashes", "TC-1", PARENT.replace("-", "_"), "character"),
    refused("spaces-for-dashes", "spaces for dashes", "TC-1", PARENT.replace("-", " "), "character"),
    refused("nul-within", "a NUL within", "TC-1", at(20, "\0"), "character"),
    refused("non-ascii-digit", "a digit of another script", "TC-1", at(20, "\u0663"), "character"),
    refused("bytes-not-utf-8", "bytes that are not UTF-8", "TC-1", bytes_value(PARENT[:20].encode() + b"\xff" + PARENT[21:].encode()), "character"),
    refused("quoted", "quotes around the value", "TC-1", f'"{PARENT}"', "character"),
    refused("length-before-character", "too short counts before a wrong character", "TC-1", f"00-{TRACE.upper()}", "length"),
    refused("character-before-version", "a wrong character counts before version ff", "TC-1", f"ff-{TRACE}-{SPAN}-0g", "character"),
    refused("character-before-zero", "a wrong character counts before a zero id", "TC-1", f"00-{'0' * 32}-{SPAN}-0G", "character"),
    refused("trailing-before-zero", "what follows the flags counts before a zero id", "TC-1 TC-3", f"00-{'0' * 32}-{SPAN}-01-x", "trailing"),
    refused("trailing-control", "behind the flags a control character is a wrong character", "TC-1 TC-9", f"{PARENT}\x01", "character"),
    refused("trailing-non-ascii", "behind the flags a letter outside ASCII is a wrong character", "TC-1", f"{PARENT}\u00e9", "character"),
    refused("zero-trace-id", "a trace-id of zeros", "TC-5", f"00-{'0' * 32}-{SPAN}-01", "zero_id"),
    refused("zero-parent-id", "a parent-id of zeros", "TC-5", f"00-{TRACE}-{'0' * 16}-01", "zero_id"),
    refused("zero-both", "both ids of zeros", "TC-5", f"00-{'0' * 32}-{'0' * 16}-00", "zero_id"),
    refused("zero-id-in-version-01", "zeros in a higher version", "TC-5 TC-4", f"01-{'0' * 32}-{SPAN}-01-x", "zero_id"),
]  # fmt: skip

WHITE_SPACE = [
    accepted("space-before", "a space in front", "TC-9", f" {PARENT}"),
    accepted("space-behind", "a space behind", "TC-9", f"{PARENT} "),
    accepted("tab-before", "a tab in front", "TC-9", f"\t{PARENT}"),
    accepted("tab-behind", "a tab behind", "TC-9", f"{PARENT}\t"),
    accepted("spaces-and-tabs-around", "several on both sides", "TC-9", f" \t  {PARENT}\t \t"),
    refused("newline-behind", "a trailing newline", "TC-9", f"{PARENT}\n", "character"),
    refused("newline-before", "a newline in front", "TC-9", f"\n{PARENT}", "character"),
    refused("crlf-behind", "a trailing CR LF", "TC-9", f"{PARENT}\r\n", "character"),
    refused("vertical-tab-behind", "a vertical tab", "TC-9", f"{PARENT}\x0b", "character"),
    refused("form-feed-behind", "a form feed", "TC-9", f"{PARENT}\x0c", "character"),
    refused("nbsp-behind", "a no-break space", "TC-9", f"{PARENT}\u00a0", "character"),
    refused("nbsp-before", "a no-break space in front", "TC-9", f"\u00a0{PARENT}", "character"),
    refused("bom-before", "a byte order mark", "TC-9", f"\ufeff{PARENT}", "character"),
    refused("nel-behind", "U+0085", "TC-9", f"{PARENT}\u0085", "character"),
    refused("en-space-behind", "U+2002", "TC-9", f"{PARENT}\u2002", "character"),
    refused("space-within", "a space in the middle", "TC-1", f"00-{TRACE} -{SPAN}-01", "character"),
    refused("white-space-only", "white space alone", "TC-9 TC-1", "   ", "length"),
]

DUPLICATES = [
    parse("two-values", "two header fields", "TC-8", [PARENT, OTHER], {"refused": "duplicate"}),
    parse("same-value-twice", "the same value twice", "TC-8", [PARENT, PARENT], {"refused": "duplicate"}),
    parse("valid-and-invalid", "a valid value beside an invalid one", "TC-8", [PARENT, "x"], {"refused": "duplicate"}),
    parse("invalid-and-valid", "an invalid value beside a valid one", "TC-8", ["", PARENT], {"refused": "duplicate"}),
    parse("three-values", "three header fields", "TC-8", [PARENT, OTHER, PARENT], {"refused": "duplicate"}),
]

FILES = {
    "traceparent/valid": VALID,
    "traceparent/versions": VERSIONS,
    "traceparent/lengths": LENGTHS,
    "traceparent/characters": CHARACTERS,
    "traceparent/white-space": WHITE_SPACE,
    "traceparent/duplicates": DUPLICATES,
}
