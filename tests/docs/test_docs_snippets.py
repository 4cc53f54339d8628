"""TOML and JSON on the pages, read by the strict configuration and by the reader of rows."""

import json
import tomllib
from typing import Any

import pytest
import tomli_w

from docs_pages import all_blocks, blocks, name_of
from rekindle.config import merge
from rekindle.recipes import resolve
from rekindle.tasks.files import read_tasks


def labelled(cases):
    return [pytest.param(page, number, id=f"{name_of(page)}-{number}") for page, number in cases]


# -- TOML -------------------------------------------------------------------------------------------------------------

SEARCH = {"task": {"environment": "search"}, "retriever": {"corpus": "wiki.jsonl"}}
SELF_PLAY = {
    "recipe": "self_play",
    "task": {"source": "self_play", "path": "answers.txt", "eval_path": "questions.jsonl"},
    "retriever": {"corpus": "wiki.jsonl"},
}
SURROUNDINGS: dict[str, dict[str, Any]] = {
    "docs/howto/profile.md": {"recipe": "posterior_recycle"},
    "docs/howto/retrieval.md": SEARCH,
    "docs/howto/search_agent.md": SEARCH,
    "docs/howto/second_opinions.md": {"task": {"verifier": "math"}},
    "docs/howto/self_play.md": SELF_PLAY,
    "docs/methods/self_play.md": SELF_PLAY,
}
"""What the snippets of a page are read beside, because the page is about it."""


def surrounded(snippet, page):
    """The snippet with a model, a task and an end, where it has none of its own."""
    base = {"task": {"source": "jsonl", "path": "rows.jsonl"}, "train": {"steps": 100}, "model": {"path": "models/m"}}
    base = merge(base, SURROUNDINGS.get(name_of(page), {}))
    if "source" in snippet.get("task", {}):
        del base["task"]
    if {"steps", "rollouts", "tokens"} & set(snippet.get("train", {})):
        del base["train"]
    if {"path", "tiny"} & set(snippet.get("model", {})):
        del base["model"]
    if snippet.get("retriever", {}).get("kind") == "http":
        base["retriever"] = {}
    return merge(base, snippet)


@pytest.mark.parametrize(("page", "number"), labelled(all_blocks("toml")))
def test_toml_is_a_configuration(page, number, tmp_path):
    snippet = tomllib.loads(blocks(page, "toml")[number])
    (tmp_path / "page.toml").write_text(tomli_w.dumps(surrounded(snippet, page)))
    assert resolve(tmp_path / "page.toml")


# -- JSON -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("page", "number"), labelled(all_blocks("json")))
def test_json_is_a_task_or_a_sample(page, number, tmp_path):
    row = json.loads(blocks(page, "json")[number])
    if "completion" not in row:  # a sample, which test_docs_python.py compares with one of a run
        (tmp_path / "rows.jsonl").write_text(json.dumps(row))
        (task,) = read_tasks(tmp_path / "rows.jsonl", "jsonl")
        assert task.answer == row["answer"]
