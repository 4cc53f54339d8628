"""Off means off: with recipe grpo the losses and weights are those of TRL's own trainer on the same rollouts."""

import copy
from typing import Any

import pytest
import torch
from torch.utils.data import Sampler
from trl import GRPOTrainer
from trl.trainer import grpo_trainer

from rekindle.integrations.trl import RekindleTrainer
from rekindle.integrations.trl.updates import batches, division

STEPS = 10


def odd(completions, **_):
    """1 where a completion has an odd number of digits."""
    return [float(sum(one.isdigit() for one in text) % 2) for text in completions]


def graded(completions, **_):
    """The share of digits among the characters."""
    return [sum(one.isdigit() for one in text) / max(1, len(text)) for text in completions]


class Recorded(RekindleTrainer):
    """Keeps the rollouts of every step: rows of the dataset and completions, group by group."""

    def __init__(self, *positional, **named):
        super().__init__(*positional, **named)
        self.steps_made, self.orders = [], []

    def _collected(self):
        """Keeps the order in which the rows go through the loss as well."""
        divided = []

        divide = division.divide

        def noted(samples, *rest):
            divided.append((samples, divide(samples, *rest)))
            return divided[-1][1]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batches, "divide", noted)
            made = super()._collected()
        samples, steps = divided[0]
        place = {id(one.rollout.token_ids): number for number, one in enumerate(self.run.rollouts.logged)}
        rows = [row for step in steps for parts in step.parts for part in parts for row in part.rows]
        self.orders.append([place[id(samples[row].token_ids)] for row in rows])
        return made

    def _sampled(self, rows):
        played = super()._sampled(rows)
        places = [self.run.places[row.request.row] for row in rows]
        completions = [one.rollout.token_ids[one.rollout.prompt_length :] for one in played]
        self.steps_made.append(list(zip(places, completions, strict=True)))
        return played


class Listed(Sampler):
    def __init__(self, places):
        self.places = places

    def __iter__(self):
        return iter(self.places)

    def __len__(self):
        return len(self.places)


class Replayed(GRPOTrainer):
    """TRL's own trainer, on recorded prompts and completions."""

    def __init__(self, *positional, made, **named):
        self.made = made
        self.generations = iter(made)
        super().__init__(*positional, **named)

    def _get_train_sampler(self, dataset=None):
        repeats = self.num_iterations * self.args.steps_per_generation
        return Listed([place for step in self.made for _ in range(repeats) for place, _ in step])

    def _generate_single_turn(self, prompt_ids, *_, **__):
        return [completion for _, completion in next(self.generations)], None


def reordered(batch, order):
    """A generation's tensors with the rows in this order, which TRL shuffles at random."""
    return {name: value[order] if value is not None and value.ndim else value for name, value in batch.items()}


def weights(trainer):
    return torch.cat([one.detach().flatten() for one in trainer.model.parameters()])


def logged(trainer, key):
    return [line[key] for line in trainer.state.log_history if key in line]


CASES: dict[str, dict[str, Any]] = {
    "grpo": {"loss_type": "grpo"},
    "dr_grpo": {"loss_type": "dr_grpo"},
    "dapo": {"loss_type": "dapo"},
    "bnpo": {"loss_type": "bnpo"},
    "without scaling": {"loss_type": "grpo", "scale_rewards": "none"},
    "two optimizer steps per generation": {"loss_type": "dapo", "steps_per_generation": 4},
    "two passes": {"loss_type": "grpo", "num_iterations": 2},
    "graded rewards": {"loss_type": "dapo", "reward": graded},
    "truncated ones masked": {"loss_type": "dapo", "mask_truncated_completions": True},
    "a reference": {"loss_type": "grpo", "beta": 0.05},
    "a reference, by tokens": {"loss_type": "dapo", "beta": 0.05, "use_bias_correction_kl": False},
    "a higher upper bound": {"loss_type": "grpo", "epsilon": 0.01, "epsilon_high": 0.02, "num_iterations": 2},
    "a bound of the ratio": {"loss_type": "dapo", "delta": 1.05, "num_iterations": 2},
    "tokens of high entropy": {"loss_type": "dapo", "top_entropy_quantile": 0.4},
    "an entropy bonus": {"loss_type": "grpo", "entropy_coef": 0.01},
    "ratios of sequences": {"loss_type": "grpo", "importance_sampling_level": "sequence", "steps_per_generation": 4},
    "cispo": {"loss_type": "cispo", "epsilon_high": 1.05, "steps_per_generation": 4},
    "luspo": {"loss_type": "luspo", "importance_sampling_level": "sequence", "num_iterations": 2},
    "sapo": {"loss_type": "sapo", "num_iterations": 2},
    "vespo": {"loss_type": "vespo", "num_iterations": 2},
    "off-policy ones masked": {"loss_type": "grpo", "num_iterations": 2, "off_policy_mask_threshold": 0.0005},
}
CLIPPING = {
    "a higher upper bound": "clip_ratio/region_mean", "cispo": "cispo_clip_ratio", "a reference": "kl",
    "a reference, by tokens": "kl",
}  # fmt: skip
"""The metric that shows that a case's option did something."""
SHORT = 4
"""Steps of the cases that come after the four losses, to save time."""


@pytest.mark.parametrize("name", CASES)
def test_losses_and_weights_are_those_of_stock_trl(name, tiny_model, tokenizer, args, dataset, tmp_path, monkeypatch):
    changes = dict(CASES[name])
    reward = changes.pop("reward", odd)
    changes["max_steps"] = STEPS if changes == {"loss_type": name} else SHORT
    tiny_model.save_pretrained(tmp_path / "model")
    start = copy.deepcopy(tiny_model)
    if "beta" in changes:  # TRL loads the reference from where the model is
        tiny_model = start = str(tmp_path / "model")
    ours = Recorded(
        tiny_model,
        reward,
        args(**changes, output_dir=str(tmp_path / "ours")),
        dataset,
        processing_class=tokenizer,
        recipe="grpo",
    )
    ours.train()
    orders = iter(ours.orders)
    monkeypatch.setattr(grpo_trainer, "shuffle_sequence_dict", lambda batch: reordered(batch, next(orders)))
    stock = Replayed(
        start,
        reward,
        args(**changes, output_dir=str(tmp_path / "stock")),
        dataset,
        processing_class=tokenizer,
        made=ours.steps_made,
    )
    before = weights(stock)
    stock.train()
    moved = (weights(stock) - before).norm()
    assert (weights(ours) - weights(stock)).norm() < 1e-3 * moved
    assert logged(ours, "loss") == pytest.approx(logged(stock, "loss"), abs=2e-6)
    assert logged(ours, "grad_norm") == pytest.approx(logged(stock, "grad_norm"), rel=1e-3, abs=1e-6)
    assert logged(ours, "frac_reward_zero_std") == pytest.approx(logged(stock, "frac_reward_zero_std"))
    assert max(map(abs, logged(stock, "grad_norm"))) > 0
    assert logged(ours, "kl") == pytest.approx(logged(stock, "kl"), rel=1e-3, abs=1e-6)
    if name in CLIPPING:
        assert max(logged(ours, CLIPPING[name])) > 0
