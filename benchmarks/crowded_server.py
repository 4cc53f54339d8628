"""Honest clients of the retriever's server beside hostile connections: answers, refusals, latency, memory.

    python benchmarks/crowded_server.py --clients 200 --hostile 1000 --minutes 5 --rounds 2

The server is the command `rekindle serve-retriever` with a corpus made here. Every honest client is a thread with a
connection that asks, checks the answer word for word, and asks again after a pause; a refusal is a status other than
200, or a broken connection, after one further attempt. Hostile connections do one of ``ATTACKS`` each, again and again,
for some minutes in each round; after a round they are away for ``QUIET_SECONDS``. The result is JSON;
the exit code is 1 where an answer was wrong, more than 1 % of the requests were refused, or memory grew: in the last
third of a round above that of the second, or from the end of the first round to the end of the last.
"""

import argparse
import asyncio
import contextlib
import http.client
import json
import logging
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

DOCUMENTS = 3000
WORDS = 97
HEAD = b"POST /retrieve HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
REFUSED_SHARE = 0.01
GROWTH = 1.05
SLACK_MB = 16
"""Growth of memory that is allowed besides the share: garbage of the allocator."""
QUIET_SECONDS = 20.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--hostile", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=5.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--pause", type=float, default=1.0, help="mean seconds between two requests of a client")
    parser.add_argument("--timeout", type=float, default=30.0, help="seconds that a client waits for an answer")
    parser.add_argument("--attacks", default="", help="names of attacks, with commas (default: all)")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        server, url = started(Path(folder))
        result: dict = {}
        try:
            result = measured(server, url, given)
        finally:
            server.send_signal(signal.SIGTERM)
            result["exit_code"], result["seconds_to_end"] = ended(server)
        result["load"] = round(os.getloadavg()[2], 1)
        result["lines_printed"] = (Path(folder) / "errors").read_text().count("\n")
    print(json.dumps(result, indent=2))
    if given.out:
        given.out.write_text(json.dumps(result, indent=2) + "\n")
    return int(not result["holds"])


def started(folder: Path) -> tuple[subprocess.Popen, str]:
    corpus = folder / "corpus.jsonl"
    lines = (document(number) for number in range(DOCUMENTS))
    corpus.write_text("".join(json.dumps(line) + "\n" for line in lines))
    environment = {**os.environ, "REKINDLE_CACHE": str(folder / "cache"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "rekindle", "serve-retriever", "--corpus", str(corpus), "--port", "0"]
    with (folder / "errors").open("w") as errors:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, env=environment)
    assert server.stdout is not None
    return server, server.stdout.readline().strip()


def document(number: int) -> dict:
    return {"id": str(number), "contents": f'"Title {number}"\nword{number % WORDS} alpha only{number}'}


def ended(server: subprocess.Popen) -> tuple[int, float]:
    begun = time.monotonic()
    return server.wait(60), round(time.monotonic() - begun, 1)


# -- honest clients ----------------------------------------------------------------------------------------------------


def measured(server: subprocess.Popen, url: str, given: argparse.Namespace) -> dict:
    counts, seconds, over = Counter(), [], threading.Event()
    clients = [
        threading.Thread(target=honest, args=(url, number, over, given, counts, seconds))
        for number in range(given.clients)
    ]
    for client in clients:
        client.start()
    try:
        rounds = [one_round(server, url, given) for _ in range(given.rounds)]
    finally:
        over.set()
        for client in clients:
            client.join()
    return summary(given, counts, sorted(seconds), rounds, server.pid)


def one_round(server: subprocess.Popen, url: str, given: argparse.Namespace) -> dict:
    """Memory beside hostile connections, MB, and when they have been away for a while."""
    attack = [sys.executable, __file__, "--hostile", str(given.hostile), "--attack", url, given.attacks]
    attackers = subprocess.Popen(attack) if given.hostile else None
    memory, end = [], time.monotonic() + 60 * given.minutes
    try:
        while time.monotonic() < end:
            time.sleep(1.0)
            memory.append(rss_mb(server.pid))
    finally:
        if attackers is not None:
            attackers.terminate()
            attackers.wait(30)
    time.sleep(QUIET_SECONDS)
    third = max(1, len(memory) // 3)
    return {"first": memory[0], "middle": max(memory[third : 2 * third] or memory), "last": max(memory[-third:]),
            "peak": max(memory), "afterwards": rss_mb(server.pid)}  # fmt: skip


def honest(
    url: str, number: int, over: threading.Event, given: argparse.Namespace, counts: Counter, seconds: list
) -> None:
    rng, parts = random.Random(number), urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=given.timeout)
    time.sleep(rng.random() * given.pause)
    while not over.is_set():
        wanted = [rng.randrange(DOCUMENTS) for _ in range(rng.choice((1, 1, 2, 3)))]
        begun = time.monotonic()
        found = asked(connection, parts.path, wanted) or asked(connection, parts.path, wanted)
        seconds.append(time.monotonic() - begun)
        counts["asked"] += 1
        if found is None:
            counts["refused"] += 1
        elif found != [document(one)["contents"] for one in wanted]:
            counts["wrong"] += 1
        over.wait(rng.expovariate(1 / given.pause))
    connection.close()


def asked(connection: http.client.HTTPConnection, path: str, wanted: list[int]) -> list[str] | None:
    """Contents of the best document of each query; None where it was refused."""
    body = json.dumps({"queries": [f"only{number}" for number in wanted], "topk": 1})
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = response.read()
        if response.status != 200:
            return None
        return [found[0]["contents"] for found in json.loads(answer)["result"]]
    except (OSError, http.client.HTTPException):
        connection.close()
        return None


def summary(given: argparse.Namespace, counts: Counter, seconds: list, rounds: list, pid: int) -> dict:
    refused = counts["refused"] / max(1, counts["asked"])
    pairs = [(one["middle"], one["last"]) for one in rounds] + [(rounds[0]["afterwards"], rounds[-1]["afterwards"])]
    flat = all(late <= GROWTH * early + SLACK_MB for early, late in pairs)
    at = {name: round(seconds[min(len(seconds) - 1, int(q * len(seconds)))], 3) for name, q in
          (("median", 0.5), ("p99", 0.99), ("longest", 1.0))}  # fmt: skip
    return {
        "clients": given.clients, "hostile": given.hostile, "minutes": given.minutes, "timeout": given.timeout,
        **counts,
        "wrong": counts["wrong"], "refused_share": round(refused, 5), "seconds": at, "memory_mb": rounds,
        "open_files": len(os.listdir(f"/proc/{pid}/fd")),
        "holds": counts["wrong"] == 0 and refused <= REFUSED_SHARE and flat and counts["asked"] > 0,
    }  # fmt: skip


def rss_mb(pid: int) -> int:
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


# -- hostile connections, in a process of their own -------------------------------------------------------------------


async def dripped(writer, head, piece, pieces, pause):
    writer.write(head)
    for _ in range(pieces):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause)


async def slow_head(reader, writer, rng):
    await dripped(writer, HEAD, b"X: y\r\n", 60, 1.0)


async def silence(reader, writer, rng):
    await reader.read(1)


async def slow_body(reader, writer, rng):
    await dripped(writer, HEAD + b"Content-Length: 10000000\r\n\r\n", b" " * 1000, 60, 1.0)


async def large_body(reader, writer, rng):
    await dripped(writer, HEAD + b"Content-Length: 16000000\r\n\r\n", b" " * 1_000_000, 10, 2.0)
    await asyncio.sleep(20)


async def garbage(reader, writer, rng):
    writer.write(rng.randbytes(rng.randrange(1, 3000)))
    await reader.read(1000)
    await asyncio.sleep(2)


async def nested(reader, writer, rng):
    body = b"[" * 200_000
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    await reader.read(1000)
    await asyncio.sleep(2)


async def heavy(reader, writer, rng):
    body = json.dumps({"queries": [f"word{n % WORDS} alpha" for n in range(300)], "topk": 100}).encode()
    writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
    if rng.random() < 0.5:
        await reader.read(1)  # and never the rest
    await asyncio.sleep(60)


async def page(reader, writer, rng):
    writer.write(b"POST /retrieve HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n"
                 b"Content-Type: text/plain\r\nContent-Length: 15\r\n\r\n{\"queries\":[\"\"]}")  # fmt: skip
    await reader.read(1000)
    await asyncio.sleep(2)


ATTACKS = (slow_head, slow_head, silence, slow_body, large_body, garbage, nested, heavy, page, page)


async def attack(url: str, count: int, names: str) -> None:
    parts = urlsplit(url)
    chosen = [one for one in ATTACKS if not names or one.__name__ in names.split(",")]

    async def one(number: int) -> None:
        rng = random.Random(number)
        while True:
            await asyncio.sleep(rng.random() * 2)
            with contextlib.suppress(OSError, asyncio.TimeoutError, ValueError):
                reader, writer = await asyncio.wait_for(asyncio.open_connection(parts.hostname, parts.port), 20)
                try:
                    await asyncio.wait_for(chosen[number % len(chosen)](reader, writer, rng), 90)
                finally:
                    writer.transport.abort()

    await asyncio.gather(*(one(number) for number in range(count)))


if __name__ == "__main__":
    if "--attack" in sys.argv:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # the server closes connections, as it should
        asyncio.run(attack(sys.argv[-2], int(sys.argv[sys.argv.index("--hostile") + 1]), sys.argv[-1]))
    sys.exit(main())
