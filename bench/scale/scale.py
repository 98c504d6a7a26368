"""Many connections in one process: ``scale.py CONNECTIONS`` prints memory and CPU time per message."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time

from wirespan import Connection, HandshakeRequest, SessionRegistry, SpanContext

STREAMS, FEW, SAMPLES, MESSAGES = 10, 10, 5, 100_000
BODY = b"x" * 256
STEP_NS = 20_000_000
REGISTRY = SessionRegistry()
SPAN = SpanContext(0xA0 << 120 | 1, 0xB0 << 56 | 1, 1)


def drain(connection: Connection) -> None:
    while connection.poll_event() is not None:
        pass


class Group:
    """Servers and the one client whose frames all of them get."""

    def __init__(self, connections: int) -> None:
        self.client = Connection.client(bytes(16), {})
        request = HandshakeRequest(self.client.request("localhost")[0])
        self.servers = [self.accept(request, n) for n in range(connections)]
        self.client.open_client(self.servers[0].response(request)[0], 0)
        self.keys = [self.client.plan_call("echo", SPAN, 0)[0] for _ in range(STREAMS)]
        self.now = 0
        for key in self.keys:
            frame = self.client.send(key, BODY, SPAN, 0)[1]
            for server in self.servers:
                stream = server.receive(frame, 0).stream
                server.take(stream, len(BODY), 0)
                drain(server)

    @staticmethod
    def accept(request: HandshakeRequest, n: int) -> Connection:
        server = Connection.server(n.to_bytes(16, "big"), {}, request, "127.0.0.1", 8765, REGISTRY, "127.0.0.1")
        server.set_methods(["echo"])
        server.plan_handshake()
        server.response(request)
        server.open_server(0)
        drain(server)
        return server

    def cpu_ns(self) -> float:
        """CPU time per message: each server gets a chunk of each stream and answers it."""
        passes = -(-MESSAGES // (len(self.servers) * STREAMS * 2))
        frames = [[self.client.send(key, BODY, None, 0)[1] for key in self.keys] for _ in range(passes)]
        started = time.thread_time_ns()
        for chunks in frames:
            self.now += STEP_NS
            now = self.now
            for server in self.servers:
                for frame in chunks:
                    received = server.receive(frame, now)
                    data = received.data
                    server.take(received.stream, len(data), now)
                    drain(server)
                    server.send(received.stream, data, None, now)
                    drain(server)
        return (time.thread_time_ns() - started) / (passes * len(self.servers) * STREAMS * 2)

    def median_cpu_ns(self) -> float:
        # The first chunks allocate the histograms.
        self.cpu_ns()
        self.cpu_ns()
        return statistics.median(self.cpu_ns() for _ in range(SAMPLES))


def resident() -> int:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main() -> None:
    connections = int(sys.argv[1])
    few = Group(FEW)
    before = resident()
    every = Group(connections)
    idle = resident() - before
    few_ns, all_ns = few.median_cpu_ns(), every.median_cpu_ns()
    busy = resident() - before
    each = {"idle_bytes": idle / connections, "busy_bytes": busy / connections}
    print(json.dumps({**each, "few_ns": few_ns, "all_ns": all_ns}))


if __name__ == "__main__":
    main()
