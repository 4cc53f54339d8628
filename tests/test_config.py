import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rekindle.config import Config, ConfigError, dump_toml, merge, parse_override, read_toml, refusals, validate
from rekindle.config.rules import RULES
from rekindle.recipes import RECIPES, on_given_tasks, resolve

EXAMPLES = Path(__file__).parents[1] / "examples"


def write(tmp_path, text, name="run.toml"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train]\nstepz = 3", "train.stepz: unknown key; did you mean train.steps?"),
        ("[trian]\nsteps = 3", "trian: unknown key; did you mean train?"),
        ("[model.tiny]\nlayer = 3", "model.tiny.layer: unknown key; did you mean model.tiny.layers?"),
        ("[loss]\nestimator = 'rloo'", "loss.estimator: unknown key; did you mean advantage.estimator?"),
        ("[train]\nlayers = 3", "train.layers: unknown key; did you mean model.tiny.layers?"),
        ("[eval]\nsteps = 3", "eval.steps: unknown key; did you mean warm_start.steps or train.steps?"),
        ("[self_play]\nxyzzy = 3", "self_play.xyzzy: unknown key; docs/configuration.md lists the keys of [self_play]"),
        ("[pool]\nkind = 'recicling'", 'pool.kind = "recicling": did you mean "recycling"?'),
        ("[model]\ndtype = 'int8'", 'model.dtype = "int8": choose one of "float32", "bfloat16"'),
        ("[train]\ngate = 3", "train.gate = 3: input should be a valid string"),
        ("[eval]\nxyz = 3", "eval.xyz: unknown key; known keys: eval.every, eval.prompts, eval.samples"),
        ("[train]\nsteps = 'ten'", 'train.steps = "ten": input should be a valid integer'),
        ("[train]\nsteps = 3.5", "train.steps = 3.5: input should be a valid integer"),
        ("[train]\ngroup_size = 0", "train.group_size = 0: input should be greater than or equal to 1"),
        ("[advantage]\nestimator = 'gropo'", 'advantage.estimator = "gropo": did you mean "grpo"?'),
        ("[train]\ngroup_size = 1", "leaves nothing to compare; set train.group_size = 4"),
        (
            "[refill]\non_exhausted = 'stop'",
            'refill.on_exhausted = "stop" would not be read; set refill.max_rounds = 4, or leave it at "train"',
        ),
        ("[refill]\nmax_rounds = -1", "a refill without a bound, which hangs when no prompt has signal"),
        ("[sizes]\nminimum = 9", "sizes.minimum = 9 is above sizes.maximum = 8"),
        ("[model.tiny]\nheads = 3", "heads = 3 must divide hidden_size = 64"),
        ("[eval]\nevery = 5", "the run has no end; set train.steps, train.rollouts or train.tokens"),
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


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
@pytest.mark.parametrize(
    "key", ["train.temperature", "train.learning_rate", "heating.delta", "warm_start.sampled_accuracy", "task.params.x"]
)
def test_values_that_are_not_finite_are_refused(tmp_path, key, value):
    written = f"[0.1, {value}]" if key.startswith("warm_start") else value
    with pytest.raises(ConfigError, match=rf"run.toml: {key} = {value}: a number must be finite; set one, or remove"):
        resolve(write(tmp_path, "[train]\nsteps = 3"), None, [f"{key}={written}"])
    with pytest.raises(ValueError, match="finite"):
        Config.model_validate({"train": {"temperature": float(value)}})


@pytest.mark.parametrize("override", ["task.name=\udcff", "task.params.\udcff=1", "engine.stop=\udcff"])
def test_a_byte_that_is_no_text_is_named_and_nothing_else_is_shown(tmp_path, override):
    with pytest.raises(ConfigError, match=r"run.toml: '(task|engine).* has a byte that is not UTF-8") as caught:
        resolve(write(tmp_path, "[train]\nsteps = 3"), None, [override])
    assert len(str(caught.value)) < 300 + len(str(tmp_path))
    str(caught.value).encode()


@pytest.mark.parametrize("text", ["[train]\nsteps = 1{}", "[task.params]\nsize = 1{}", "[train]\nseed = 1{}"])
@pytest.mark.parametrize("zeros", [30, 5000])
def test_numbers_of_many_digits_are_refused(tmp_path, text, zeros):
    with pytest.raises(ConfigError, match=r"a whole number must be at most|a number has thousands of digits"):
        resolve(write(tmp_path, text.format("0" * zeros)))
    key = text.replace("[", "").replace("]\n", ".").partition(" ")[0]
    with pytest.raises(ConfigError, match=r"a whole number must be at most|a number has thousands of digits"):
        resolve(write(tmp_path, "[train]\nsteps = 1"), None, [f"{key}=1{'0' * zeros}"])


def test_nesting_without_end_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"is not valid TOML: it is nested too deeply"):
        resolve(write(tmp_path, f"x = {'[' * 5000}"))
    with pytest.raises(ConfigError, match=r"--set task.params.x: it is nested too deeply"):
        resolve(write(tmp_path, "[train]\nsteps = 1"), None, [f"task.params.x={'[' * 5000}"])


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("utf-8-sig", None),
        ("utf-16", "is UTF-16 text; save it as UTF-8"),
        ("latin-1", r"run.toml:1: byte 6 is not UTF-8; save the file as UTF-8 text"),
    ],
)
def test_encodings(tmp_path, encoding, message):
    path = tmp_path / "run.toml"
    path.write_bytes("# caf\xe9 \xfc\r\n[train]\r\nsteps = 3\r\n".encode(encoding))
    if message is None:
        assert resolve(path).train.steps == 3
    else:
        with pytest.raises(ConfigError, match=message):
            resolve(path)


@pytest.mark.parametrize(
    "key",
    ["model.path", "model.template", "task.path", "task.eval_path", "retriever.corpus", "retriever.index",
     "judge.cache", "profile.path", "retriever.encoder", "retriever.vectors"],
)  # fmt: skip
def test_a_tilde_is_the_home_directory(monkeypatch, key):
    monkeypatch.setenv("HOME", "/home/of/someone")
    table, name = key.split(".")
    assert getattr(getattr(Config.model_validate({table: {name: "~/x/y"}}), table), name) == "/home/of/someone/x/y"
    assert getattr(getattr(Config.model_validate({table: {name: "x/~y"}}), table), name) == "x/~y"


def test_missing_file():
    with pytest.raises(ConfigError, match=r"nowhere.toml does not exist; give the path"):
        resolve(Path("nowhere.toml"))


def test_the_later_wins_recipe_file_set_seed(tmp_path):
    path = write(tmp_path, "recipe = 'grpo'\n[train]\nsteps = 5\ngroup_size = 8\nseed = 1")
    config = resolve(path, "recycle", ["train.group_size=6", "pool.reset_below=0", "pool.on_empty=stop"], seed=7)
    assert config.recipe == "recycle"
    assert (config.train.oversample, config.pool.kind) == (2, "recycling")
    assert (config.train.group_size, config.train.seed, config.pool.on_empty) == (6, 7, "stop")
    assert resolve(path).recipe == "grpo"
    assert resolve(path, None, ["train.oversample=3"]).train.oversample == 3


def test_a_recipe_on_the_base_of_another(tmp_path):
    path = write(tmp_path, "base = 'dapo'\n[train]\nsteps = 5")
    for recipe in ("sgpo", "erpo", "recycle"):
        plain, config = resolve(write(tmp_path, "[train]\nsteps = 5", "plain.toml"), recipe), resolve(path, recipe)
        assert (config.base, config.refill.max_rounds, config.loss.clip_high) == ("dapo", 4, 0.28)
        assert config.loss.aggregation == "token_mean"
        others = {"base", "refill", "loss"}
        assert config.model_dump(exclude=others) == plain.model_dump(exclude=others), "the rest is the recipe's"
        assert resolve(write(tmp_path, dump_toml(config), "saved.toml")) == config
    assert resolve(path, "dapo").model_dump(exclude={"base"}) == resolve(
        write(tmp_path, "[train]\nsteps = 5", "plain.toml"), "dapo"
    ).model_dump(exclude={"base"})
    assert resolve(path, "sgpo", ["loss.clip_high=0.2"]).loss.clip_high == 0.2, "the file is above the base"
    assert resolve(path, "sgpo", ["base=grpo"]).refill.max_rounds == 0


def test_a_recipe_and_a_base_that_set_a_key_differently_are_refused(tmp_path):
    path = write(tmp_path, "[train]\nsteps = 5")
    with pytest.raises(ConfigError, match=r'base = "dapo" and recipe = "cispo" both set loss\.clip_high; remove base'):
        resolve(path, "cispo", ["base=dapo"])
    with pytest.raises(ConfigError, match=r"accepts every group, so refill\.max_rounds would never draw again"):
        resolve(path, "reinforce_pp", ["base=dapo"])  # both set the token mean, which is no contradiction
    with pytest.raises(ConfigError, match='base = "recycle": choose one of "grpo", "dapo"'):
        resolve(path, "sgpo", ["base=recycle"])


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_complete_valid_and_survives_its_own_file(recipe, tmp_path):
    example = "spell_backward" if recipe in on_given_tasks() else "self_play"
    config = resolve(EXAMPLES / f"{example}.toml", recipe)
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


def test_an_empty_value_clears_a_setting_and_an_empty_table_changes_nothing():
    base = {"model": {"template_variables": {"enable_thinking": False}}, "train": {"steps": 3}}
    cleared = merge(base, parse_override("model.template_variables={}"))
    assert cleared == {"model": {"template_variables": {}}, "train": {"steps": 3}}
    assert merge(base, {"train": {}, "model": {}}) == base
    added = merge(base, {"model": {"template_variables": {"date": "today"}}})
    assert added["model"]["template_variables"] == {"enable_thinking": False, "date": "today"}


def test_defaults_are_valid_but_for_the_missing_end():
    assert Config().train.steps is None


# -- rules: each case is a configuration, and part of the reason to refuse it -----------------------------------------

SINGLE = "train.group_size=1 train.gate=everything advantage.estimator=batch_standardize"
PHASED = "pool.kind=phased"
SAME_COST = f"{PHASED} phases.constant=rollouts"
KNAPSACK = "sizes.rule=knapsack sizes.maximum=128"
BY_SUCCESS = "sizes.rule=inverse_success"
SIGNAL_CHANCE = "pool.kind=prioritized"
HEATING = "heating.delta=0.05"
RA = f"{HEATING} reactivation.kind=virtual_failure train.gate=not_all_wrong"
BALANCE = "top_up.kind=balance subset.kind=balanced"
PENALTY = "overlong.kind=penalty"
REAL = "task.binary_rewards=false"
MODEL = "model.path=m"
LAG = "train.max_off_policy_steps=1"
BATCH_SIZE = "train.groups_per_step=16"

WORLD = "task.source=search_world search.answer_tokens=4"
AGENT = "task.source=jsonl task.path=q.jsonl model.path=m task.environment=search search.answer_tokens=4"
DENSE = "retriever.kind=dense retriever.corpus=c.jsonl retriever.encoder=e"
REWARDS = "rewards=[{function='a.py:f'}]"
REFUSED = [
    # rewards
    ("rewards=[{function='a.py'}]", "names no function; write FILE.py:NAME"),
    ("rewards=[{function='a.py:f'},{function='b.py:f'}]", 'two rewards have the name "f"; give one of them another'),
    (f"{REWARDS} recipe=self_play task.source=self_play", "compares answers to check its own questions"),
    ("audits=[{share=0.5}]", 'audits[0] names no judge; set verifier, e.g. to "exact_match", or function'),
    ("audits=[{verifier='exact_match'}]", "is the verifier that is trained on, and would always agree; choose another"),
    ("audits=[{verifier='reasoning_gym'}]", "only judges its own tasks"),
    ("audits=[{verifier='math'},{function='a.py:f',name='math'}]", 'two audits have the name "math"; give one'),
    ("audits=[{function='f'}]", "audits[0].function = 'f' names no function"),
    ("audits=[{function='a.py:f',name='mean'}]", "audits[0].name = 'mean' cannot be the name of an audit"),
    ("audits=[{verifier='math',function='a.py:f'}]", 'audits[0].verifier = "math" would not be read; remove function'),
    ("audits=[{verifier='math',in_process=true}]", "audits[0].in_process = true would not be read; set function"),
    ("audits=[{verifier='math',timeout_seconds=3.0}]", "audits[0].timeout_seconds = 3.0 would not be read"),
    ("audits=[{verifier='judge'}]", 'audits.verifier = "judge" needs judge.url and judge.model; set judge.url'),
    ("task.success_threshold=1.5", "task.success_threshold = 1.5 is outside of the scores of verifiers"),
    # groups of one
    ("train.group_size=1 train.gate=everything", 'advantage.estimator = "grpo" compares rollouts of one group'),
    (f"{BY_SUCCESS} sizes.minimum=1 train.gate=everything", "groups of one that sizes.minimum = 1 allows"),
    (f"{SINGLE} train.gate=has_signal", 'train.gate = "has_signal" drops every group of one rollout'),
    (f"{SINGLE} train.gate=not_all_wrong", 'train.gate = "not_all_wrong" drops every single rollout that failed'),
    (f"{BY_SUCCESS} sizes.minimum=1 advantage.estimator=c_rf", "drops every group of one rollout"),
    (f"{SINGLE} pool.kind=recycling", "a group of one (train.group_size = 1) never has signal"),
    (f"{SINGLE} pool.kind=selective", "skips prompts without signal, and a group of one"),
    (f"{SINGLE} pool.kind=prioritized", 'set priority.score = "uncertainty" or train.group_size = 4'),
    (f"{SINGLE} top_up.kind=mixed", "which a single rollout never has; set train.group_size = 4"),
    (f"{SINGLE} subset.kind=balanced", "subset.size = 4 leaves nothing out of train.group_size = 1; raise the group"),
    (f"{SINGLE} {HEATING} heating.on_signal=reset", 'heating.on_signal = "reset" would not be read'),
    # sizes
    (f"{PHASED} {BY_SUCCESS}", "both set the size of a group"),
    (f"{PHASED} top_up.kind=mixed", 'top_up.kind = "mixed" and pool.kind = "phased" both set the size of a group'),
    (
        f"{KNAPSACK} {BALANCE}",
        'whose total sizes.rule = "knapsack" holds constant; set top_up.kind = "off" or another sizes.rule',
    ),
    (f"{PHASED} {SINGLE}", 'the phases size the groups, set phases.constant = "rollouts", or leave it at 4'),
    (f"{SAME_COST} {SINGLE}", 'asks for single rollouts, and pool.kind = "phased" for groups of 2 and more'),
    (f"{KNAPSACK} train.group_size=1", "outside sizes.minimum = 2 to sizes.maximum = 128"),
    (f"{KNAPSACK} train.group_size=2", "no rollouts to share out: train.group_size = sizes.minimum = 2"),
    ("sizes.rule=knapsack train.group_size=8", "train.group_size = sizes.maximum = 8; raise sizes.maximum"),
    (f"{BY_SUCCESS} train.group_size=8", "train.group_size = 8 would not be read; groups are sized by 1/p"),
    (f"{SAME_COST} train.groups_per_step=1 sizes.maximum=8", "sizes.maximum = 8 is more than the 4 rollouts of a step"),
    (f"{PHASED} profile.samples=1", "none is left to train on; set profile.samples = 8 or raise the other"),
    ("optimizer.minibatches=99", "optimizer.minibatches = 99 is more than train.groups_per_step = 64"),
    (
        f"{SAME_COST} {BATCH_SIZE} optimizer.minibatches=9",
        "more than the 8 groups of a step in the phase of sizes.maximum = 8",
    ),
    ("subset.kind=max_variance", "subset.size = 4 leaves nothing out of train.group_size = 4"),
    (f"{BY_SUCCESS} subset.kind=max_variance subset.size=8", "leaves nothing out of groups of at most 8"),
    (f"{BALANCE} top_up.max_rounds=2 subset.size=8", "leaves nothing out of groups of at most 8"),
    ("top_up.kind=balance", 'set subset.kind = "balanced"'),
    # temperature
    (f"{HEATING} heating.maximum=0.9", "so heating would lower the temperature; set heating.maximum above 1.0"),
    (f"{HEATING} train.temperature=1.2", "leaves no room to raise the temperature"),
    (f"{HEATING} {PHASED}", "set profile.trivial_above = 1 to keep them"),
    ("reactivation.kind=constant train.gate=not_all_wrong", 'set reactivation.groups = "all_correct" (RA alone) or'),
    (f"{RA} train.gate=has_signal", 'drops the all-correct groups that reactivation.kind = "virtual_failure" needs'),
    (f"{RA} advantage.estimator=c_rf", "already gives all-correct groups an advantage"),
    (f"{RA} advantage.estimator=gpg", 'scales by the whole batch; set reactivation.kind = "constant"'),
    ("loss.off_temperature=importance", "would not be read; set heating.delta = 0.05"),
    (f"{HEATING} loss.off_temperature=ignore optimizer.epochs=2", 'set loss.old_logprobs = "recompute"'),
    (f"{HEATING} loss.off_temperature=ignore loss.old_logprobs=engine", 'set loss.old_logprobs = "auto"'),
    # gates, pools, credit and loss
    ("train.gate=everything refill.max_rounds=2", "refill.max_rounds would never draw again"),
    ("train.gate=everything train.oversample=2", "would roll out groups only to leave them out"),
    ("train.gate=everything pool.kind=recycling", "drops none"),
    ("train.gate=not_all_wrong pool.kind=recycling", "consumes solved prompts"),
    ("pool.kind=recycling pool.on_empty=stop pool.reset_below=0.5", "refills the pool before"),
    ("pool.kind=recycling pool.on_empty=stop pool.alpha=0.5", "keeps trained prompts in the pool"),
    (
        "advantage.zero_variance_scale=0.1",
        'groups without signal that advantage.zero_variance_scale needs; set train.gate = "every',
    ),
    (
        "advantage.zero_variance_scale=0.1 train.gate=everything advantage.estimator=spo",
        "already gives groups without signal",
    ),
    (f"{RA} advantage.zero_variance_scale=0.1", "both give all-correct groups an advantage"),
    ("advantage.estimator=gpg", 'drops them all; set train.gate = "everything" or advantage.estimator = "dr_grpo"'),
    (f"{SINGLE} optimizer.batch_exponent=1", "all have one; set optimizer.batch_exponent = 0"),
    ("loss.tis_cap=2 loss.old_logprobs=engine", 'the ratio is to the engine already; set loss.old_logprobs = "auto"'),
    ("loss.tis_cap=2 optimizer.minibatches=4", 'has several optimizer steps; set loss.old_logprobs = "recompute"'),
    ("loss.tis_cap=2 optimizer.epochs=2", 'has several optimizer steps; set loss.old_logprobs = "recompute"'),
    (f"{HEATING} loss.off_temperature=ignore loss.tis_cap=2", 'set loss.off_temperature = "importance"'),
    # batches that lag behind
    (f"{LAG} loss.tis_cap=2", 'where a batch lags behind; set loss.old_logprobs = "recompute"'),
    (f"{LAG} loss.old_logprobs=recompute", 'set loss.old_logprobs = "auto" or loss.tis_cap = 2.0'),
    (f"{LAG} loss.kind=gspo loss.old_logprobs=recompute loss.tis_cap=2", "set optimizer.minibatches = 4"),
    (
        f"{LAG} {HEATING} loss.off_temperature=importance",
        "needs the trainer's log-probabilities at train.temperature, which the engine did not sample at",
    ),
    ("train.steps=2 train.max_off_policy_steps=2", "train.steps = 2 has; set it below 2"),
    (f"{LAG} pool.kind=phased", 'pool.kind = "phased" begins a phase between two steps'),
    (f"{LAG} refill.max_rounds=2 refill.on_exhausted=stop", 'set refill.on_exhausted = "train"'),
    (f"{LAG} task.source=self_play", "are made when the step before is trained on"),
    (f"{LAG} {WORLD} loss.tool_tokens=trained", "train.max_off_policy_steps reads them"),
    ("advantage.split=batch_mean", 'would not be read; set advantage.estimator = "c_rf"'),
    (f"{SINGLE} advantage.estimator=c_rf advantage.count_over=batch", "read; set optimizer.minibatches = 4"),
    (f"{SINGLE} advantage.estimator=c_rf task.binary_rewards=false", 'advantage.estimator = "c_rf" needs 0/1 rewards'),
    ("advantage.estimator=rloo advantage.deviation=sample", 'read; set advantage.estimator = "grpo"'),
    ("advantage.negative_scale=0 advantage.negative_keep_ratio=0.1", "read; set advantage.negative_scale = 1.0"),
    ("loss.kl=k3_corrected", "would not be read; set loss.kl_coefficient = 0.01"),
    ("loss.kind=gspo optimizer.minibatches=4 loss.dual_clip=3", 'would not be read; set loss.kind = "ppo_clip"'),
    ("loss.kind=gspo", 'differs from "ppo_clip" only after a first optimizer step'),
    ("loss.kind=cispo loss.old_logprobs=recompute", "set optimizer.minibatches = 4"),
    (f"{SIGNAL_CHANCE} posterior.least_discount=0.9 posterior.most_discount=0.5", "exchange them"),
    # successes are counted
    (f"{REAL} train.gate=not_all_wrong", 'train.gate = "not_all_wrong" needs 0/1 rewards'),
    (f"{REAL} advantage.estimator=shrunk_baseline", 'advantage.estimator = "shrunk_baseline" needs 0/1 rewards'),
    (f"{REAL} {HEATING}", "heating.delta needs 0/1 rewards; set task.binary_rewards = true"),
    (
        f"{REAL} advantage.zero_variance_scale=1 train.gate=everything",
        "advantage.zero_variance_scale needs 0/1 rewards",
    ),
    (f"{REAL} pool.kind=selective", 'pool.kind = "selective" needs 0/1 rewards'),
    (f"{REAL} {KNAPSACK}", 'sizes.rule = "knapsack" needs 0/1 rewards'),
    (f"{REAL} {BALANCE}", 'top_up.kind = "balance" needs 0/1 rewards'),
    (f"{REAL} subset.kind=balanced subset.size=2", 'subset.kind = "balanced" needs 0/1 rewards'),
    # overlong rollouts
    (f"{PENALTY} advantage.estimator=c_rf", 'advantage.estimator = "c_rf" needs 0/1 rewards'),
    (f"{PENALTY} advantage.estimator=maxrl", 'advantage.estimator = "maxrl" needs rewards of at least 0'),
    (f"{PENALTY} {RA}", "and reactivation.kind gives them another"),
    (f"{PENALTY} train.gate=everything advantage.zero_variance_scale=1", "and advantage.zero_variance_scale gives"),
    (f"{PENALTY} task.source=search_world search.answer_tokens=4", 'set overlong.kind = "masked"'),
    (f"{PENALTY} overlong.buffer=25", "more than engine.max_new_tokens = 24; set overlong.buffer = 4"),
    ("overlong.kind=masked overlong.buffer=5", 'set overlong.kind = "penalty", or remove it'),
    # models and tasks
    (f"{MODEL} warm_start.steps=9", "model.path names a pretrained model, remove model.path, or leave it at"),
    (f"{MODEL} model.tiny.layers=9", "model.path names a pretrained model, remove model.path, or leave it at"),
    ("task.source=jsonl", "needs a model that can read it; set model.path"),
    ("task.params.max_length=99", "model.tiny.max_length = 128 is too short for words of 99 letters"),
    (f"{MODEL} task.source=gsm8k", "needs task.path, the file to read"),
    (f"{MODEL} task.source=json", "needs task.path, the file to read"),
    (f"{MODEL} task.source=hub", 'needs task.path, the name of a data set on the hub ("owner/name"); set it'),
    (f"{MODEL} task.source=hub task.path=gsm8k", "and 'gsm8k' is none; set it, or set task.source = \"jsonl\" for a"),
    (f"{MODEL} task.source=hub task.path=./data/x.jsonl", "and './data/x.jsonl' is none; set it"),
    (
        f"{MODEL} task.source=hub task.path=a/b task.split=train[:9]",
        "a part of a split cannot be named; set task.split",
    ),
    (f"{MODEL} task.source=hub task.path=a/b task.eval_split=test[9:]", "a part of a split cannot be named"),
    (f"{MODEL} task.source=hub task.path=a/b task.eval_path=x.jsonl", "task.eval_path"),
    (f"{MODEL} task.source=reasoning_gym", "needs task.name"),
    (f"{MODEL} task.verifier=reasoning_gym", "only judges its own tasks"),
    # keys that are not read: messages of all kinds; every key is in tests/config/test_keys.py
    ("pool.alpha=0.1", 'pool.alpha = 0.1 would not be read; set pool.kind = "recycling", or leave it at 0.0'),
    ("pool.kind=prioritized priority.consume=drawn pool.reset_below=0.5", "pool.reset_below = 0.5 would not be read"),
    (
        "posterior.half_life=0.1",
        "posterior.half_life = 0.1 would not be read; set a method that estimates success rates",
    ),
    (f"{SIGNAL_CHANCE} posterior.probe_rows=4", "posterior.probe_rows = 4 would not be read; set posterior.half_life"),
    (
        f"{SIGNAL_CHANCE} posterior.least_discount=0.4",
        "it bounds the discount by posterior.half_life, set posterior.half_life",
    ),
    (f"{PHASED} phases.min_gain=0.1", "phases.min_gain = 0.1 would not be read; set phases.patience"),
    (
        f"{PHASED} phases.reprofile=true phases.order=hard_first",
        'phases.order = "hard_first" would not be read; set phases.reprofile = false',
    ),
    (f"{PHASED} phases.reprofile=true posterior.prior_failures=2", "phases.reprofile reads counts and no prior"),
    (f"{PHASED} profile.path=p profile.samples=4", "profile.path names a ready profile"),
    ("profile.path=p", 'set a method that reads a profile, e.g. pool.kind = "phased" or "prioritized", or remove it'),
    (f"{RA} reactivation.constant=0.5", 'set reactivation.kind = "constant"'),
    ("loss.kind=cispo optimizer.minibatches=4 loss.clip_low=0.1", 'set loss.kind = "ppo_clip", or leave it at 0.2'),
    ("model.chat_template=false", "no chat template, set model.path, or leave it at true"),
    ("verify.workers=4", "verify.workers = 4 would not be read; a comparison of texts needs no workers"),
    (
        f"{MODEL} task.source=jsonl task.path=q.jsonl task.params.seed=3",
        'set task.source to a generator, e.g. "reasoning_gym", or',
    ),
]
PLAY = "task.source=self_play engine.max_new_tokens=128"
LISTED = "task.source=self_play task.path=a.txt task.eval_path=q.jsonl model.path=m engine.max_new_tokens=128"
REFUSED += [
    ("recipe=self_play", 'set task.source = "self_play" or another recipe'),
    ("task.source=self_play task.environment=single_turn engine.max_new_tokens=128", "is played by searching"),
    ("task.source=self_play task.path=a.txt model.path=m retriever.corpus=c.jsonl", "set task.eval_path"),
    (f"{LISTED}", 'retriever.kind = "lexical" needs retriever.corpus'),
    (f"{LISTED} self_play.intermediate_extremes=zero", 'set self_play.proposer_reward = "intermediate"'),
    (f"{LISTED} self_play.updates=proposer_first self_play.fixed=solver", "only one role learns"),
    (f"{LISTED} self_play.updates=proposer_first optimizer.epochs=2", 'set loss.old_logprobs = "recompute" or'),
    (f"{LISTED} self_play.updates=proposer_first loss.old_logprobs=engine", 'set loss.old_logprobs = "recompute" or'),
    ("recipe=self_play_paper", 'recipe = "self_play_paper" creates its questions'),
    (f"{PLAY} retriever.corpus=c.jsonl", "has its own corpus"),
    ("task.source=self_play task.path=a.txt task.eval_path=q.jsonl retriever.corpus=c", "needs a model that can read"),
    (f"{PLAY} pool.kind=phased", "sorts prompts by a profile"),
    (f"{PLAY} sizes.rule=knapsack profile.path=p", "has no question"),
    (f"{PLAY} pool.kind=recycling self_play.fill=dummy", "chooses which questions are drawn again"),
    (f"{PLAY} pool.kind=selective self_play.fill=resample", "plays each in one step only"),
    (f"{PLAY} self_play.proposer_estimator=grpo", "self_play.proposer_group_size = 1 leaves nothing to compare"),
    (f"{PLAY} self_play.question_tokens=128", "of engine.max_new_tokens = 128 leaves the proposer no tokens"),
    (f"{PLAY} self_play.max_new_tokens=96", "of self_play.max_new_tokens = 96 leaves the proposer no tokens"),
    (
        f"{PLAY} self_play.proposer_from_step=2 self_play.solver_from_step=3",
        "leave no role that learns in the first step",
    ),
    (f"{PLAY} self_play.fixed=solver refill.max_rounds=2", "would always draw again"),
    (f"{PLAY} check.kind=endpoint", "set check.url"),
    (f"{PLAY} check.kind=endpoint check.url=http://h", "set check.model"),
    (f"{PLAY} check.kind=off check.closed_book=3", "nothing is checked"),
    (f"{PLAY} self_play.fixed=proposer self_play.proposer_weight=0.5", "the fixed proposer does not learn"),
    (f"{PLAY} self_play.fixed=solver self_play.solver_weight=0.5", "the fixed solver does not learn"),
]
REFUSED += [
    ("warm_start.decay_steps=100", "warm_start.decay_steps = 100 belong together"),
    ("warm_start.decay_below=0.6", "set both or neither"),
    ("warm_start.least_by_level=[0.4]", "prompts have levels"),
    ("task.source=search_world task.environment=single_turn", 'set task.environment = "search"'),
    ("task.environment=search", "has no corpus for"),
    (f"{AGENT}", 'retriever.kind = "lexical" needs retriever.corpus'),
    (f"{AGENT} retriever.kind=http", "needs retriever.url"),
    (f"{AGENT} retriever.kind=hybrid retriever.corpus=c.jsonl", "needs retriever.encoder"),
    (f"{AGENT} retriever.kind=http retriever.url=http://h retriever.corpus=c", "the server has the index"),
    (f"{WORLD} search.protocol=tool_calls", "needs a chat template"),
    (f"{WORLD} search.answer_tokens=24", "leaves no tokens for searches"),
    (f"{WORLD} search.turn_tokens=25", "search.turn_tokens = 25 is above engine.max_new_tokens = 24"),
    (f'{WORLD} engine.stop=["x"]', "engine.stop would end"),
    (f"{WORLD} retriever.corpus=c.jsonl", "has its own corpus"),
    ("loss.tool_tokens=trained", 'set task.environment = "search"'),
    (f"{WORLD} loss.tool_tokens=trained optimizer.epochs=2", "several optimizer steps per batch reads"),
    (
        f"{WORLD} loss.tool_tokens=trained loss.old_logprobs=engine optimizer.epochs=2",
        'loss.old_logprobs = "engine" reads',
    ),
    (f"{WORLD} loss.tool_tokens=trained advantage.negative_keep_ratio=0.5", "a token filter reads"),
    ("task.verifier=judge", "set judge.url"),
    ("task.verifier=judge judge.url=http://h", "set judge.model"),
    ("task.verifier=f1", "rewards no partial match"),
    # trackers
    ('track=["wandb"] tracking.project=a/b#c', "wandb accepts no # / in the name of a project"),
    ('track=["mlflow"] tracking.project=', 'tracking.project = "" is no name'),
    ('track=["mlflow"] tracking.name="a\\tb"', 'tracking.name = "a\\tb" is no name'),
    ('track=["tensorboard"] tracking.name=a', 'would not be read; set track = ["wandb"]'),
]

ACCEPTED = [
    LAG,
    f"{LAG} train.steps=2 loss.old_logprobs=recompute loss.tis_cap=2",
    f"{LAG} loss.kind=gspo",
    f"{LAG} refill.max_rounds=2 pool.kind=recycling",
    f"{REWARDS} task.success_threshold=1.5 task.binary_rewards=true",
    "audits=[{verifier='math'},{function='a.py:f',share=0.5,in_process=true}] verify.powers=true verify.workers=3",
    "audits=[{verifier='judge'}] judge.url=http://h judge.model=m",
    f"{REWARDS} audits=[{{verifier='exact_match'}}] task.audit=off",
    f"{REWARDS} task.verifier=exact_match task.verifier_weight=2",
    'track=["mlflow","tensorboard"] tracking.project=/Users/me/x tracking.name=a',
    "loss.tis_cap=2",
    "loss.tis_cap=2 optimizer.epochs=2 loss.old_logprobs=recompute",
    f"{HEATING} loss.off_temperature=importance loss.tis_cap=2",
    f"{SINGLE} advantage.estimator=c_rf advantage.split=batch_mean {REAL}",
    f"{SINGLE} advantage.estimator=c_rf advantage.count_over=batch optimizer.minibatches=4",
    "loss.kl=k3_corrected loss.kl_coefficient=0.1 loss.dual_clip=3 advantage.deviation=sample",
    "advantage.negative_scale=0",
    f"{WORLD} search.max_turns=3",
    f"{WORLD} loss.tool_tokens=trained",
    f"{AGENT} retriever.corpus=c.jsonl retriever.title_weight=3.0",
    f"{AGENT} {DENSE}",
    f"{AGENT} retriever.kind=http retriever.url=http://h/retrieve retriever.retries=1 search.protocol=tool_calls",
    "task.verifier=judge judge.url=http://h judge.model=m judge.max_calls=3",
    "task.verifier=f1 task.success_threshold=0.5",
    "task.verifier=f1 task.binary_rewards=false",
    f"{AGENT} {DENSE} retriever.vectors=v.npy",
    "task.source=search_world warm_start.least_by_level=[0.4,0.0] search.answer_tokens=4 "
    "warm_start.decay_below=0.6 warm_start.decay_steps=9",
    f"{SINGLE} {HEATING}",
    f"{SINGLE} pool.kind=prioritized priority.score=uncertainty advantage.estimator=spo",
    f"{BALANCE} train.group_size=1 top_up.max_rounds=8 subset.size=2",
    f"{BY_SUCCESS} sizes.minimum=1 {SINGLE} train.group_size=4",
    f"{BY_SUCCESS} top_up.kind=mixed subset.kind=max_variance subset.size=20",
    f"{BY_SUCCESS} pool.kind=prioritized train.group_size=8",
    f"{KNAPSACK} sizes.minimum=4 sizes.maximum=4",
    f"{PHASED} {BATCH_SIZE} optimizer.minibatches=8",
    f"{PHASED} {HEATING} profile.trivial_above=1 profile.samples=1",
    f"{PHASED} profile.trivial_above=0.5 profile.samples=2",
    f"{PHASED} phases.reprofile=true posterior.half_life=0.1 posterior.probe_rows=4 posterior.least_discount=0.5",
    f"{PHASED} subset.kind=max_variance",
    f"{PHASED} train.groups_per_step=1 sizes.maximum=64",
    f"{PHASED} refill.max_rounds=4 loss.clip_high=0.28 loss.aggregation=token_mean",
    f"{SAME_COST} train.group_size=8 phases.max_epochs=3 phases.patience=10 phases.min_gain=0.1",
    f"{RA} pool.kind=recycling advantage.negative_keep_ratio=0.1 {BY_SUCCESS}",
    "reactivation.kind=virtual_failure reactivation.groups=all_correct train.gate=not_all_wrong",
    "reactivation.kind=constant reactivation.groups=all_correct reactivation.decay=true heating.on_signal=hold "
    "train.gate=not_all_wrong refill.max_rounds=4",
    f"{HEATING} train.gate=not_all_wrong refill.max_rounds=4",
    f"{RA} reactivation.kind=constant advantage.estimator=reinforce_pp_baseline train.gate=everything",
    f"{RA} refill.max_rounds=4 train.oversample=2",
    "pool.kind=recycling train.gate=not_all_wrong advantage.estimator=batch_standardize",
    "pool.kind=recycling pool.on_empty=stop",
    "pool.kind=prioritized priority.consume=trained pool.alpha=0.1 pool.reset_below=0.5",
    "pool.kind=prioritized posterior.least_discount=0.5 posterior.most_discount=0.5",
    "train.gate=everything optimizer.batch_exponent=1",
    "advantage.estimator=batch_standardize optimizer.batch_exponent=1",
    "loss.kind=gspo optimizer.epochs=2",
    "loss.kind=cispo loss.old_logprobs=engine",
    f"{HEATING} loss.off_temperature=importance optimizer.epochs=2 loss.old_logprobs=recompute loss.importance_cap=3",
    f"{REAL} top_up.kind=mixed subset.kind=max_variance pool.kind=recycling advantage.estimator=maxrl",
    "train.rollouts=9 train.tokens=9",
    "optimizer.schedule=linear train.steps=9",
    "optimizer.schedule=linear train.tokens=9",
    f"{LISTED} retriever.corpus=c.jsonl filters.ambiguous=allowed self_play.updates=proposer_first",
    f"{LISTED} retriever.corpus=c.jsonl self_play.updates=proposer_first optimizer.minibatches=4 "
    "loss.old_logprobs=recompute",
    f"{PHASED} profile.path=p profile.force=true",
    f"{MODEL} task.verifier=math verify.workers=4 model.chat_template=false",
]


def config_of(text):
    values = {}
    for override in text.split():
        values = merge(values, parse_override(override))
    return Config.model_validate_json(json.dumps(values))


@pytest.mark.parametrize(("text", "message"), REFUSED)
def test_what_cannot_work_is_refused_with_the_reason_and_the_remedy(text, message):
    reasons = refusals(config_of(text))
    assert any(message in reason for reason in reasons), reasons
    for reason in reasons:
        assert ";" in reason, f"a remedy follows the reason: {reason}"
        assert "\n" not in reason


@pytest.mark.parametrize("text", ACCEPTED)
def test_what_works_is_not_refused(text):
    assert refusals(config_of(text)) == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rule_is_in_the_table_and_has_a_docstring(rule):
    assert any(message in reason for text, message in REFUSED for reason in rule(config_of(text)))
    assert (rule.__doc__ or "").splitlines()[0].endswith(".")


def test_all_broken_rules_are_named_at_once():
    text = f"{SINGLE} pool.kind=recycling refill.max_rounds=2 heating.maximum=1.5 heating.on_signal=hold"
    with pytest.raises(ConfigError) as caught:
        validate(merge(config_of(text).model_dump(exclude_none=True), {"train": {"steps": 1}}), "run.toml")
    lines = str(caught.value).splitlines()
    assert all(line.startswith("run.toml: ") for line in lines)
    named = [line.split()[1] for line in lines]
    assert named == ["pool.kind", "train.gate", "pool.kind", "heating.maximum", "heating.on_signal"]


def test_a_setting_that_equals_its_default_is_never_unread():
    """Complete configurations, such as the one that a run keeps, name every key."""
    for recipe in RECIPES.values():
        assert refusals(Config.model_validate(recipe().model_dump())) == []
