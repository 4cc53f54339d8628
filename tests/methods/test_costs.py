"""Rollouts that recipes generate and train on: the table of costs in docs/methods/README.md."""

import numpy as np
import pytest

from rekindle.learning.samples import build_samples
from rekindle.methods.credit import build_credit
from rekindle.methods.scheduler import build_scheduler
from rekindle.recipes import RECIPES, on_given_tasks
from rekindle.types import Group, Outcome, Rollout

PROMPTS, STEPS = 256, 5


def mixed(group: Group) -> bool:
    return group.outcome is Outcome.MIXED


def mixed_or_hot(group: Group) -> bool:
    return mixed(group) or (group.outcome is Outcome.ALL_CORRECT and group.request.temperature > 1)


def every(group: Group) -> bool:
    return True


COSTS = {
    **dict.fromkeys(("grpo", "dr_grpo", "rloo", "maxrl", "gpg", "gspo", "cispo"), (256, 256, mixed, None)),
    **dict.fromkeys(("posterior_recycle", "mopps", "knapsack"), (256, 256, mixed, None)),
    **dict.fromkeys(("reinforce_pp", "reinforce_pp_baseline", "rl_zvp"), (256, 256, every, None)),
    **dict.fromkeys(("bounded_dapo", "recycle", "soft_recycle"), (512, 512, mixed, None)),
    **dict.fromkeys(("dapo", "greso"), (256, 5 * 256, mixed, None)),
    "speed": (24 * 4, 24 * 24, mixed, None),
    "reinforce_ada": (16 * 8, 16 * 32, mixed, 8),
    "pods": (256, 256, mixed, 4),
    "erpo": (256, 256, mixed_or_hot, None),
    "rekindle": (64, 64, mixed, 1),
    **dict.fromkeys(("c_rf_ntf", "reinforce_pp_ntf", "spo", "prompt_baseline"), (256, 256, every, None)),
}
"""Recipe -> fewest and most rollouts of a step, groups whose rollouts are trained on, and how many of each (None: all).

sGPO needs a profile, and self-play a model.
"""


def test_every_recipe_is_in_the_table():
    assert {*COSTS, "sgpo"} == set(on_given_tasks())


def test_recipes_with_a_pass_besides():
    presets = {name: recipe() for name, recipe in RECIPES.items()}
    probed = {name for name, one in presets.items() if one.posterior.half_life is not None}
    assert probed == {"posterior_recycle", "spo", "prompt_baseline"}
    assert {name for name, one in presets.items() if one.loss.kl_coefficient} == {"self_play", "self_play_paper"}
    assert {name for name, one in presets.items() if one.optimizer.minibatches > 1} == {"gspo", "cispo"}
    assert not {name for name, one in presets.items() if one.loss.old_logprobs == "recompute"}


def rollout(right: bool, tokens: int) -> Rollout:
    mask = [False] + [True] * tokens
    return Rollout(token_ids=[0] * len(mask), loss_mask=mask, logprobs=[-1.0] * len(mask), reward=float(right))


@pytest.mark.parametrize("recipe", COSTS)
def test_rollouts_generated_and_trained_on(recipe):
    least, most, trains, of_each = COSTS[recipe]
    config, rng = RECIPES[recipe](), np.random.default_rng(0)
    scheduler, credit = build_scheduler(config, map(str, range(PROMPTS)), None), build_credit(config)
    rates = rng.choice([0.0, 0.1, 0.5, 1.0], PROMPTS)
    for step in range(1, STEPS + 1):
        generated = 0
        while (request := scheduler.ask()) is not None:
            generated += request.n
            draws = zip(rng.random(request.n), rng.integers(1, 9, request.n), strict=True)
            played = [rollout(draw < rates[request.row], int(tokens)) for draw, tokens in draws]
            scheduler.tell(request.id, played)
        groups = scheduler.take() or []
        samples = build_samples(groups, credit) if groups else []
        costly = sum(bool(one.entropy_scale) or any(one.advantages) for one in samples)
        assert least <= generated <= most
        assert costly == sum(of_each or len(group.rollouts) for group in groups if trains(group)) > 0
        scheduler.drain_records()
        scheduler.advance(step)
