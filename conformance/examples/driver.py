"""A driver for an implementation of `traceparent` alone, and that implementation: python3 driver.py"""

import base64
import json
import re
import sys

# The implementation under test. Yours stands in a package of its own; the driver imports it.

SHAPE = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class Refused(Exception):
    pass


def parse_traceparent(values):
    """Reads the values of all `traceparent` fields; gives what is sent on, or None without any (SPEC.md, "Trace context")."""
    if not values:
        return None
    if len(values) > 1:
        raise Refused("duplicate")  # TC-8
    if len(values[0]) > 512:
        raise Refused("too_long")  # TC-14
    value = values[0].strip(b" \t")  # TC-9
    if len(value) < 55:
        raise Refused("length")  # TC-1
    if not SHAPE.match(value):
        raise Refused("character")
    version, trace_id, parent_id, flags = value[:55].decode().split("-")
    if version == "ff":
        raise Refused("version")  # TC-2
    tail = value[55:]
    if not all(0x20 <= byte <= 0x7E for byte in tail):
        raise Refused("character")
    if tail and (version == "00" or not tail.startswith(b"-")):
        raise Refused("trailing")  # TC-3, TC-4
    if set(trace_id) == {"0"} or set(parent_id) == {"0"}:
        raise Refused("zero_id")  # TC-5
    return f"00-{trace_id}-{parent_id}-{int(flags, 16) & 3:02x}"  # TC-10


# The driver: one line in, one line out.


def run(op, data):
    if op != "traceparent.parse":
        return {"unsupported": op}
    try:
        sent_on = parse_traceparent([bytes_of(value) for value in data["values"]])
    except Refused as refused:
        return {"output": {"refused": str(refused)}}
    return {"output": {"traceparent": sent_on} if sent_on else {}}


def bytes_of(value):
    """A header's value is a text, or bytes that need not be one."""
    return value.encode() if isinstance(value, str) else base64.b64decode(value["base64"])


def answer(request):
    if request["do"] == "hello":
        return {"implementation": "example", "version": "1.0", "language": "python", "spec": ["1"], "features": ["traceparent"]}
    if request["do"] == "run":
        try:
            return run(request["op"], request["input"])
        except Exception as error:
            return {"error": repr(error)}
    return {}


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps({"seq": request["seq"], **answer(request)}), flush=True)
    if request["do"] == "stop":
        break
