"""Load test of the retriever server over minutes: errors, throughput, latency and memory.

    python benchmarks/retriever_server.py [--corpus FILE] [--seconds 300] [--clients 200] [--out FILE.json]

Starts `rekindle serve-retriever` as a separate process. Clients in one process, each with its own connection, send one
question at a time (3 documents, with scores) and the next after the answer. Every answer is compared with the first one
to the same question. Resident memory and CPU time of the server are read from /proc. Without a corpus, one of 16,340
generated passages is used.
"""

import argparse
import asyncio
import json
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "retriever_server.json"
PASSAGES, WORDS = 16_340, 50


def invent(path: Path) -> list[str]:
    """Write a corpus of passages of Zipf-distributed words; returns its words."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(3, 9))) for _ in range(20_000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    with path.open("w", encoding="utf-8") as file:
        for number in range(PASSAGES):
            title, *text = rng.choices(words, weights, k=WORDS + 1)
            file.write(json.dumps({"id": str(number), "contents": f'"{title}"\n{" ".join(text)}'}) + "\n")
    return words


def questions(corpus: Path, words: Sequence[str]) -> list[str]:
    """The questions next to the corpus, or else queries of eight of its words."""
    beside = corpus.with_name("questions_gold.jsonl")
    if not words and beside.exists():
        return [json.loads(line)["question"] for line in beside.read_text(encoding="utf-8").splitlines()]
    rng = random.Random(1)
    pool = words or corpus.read_text(encoding="utf-8")[:1_000_000].split()
    return [" ".join(rng.choices(pool, k=8)) for _ in range(500)]


@contextmanager
def served(corpus: Path, index: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-m", "rekindle", "serve-retriever", "--corpus", str(corpus), "--index", str(index)]
    process = subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, "the server did not end cleanly"


def resident_mb(pid: int) -> float:
    """Resident memory of a process, in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def processor_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Load:
    """Latencies and errors of the clients."""

    def __init__(self, asked: Sequence[str]) -> None:
        self.asked = asked
        self.first: dict[str, list[str]] = {}
        self.milliseconds: list[float] = []
        self.errors: list[str] = []

    async def ask(self, url: str, number: int, end: float) -> None:
        """Run one client until ``end``."""
        rng = random.Random(number)
        # One pool per client: a shared pool of 200 connections scans all of them for every request.
        async with httpx.AsyncClient(timeout=60, trust_env=False, verify=False) as http:
            while time.monotonic() < end:
                query = rng.choice(self.asked)
                started = time.perf_counter()
                try:
                    answer = await http.post(url, json={"queries": [query], "topk": 3, "return_scores": True})
                    self.milliseconds.append(1000 * (time.perf_counter() - started))
                    self.check(query, answer)
                except httpx.HTTPError as error:
                    self.errors.append(f"{type(error).__name__}: {error}")

    def check(self, query: str, answer: httpx.Response) -> None:
        """Record an error, or an answer that differs from the first one."""
        if answer.status_code != 200:
            self.errors.append(f"status {answer.status_code}")
            return
        found = [one["document"]["id"] for one in answer.json()["result"][0]]
        if found != self.first.setdefault(query, found):
            self.errors.append(f"another answer to {query!r}")


async def soak(load: Load, url: str, pid: int, clients: int, seconds: float) -> list[float]:
    """Run the clients; returns the server's memory second by second."""
    memory: list[float] = []
    end = time.monotonic() + seconds
    running = [asyncio.create_task(load.ask(url, number, end)) for number in range(clients)]
    while time.monotonic() < end:
        await asyncio.sleep(1)
        memory.append(resident_mb(pid))
    await asyncio.gather(*running)
    return memory


def measure(corpus: Path | None, clients: int, seconds: float) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as scratch:
        words = [] if corpus else invent(Path(scratch) / "corpus.jsonl")
        source = corpus or Path(scratch) / "corpus.jsonl"
        load = Load(questions(source, words))
        with served(source, Path(scratch) / "index") as (process, url):
            documents = httpx.get(url.replace("/retrieve", "/health"), trust_env=False).json()["documents"]
            before = processor_seconds(process.pid)
            memory = asyncio.run(soak(load, url, process.pid, clients, seconds))
            busy = processor_seconds(process.pid) - before
    cuts = statistics.quantiles(load.milliseconds, n=100)
    return {
        "passages": documents,
        "invented": corpus is None,
        "clients": clients,
        "seconds": seconds,
        "requests": len(load.milliseconds),
        "errors": len(load.errors),
        "first_errors": load.errors[:5],
        "requests_per_second": round(len(load.milliseconds) / seconds, 1),
        "server_processor_ms_per_request": round(1000 * busy / len(load.milliseconds), 3),
        "p50_ms": round(cuts[49], 1),
        "p95_ms": round(cuts[94], 1),
        "p99_ms": round(cuts[98], 1),
        "rss_mb_minute_1": round(memory[min(59, len(memory) - 1)], 1),
        "rss_mb_end": round(memory[-1], 1),
        "rss_mb_highest": round(max(memory), 1),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, help="JSONL file; default: an invented one")
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    found = measure(options.corpus, options.clients, options.seconds)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
