"""``make soak``: many runs and servers in one process, for hours; what the process holds must not grow.

A cycle trains a few steps of a recipe, resumes the run, writes its report and a comparison, judges answers in worker
processes, and starts and stops a retriever's server that threads search over HTTP. Between two cycles memory, open
files, threads and children are counted, after a garbage collection. The first quarter of the time is not judged:
libraries are loaded, and caches fill. The last line is the summary; the exit code is 1 where something grew, or a cycle
failed.
"""

import argparse
import contextlib
import ctypes
import gc
import io
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from embedded import EXAMPLE, QUICK
from rekindle.cli import main as rekindle
from rekindle.recipes import RECIPES
from rekindle.retrieval.client import HttpRetriever
from rekindle.retrieval.lexical import LexicalIndex
from rekindle.retrieval.server import RetrieverServer
from rekindle.types import Document, Task
from rekindle.verifiers.maths import MathVerifier

GROWTH = 1.05
NAMES = [name for name in RECIPES if "self_play" not in name and name != "sgpo"]
"""Recipes of the cycles; the others need a proposer or a profile."""
FEW = ["grpo", "recycle", "erpo", "spo"]
"""Recipes of a short soak. The libraries below keep something for every new shape of a batch, up to a bound, and the
batches of a recipe have shapes of their own; each recipe must have had its turn within the first quarter."""
SHORT_HOURS = 1.0
SHOWN_SECONDS = 60.0
PAIRS = (
    (r"\frac{1}{2}", r"\boxed{\frac{2}{4}}"),
    ("x^2", r"\boxed{x \cdot x}"),
    ("1", r"\boxed{" + "2^{" * 40 + "}" * 40),
)


@dataclass(frozen=True)
class Seen:
    """What a process holds."""

    megabytes: float
    files: int
    threads: int
    children: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=2.0)
    given = parser.parse_args()
    names = FEW if given.hours < SHORT_HOURS else NAMES
    seen: list[tuple[float, Seen]] = []
    begun, shown, failed = time.monotonic(), -SHOWN_SECONDS, 0
    with tempfile.TemporaryDirectory(prefix="rekindle-soak-") as folder:
        os.environ["REKINDLE_CACHE"] = str(Path(folder) / "cache")
        while (at := time.monotonic() - begun) < 3600 * given.hours or len(seen) < 8:
            failed += not cycle(names[len(seen) % len(names)], len(seen), Path(folder))
            seen.append((at, look()))
            if at - shown >= SHOWN_SECONDS:
                shown = at
                print(f"{at / 60:6.1f} min  cycle {len(seen):5d}  {json.dumps(asdict(seen[-1][1]))}", flush=True)
    return summary([one for at, one in seen if at >= seen[-1][0] / 4], len(seen), failed)


def summary(seen: list[Seen], cycles: int, failed: int) -> int:
    """Print whether everything stayed as it was; 1 where it did not."""
    third = max(1, len(seen) // 3)
    early, late = seen[:third], seen[-third:]
    grown = median(one.megabytes for one in late) / median(one.megabytes for one in early)
    problems = [f"memory grew by {grown - 1:.1%}"] if grown > GROWTH else []
    for name in ("files", "threads", "children"):
        before, after = (max(getattr(one, name) for one in part) for part in (early, late))
        problems += [f"{name}: {before}, then {after}"] if after > before else []
    problems += [f"{failed} cycles failed"] if failed else []
    last = seen[-1]
    print(
        f"soak: {'; '.join(problems) or 'flat'}; {cycles} cycles, memory {last.megabytes:.0f} MB ({grown - 1:+.1%}), "
        f"{last.files} files, {last.threads} threads, {last.children} children"
    )
    return int(bool(problems))


def look() -> Seen:
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return Seen(
        megabytes=round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1),
        files=len(os.listdir("/proc/self/fd")),
        threads=len(os.listdir("/proc/self/task")),
        children=len(children),
    )


# -- a cycle -----------------------------------------------------------------------------------------------------------


def cycle(recipe: str, number: int, folder: Path) -> bool:
    """One of everything; whether all of it worked."""
    out, quiet = folder / f"run-{number % 2}", io.StringIO()
    shutil.rmtree(out, ignore_errors=True)
    try:
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            train(recipe, out)
            others = [str(folder / f"run-{one}") for one in (0, 1) if (folder / f"run-{one}").exists()]
            assert rekindle(["report", str(out)]) == 0
            assert rekindle(["compare", *others, "--out", str(folder / "c.html")]) == 0
            judge()
            serve(number)
    except BaseException as error:
        print(f"cycle {number} ({recipe}): {error!r}; {quiet.getvalue()[-500:]}", flush=True)
        if not isinstance(error, Exception):
            raise
        return False
    return True


def train(recipe: str, out: Path) -> None:
    """Three steps, and after them a fourth as a resumed run."""
    settings = [part for one in QUICK for part in ("--set", one)]
    command = ["train", str(EXAMPLE), "--recipe", recipe, "--out", str(out), *settings]
    assert rekindle([*command, "--set", "train.steps=3"]) in {0, 3}
    assert rekindle([*command, "--set", "train.steps=4", "--resume"]) in {0, 3}


def judge() -> None:
    """Answers in worker processes, one of which is killed for its time."""
    verifier = MathVerifier(workers=2, timeout_seconds=1.0)
    try:
        verdicts = verifier.judge([(Task("1", "q", answer), said) for answer, said in PAIRS])
        assert [one.score for one in verdicts] == [1.0, 1.0, 0.0]
    finally:
        verifier.close()


def serve(number: int) -> None:
    """A server and its clients."""
    index = LexicalIndex.in_memory(Document(str(one), f"t{one}", f"word{one} of {number}") for one in range(200))
    server, ready = RetrieverServer(token="soak"), threading.Event()
    served = threading.Thread(target=server.run, args=(index,), kwargs={"documents": 200, "on_ready": ready.set})
    served.start()
    ready.wait()
    client = HttpRetriever(server.url, token="soak", cache_size=50)
    try:
        with ThreadPoolExecutor(8) as pool:
            found = pool.map(lambda one: client.search([f"word{one % 200}"], 2), range(200))
            assert [hits[0][0].document.id for hits in found] == [str(one % 200) for one in range(200)]
    finally:
        client.close()
        server.stop()
        served.join()
        index.close()


if __name__ == "__main__":
    sys.exit(main())
