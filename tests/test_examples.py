"""The scripts and notebooks of examples/ run."""

import importlib.util
import json
import string
from pathlib import Path

import pytest

from rekindle.warm_starts.tiny_model import build_tiny

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = ["calculator.py", "own_reward.py", "text_game.py"]
SLOW = {"text_game.py", "own_reward.py", "first_run.ipynb", "own_reward.ipynb"}
NOTEBOOKS = sorted(path.name for path in EXAMPLES.glob("*.ipynb"))


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("model")
    build_tiny(
        layers=1, hidden_size=16, heads=2, kv_heads=1, intermediate_size=16, max_length=400, characters=string.printable
    ).save(directory)  # fmt: skip
    return directory


def loaded(name):
    spec = importlib.util.spec_from_file_location(name.removesuffix(".py"), EXAMPLES / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [pytest.param(one, marks=[pytest.mark.slow] * (one in SLOW)) for one in SCRIPTS])
def test_a_script_trains(name, model, tmp_path):
    run = loaded(name).train(model=str(model), steps=1, out=tmp_path / "run")
    assert run.ending in {"done", "bound"}
    assert run.metrics[-1]["rollouts"] >= 64
    assert run.samples


def test_the_calculator_answers_and_judges():
    module = loaded("calculator.py")
    task = module.rekindle.Task("t", "12 * 3", "36")
    calculator = module.Calculator()
    assert calculator.respond(task, "CALC(12*3)\n") == "36"
    assert calculator.respond(task, "Answer: 36\n") == 1.0
    assert [calculator.respond(task, text) for text in ("Answer: 37", "36", "Question: 12 * 3 = 36")] == [0.0] * 3


def test_the_game_is_played_to_its_end():
    module = loaded("text_game.py")
    game, task = module.Game(), module.rekindle.Task("t", "p", "", {"seed": 5})
    state = game.begin(task)
    low, high = 1, 9
    for guess in range(1, 5):
        middle = (low + high) // 2
        said = game.respond(state, f"I guess {middle}")
        if isinstance(said, float):
            assert said == pytest.approx(1 - 0.1 * (guess - 1))
            return
        low, high = (middle + 1, high) if said == "Higher." else (low, middle - 1)
    raise AssertionError("a number of nine is found in four halvings")


@pytest.mark.parametrize("name", [pytest.param(one, marks=[pytest.mark.slow] * (one in SLOW)) for one in NOTEBOOKS])
def test_a_notebook_runs(name):
    """Its cells, one after the other; the display of a kernel has tests of its own."""
    notebook = json.loads((EXAMPLES / name).read_text(encoding="utf-8"))
    names: dict[str, object] = {}
    for number, cell in enumerate(one for one in notebook["cells"] if one["cell_type"] == "code"):
        assert cell["outputs"] == [], "a notebook is kept without its outputs"
        if "plot()" in (code := "".join(cell["source"])):
            pytest.importorskip("matplotlib")
        if "to_pandas()" in code:
            pytest.importorskip("pandas")
        exec(compile(code, f"{name}, cell {number}", "exec"), names)
    assert any(getattr(one, "ending", None) == "done" for one in names.values())
