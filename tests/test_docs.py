"""What the documents say is there; their links, commands and snippets are in tests/docs."""

import ast
import importlib.util
import re
import tomllib
from itertools import compress
from pathlib import Path

import pytest

from rekindle import GroupRequest, Task
from rekindle.config import Config
from rekindle.config.keys import lists_of
from rekindle.recipes import RECIPES, resolve
from rekindle.testing import FakeEngine, SimulatedPolicy, check_environment
from rekindle.verifiers.signatures import signature_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


LISTS = dict(lists_of(Config))


def keys_of(table):
    model = LISTS.get(table) or Config.model_fields[table].annotation
    assert model is not None
    return model.model_fields


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_recipes_and_keys_that_pages_name_exist(page):
    text = page.read_text(encoding="utf-8")
    for recipe in re.findall(r"--recipe ([a-z_]+)", text):
        assert recipe in RECIPES
    for table, key in re.findall(r"`([a-z_]+)\.([a-z_]+)(?: = [^`]+)?`", text):
        if table in Config.model_fields and key not in {"jsonl", "py"}:
            assert key in keys_of(table), f"{page.name} names {table}.{key}"


def script_of(name):
    """A script of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_configuration_page_is_that_of_the_code():
    module = script_of("make_configuration")
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run: python docs/make_configuration.py"


def run_block(name, number=0, **names):
    """Execute a Python block of a how-to."""
    text = (ROOT / "docs" / "howto" / name).read_text(encoding="utf-8")
    names["__name__"] = name
    exec(compile(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[number], name, "exec"), names)
    return names


@pytest.mark.parametrize("prompts", [200, 3])
def test_the_loop_of_the_how_to_runs(prompts):
    policy, updates, account = SimulatedPolicy([0.5] * prompts), [], []
    names = run_block(
        "ask_tell.md",
        task_ids=[f"t{row}" for row in range(prompts)],
        my_rollouts=policy.play,
        my_update=updates.append,
        my_account=account,
    )
    assert len(updates) == 100
    assert all(len(groups) <= 32 for groups in updates)
    assert sum(one.request.n for one in account) == 4 * len(account)
    assert names["scheduler"].version == 100


def test_the_reward_of_the_how_to_is_one():
    score = run_block("own_reward.md")["score"]
    assert signature_of(score).style == "trl"
    assert score(completions=["it is 4", "5"], answer=["4", "4"], level=[1, 1]) == [1.0, 0.0]


def test_the_how_to_needs_twelve_lines_of_toml_and_they_are_a_configuration(tmp_path):
    text = (ROOT / "docs" / "howto" / "own_reward.md").read_text(encoding="utf-8")
    snippet = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)[0]
    assert len([line for line in snippet.splitlines() if line.strip() and not line.startswith("#")]) <= 12
    (tmp_path / "my.toml").write_text(snippet, encoding="utf-8")
    assert resolve(tmp_path / "my.toml").rewards[0].function == f"{tmp_path}/my_reward.py:score"


def test_the_verifier_of_the_how_to_judges():
    verifier = run_block("own_reward.md", 2)["EndsWithAnswer"]()
    task = Task("t", "2 + 2?", "4")
    assert [verdict.score for verdict in verifier.judge([(task, "it is 4"), (task, "5")])] == [1.0, 0.0]


def test_the_retriever_of_the_how_to_finds():
    retriever = run_block("search_agent.md")["Glossary"]({"ember": "It glows.", "ash": "It does not."})
    found = retriever.search(["ash or ember", "ember ember ash", "smoke"], 1)
    assert [[hit.document.text for hit in hits] for hits in found] == [["It does not."], ["It glows."], []]


def halving(request, sample):
    """The next guess of one who halves what is left of 0 to 14."""
    lines = "".join(map(chr, request.prompt_ids)).removeprefix("Guess:\n").splitlines()
    low, high = 0, 14
    for guess, hint in zip(lines[::2], lines[1::2], strict=True):
        low, high = (int(guess) + 1, high) if hint == "higher" else (low, int(guess) - 1)
    return f"{(low + high) // 2}\n"


def test_the_environment_of_the_how_to_plays():
    tasks = [Task(str(number), "Guess:\n", str(number)) for number in range(15)]
    environment = run_block("search_agent.md", 1)["Guessing"]
    guessing = environment(tasks, FakeEngine(halving), lambda text: list(map(ord, text)))
    check_environment(guessing, len(tasks))
    ((_, (rollout, other)),) = guessing.play(
        [GroupRequest(id=0, task_id="11", row=11, n=2, temperature=1.0, seed=0, version=0, step=0)]
    )
    assert (rollout.reward, rollout.text, rollout.turns) == (1.0, "7\n11\n", 2)
    assert "".join(map(chr, rollout.token_ids)) == "Guess:\n7\nhigher\n11\n"
    assert "".join(map(chr, compress(rollout.token_ids, rollout.loss_mask))) == rollout.text
    assert other == rollout


def test_every_recipe_has_a_page():
    text = "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "methods").glob("*.md"))
    missing = [recipe for recipe in RECIPES if f"`{recipe}`" not in text and f"`--recipe {recipe}`" not in text]
    assert not missing


METHODS = [page for page in PAGES if page.parent.name == "methods" and page.name != "README.md"]
FILE = ["task.source=jsonl", "task.path=prompts.jsonl"]
ANSWERS = [
    "task.source=self_play",
    "task.path=answers.txt",
    "task.eval_path=questions.jsonl",
    "retriever.corpus=wiki.jsonl",
]


@pytest.mark.parametrize("page", METHODS, ids=lambda page: page.stem)
def test_settings_for_a_language_model_are_accepted(page, tmp_path):
    text = page.read_text(encoding="utf-8")
    (_, settings) = text.split("\n**With a language model.** ")
    snippet = settings.split("\n```toml\n")[1].split("```")[0]
    (tmp_path / "page.toml").write_text(snippet, encoding="utf-8")
    of_page = re.findall(r"`--recipe ([a-z_]+)`", text.split("**What.**")[0])
    for recipe in {tomllib.loads(snippet)["recipe"], *of_page}:
        task = ANSWERS if "self_play" in recipe else FILE
        config = resolve(tmp_path / "page.toml", recipe, ["model.path=models/policy", "train.steps=100", *task])
        assert config.recipe == recipe
        assert config.train.learning_rate <= 1e-5


@pytest.mark.parametrize("page", METHODS, ids=lambda page: page.stem)
def test_pages_say_what_an_update_costs(page):
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"^\*\*Cost\.\*\* ", text, re.M)) == 1


ENTRIES = ["When to use it", "In TRL and verl", "Code"]


def entries_of(page):
    """The entries at the top of a page of a method, by label, in the page's order."""
    top = page.read_text(encoding="utf-8").split("\n## ")[0]
    found = re.findall(rf"^\*\*({'|'.join(ENTRIES)})\.\*\* (.+?)(?=\n\n|\n?\Z)", top, re.M | re.DOTALL)
    assert [label for label, _ in found] == ENTRIES
    return dict(found)


@pytest.mark.parametrize("page", METHODS, ids=lambda page: page.stem)
def test_pages_say_when_to_use_it_and_what_it_is_called_elsewhere(page):
    entries = entries_of(page)
    assert re.search(r"\b[Nn]ot\b", entries["When to use it"]), "also when not"
    elsewhere = entries["In TRL and verl"]
    assert elsewhere.startswith("Neither has ") or {"TRL", "verl"} <= set(re.findall(r"\w+", elsewhere))


def definitions_of(path):
    """Names of the functions and classes of a module."""
    body = ast.parse(path.read_text(encoding="utf-8")).body
    return {one.name for one in body if isinstance(one, ast.FunctionDef | ast.ClassDef)}


@pytest.mark.parametrize("page", METHODS, ids=lambda page: page.stem)
def test_the_code_that_pages_link_to_is_there(page):
    code = entries_of(page)["Code"]
    links = re.findall(r"\[`(\w+)`\]\(([^)]+)\)", code)
    assert 0 < len(links) == code.count("](")
    for name, target in links:
        path = (page.parent / target).resolve()
        assert path.is_relative_to(ROOT / "src" / "rekindle")
        assert path.is_file(), f"{page.name} links to {target}"
        assert name in definitions_of(path), f"{page.name} says that {name} is in {target}"


def test_the_table_of_costs_has_every_recipe():
    text = (ROOT / "docs" / "methods" / "README.md").read_text(encoding="utf-8")
    table = text.split("## What an update costs")[1].split("\n\n")[2]
    first_cells = "".join(line.split("|")[1] for line in table.splitlines()[2:])
    assert sorted(re.findall(r"`([a-z_]+)`", first_cells)) == sorted(RECIPES)


def test_the_table_of_recipes_inside_trl_is_that_of_the_code():
    module = script_of("make_trl")
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run: python docs/make_trl.py"


def test_the_tables_of_recipes_and_settings_on_verl_are_those_of_the_code():
    module = script_of("make_verl")
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run: python docs/make_verl.py"


def test_the_names_of_other_trainers_are_those_of_the_code():
    module = script_of("make_names")
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run: python docs/make_names.py"


def test_the_tables_of_sizes_on_verl_are_those_of_the_launch_files():
    module = script_of("make_verl_sizes")
    assert module.PAGE.read_text(encoding="utf-8") == module.page(), "run: python docs/make_verl_sizes.py"


def test_what_was_measured_is_that_of_the_results_in_the_package_and_on_the_pages():
    module = script_of("make_choosing")
    found = module.entries()
    assert found, "there are results"
    assert len({one["name"] for one in found}) == len(found)
    written = {path: path.read_text(encoding="utf-8") for path in (module.MEASURED, module.PAGE, module.WHAT_WORKS)}
    assert written == module.texts(found), "run: python docs/make_choosing.py"
