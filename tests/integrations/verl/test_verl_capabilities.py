"""The table of recipes on verl."""

from rekindle.integrations.verl.settings.capabilities import capabilities, refusal_of
from rekindle.recipes import RECIPES, on_given_tasks


def test_every_recipe_but_one_is_accepted():
    assert [name for name in RECIPES if refusal_of(name)] == ["self_play_paper"]
    assert "verl makes one; set rekindle.self_play.updates=joint" in refusal_of("self_play_paper")
    assert {*on_given_tasks(), "self_play"} <= set(capabilities())


def test_recipes_that_size_groups_need_no_size():
    found = {name for name, one in capabilities().items() if not one.sized and not one.refusal}
    assert found == {"sgpo", "c_rf_ntf", "reinforce_pp_ntf", "spo", "prompt_baseline", "pods", "self_play"}


def test_methods_that_count_successes_have_rewards_of_0_and_1():
    binary = {name for name, one in capabilities().items() if one.binary}
    assert {"erpo", "sgpo", "c_rf_ntf", "spo", "mopps", "greso", "rekindle"} <= binary
    assert not binary & {"grpo", "dapo", "recycle", "pods", "reinforce_pp_ntf", "rloo"}
