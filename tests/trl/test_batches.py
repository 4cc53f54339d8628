"""Losses of whole optimizer steps by TRL's own ``_compute_loss``, against closed forms from plain transformers."""

import pytest
import torch

from rekindle.integrations.trl.updates.batches import BatchSettings, Scorers, build_batches
from rekindle.integrations.trl.updates.division import Division, divide
from rekindle.integrations.trl.updates.row_temperatures import RowTemperatures
from rekindle.learning.sides import side_scales
from rekindle.types import TrainingSample

LOW, HIGH, CAPPED, LONGEST = 0.2, 0.3, 1.5, 8


def sample(group, prompt, completion, advantage, *, masked=(), heat=1.0, **changes):
    """A sample whose tokens follow from its numbers; ``masked``: places in the completion that a tool wrote."""
    tokens = [(3 * group + place) % 37 for place in range(prompt)]
    tokens += [(5 * group + 7 * place + completion) % 37 for place in range(completion)]
    mask = [False] * prompt + [place not in masked for place in range(completion)]
    values = advantage if isinstance(advantage, list) else [advantage] * completion
    settings = {
        "token_ids": tokens,
        "loss_mask": mask,
        "logprobs": [-0.5 - 0.1 * place if on else 0.0 for place, on in enumerate(mask)],
        "advantages": [0.0] * prompt + [value if on else 0.0 for value, on in zip(values, mask[prompt:], strict=True)],
        "temperature": heat,
        "weight": 1.0,
        "prompt_key": group,
    }
    return TrainingSample(**(settings | changes))


def ragged():
    """Groups of 4, 1, 3 and 2 rows: without signal, overlong, with a tool's tokens, filtered, hot."""
    return [
        sample(0, 3, 4, 1.0),
        sample(0, 3, 8, -0.7),
        sample(0, 3, 1, 1.2),
        sample(0, 3, 6, -0.3, masked=range(6)),
        sample(1, 5, 7, 0.9, heat=1.4),
        sample(2, 2, 5, 0.0),
        sample(2, 2, 3, 0.0),
        sample(2, 2, 6, 0.0),
        sample(3, 6, 7, [-1.1, 0.0, 0.0, -1.1, -1.1, 0.0, 0.0], masked=(2, 3)),
        sample(3, 6, 2, 0.8, heat=0.7),
    ]


def shift(tokens):
    """How far the old log-probabilities are from the current ones: a function of the tokens."""
    return 0.4 * torch.sin(tokens.float())


class Shown:
    """An accelerator that says it is one of several processes."""

    def __init__(self, accelerator, processes):
        self._accelerator, self.num_processes = accelerator, processes

    def __getattr__(self, name):
        return getattr(self._accelerator, name)


class Trained:
    """A stock trainer that is shown micro-batches as if there were several processes."""

    def __init__(self, trainer, loss_type, level, shape):
        self.processes, self.micro_batches, self.accumulation = shape
        self.trainer = trainer(
            loss_type=loss_type,
            importance_sampling_level=level,
            epsilon=LOW,
            epsilon_high=CAPPED if loss_type == "cispo" else HIGH,
            max_completion_length=LONGEST,
            steps_per_generation=self.micro_batches,
            gradient_accumulation_steps=self.accumulation,
        )
        self.trainer.current_gradient_accumulation_steps = self.accumulation
        self.trainer.accelerator = Shown(self.trainer.accelerator, self.processes)
        self.model, self.loss_type = self.trainer.model.train(), loss_type
        self.division = Division(
            processes=self.processes, micro_batches=self.micro_batches, accumulation=self.accumulation
        )

    def settings(self, process=0, **changes):
        return BatchSettings(
            **{
                "division": self.division,
                "process": process,
                "loss_type": self.loss_type,
                "pad_id": 40,
                "device": torch.device("cpu"),
                "needs_old": True,
            }
            | changes
        )

    def scored(self, batch):
        """Old log-probabilities, off by `shift`, and entropies; from the trainer's own method."""
        ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
        mask = torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1)
        keep = batch["completion_ids"].shape[1]
        with torch.no_grad(), RowTemperatures(self.model, 1.0).at(batch["temperatures"].tolist()):
            logprobs, entropies, _ = self.trainer._get_per_token_logps_and_entropies(
                self.model, ids, mask, keep, compute_entropy=True
            )
        return logprobs - shift(batch["completion_ids"]), entropies

    def loss(self, batch):
        with RowTemperatures(self.model, 1.0).at(batch["temperatures"].tolist()):
            return self.trainer._compute_loss(self.model, batch) * batch["loss_scale"]

    def batches(self, samples, scorers=None, **changes):
        """[process][micro-batch]."""
        scorers = scorers or Scorers(self.scored)
        return [
            build_batches(samples, self.settings(process, **changes), scorers, (4,))
            for process in range(self.processes)
        ]

    def losses(self, samples, **changes):
        """The loss of each optimizer step that is within the generation: averaged over processes."""
        every = self.batches(samples, **changes)
        assert [len(batches) for batches in every] == [self.micro_batches] * self.processes
        step = self.division.per_step
        return [
            sum(self.loss(batch) for batches in every for batch in batches[start : start + step]) / self.processes
            for start in range(0, self.micro_batches, step)
        ]


def token_losses(model, one, loss_type, level):
    """Losses of the trainable tokens of a row, by its own unpadded forward pass."""
    ids = torch.tensor([list(one.token_ids)])
    logits = model(input_ids=ids).logits[0, :-1] / one.temperature
    mask = torch.tensor(list(one.loss_mask))[1:]
    now = torch.log_softmax(logits, -1).gather(1, ids[0, 1:, None]).squeeze(1)[mask]
    advantages = torch.tensor(list(one.advantages))[1:][mask]
    change = now - now.detach() + shift(ids[0, 1:][mask])
    ratio = change.exp() if level == "token" else change.mean().exp().expand_as(now)
    if loss_type == "cispo":
        return -ratio.clamp(max=CAPPED).detach() * advantages * now
    if loss_type == "sapo":
        heat = torch.where(advantages > 0, 1.0, 1.05)
        return -torch.sigmoid(heat * (ratio - 1)) * 4 / heat * advantages
    if loss_type == "vespo":
        whole = change.sum().detach()
        power, rate = torch.where(advantages >= 0, 2.0, 3.0), torch.where(advantages >= 0, 3.0, 2.0)
        return -torch.exp(rate + power * whole - rate * whole.exp()) * advantages * now
    return -torch.minimum(ratio * advantages, ratio.clamp(1 - LOW, 1 + HIGH) * advantages)


def closed_form(trained, samples, level):
    """The loss of each optimizer step by the formulas of the module's table."""
    model, kind = trained.model, trained.loss_type
    sums = [token_losses(model, one, kind, level).sum() for one in samples]
    counts = [sum(one.loss_mask) for one in samples]
    windows = trained.micro_batches / trained.accumulation
    found = []
    for step in divide(samples, trained.division, (4,), [not any(one.advantages) for one in samples]):
        rows, share = step.rows, min(1.0, windows)
        if kind in ("grpo", "sapo"):
            loss = sum(sums[row] / max(1, counts[row]) for row in rows) / len(rows) * share
        elif kind == "luspo":
            loss = sum(sums[row] for row in rows) / len(rows) * share
        elif kind == "dr_grpo":
            loss = sum(sums[row] for row in rows) / (len(rows) * LONGEST) * share
        elif kind == "bnpo":
            parts = [part.rows for parts in step.parts for part in parts]
            means = [(len(part), sum(sums[r] for r in part) / max(1, sum(counts[r] for r in part))) for part in parts]
            loss = sum(count * mean for count, mean in means) / len(rows) * share
        else:
            loss = sum(sums[row] for row in rows) * windows / sum(counts)
        found.append(loss)
    return found


KINDS = [(kind, "token") for kind in ("grpo", "dr_grpo", "bnpo", "dapo", "cispo", "sapo", "luspo", "vespo")]
KINDS += [("grpo", "sequence"), ("luspo", "sequence")]
SHAPES = {
    "one pass": (1, 1, 1),
    "two processes": (2, 2, 2),
    "several optimizer steps": (2, 4, 2),
    "empty micro-batches": (4, 3, 3),
    "several generations per step": (2, 1, 2),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(("kind", "level"), KINDS)
def test_the_loss_of_an_optimizer_step_is_the_closed_form(trainer, kind, level, shape):
    trained, samples = Trained(trainer, kind, level, shape), ragged()
    ours, expected = trained.losses(samples), closed_form(trained, samples, level)
    assert len(ours) == len(expected) == max(1, shape[1] // shape[2])
    for one, other in zip(ours, expected, strict=True):
        assert one.item() == pytest.approx(other.item(), rel=1e-4, abs=1e-6)
    weight = trained.model.model.layers[0].mlp.up_proj.weight
    for one, other in zip(ours, expected, strict=True):
        mine, theirs = (torch.autograd.grad(loss, weight, retain_graph=True)[0] for loss in (one, other))
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", ["grpo", "dr_grpo", "bnpo", "dapo"])
def test_rows_of_equal_size_have_scale_one_and_nothing_is_added(trainer, kind):
    trained = Trained(trainer, kind, "token", (2, 3, 3))
    samples = [sample(row // 4, 3, 5, 1.0 if row % 2 else -1.0) for row in range(24)]
    for batches in trained.batches(samples):
        for batch in batches:
            assert batch["loss_scale"].item() == pytest.approx(1.0)
            assert batch["completion_ids"].shape == (4, 5)


@pytest.mark.parametrize(("changes", "computed"), [({}, 6), ({"computes_all": True}, 9)])
def test_rows_without_a_share_in_the_gradient_are_left_out(trainer, changes, computed):
    trained = Trained(trainer, "grpo", "token", (1, 1, 1))
    [[batch]] = trained.batches(ragged(), **changes)
    assert len(batch["prompt_ids"]) == computed
    assert batch["loss_scale"].item() == pytest.approx(computed / 10)
    assert trained.loss(batch).item() == pytest.approx(trained.losses(ragged())[0].item(), rel=1e-5)


def test_tensors_are_padded_as_trl_pads_them(trainer):
    trained = Trained(trainer, "grpo", "token", (1, 1, 1))
    samples = [sample(0, 2, 3, 1.0, masked=(1,)), sample(1, 3, 1, -2.0, heat=1.3)]
    [[batch]] = trained.batches(samples, multiple=4, needs_old=False)
    assert batch["prompt_ids"].tolist() == [[40, 40, 0, 1], [40, 3, 4, 5]]
    assert batch["prompt_mask"].tolist() == [[0, 0, 1, 1], [0, 1, 1, 1]]
    assert batch["completion_ids"].tolist() == [[3, 10, 17, 40], [6, 40, 40, 40]]
    assert batch["completion_mask"].tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]
    assert batch["tool_mask"].tolist() == [[1, 0, 1, 0], [1, 0, 0, 0]]
    assert batch["advantages"].tolist() == [[1.0, 0.0, 1.0, 0.0], [-2.0, 0.0, 0.0, 0.0]]
    assert batch["sampling_per_token_logps"].tolist() == [
        pytest.approx([-0.7, 0, -0.9, 0]),
        pytest.approx([-0.8, 0, 0, 0]),
    ]
    assert batch["temperatures"].tolist() == [1.0, 1.3]
    assert batch["num_items_in_batch"].item() == 3
    assert "old_per_token_logps" not in batch


def test_an_empty_micro_batch_has_a_backward_pass_and_no_gradient(trainer):
    trained = Trained(trainer, "dapo", "token", (3, 1, 1))
    batches = [batch for [batch] in trained.batches([sample(0, 3, 4, 1.0), sample(0, 3, 5, 0.0)])]
    empty = [batch for batch in batches if not batch["tool_mask"].any()]
    assert len(empty) == 2
    for batch in empty:
        assert batch["prompt_ids"].shape == batch["completion_ids"].shape == (1, 1)
        trained.model.zero_grad()
        trained.loss(batch).backward()
        assert not any(one.grad.any() for one in trained.model.parameters())


def test_sides_are_balanced_within_each_optimizer_step(trainer):
    trained = Trained(trainer, "grpo", "token", (1, 2, 1))
    samples = [
        sample(
            row,
            3,
            2 + row % 4,
            1.0 if row in (1, 5) else -1.0,
            side=1 if row in (1, 5) else -1,
            weight=1 / (2 + row % 4),
        )
        for row in range(9)
    ]
    [batches] = trained.batches(samples)
    for batch, step in zip(batches, divide(samples, trained.division, (4,), [False] * 9), strict=True):
        expected = sorted({abs(value) for value in side_scales([samples[row] for row in step.rows]).values()})
        found = sorted({abs(value) for value in batch["advantages"].flatten().tolist() if value})
        assert found == pytest.approx(expected)
        means = (batch["advantages"].sum(1) / batch["tool_mask"].sum(1)).tolist()
        if {value > 0 for value in means} == {True, False}:
            assert sum(means) == pytest.approx(0, abs=1e-5)


def test_importance_weights_are_capped_and_fold_into_the_advantages(trainer):
    trained = Trained(trainer, "grpo", "token", (1, 1, 1))
    samples = [
        sample(0, 3, 5, 1.0, importance_cap=1.2),
        sample(1, 3, 5, -2.0),
        sample(2, 3, 4, 0.5, masked=(1,), importance_cap=9.0),
    ]
    [[batch]] = trained.batches(samples)
    old, behaviour = batch["old_per_token_logps"], batch["sampling_per_token_logps"]
    ratio = (old - behaviour).exp()
    assert batch["advantages"][0].tolist() == pytest.approx(ratio[0].clamp(max=1.2).tolist())
    assert batch["advantages"][1].tolist() == [-2.0] * 5
    expected = 0.5 * ratio[2].clamp(max=9.0) * torch.tensor([1, 0, 1, 1, 0])
    assert batch["advantages"][2].tolist() == pytest.approx(expected.tolist())


def test_entropies_give_zero_variance_groups_their_advantages(trainer):
    trained = Trained(trainer, "grpo", "token", (1, 1, 1))
    samples = [
        sample(0, 3, 4, 0.0, entropy_scale=0.1),
        sample(1, 3, 3, 0.0, masked=(1,), entropy_scale=-0.2),
        sample(2, 3, 2, 0.7),
    ]
    [[batch]] = trained.batches(samples, needs_old=False)
    assert "old_per_token_logps" not in batch
    _, entropies = trained.scored(batch)
    assert batch["advantages"][0].tolist() == pytest.approx((0.1 * entropies[0]).tolist())
    counted = entropies[1][[0, 2]]
    expected = -0.2 * (counted.max() - counted)
    assert batch["advantages"][1].tolist() == pytest.approx([expected[0].item(), 0, expected[1].item(), 0], abs=1e-7)
    assert batch["advantages"][2].tolist() == pytest.approx([0.7, 0.7, 0, 0])


@pytest.mark.parametrize("corrected", [True, False])
@pytest.mark.parametrize("kind", ["grpo", "dapo"])
def test_a_reference_policy_pulls_every_row(trainer, kind, corrected):
    trained = Trained(trainer, kind, "token", (2, 2, 2))
    trained.trainer.beta = 0.3  # an argument would load a reference model
    trained.trainer.args.use_bias_correction_kl = corrected
    samples = [sample(0, 3, 4, 1.0), sample(0, 3, 2, 0.0), sample(1, 4, 3, 0.0, heat=1.4), sample(1, 4, 5, -1.0)]
    scorers = Scorers(trained.scored, lambda batch: trained.scored(batch)[0] - 0.1)
    every = trained.batches(samples, scorers, computes_all=True)
    assert sum(len(batch["prompt_ids"]) for batches in every for batch in batches) == 4
    loss = sum(trained.loss(batch) for batches in every for batch in batches) / 2
    counts, total = [sum(one.loss_mask) for one in samples], torch.tensor(0.0)
    for one, count in zip(samples, counts, strict=True):
        ids = torch.tensor(list(one.token_ids))[torch.tensor(list(one.loss_mask))]
        gap = -shift(ids) - 0.1
        divergence = (gap.exp() - gap - 1) * (shift(ids).exp() if corrected else 1.0)
        losses = token_losses(trained.model, one, kind, "token") + 0.3 * divergence
        total = total + losses.sum() / (4 * count if kind == "grpo" else sum(counts))
    assert loss.item() == pytest.approx(total.item(), rel=1e-4)


def test_every_process_asks_the_scorers_equally_often(trainer):
    trained, asked = Trained(trainer, "grpo", "token", (4, 2, 2)), [0] * 4
    samples = [*ragged(), sample(5, 3, 3, 1.0, importance_cap=2.0)]
    for process in range(4):

        def counted(batch, process=process):
            asked[process] += 1
            return trained.scored(batch)

        build_batches(samples, trained.settings(process, needs_old=False), Scorers(counted), (1,))
    assert asked == [2] * 4
