"""Requests per second and CPU per request: our HTTP server beside `twisted.web`, same machine, same minute.

    python tests/benchmarks/bench_web.py [--seconds 3] [--rounds 3] [--connections 32]

Each server runs in a process of its own and counts its own CPU time; this process is the load: keep-alive
connections, each with one POST of a 300-byte JSON on its way. Rounds are interleaved. On a machine with few
cores the load takes part of the time: trust the CPU and the ratios.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import os
import platform
import selectors
import socket
import statistics
import subprocess
import sys
import time

BODY = b'{"to":["cardiology-oncall"],"text":"' + b"x" * 240 + b'","class":"urgent"}'
HEAD = (
    b"POST %b HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: bench\r\nAccept: */*\r\n"
    b"Authorization: Bearer 0123456789abcdef0123456789abcdef\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%b"
)
REQUEST = HEAD % (b"/v1/messages", len(BODY), BODY)
STOP = HEAD % (b"/stop", 0, b"")
ANSWER = b'{"id":"01jd8k3m5t2q4v6x8y0z1a2b3c","level":"stored"}'
SERVERS = ("ours", "ours, answer after a turn", "twisted.web")


def serve(which: str) -> None:
    """The server process: prints its port, then its CPU seconds between the first request and the stop."""
    from itertools import count

    from twisted.internet import reactor
    from twisted.internet.defer import Deferred
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    from gateway.web import Answer, HttpServer, Request, Response, Router

    accepted = (("Content-Type", "application/json"),)

    async def accept(request: Request) -> Answer:
        return Response(status=202, headers=accepted, body=ANSWER)

    async def accept_later(request: Request) -> Answer:
        stored: Deferred[None] = Deferred()
        if not waiting:
            reactor.callLater(0, commit)
        waiting.append(stored)
        await stored
        return Response(status=202, headers=accepted, body=ANSWER)

    waiting: list[Deferred[None]] = []

    def commit() -> None:
        done, waiting[:] = waiting[:], []
        for stored in done:
            stored.callback(None)

    async def stop(request: Request) -> Answer:
        reactor.callLater(0.1, reactor.stop)
        return Response()

    class Accept(Resource):
        isLeaf = True

        def render_POST(self, request: object) -> bytes:
            if request.path == b"/stop":
                reactor.callLater(0.1, reactor.stop)
            request.content.read()
            request.setResponseCode(202)
            request.setHeader(b"content-type", b"application/json")
            return ANSWER

    if which == "twisted.web":
        factory = Site(Accept())
    else:
        ids = count()
        router = Router()
        router.add("POST", "/v1/messages", accept if which == "ours" else accept_later)
        router.add("POST", "/stop", stop)
        factory = HttpServer(
            clock=reactor,
            handler=router,
            wall=lambda: time.time_ns() // 1000,
            make_id=lambda: f"r{next(ids)}",
        )
    port = reactor.listenTCP(0, factory, interface="127.0.0.1", backlog=200)
    print(port.getHost().port, flush=True)
    started = time.process_time()
    reactor.run()
    print(time.process_time() - started, flush=True)


def load(port: int, seconds: float, connections: int) -> tuple[int, float, list[float]]:
    """Answers, elapsed seconds and each answer's seconds, of a closed loop over keep-alive connections."""
    selector = selectors.DefaultSelector()
    sent = {}
    for _ in range(connections):
        client = socket.create_connection(("127.0.0.1", port))
        selector.register(client, selectors.EVENT_READ)
        client.send(REQUEST)
        sent[client] = time.perf_counter()
    waits: list[float] = []
    began = now = time.perf_counter()
    while now - began < seconds:
        for key, _ in selector.select():
            client = key.fileobj
            answer = client.recv(65536)
            assert answer.startswith(b"HTTP/1.1 202 "), answer
            now = time.perf_counter()
            waits.append(now - sent[client])
            sent[client] = now
            client.send(REQUEST)
    elapsed = now - began
    for client in sent:
        client.recv(65536)
        client.close()
    return len(waits), elapsed, sorted(waits)


def measure(which: str, seconds: float, connections: int) -> tuple[float, float, float, float]:
    """Requests per second, CPU µs per request, p50 and p99 in ms."""
    with subprocess.Popen(
        [sys.executable, __file__, "--serve", which],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        count, elapsed, waits = load(port, seconds, connections)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.send(STOP)
            client.recv(65536)
            cpu = float(process.stdout.readline())
    return count / elapsed, cpu / count * 1e6, waits[count // 2] * 1e3, waits[count * 99 // 100] * 1e3


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--seconds", type=float, default=3.0)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--connections", type=int, default=32)
    options.add_argument("--serve", choices=SERVERS)
    chosen = options.parse_args()
    if chosen.serve:
        serve(chosen.serve)
        return
    versions = " ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("twisted", "httptools", "msgspec")
    )
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {versions}")
    rounds = [
        {which: measure(which, chosen.seconds, chosen.connections) for which in SERVERS}
        for _ in range(chosen.rounds)
    ]
    middle = {
        which: [statistics.median(column) for column in zip(*(r[which] for r in rounds), strict=True)]
        for which in SERVERS
    }
    rate, cpu = middle["twisted.web"][:2]
    print(f"{'server':28}{'req/s':>9}{'CPU µs':>9}{'p50 ms':>9}{'p99 ms':>9}{'rate x':>9}{'CPU x':>9}")
    for which, (its_rate, its_cpu, p50, p99) in middle.items():
        print(
            f"{which:28}{its_rate:9.0f}{its_cpu:9.1f}{p50:9.2f}{p99:9.2f}{its_rate / rate:9.2f}{its_cpu / cpu:9.2f}"
        )


if __name__ == "__main__":
    main()
