"""Python on the pages is executed, with tiny models under the names of the real ones."""

import json
import re
import string
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import tomli_w

import rekindle
from docs_pages import ROOT, all_blocks, blocks, name_of
from rekindle import Task
from rekindle.cli import main
from rekindle.models.policy import Policy
from rekindle.recipes import resolve
from rekindle.retrieval.lexical import LexicalIndex
from rekindle.retrieval.server import RetrieverServer
from rekindle.types import Document
from rekindle.warm_starts.tiny_model import build_tiny
from synthetic_arms import write_sweep

ELSEWHERE = {
    (
        "docs/howto/own_reward.md",
        1,
    ): "TRL has an environment of its own; its trainer's names are checked by make test-trl",
    ("docs/howto/resume.md", 0): "it needs a run with a skipped step; tests/training/test_loop.py makes one",
    (
        "docs/howto/other_trainers.md",
        0,
    ): "TRL has an environment of its own; its trainer's names are checked by make test-trl",
}
"""Blocks that are compiled and not executed, with the reason."""
IN_TEST_DOCS = {
    ("docs/howto/ask_tell.md", 0),
    ("docs/howto/own_reward.md", 0),
    ("docs/howto/own_reward.md", 2),
    ("docs/howto/search_agent.md", 0),
    ("docs/howto/search_agent.md", 1),
    ("README.md", 0),
}
"""Blocks that test_docs.py and test_readme.py execute."""
PLAYED: set[tuple[str, int]] = set()


def plays(page, number):
    """Note that a test executes a block."""

    def register(function):
        PLAYED.add((page, number))
        return function

    return register


def executed(page, number, *changes, **names):
    """The names after a block was executed, with (old, new) texts changed in it before."""
    code = blocks(ROOT / page, "python")[number]
    for old, new in changes:
        assert old in code
        code = code.replace(old, new)
    exec(compile(code, page, "exec"), names)
    return names


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A folder with tiny models under the names of the pages."""
    folder = tmp_path_factory.mktemp("pages")
    tiny = build_tiny(
        layers=1, hidden_size=16, heads=2, kv_heads=1, intermediate_size=16, max_length=96, characters=string.printable
    )  # fmt: skip
    for name in ("SmolLM2-135M-Instruct", "mine", "base"):
        tiny.save(folder / "models" / name)
    rows = [{"prompt": f"What is {number} + 1?", "answer": str(number + 1)} for number in range(20)]
    (folder / "questions.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (folder / "my_reward.py").write_text(blocks(ROOT / "docs/howto/own_reward.md", "python")[0])
    return folder


@pytest.fixture
def here(models, monkeypatch):
    monkeypatch.chdir(models)
    monkeypatch.syspath_prepend(str(models))
    yield models
    sys.modules.pop("my_reward", None)


SHORT = '"steps": 1, "groups_per_step": 2'


@plays("docs/howto/python.md", 0)
def test_a_run_from_a_script(here, capsys):
    rows = '[{"prompt": "What is 17 + 25?", "answer": "42"}, ...]'
    names = executed("docs/howto/python.md", 0, ('"steps": 100', SHORT), (rows, '"questions.jsonl"'))
    assert names["run"].ending == "done"
    assert capsys.readouterr().out.startswith("done ")
    sample = json.loads(blocks(ROOT / "docs" / "concepts.md", "json")[0])
    kept = next(line for line in names["run"].samples if line["split"] == "train")
    assert set(kept) == set(sample), "the line of samples.jsonl on the page of concepts"


@plays("docs/howto/other_trainers.md", 1)
def test_the_script_that_was_trls(here):
    names = executed("docs/howto/other_trainers.md", 1, ('"steps": 100', SHORT), ("runs/mine", "runs/other"))
    assert names["run"].metrics[-1]["step"] == 1


@plays("docs/howto/own_environment.md", 0)
def test_the_calculator(here):
    rows = [{"prompt": "12 * 3?", "answer": "36"}, {"prompt": "2 * 3?", "answer": "6"}] * 10
    rows = [{**row, "prompt": f"{number}: {row['prompt']}"} for number, row in enumerate(rows)]
    short = f'config={{"train": {{{SHORT}}}, "dialogue"'
    names = executed(
        "docs/howto/own_environment.md", 0, ('config={"dialogue"', short), re=re, rekindle=rekindle, rows=rows
    )
    calculator, task = names["Calculator"](), Task("t", "12 * 3?", "36")
    assert [calculator.respond(task, text) for text in ("CALC(12*3)", " 36 ", "6")] == ["36", 1.0, 0.0]


@pytest.mark.slow
@plays("docs/howto/lora.md", 0)
def test_the_adapter_is_peft_s(here):
    config = {"train": {"steps": 1, "groups_per_step": 2}, "model": {"lora": {"rank": 2}}, "eval": {"prompts": 2}}
    rekindle.train("models/base", "questions.jsonl", config=config, out="runs/adapter")
    names = executed("docs/howto/lora.md", 0, ("runs/mine", "runs/adapter"))
    assert names["model"].peft_config["default"].r == 2


@plays("docs/howto/own_reward.md", 3)
def test_a_verifier_in_an_environment(here):
    policy = Policy.load(Path("models/mine"))
    verifier = executed("docs/howto/own_reward.md", 2)["EndsWithAnswer"]
    tasks, engine = [Task("t", "2 + 2?", "4")], SimpleNamespace()
    names = executed("docs/howto/own_reward.md", 3, policy=policy, tasks=tasks, engine=engine, EndsWithAnswer=verifier)
    assert names["environment"]


@plays("docs/howto/profile.md", 0)
def test_a_profile_is_a_table(here, capsys):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"successes": [1, 3], "samples": [8, 8]})
    pyarrow.parquet.write_table(table, "profile.parquet")
    assert executed("docs/howto/profile.md", 0)["profile"].successes.tolist() == [1, 3]
    assert "mean     0.25" in capsys.readouterr().out


@plays("docs/howto/read_run.md", 0)
@plays("docs/howto/read_run.md", 1)
@plays("docs/howto/read_run.md", 2)
def test_a_run_as_tables(here, capsys):
    pytest.importorskip("polars", reason='polars is not installed: pip install "rekindle[polars]"')
    config = {"train": {"steps": 1, "groups_per_step": 2}, "eval": {"prompts": 2}}
    made = rekindle.train("models/mine", "questions.jsonl", config=config, out="runs/tables")
    names = executed("docs/howto/read_run.md", 0, ("runs/quickstart", "runs/tables"))
    assert names["ledger"]["n"].sum() == made.metrics[-1]["total_rollouts"]
    assert set(names["samples"]["split"]) == {"train", "held_out"}
    capsys.readouterr()
    assert main(["export", "runs/tables", "--ledger", "--out", "tables"]) == 0
    capsys.readouterr()
    tables = executed("docs/howto/read_run.md", 1)
    assert tables["fates"].sum() == tables["hardest"].collect()["n"].sum() == made.metrics[-1]["total_rollouts"]
    executed("docs/howto/read_run.md", 2)
    assert capsys.readouterr().out == f"{made.config['recipe']} 0\n"


@plays("docs/howto/evaluation.md", 0)
def test_results_of_an_evaluation(here, capsys):
    (here / "results" / "step-200").mkdir(parents=True, exist_ok=True)
    measures = {"pass_at": {"1": 0.5}, "standard_error": {"1": 0.1}, "run_error": 0.2}
    (here / "results" / "step-200" / "results.json").write_text(json.dumps({"sets": {"nq": measures}}))
    executed("docs/howto/evaluation.md", 0)
    assert capsys.readouterr().out == "nq 0.5 0.1 0.2\n"


@plays("docs/howto/retrieval.md", 0)
def test_an_index_in_memory(here):
    names = executed("docs/howto/retrieval.md", 0)
    assert names["best"].document.title == "Paris"
    assert names["world"].search(["river"], k=1)[0][0].document.title == "Tiber"


@plays("docs/howto/retrieval.md", 1)
def test_a_client_of_a_server(here):
    server, ready = RetrieverServer(), threading.Event()
    index = LexicalIndex.in_memory([Document("0", "Paris", "The capital of France.")])
    thread = threading.Thread(target=server.run, args=(index,), kwargs={"documents": 1, "on_ready": ready.set})
    thread.start()
    try:
        assert ready.wait(30)
        names = executed("docs/howto/retrieval.md", 1, ("http://127.0.0.1:8000/retrieve", server.url))
        assert names["first_titles"](["capital of France", "zebra"]) == ["Paris", None]
    finally:
        server.stop()
        thread.join()


@plays("docs/howto/sweeps.md", 0)
def test_a_sweep_of_a_script_is_compared(here, capsys):
    tables = {
        "model": {"path": "models/mine"},
        "task": {"source": "jsonl", "path": "questions.jsonl"},
        "train": {"steps": 1, "groups_per_step": 2, "group_size": 2},
        "engine": {"max_new_tokens": 2},
        "eval": {"prompts": 2},
    }
    (here / "my.toml").write_text(tomli_w.dumps(tables))
    executed("docs/howto/sweeps.md", 0, ("seeds=range(5)", "seeds=range(1), shown=False"))
    said = capsys.readouterr().out
    assert said.startswith("True ['grpo-0', 'recycle-0']\n")
    assert "arm      seeds  accuracy" in said


@plays("docs/howto/compare.md", 0)
def test_a_comparison_of_a_script(here, capsys):
    write_sweep(here / "runs" / "toy", {"grpo": 0.3, "recycle": 0.4}, noise=0.01)
    executed("docs/howto/compare.md", 0)
    said = capsys.readouterr().out
    assert said.startswith("At 20k generated tokens, the accuracy of recycle")
    assert re.search(r"^recycle 0\.\d+ -?0\.\d+ 0\.\d+$", said, re.M)
    assert (here / "comparison.html").is_file()
    assert (here / "comparison.tex").is_file()


@plays("docs/howto/trl.md", 0)
def test_tables_for_trl_are_a_configuration(here):
    tables = executed("docs/howto/trl.md", 0)["recipe"]
    rest = {"model": {"path": "m"}, "task": {"source": "jsonl", "path": "rows.jsonl"}, "train": {"steps": 1}}
    (here / "trl.toml").write_text(tomli_w.dumps(tables | rest))
    assert resolve(here / "trl.toml").pool.reset_below == 0.2


def promised(page, number):
    """(Expression, the value that the page says behind it) of a block."""
    code = blocks(ROOT / page, "python")[number]
    found = re.findall(r"^(\w+\(.*\))  # (\S+)$", code, re.MULTILINE)
    names = executed(page, number)
    return [(eval(expression, names), eval(value)) for expression, value in found]


@plays("docs/howto/verifiers.md", 0)
@plays("docs/howto/qa_verifiers.md", 0)
@pytest.mark.parametrize("page", ["docs/howto/verifiers.md", "docs/howto/qa_verifiers.md"])
def test_verifiers_return_what_the_page_says(page):
    pairs = promised(page, 0)
    assert pairs
    assert all(value == pytest.approx(said, abs=0.005) for value, said in pairs)


def test_every_block_is_executed_or_has_a_reason():
    python = {(name_of(page), number) for page, number in all_blocks("python")}
    assert python == {*PLAYED, *IN_TEST_DOCS, *ELSEWHERE}
    for page, number in ELSEWHERE:
        assert compile(blocks(ROOT / page, "python")[number], page, "exec")
