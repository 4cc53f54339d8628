"""The configurations of examples/ for published data sets and models of the hub: two real steps of each.

They are read as they are. A server with the hub's protocol has the names that they use: tiny models of the same class,
and rows of our own in the columns of the data sets.
"""

import json
import re
import shlex
from pathlib import Path

import pytest

import published_sets
import qwen_like
from docs_pages import ROOT, commands
from fake_hub import serving, used
from rekindle.cli import main
from rekindle.observability.runs import load_run
from rekindle.planning.shapes import SHAPES
from rekindle.recipes import resolve

EXAMPLES = ROOT / "examples"
PAGE = ROOT / "docs" / "howto" / "qwen.md"
READY = ("gsm8k", "math", "dapo_math", "hotpotqa")
SEVERAL = {"Qwen/Qwen2.5-0.5B-Instruct": "qwen2", "Qwen/Qwen2.5-1.5B-Instruct": "qwen2", "Qwen/Qwen3-1.7B": "qwen3"}
"""Models that the files and their comments name, and the class of each."""
SMALLER = {
    "train.steps": 2,
    "train.groups_per_step": 4,
    "train.threads": 1,
    "eval.every": 2,
    "eval.prompts": 2,
    "checkpoint.every": 2,
}
"""What is made smaller; everything else is that of the file."""
GPU, REST = 80e9, 12e9
"""Bytes of the GPU that the files name, and of what is not counted: inner values of a micro-batch, buffers."""
TRAINED, LONGEST_PROMPT = 20, 512
"""Bytes of a weight that is trained in bfloat16 with AdamW's state; assumed tokens of a prompt."""


def file_of(name):
    return EXAMPLES / f"{name}.toml"


def commands_of(name):
    """The commands in the comments of a file, as lists of words."""
    found = re.findall(r"^#   rekindle (train .*)$", file_of(name).read_text(encoding="utf-8"), re.MULTILINE)
    return [shlex.split(one) for one in found]


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    pytest.importorskip("pyarrow")
    with serving() as running:
        for name, family in SEVERAL.items():
            directory = tmp_path_factory.mktemp(family)
            qwen_like.save(family, directory)
            running.push(name, directory)
        for name, files in published_sets.SETS.items():
            running.push_files(f"datasets/{name}", files())
        with pytest.MonkeyPatch.context() as patch, used(running, tmp_path_factory.mktemp("cache"), patch):
            yield running


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """An empty folder with a copy of the files and a corpus of three passages."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "examples").mkdir()
    for name in READY:
        (tmp_path / "examples" / f"{name}.toml").write_bytes(file_of(name).read_bytes())
    lines = "".join(json.dumps(passage) + "\n" for passage in published_sets.CORPUS)
    for corpus in ("wiki-18.jsonl", "passages.jsonl"):
        (tmp_path / corpus).write_text(lines)
    return tmp_path


def smaller(words):
    return [*words, *(word for key, value in SMALLER.items() for word in ("--set", f"{key}={value}"))]


def trained(words):
    """Configuration and records of the run that a command makes."""
    assert main(smaller(words)) == 0
    place = Path(words[words.index("--out") + 1])
    return resolve(place / "config.toml"), load_run(place)


def check_two_steps(words):
    config, run = trained(words)
    assert run.ending == "done"
    assert len(run.metrics) == 3
    for step in run.metrics[1:]:
        assert step["groups/trained"] >= 1
        assert step["groups/failed"] == 0
        assert step["grad_norm"] > 0
        assert 0 < step["reward/mean"] < 1
    prompts = {sample["prompt"] for sample in run.samples}
    assert all(prompt.endswith(("assistant\n", "</think>\n\n")) for prompt in prompts)
    thoughts = {prompt.endswith("</think>\n\n") for prompt in prompts}
    assert thoughts == {bool(config.model.template_variables)}
    assert all((config.model.system_prompt or "") in prompt for prompt in prompts)
    return config, run


@pytest.mark.parametrize("name", READY)
def test_two_steps_of_each_file(name, hub):
    config, run = check_two_steps(commands_of(name)[0])
    assert (config.recipe, config.model.path) == ("recycle", "Qwen/Qwen2.5-1.5B-Instruct")
    if name == "hotpotqa":
        assert sum(step["search/documents"] for step in run.metrics[1:]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("command", [one for name in READY for one in commands_of(name)[1:]], ids=" ".join)
def test_two_steps_of_each_other_command(command, hub):
    check_two_steps(command)


def test_each_file_names_its_commands():
    for name in READY:
        found = [" ".join(words) for words in commands_of(name)]
        assert len(found) >= 3
        assert all(f"examples/{name}.toml" in command and "--out" in command for command in found)
        assert sum("Qwen/Qwen3-1.7B" in command for command in found) == 1
        assert any("--recipe recycle" in command for command in found)
        assert any("--recipe recycle" not in command for command in found)


MISTAKES = [
    ("gsm8k", 'answer = "answer"', 'answer = "solution"', r'nothing in the column "solution" .*the row has .*question'),
    ("gsm8k", 'subset = "main"', 'subset = "all"', r'no subset "all".*main, socratic'),
    ("math", 'prompt = "problem"', 'prompt = "question"', r'nothing in the column "question" \(task.columns.prompt\)'),
    ("math", 'eval_split = "test"', 'eval_split = "dev"', r'no split "dev".*test, train'),
    ("dapo_math", "reward_model.ground_truth", "reward_model.answer", r'nothing in the column "reward_model.answer"'),
    ("dapo_math", "weight_decay =", "weight_decays =", r"weight_decays"),
    ("hotpotqa", 'subset = "hotpotqa"', 'subset = "hotpot"', r'no subset "hotpot" \(did you mean "hotpotqa"\?\)'),
    ("hotpotqa", "[search]", "[pool]\nalpha = 0.5\n\n[search]", r"pool.alpha"),
    ("hotpotqa", 'corpus = "wiki-18.jsonl"', 'corpus = "nowhere.jsonl"', r"nowhere.jsonl"),
    ("hotpotqa", 'environment = "search"', 'environment = "single_turn"', r"search"),
]


@pytest.mark.parametrize(("name", "right", "wrong", "message"), MISTAKES, ids=lambda one: one[:20])
def test_a_mistake_in_a_file_ends_with_a_sentence(name, right, wrong, message, hub, folder, capsys):
    path = folder / "examples" / f"{name}.toml"
    text = path.read_text(encoding="utf-8")
    assert text.count(right) == 1
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    assert main(smaller(["train", f"examples/{name}.toml", "--recipe", "grpo", "--out", "runs/wrong"])) == 2
    said = capsys.readouterr().err
    assert re.search(message, said), said
    assert "Traceback" not in said


@pytest.mark.parametrize("command", [one for name in READY for one in commands_of(name)], ids=" ".join)
def test_weights_and_cache_fit_into_the_gpu(command):
    sets = [command[place + 1] for place, word in enumerate(command) if word == "--set"]
    config = resolve(ROOT / command[1], command[command.index("--recipe") + 1], sets)
    shape = SHAPES[str(config.model.path)]
    read = config.search.documents * config.search.document_tokens * (config.search.max_turns - 1)
    longest = LONGEST_PROMPT + config.engine.max_new_tokens + (read if config.task.environment == "search" else 0)
    cache = config.engine.max_rows * longest * shape.cache_bytes()
    assert TRAINED * shape.parameters + cache + REST < GPU


def test_the_page_has_the_commands_of_the_files():
    on_page = [words for program, *words in commands(PAGE) if program == "rekindle" and words[0] == "train"]
    assert {words[1] for words in on_page} == {f"examples/{name}.toml" for name in READY}
    assert [words for words in on_page if words not in [one for name in READY for one in commands_of(name)]] == []
