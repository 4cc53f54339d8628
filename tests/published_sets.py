"""Rows of our own in the columns, files and cards of data sets on the Hugging Face hub, by name.

The layouts are those of the repositories in 2025: their cards, and for the original of DAPO-Math-17k its description by
Open-R1's script.
"""

import io
import json

__all__ = ["CORPUS", "SETS"]

CORPUS = [
    {"id": "1", "contents": '"Elbe"\nThe Elbe is a river. Lena drew the first map of the Elbe.'},
    {"id": "2", "contents": '"Omar"\nOmar built the bridge across the Elbe.'},
    {"id": "3", "contents": '"Alps"\nThe Alps are mountains without a bridge.'},
]
"""Passages in the format of Search-R1."""
TRAIN, HELD_OUT = range(16), range(16, 22)


def _result(number):
    """The answer of a problem: 7 or 8."""
    return 7 + number % 2


def _parquet(rows):
    import pyarrow
    import pyarrow.parquet

    sink = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), sink)
    return sink.getvalue()


def _card(subsets, splits, pattern):
    lines = ["---", "license: mit", "configs:"]
    for subset in subsets:
        lines += [f"- config_name: {subset}", "  data_files:"]
        for split in splits:
            lines += [f"  - split: {split}", f"    path: {pattern.format(subset=subset, split=split)}"]
    return "\n".join([*lines, "---", "# A card", ""]).encode()


def _gsm8k(number):
    total, more = _result(number) - 1, number + 2
    return {
        "question": f"Ida has {more} apples and {total + 1} pears. How many pears does she have?",
        "answer": f"She has {total}+1=<<{total}+1={total + 1}>>{total + 1} pears.\n#### {total + 1}",
    }


def _math(number):
    return {
        "problem": f"Find $x$ if $x + {number} = {_result(number) + number}$.",
        "level": f"Level {1 + number % 5}",
        "type": "Algebra",
        "solution": f"Subtracting ${number}$ gives $x = \\boxed{{{_result(number)}}}$.",
    }


def _dapo(number):
    problem = f"What is ${number} + {_result(number)} - {number}$?"
    asked = f'Solve this problem. The last line of your response is "Answer: $Answer".\n\n{problem}'
    return {
        "prompt": problem,
        "solution": f"{_result(number)}",
        "data_source": "math_dapo",
        "source_prompt": [{"content": asked, "role": "user"}],
        "ability": "MATH",
        "reward_model": {"ground_truth": f"{_result(number)}", "style": "rule-lighteval/MATH_v2"},
        "extra_info": {"index": f"{number:08x}-0000"},
    }


def _hotpotqa(number):
    return {
        "id": f"split_{number}",
        "question": f"Who {'built the bridge across' if number % 2 else 'mapped'} the river of town {number}?",
        "golden_answers": ["Omar" if number % 2 else "Lena"],
        "metadata": {"type": "bridge", "level": "hard", "supporting_facts": {"title": ["Elbe"], "sent_id": [1]}},
    }


def _lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _openai_gsm8k():
    shard = "{subset}/{split}-*"
    files = {"README.md": _card(["main", "socratic"], ["train", "test"], shard)}
    for subset in ("main", "socratic"):
        files[f"{subset}/train-00000-of-00001.parquet"] = _parquet([_gsm8k(number) for number in TRAIN])
        files[f"{subset}/test-00000-of-00001.parquet"] = _parquet([_gsm8k(number) for number in HELD_OUT])
    return files


def _math_lighteval():
    card = _card(["algebra"], ["train", "test"], "{subset}/{split}-*").replace(
        b"configs:\n",
        b"configs:\n- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*\n"
        b"  - split: test\n    path: data/test-*\n",
    )
    files = {"README.md": card}
    for folder in ("data", "algebra"):
        files[f"{folder}/train-00000-of-00001.parquet"] = _parquet([_math(number) for number in TRAIN])
        files[f"{folder}/test-00000-of-00001.parquet"] = _parquet([_math(number) for number in HELD_OUT])
    return files


def _dapo_processed():
    subsets = ["all", "cn", "en"]
    rows = [_dapo(number) for number in (*TRAIN, *HELD_OUT)]
    files = {f"{subset}/train-00000-of-00001.parquet": _parquet(rows) for subset in subsets}
    return {"README.md": _card(subsets, ["train"], "{subset}/{split}-*"), **files}


def _flashrag():
    parts = {"train": [_hotpotqa(one) for one in TRAIN], "dev": [_hotpotqa(one) for one in HELD_OUT]}
    files = {f"{subset}/{split}.jsonl": _lines(rows) for subset in ("hotpotqa", "nq") for split, rows in parts.items()}
    return {"README.md": _card(["hotpotqa", "nq"], list(parts), "{subset}/{split}.jsonl"), **files}


SETS = {
    "openai/gsm8k": _openai_gsm8k,
    "DigitalLearningGmbH/MATH-lighteval": _math_lighteval,
    "open-r1/DAPO-Math-17k-Processed": _dapo_processed,
    "RUC-NLPIR/FlashRAG_datasets": _flashrag,
}
"""Name -> function that returns the files by path."""
