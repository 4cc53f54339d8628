"""Verdicts of `math` beside those of math-verify alone, on labelled samples and real solutions.

    python benchmarks/maths_agreement.py --data DIR [--out benchmarks/maths_agreement.json] [--docs]

DIR holds ``math/``: 400 samples of Qwen2.5-Math with labels, and the solutions of MATH-500 and GSM8K. Each text is
compared with its own reference and with that of another problem.
math-verify gets the whole text, as its users call it.
"""

import argparse
import json
import re
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import arms
from rekindle.types import Task
from rekindle.verifiers.maths import MathVerifier

RESULTS = arms.ROOT / "benchmarks" / "maths_agreement.json"
PAGE, BLOCK = Path("howto/verifiers.md"), "maths-agreement"
Pair = tuple[Task, str]


def sets_of(data: Path) -> dict[str, list[Pair]]:
    """(Task, text) pairs by name."""
    samples, solved = (
        arms.read_rows(data / "math/qwen_math_samples_50x8.jsonl"),
        arms.read_rows(data / "math/math500.jsonl"),
    )
    own = {
        "samples of Qwen2.5-Math": [
            (Task(str(row["idx"]), row["question"], row["answer"]), text) for row in samples for text in row["code"]
        ],
        "solutions of MATH-500": [
            (Task(row["unique_id"], row["problem"], row["answer"]), row["solution"]) for row in solved
        ],
        "solutions of GSM8K, without the mark": [_gsm8k(row) for row in arms.read_rows(data / "math/gsm8k_test.jsonl")],
    }
    return {
        **own,
        **{f"{name}, next reference": _shifted(pairs) for name, pairs in own.items() if "GSM8K" not in name},
    }


def _gsm8k(row: dict[str, Any]) -> Pair:
    solution, _, answer = re.sub("<<.*?>>", "", row["answer"]).rpartition("####")
    return Task("gsm8k", row["question"], answer.strip()), solution


def _shifted(pairs: Sequence[Pair]) -> list[Pair]:
    return [(task, text) for (task, _), (_, text) in zip(pairs, [*pairs[9:], *pairs[:9]], strict=True)]


def math_verify_says(pair: Pair) -> bool:
    from math_verify import parse, verify

    task, text = pair
    reference, found = parse(f"\\boxed{{{task.answer}}}", parsing_timeout=None), parse(text, parsing_timeout=None)
    return bool(verify(reference, found, timeout_seconds=None))


def compare(pairs: Sequence[Pair]) -> dict[str, int]:
    """Counts of agreement; prints the pairs on which we differ."""
    with closing(MathVerifier(workers=2, timeout_seconds=20.0)) as verifier:
        ours = [verdict.score == 1 for verdict in verifier.judge(pairs)]
    theirs = [math_verify_says(pair) for pair in pairs]
    kinds = {(True, True): "both", (False, False): "neither", (True, False): "only_us", (False, True): "only_them"}
    counts = Counter(kinds[pair] for pair in zip(ours, theirs, strict=True))
    for (task, text), one, other in zip(pairs, ours, theirs, strict=True):
        if one != other:
            print(f"{kinds[one, other]}: {task.answer!r} in {text[-100:]!r}", file=sys.stderr)
    return dict(counts)


def table(found: dict[str, Any]) -> str:
    lines = [["texts", "pairs", "both accept", "neither", "only `math`", "only math-verify"]]
    for name, one in found["texts"].items():
        counts = [one.get(kind, 0) for kind in ("both", "neither", "only_us", "only_them")]
        lines.append([name, str(sum(counts)), *map(str, counts)])
    return f"{arms.markdown_table(lines)}\n{arms.made_words([found['made']])}\n"


def main() -> None:
    """Measure if data is given, print the table, and write it if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="directory with math/; absent: use the results there are")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--docs", type=Path, nargs="?", const=arms.ROOT / "docs", help="write the page's block")
    options = parser.parse_args()
    if options.data:
        texts = {name: compare(pairs) for name, pairs in sets_of(options.data).items()}
        found = {"made": arms.made_now(), "texts": texts}
        options.out.write_text(json.dumps(found, indent=1) + "\n")
    elif not options.out.exists():
        parser.error(f"{options.out} does not exist; give --data DIR")
    text = table(arms.read_results(options.out))
    print(text)
    if options.docs:
        arms.replace_block(options.docs / PAGE, BLOCK, text)


if __name__ == "__main__":
    main()
