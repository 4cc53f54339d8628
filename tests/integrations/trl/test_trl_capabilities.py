"""The table of recipes inside TRL."""

from rekindle.integrations.trl.settings.capabilities import capabilities, refusal_of
from rekindle.recipes import RECIPES, on_given_tasks


def test_every_recipe_for_given_tasks_is_accepted_and_self_play_is_refused():
    assert [name for name in RECIPES if not refusal_of(name)] == on_given_tasks()
    assert "use rekindle train" in refusal_of("self_play")
    assert "use rekindle train" in refusal_of("self_play_paper")


def test_what_a_script_has_to_set():
    needs = {name: one.needs for name, one in capabilities().items() if one.needs}
    assert list(needs) == ["gspo", "cispo", "speed", "pods"]
    assert needs["speed"] == "a generation batch of at least 28"
    assert needs["pods"] == "a generation batch that is a multiple of 16"
    assert needs["gspo"].startswith("`steps_per_generation` = 4 x `gradient_accumulation_steps`")


def test_methods_that_count_successes_have_rewards_of_0_and_1():
    binary = {name for name, one in capabilities().items() if one.binary}
    assert {"erpo", "sgpo", "c_rf_ntf", "spo", "mopps", "greso", "rekindle"} <= binary
    assert not binary & {"grpo", "dapo", "recycle", "pods", "reinforce_pp_ntf", "rloo"}
