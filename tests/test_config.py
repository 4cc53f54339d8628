from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.config import Config, ConfigError, dump_toml, merge, parse_override, read_toml, validate
from rekindle.recipes import RECIPES, resolve

EXAMPLES = Path(__file__).parents[1] / "examples"


def write(tmp_path, text):
    path = tmp_path / "run.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nstepz = 3", "train.stepz: unknown key; did you mean train.steps?"),
        ("[trian]\nsteps = 3", "trian: unknown key; did you mean train?"),
        ("[model.tiny]\nlayer = 3", "model.tiny.layer: unknown key; did you mean model.tiny.layers?"),
        ("[eval]\nxyz = 3", "eval.xyz: unknown key; known keys: eval.every, eval.prompts, eval.samples"),
        ("[train]\nsteps = 'ten'", 'train.steps = "ten": input should be a valid integer'),
        ("[train]\nsteps = 3.5", "train.steps = 3.5: input should be a valid integer"),
        ("[train]\ngroup_size = 0", "train.group_size = 0: input should be greater than or equal to 1"),
        ("[train]\nestimator = 'gropo'", 'train.estimator = "gropo": input should be'),
        ("[train]\ngroup_size = 1", "leaves nothing to compare; set train.group_size = 4"),
        (
            "[train]\ngroup_size = 1\nestimator = 'batch_standardize'",
            'train.gate = "has_signal" drops every group of one rollout',
        ),
        ("[pool]\nalpha = 0.1", 'belong to pool.kind = "recycling"'),
        ("[refill]\non_exhausted = 'stop'", "there are none; set refill.max_rounds = 4"),
        ("[model]\npath = 'm'\n[warm_start]\nsteps = 9", "model.path names one; remove the one or the other"),
        ("[model]\npath = 'm'\n[model.tiny]\nlayers = 9", "model.path names one; remove the one or the other"),
        ("[train]\nschedule = 'cosine'\nrollouts = 9", "needs train.steps to know where it ends"),
        ("[train]\nminibatches = 99\nsteps = 1", "train.minibatches = 99 is more than train.groups_per_step = 64"),
        ("[model.tiny]\nheads = 3", "heads = 3 must divide hidden_size = 64"),
        ("[task]\nsource = 'jsonl'", "needs a model that can read it; set model.path"),
        ("[model]\npath = 'm'\n[task]\nsource = 'gsm8k'", "needs task.path, the file to read"),
        ("[model]\npath = 'm'\n[task]\nsource = 'reasoning_gym'", "needs task.name"),
        ("[model]\npath = 'm'\n[task]\nverifier = 'reasoning_gym'", "only judges its own tasks"),
        ("[task]\nbinary_rewards = false\n[train]\ngate = 'not_all_wrong'", "needs 0/1 rewards"),
        ("[eval]\nevery = 5", "the run has no end; set train.steps or train.rollouts"),
        ("[train]\nsteps = ", "is not valid TOML"),
        ("recipe = 'recycel'\n[train]\nsteps = 1", "recipe 'recycel' is unknown; did you mean recycle?"),
    ],
)
def test_bad_configurations_get_path_and_remedy(tmp_path, text, message):
    with pytest.raises(ConfigError) as caught:
        resolve(write(tmp_path, text))
    assert message in str(caught.value)
    assert str(tmp_path / "run.toml") in str(caught.value)


def test_every_problem_is_named_on_a_line_of_its_own(tmp_path):
    with pytest.raises(ConfigError) as caught:
        resolve(write(tmp_path, "[train]\nstepz = 3\nlearning_rate = 'x'\n[eval]\nevery = 0"))
    assert len(str(caught.value).splitlines()) == 3


def test_missing_file():
    with pytest.raises(ConfigError, match=r"nowhere.toml does not exist; give the path"):
        resolve(Path("nowhere.toml"))


def test_the_later_wins_recipe_file_set_seed(tmp_path):
    path = write(tmp_path, "recipe = 'grpo'\n[train]\nsteps = 5\ngroup_size = 8\nseed = 1")
    config = resolve(path, "recycle", ["train.group_size=6", "pool.on_empty=stop"], seed=7)
    assert config.recipe == "recycle"
    assert (config.train.oversample, config.pool.kind) == (2, "recycling")
    assert (config.train.group_size, config.train.seed, config.pool.on_empty) == (6, 7, "stop")
    assert resolve(path).recipe == "grpo"
    assert resolve(path, None, ["train.oversample=3"]).train.oversample == 3


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_complete_valid_and_survives_its_own_file(recipe, tmp_path):
    config = resolve(EXAMPLES / "spell_backward.toml", recipe)
    assert RECIPES[recipe]().recipe == recipe == config.recipe
    saved = write(tmp_path, dump_toml(config))
    assert validate(read_toml(saved), "saved") == config
    assert resolve(saved) == config


@pytest.mark.parametrize("example", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.name)
def test_every_example_is_valid(example):
    assert resolve(example, "recycle").recipe == "recycle"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train.steps=3", {"train": {"steps": 3}}),
        ("a.b.c = [1, 2]", {"a": {"b": {"c": [1, 2]}}}),
        ("task.name=spell_backward", {"task": {"name": "spell_backward"}}),
        ("x=true", {"x": True}),
        ("x=1e-3", {"x": 0.001}),
        ("x=a=b", {"x": "a=b"}),
    ],
)
def test_overrides(text, expected):
    assert parse_override(text) == expected


@pytest.mark.parametrize("text", ["train.steps", "=3", "train..steps=3"])
def test_bad_overrides(text):
    with pytest.raises(ConfigError, match=r"expected key\.sub=value"):
        parse_override(text)


tables = st.recursive(
    st.dictionaries(st.sampled_from("abc"), st.integers(), max_size=3),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner | st.integers(), max_size=3),
)


@given(tables, tables)
def test_merge_keeps_both_and_the_second_wins(base, over):
    merged = merge(base, over)
    assert set(merged) == set(base) | set(over)
    assert merge(merged, over) == merged
    assert merge({}, over) == over
    assert merge(base, {}) == base


def test_defaults_are_valid_but_for_the_missing_end():
    assert Config().train.steps is None
