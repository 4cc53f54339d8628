"""Keep the first row of every prompt of a Parquet file for verl, and check what rekindle and verl need of the rows.

DAPO-Math-17k repeats each row a hundred times; rekindle counts the visits of a prompt, so each should be there once.

Run it as: python examples/verl/distinct_prompts.py dapo-math-17k.parquet data/dapo_math/train.parquet
"""

import argparse
import json
from pathlib import Path

import pyarrow.parquet as pq

COLUMNS = {"data_source", "prompt", "reward_model"}


def key(messages):
    """A text that is equal for equal prompts."""
    return json.dumps([(one["role"], one["content"]) for one in messages])


def distinct(source, target):
    """Write the distinct prompts; return how many rows were read and written."""
    rows = pq.ParquetFile(source)
    if missing := COLUMNS - set(rows.schema_arrow.names):
        raise SystemExit(
            f"{source} has no column {', '.join(sorted(missing))}; verl needs {', '.join(sorted(COLUMNS))}"
        )
    seen, read = set(), 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with pq.ParquetWriter(target, rows.schema_arrow) as written:
        for batch in rows.iter_batches():
            keys = [key(messages) for messages in batch.column("prompt").to_pylist()]
            first = [not (one in seen or seen.add(one)) for one in keys]
            read += len(keys)
            written.write_batch(batch.filter(first))
    return read, len(seen)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    chosen = parser.parse_args()
    read, kept = distinct(chosen.source, chosen.target)
    print(f"{chosen.target}: {kept} of {read} rows")
