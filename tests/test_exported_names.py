"""The public names are a contract."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from fast import has
from rekindle.types import UserError

SOURCE = Path(__file__).parents[1] / "src"
CONTRACT = {
    "rekindle": "Task GroupRequest Rollout Group Outcome Fate Scheduler History load_run train evaluate try_out sweep "
    "compare plan",
    "rekindle.scheduling.pools": "CyclingPool RecyclingPool PhasedPool PrioritizedPool GrowingPool",
    "rekindle.scheduling.group_sizes": "fixed inverse_success knapsack",
    "rekindle.scheduling.temperatures": "fixed residual_heating",
    "rekindle.scheduling.gates": "has_signal not_all_wrong everything",
    "rekindle.scheduling.profiling": "group_size",
    "rekindle.learning.estimators": "grpo dr_grpo rloo batch_standardize reactivate",
    "rekindle.learning.token_filters": "lowest_probability",
    "rekindle.methods.composition": "FEATURES combine overrides",
    "rekindle.verifiers": "exact_match qa_exact_match cover_match f1 math_equal",
    "rekindle.evaluation": "pass_at_k",
    "rekindle.testing": "FakeEngine SimulatedPolicy check_pool check_estimator check_environment",
}


@pytest.mark.parametrize("module", CONTRACT)
def test_contract_names_exist_and_are_exported(module):
    loaded = importlib.import_module(module)
    for name in CONTRACT[module].split():
        assert name in loaded.__all__
        assert getattr(loaded, name) is not None


def test_the_functions_of_the_contract_say_what_it_says():
    from rekindle.learning.estimators import reactivate
    from rekindle.learning.token_filters import lowest_probability
    from rekindle.scheduling.profiling import group_size

    assert [group_size(successes, 8) for successes in range(9)] == [8, 8, 4, 2, 2, 2, 2, 2, 2]
    assert [group_size(1, 16, maximum=32), group_size(successes=3, samples=4, minimum=1, maximum=8)] == [16, 1]
    assert lowest_probability([-0.1, -3.0, -0.2, -2.0], 0.5) == [False, True, False, True]
    assert reactivate([1.0] * 16) == pytest.approx([0.25] * 16)


def modules():
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        if parts[-1] not in {"__init__", "worker_main"}:
            yield ".".join(parts)


def offences(module):
    """What is wrong with the docstring and the exports of a module. One that needs TRL is checked where TRL is."""
    try:
        loaded = importlib.import_module(module)
    except (ImportError, UserError):
        if module.startswith("rekindle.integrations.") and not has(module.split(".")[2]):
            return
        raise
    exported = getattr(loaded, "__all__", None)
    if not loaded.__doc__:
        yield f"{module} has no docstring"
    if exported is None:
        yield f"{module} has no __all__"
        return
    yield from (f"{module}.__all__ names {name} twice" for name in set(exported) if exported.count(name) > 1)
    yield from (f"{module}.__all__ names {name}, which is not there" for name in exported if not hasattr(loaded, name))


def test_every_module_says_what_it_exports_and_has_it():
    assert not [offence for module in modules() for offence in offences(module)]


def test_rekindle_imports_without_torch_and_quickly_finds_its_names():
    program = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "import rekindle, rekindle.cli\n"
        "assert rekindle.Scheduler and rekindle.History and rekindle.load_run\n"
        "from rekindle.scheduling.pools import RecyclingPool\n"
        "assert 'numpy' in sys.modules\n"
        "raise SystemExit(rekindle.cli.main(['recipes']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "recycle " in done.stdout


def test_a_method_is_built_without_torch():
    program = (
        "import sys; sys.modules['torch'] = None; sys.modules['transformers'] = None\n"
        "import rekindle.methods, rekindle.planning\n"
        "from rekindle.recipes import RECIPES\n"
        "import numpy as np\n"
        "from rekindle.scheduling.profiling import Profile\n"
        "for name, recipe in RECIPES.items():\n"
        "    config = recipe()\n"
        "    if not rekindle.methods.needs_profile(config):\n"
        "        scheduler = rekindle.methods.build_scheduler(config, ['a', 'b', 'c'])\n"
        "        assert (scheduler.ask() is None) == name.startswith('self_play'), name\n"
        "    rekindle.methods.build_credit(config)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_an_unknown_name_is_an_attribute_error():
    import rekindle

    with pytest.raises(AttributeError, match="no attribute 'experience'"):
        _ = rekindle.experience
