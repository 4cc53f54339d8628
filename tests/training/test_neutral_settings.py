"""Off means off: at its neutral setting every method is plain GRPO, or the plain method of its kind, bit for bit.

Two ways to be off. A method whose switches are set back has no part left in the run: its configuration is the plain
one. A method that stays on at a setting under which its rule changes nothing takes part in every step: whole runs are
compared, over the end of an epoch of the pool.
"""

import pytest
import torch
from test_loop import finish, last_weights, ledger_rows, without_clocks

from fast import sample
from rekindle.recipes import on_given_tasks

PLAIN = ("train.gate=has_signal", "advantage.estimator=grpo", "loss.aggregation=group_token_mean", "train.group_size=4")
CYCLING = ("pool.kind=cycling", "pool.reset_below=0", "train.oversample=1")
CLIP = ("loss.clip_low=0.2", "loss.clip_high=0.2")
OWN_LOSS = ("loss.kind=ppo_clip", "optimizer.minibatches=1", *CLIP)
COLD = ("heating.delta=0", "reactivation.kind=off")
SUBSET = ("top_up.kind=off", "subset.kind=off", "subset.size=4", "subset.baseline=selected")

SWITCHED_OFF = {
    "grpo": (),
    "dapo": ("refill.max_rounds=0", *CLIP),
    "bounded_dapo": CYCLING,
    "dr_grpo": (),
    "rloo": (),
    "reinforce_pp": (),
    "reinforce_pp_baseline": (),
    "gpg": (),
    "maxrl": (),
    "gspo": OWN_LOSS,
    "cispo": OWN_LOSS,
    "recycle": CYCLING,
    "soft_recycle": (*CYCLING, "pool.alpha=0"),
    "erpo": COLD,
    "sgpo": ("pool.kind=cycling",),
    "c_rf_ntf": ("advantage.negative_keep_ratio=1", *CLIP),
    "reinforce_pp_ntf": ("advantage.negative_keep_ratio=1", *CLIP),
    "rl_zvp": ("advantage.zero_variance_scale=0",),
    "greso": ("pool.kind=cycling", "refill.max_rounds=0"),
    "mopps": (
        "pool.kind=cycling",
        *("priority.estimate=mean", "priority.select=weighted", "priority.floor=0.05"),
        *("posterior.prior_successes=0.5", "posterior.prior_failures=0.5"),
        *("posterior.least_discount=0", "posterior.most_discount=1"),
    ),
    "speed": ("top_up.kind=off",),
    "reinforce_ada": SUBSET,
    "knapsack": ("sizes.rule=fixed", "sizes.maximum=8"),
    "pods": SUBSET,
    "rekindle": (*SUBSET, "advantage.negative_scale=1", "optimizer.schedule=constant"),
}
"""What, besides ``PLAIN``, sets a recipe's switches back."""

UNIFORM = ("pool.kind=prioritized", "priority.score=signal_chance", "priority.sharpness=0", "priority.consume=drawn")
FOUR = ("sizes.minimum=4", "sizes.maximum=4")
SINGLE = ("train.group_size=1",)
OF_NTF = ("loss.clip_high=10.0", "loss.aggregation=sequence_mean")
ONE_PHASE = ("profile.trivial_above=1", "profile.unsolved_share=1", "profile.samples=1", *FOUR)
ENDLESS = ("phases.max_epochs=1000000",)
PROBE = ("moved", "recomputed_tokens", "flops", "total_flops")
PROFILE = ("profile/", "total_", "generated_tokens", "prompt_tokens", "flops")

# method at a setting under which it changes nothing; the plain run; metrics that say what the method itself cost
NEUTRAL = {
    "posterior recycling": (("grpo", *UNIFORM), ("grpo",), ()),
    "posterior recycling that forgets": (("posterior_recycle", *UNIFORM), ("grpo",), PROBE),
    "MoPPS": (("mopps", "priority.estimate=mean", "priority.select=weighted", *UNIFORM), ("grpo",), ()),
    "GRESO": (("greso", "skip.explore=1", "refill.max_rounds=0"), ("grpo",), ()),
    "sGPO": (("sgpo", *ONE_PHASE, *ENDLESS), ("grpo",), PROFILE),
    "knapsack": (("knapsack", *FOUR), ("grpo",), ()),
    "sizes by success": (("grpo", "sizes.rule=inverse_success", *FOUR), ("grpo",), ()),
    # The answers have at most 24 tokens, of which ceil(0.96 n) are all.
    "C-RF's filter": (
        ("c_rf_ntf", "advantage.negative_keep_ratio=0.96"),
        ("c_rf_ntf", "advantage.negative_keep_ratio=1"),
        (),
    ),
    "the filter": (("reinforce_pp_ntf", "advantage.negative_keep_ratio=0.96"), ("reinforce_pp", *SINGLE, *OF_NTF), ()),
    "SPO": (("spo", *UNIFORM, *PLAIN), ("grpo",), PROBE),
    "shrunk baselines": (("prompt_baseline", *UNIFORM, *PLAIN), ("grpo",), PROBE),
}

SHORT = ("task.pool_size=20", "train.steps=4", "train.temperature=1.2", "eval.every=9", "eval.prompts=4")
"""Four steps of eight prompts out of twenty: every pool has to come round."""


@pytest.mark.parametrize("recipe", SWITCHED_OFF)
def test_a_recipe_whose_switches_are_set_back_is_the_configuration_of_grpo(recipe, quick_config):
    off = quick_config(recipe, *PLAIN, *SWITCHED_OFF[recipe])
    assert off.model_copy(update={"recipe": "grpo"}) == quick_config("grpo")


def test_no_recipe_is_left_out():
    in_runs = {method for (method, *_), _, _ in NEUTRAL.values()}
    assert set(on_given_tasks()) == set(SWITCHED_OFF) | in_runs


@pytest.fixture(scope="module")
def run_of(quick_config, tmp_path_factory):
    """``run_of("grpo", "train.group_size=1")``: the directory of a short run, made once."""
    made = {}

    def run(recipe, *overrides):
        if (recipe, *overrides) not in made:
            directory = tmp_path_factory.mktemp("neutral") / "run"
            _, loop = finish(quick_config(recipe, *SHORT, *overrides), directory)
            assert loop.version == 4, "a run that trains nothing compares nothing"
            made[recipe, *overrides] = directory
        return made[recipe, *overrides]

    return run


def compared_metrics(directory, others, costs):
    """The lines of a run without what the method itself cost, and without what its pool says beside the others'."""
    lines = without_clocks(directory)
    common = set().union(*without_clocks(others))
    return [
        {
            key: value
            for key, value in line.items()
            if not key.startswith(costs) and (key in common or not key.startswith("pool/"))
        }
        for line in lines
    ]


@pytest.mark.parametrize("name", sample(NEUTRAL))
def test_a_method_at_its_neutral_setting_changes_no_bit_of_the_run(name, run_of):
    method, plain, costs = NEUTRAL[name]
    one, two = run_of(*method), run_of(*plain)
    assert compared_metrics(one, two, costs) == compared_metrics(two, one, costs)
    assert ledger_rows(one) == ledger_rows(two)
    first, second = last_weights(one), last_weights(two)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[weight], second[weight]) for weight in first)


@pytest.mark.slow
def test_the_runs_that_are_compared_go_round_the_pool_and_differ_by_their_method(run_of):
    """Neither is a comparison of nothing: the pool was reset, and the same recipes at other settings end elsewhere."""
    plain = run_of("grpo")
    assert without_clocks(plain)[-1]["pool/resets"] == 1
    sharp = run_of("grpo", "pool.kind=prioritized", "priority.sharpness=1")
    assert ledger_rows(sharp) != ledger_rows(plain)
    single = run_of("reinforce_pp", *SINGLE, *OF_NTF)
    filtered = run_of("reinforce_pp_ntf", "advantage.negative_keep_ratio=0.1")
    assert any(not torch.equal(weight, last_weights(single)[key]) for key, weight in last_weights(filtered).items())
