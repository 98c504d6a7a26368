"""A driver that is right but for one thing, which its argument says: python3 bad.py KIND [FEATURE ...]"""

import json
import os
import signal
import sys
import time

KIND, FEATURES = sys.argv[1], sys.argv[2:] or ["traceparent"]
HELLO = {"implementation": "bad", "version": "1", "language": KIND, "spec": ["1"], "features": FEATURES}
ANSWERS = {
    "other-output": {"output": {"traceparent": "<script>alert('x')</script>\x1b[31m", "more": [None]}},
    "unsupported": {"unsupported": "no idea"},
    "error": {"error": "it broke"},
    "two-answers": {"output": {}, "error": "x"},
    "no-answer": {},
}


def say(answer):
    print(json.dumps(answer), flush=True)


def script(steps):
    deadlines = iter([2.0, 4])
    give = {"client": lambda: {}, "state": lambda: {"open": False}, "deadline": lambda: {"deadline": next(deadlines)}}
    assert not any("expect" in step for step in steps)
    return {"steps": [give[step["do"]]() for step in steps]}


def misbehave(seq):
    """Does what KIND says and tells whether that was the answer."""
    if KIND == "crash":
        print("about to crash", file=sys.stderr, flush=True)
        sys.exit(3)
    if KIND == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if KIND == "hang":
        time.sleep(60)
    if KIND == "closes":
        os.close(1)
        time.sleep(60)
    if KIND == "junk":
        print("Traceback: \x1b[31mred", flush=True)
    elif KIND == "wrong-seq":
        say({"seq": seq + 1, "output": {"traceparent": "trigger"}})
    elif KIND == "no-seq":
        say({"output": {"traceparent": "trigger"}})
    elif KIND == "twice":
        say({"seq": seq, "output": {"traceparent": "trigger"}})
        say({"seq": seq, "output": {"traceparent": "trigger"}})
    elif KIND in ANSWERS:
        say({"seq": seq, **ANSWERS[KIND]})
    else:
        return False
    return True


def main():
    if KIND == "once":
        # Starts the first time only; the argument names a file that remembers it.
        path = FEATURES.pop()
        FEATURES.append("traceparent")
        if os.path.exists(path):
            sys.exit("not again")
        open(path, "w").close()
    for line in sys.stdin:
        request = json.loads(line)
        seq = request["seq"]
        if request["do"] == "hello":
            if KIND == "hello-junk":
                print("hello!", flush=True)
            elif KIND == "hello-dies":
                sys.exit("cannot import implementation")
            else:
                say({"seq": seq, **HELLO, **({"spec": ["2"]} if KIND == "hello-spec" else {})})
        elif request["do"] == "stop":
            say({"seq": seq})
            if KIND == "stop-code":
                sys.exit(5)
            if KIND == "stop-talks":
                print("bye", flush=True)
            return
        elif request["op"] == "connection":
            say({"seq": seq, "output": script(request["input"]["steps"])})
        else:
            if KIND == "always-hangs":
                time.sleep(60)
            (value,) = request["input"]["values"] or [None]
            if KIND == "once" and value == "trigger":
                sys.exit(1)
            if value != "trigger" or not misbehave(seq):
                say({"seq": seq, "output": {"traceparent": value} if value else {}})


main()
