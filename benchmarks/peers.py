"""Numbers of TRL and verl for the tests: advantages, losses and gradients by their own code, on small ragged batches.

    python3 -m venv /tmp/peers
    /tmp/peers/bin/pip install torch==2.13.0
    /tmp/peers/bin/pip install torch==2.13.0 trl==1.16.0 verl==0.9.1 TransferQueue==0.1.11 cachetools uvicorn fastapi
    /tmp/peers/bin/python benchmarks/peers.py                # writes tests/learning/peers.json
    /tmp/peers/bin/python benchmarks/peers.py --check        # compares with it instead

It runs in an environment of its own, because the two pin other versions than we do, and needs nothing of rekindle.
TRL's numbers come from `GRPOTrainer._generate_and_score_completions` and `GRPOTrainer._compute_loss` of a real trainer,
whose rollouts and log-probabilities are given; verl's from `verl.trainer.ppo.core_algos`.
"""

import argparse
import json
import math
import os
import random
import re
import sys
import tempfile
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRL_EXPERIMENTAL_SILENCE", "1")
warnings.filterwarnings("ignore")

import numpy as np  # noqa: E402
import torch  # noqa: E402

RESULTS = Path(__file__).resolve().parents[1] / "tests" / "learning" / "peers.json"
F64 = torch.float64
GROUPS, SIZE, LONGEST = 4, 4, 6
COEFFICIENT = 0.05
"""Weight of the KL term."""
Numbers = dict[str, Any]


def make_batch(seed: int, *, binary: bool) -> Numbers:
    """Rollouts of four prompts; one group has equal rewards. Log-probabilities per token: new, old and reference."""
    rng = random.Random(seed)
    rewards = [float(rng.random() < 0.5) if binary else round(rng.random(), 3) for _ in range(GROUPS * SIZE)]
    rewards[SIZE : 2 * SIZE] = [rewards[SIZE]] * SIZE
    rows = []
    for reward in rewards:
        length = rng.randint(1, LONGEST)
        old = [round(-3 * rng.random(), 6) for _ in range(length)]
        new = [min(-1e-3, round(value + rng.gauss(0, 0.8), 6)) for value in old]
        reference = [min(-1e-3, round(value + rng.gauss(0, 0.4), 6)) for value in old]
        rows.append({"reward": reward, "new": new, "old": old, "reference": reference})
    return {"group_size": SIZE, "rows": rows}


def padded(batch: Numbers, column: str) -> torch.Tensor:
    """[rollouts, LONGEST] a column of the rows, 0.0 after their ends."""
    return torch.tensor([row[column] + [0.0] * (LONGEST - len(row[column])) for row in batch["rows"]], dtype=F64)


def mask_of(batch: Numbers) -> torch.Tensor:
    lengths = torch.tensor([len(row["new"]) for row in batch["rows"]])
    return (torch.arange(LONGEST)[None] < lengths[:, None]).to(F64)


def rounded(values: torch.Tensor) -> list[float]:
    return [float(f"{value:.13g}") for value in values.detach().double().flatten().tolist()]


def outcome(loss: torch.Tensor, logprobs: torch.Tensor, mask: torch.Tensor) -> Numbers:
    """The loss, and its gradient at every token."""
    (gradient,) = torch.autograd.grad(loss, logprobs)
    assert bool((gradient[mask == 0] == 0).all())
    return {"loss": rounded(loss)[0], "gradient": rounded(gradient[mask > 0])}


# -- verl -------------------------------------------------------------------------------------------------------------


def verl_advantages(batch: Numbers) -> Numbers:
    from verl.trainer.ppo import core_algos as core

    mask = mask_of(batch)
    last = mask.sum(-1).long() - 1
    rewards = torch.zeros_like(mask)
    rewards[torch.arange(len(last)), last] = torch.tensor([row["reward"] for row in batch["rows"]], dtype=F64)
    index = np.repeat(np.arange(GROUPS), SIZE)
    config: Any = SimpleNamespace(gamma=1.0)
    made: dict[str, Callable[[], Any]] = {
        "grpo": lambda: core.compute_grpo_outcome_advantage(rewards.clone(), mask, index),
        "dr_grpo": lambda: core.compute_grpo_outcome_advantage(
            rewards.clone(), mask, index, norm_adv_by_std_in_grpo=False
        ),
        "rloo": lambda: core.compute_rloo_outcome_advantage(rewards.clone(), mask, index),
        "batch_standardize": lambda: core.compute_reinforce_plus_plus_outcome_advantage(
            rewards.clone(), mask, config=config
        ),
        "reinforce_pp_baseline": lambda: core.compute_reinforce_plus_plus_baseline_outcome_advantage(
            rewards.clone(), mask, index
        ),
    }
    return {name: rounded(make()[0][:, 0]) for name, make in made.items()}


VERL_AGGREGATIONS = {
    "token_mean": "token-mean",
    "sequence_mean": "seq-mean-token-mean",
    "constant_length": "seq-mean-token-sum-norm",
}


def verl_loss(
    batch: Numbers,
    advantages: list[float],
    kind: str = "vanilla",
    aggregation: str = "token_mean",
    clip: tuple[float, float] = (0.2, 0.2),
    dual: float = 1e9,
    kl: str | None = None,
    on_policy: bool = False,
    tis_cap: float | None = None,
) -> Numbers:
    """A policy loss of verl, with its KL term; ``on_policy``: new log-probabilities equal to the old ones."""
    from verl.trainer.ppo import core_algos as core
    from verl.trainer.ppo.rollout_corr_helper import compute_rollout_correction_weights
    from verl.workers.config import FSDPActorConfig

    config = FSDPActorConfig(
        strategy="fsdp",
        rollout_n=1,
        ppo_micro_batch_size_per_gpu=1,
        clip_ratio=clip[0],
        clip_ratio_low=clip[0],
        clip_ratio_high=clip[1],
        clip_ratio_c=dual,
    )
    mask, mode = mask_of(batch), VERL_AGGREGATIONS[aggregation]
    logprobs = padded(batch, "old" if on_policy else "new").requires_grad_()
    old, spread = padded(batch, "old"), torch.tensor(advantages, dtype=F64)[:, None] * mask
    weights = None
    if tis_cap is not None:  # the reference stands for the engine that sampled
        log_ratio = old - padded(batch, "reference")
        weights, _ = compute_rollout_correction_weights(log_ratio, mask, "token", tis_cap)
    loss, _ = core.get_policy_loss_fn(kind)(
        old, logprobs, spread, mask, loss_agg_mode=mode, config=config, rollout_is_weights=weights
    )
    if kl is not None:
        penalty = core.kl_penalty(logprobs, padded(batch, "reference"), kl)
        loss = loss + COEFFICIENT * core.agg_loss(penalty, mask, mode)
    return outcome(loss, logprobs, mask)


def verl_losses(batch: Numbers, advantages: list[float]) -> list[Numbers]:
    """Each loss with the settings that say the same in our configuration."""
    cases: list[tuple[Numbers, dict[str, Any]]] = [
        *(({"aggregation": name}, {"aggregation": name}) for name in VERL_AGGREGATIONS),
        ({"clip_high": 0.28}, {"clip": (0.2, 0.28)}),
        ({"dual_clip": 1.5}, {"dual": 1.5}),
        ({"dual_clip": 3.0, "clip_high": 0.285, "aggregation": "sequence_mean"}, {"dual": 3.0, "clip": (0.2, 0.285)}),
        ({"kl": "k3"}, {"kl": "k3"}),
        ({"kl": "k3", "on_policy": True}, {"kl": "k3", "on_policy": True}),
        ({"kl": "k3_corrected", "on_policy": True}, {"kl": "k3+", "on_policy": True}),
        ({"tis_cap": 2.0, "on_policy": True}, {"tis_cap": 2.0, "on_policy": True}),
        ({"tis_cap": 1.1, "on_policy": True}, {"tis_cap": 1.1, "on_policy": True}),
        (
            {"kind": "gspo", "clip_low": 0.1, "clip_high": 0.15, "aggregation": "sequence_mean"},
            {"kind": "gspo", "clip": (0.1, 0.15)},
        ),
        # Our CISPO has no lower bound, as the paper's; a range of 1 below 1 is none.
        ({"kind": "cispo", "clip_high": 0.5}, {"kind": "cispo", "clip": (1.0, 0.5)}),
    ]
    made = []
    for settings, arguments in cases:
        known = {"aggregation": settings.get("aggregation", "token_mean")}
        made.append({"settings": {**known, **settings}, **verl_loss(batch, advantages, **{**known, **arguments})})
    return made


# -- TRL --------------------------------------------------------------------------------------------------------------


def trl_trainer(batch: Numbers, folder: str) -> Any:
    """A GRPOTrainer with a tiny model, to which the rollouts and their rewards are given."""
    from datasets import Dataset
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
    from trl import GRPOConfig, GRPOTrainer

    words = {"<pad>": 0, "<eos>": 1, **{f"w{number}": number + 2 for number in range(30)}}
    made = Tokenizer(WordLevel(words, unk_token="<pad>"))
    made.pre_tokenizer = Whitespace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<eos>")
    shape = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = Qwen3ForCausalLM(Qwen3Config(vocab_size=len(words), num_key_value_heads=2, head_dim=8, **shape))
    lengths = [len(row["new"]) for row in batch["rows"]]

    def rollouts(prompts: list[str], trainer: Any) -> Numbers:
        completions = [[2] * length for length in lengths]
        return {
            "prompt_ids": [[3]] * len(prompts),
            "completion_ids": completions,
            "logprobs": [[0.0] * length for length in lengths],
        }

    def reward(completions: list[Any], **_: Any) -> list[float]:
        assert len(completions) == len(lengths)
        return [row["reward"] for row in batch["rows"]]

    arguments = GRPOConfig(
        output_dir=folder,
        use_cpu=True,
        bf16=False,
        per_device_train_batch_size=GROUPS * SIZE,
        num_generations=SIZE,
        max_completion_length=LONGEST,
        report_to=[],
        gradient_checkpointing=False,
        mask_truncated_completions=False,
    )
    trainer = GRPOTrainer(
        model=model,
        reward_funcs=reward,
        args=arguments,
        train_dataset=Dataset.from_list([{"prompt": f"w{number}"} for number in range(GROUPS)]),
        processing_class=tokenizer,
        rollout_func=rollouts,
    )
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    return trainer


def trl_advantages(trainer: Any) -> Numbers:
    prompts = [{"prompt": f"w{number}"} for number in range(GROUPS) for _ in range(SIZE)]
    made = {}
    for name, scale in (("grpo", "group"), ("dr_grpo", "none")):
        trainer.scale_rewards = scale
        made[name] = rounded(trainer._generate_and_score_completions(prompts)["advantages"])
    return made


def trl_loss(trainer: Any, batch: Numbers, advantages: list[float], on_policy: bool, changes: Numbers) -> Numbers:
    """``_compute_loss`` with given log-probabilities; the changes are attributes of the trainer or of its arguments."""
    mask = mask_of(batch)
    logprobs = padded(batch, "old" if on_policy else "new").requires_grad_()
    values = {
        "loss_type": "bnpo",
        "epsilon_low": 0.2,
        "epsilon_high": 0.2,
        "beta": 0.0,
        "importance_sampling_level": "token",
        **{key: value for key, value in changes.items() if key not in {"delta", "use_bias_correction_kl"}},
    }
    for key, value in values.items():
        setattr(trainer, key, value)
    trainer.args.delta = changes.get("delta")
    trainer.args.use_bias_correction_kl = changes.get("use_bias_correction_kl", True)
    trainer._get_per_token_logps_and_entropies = lambda *_, **__: (logprobs, torch.zeros_like(mask), None)
    ids = torch.full(mask.shape, 2)
    inputs = {
        "prompt_ids": torch.full((len(mask), 1), 3),
        "prompt_mask": torch.ones(len(mask), 1, dtype=torch.long),
        "completion_ids": ids,
        "completion_mask": mask,
        "advantages": torch.tensor(advantages, dtype=F64),
        "old_per_token_logps": padded(batch, "old"),
        "ref_per_token_logps": padded(batch, "reference"),
        "num_items_in_batch": mask.sum(),
    }
    return outcome(trainer._compute_loss(trainer.model, inputs), logprobs, mask)


def trl_losses(trainer: Any, batch: Numbers, advantages: list[float]) -> list[Numbers]:
    kl = {"beta": COEFFICIENT}
    cases: list[tuple[Numbers, Numbers]] = [
        ({"aggregation": "token_mean"}, {"loss_type": "bnpo"}),
        ({"aggregation": "token_mean", "clip_high": 0.28}, {"loss_type": "dapo", "epsilon_high": 0.28}),
        ({"aggregation": "sequence_mean"}, {"loss_type": "grpo"}),
        ({"aggregation": "constant_length"}, {"loss_type": "dr_grpo"}),
        ({"aggregation": "token_mean", "dual_clip": 1.5}, {"delta": 1.5}),
        ({"aggregation": "sequence_mean", "dual_clip": 3.0}, {"loss_type": "grpo", "delta": 3.0}),
        ({"aggregation": "token_mean", "kl": "k3"}, {**kl, "use_bias_correction_kl": False}),
        ({"aggregation": "token_mean", "kl": "k3_corrected"}, {**kl, "use_bias_correction_kl": True}),
        ({"aggregation": "sequence_mean", "kl": "k3_corrected", "on_policy": True}, {**kl, "loss_type": "grpo"}),
        # TRL's epsilon_high of CISPO is the bound itself.
        ({"aggregation": "token_mean", "kind": "cispo", "clip_high": 0.5}, {"loss_type": "cispo", "epsilon_high": 1.5}),
        (
            {"aggregation": "sequence_mean", "kind": "gspo", "clip_low": 0.1, "clip_high": 0.15},
            {
                "loss_type": "grpo",
                "importance_sampling_level": "sequence",
                "epsilon_low": 0.1,
                "epsilon_high": 0.15,
            },
        ),
    ]
    return [
        {
            "settings": settings,
            **trl_loss(trainer, batch, advantages, bool(settings.get("on_policy", False)), changes),
        }
        for settings, changes in cases
    ]


# -- the table --------------------------------------------------------------------------------------------------------


def numbers_of(batch: Numbers) -> Numbers:
    verl = verl_advantages(batch)
    with tempfile.TemporaryDirectory() as folder:
        trainer = trl_trainer(batch, folder)
        trl = trl_advantages(trainer)
        losses = {"trl": trl_losses(trainer, batch, verl["grpo"]), "verl": verl_losses(batch, verl["grpo"])}
    return {**batch, "advantages": {"trl": trl, "verl": verl}, "loss_advantages": verl["grpo"], "losses": losses}


def measure() -> Numbers:
    return {
        "made_with": {name: version(name).partition("+")[0] for name in ("trl", "verl", "torch", "transformers")},
        "longest": LONGEST,
        "kl_coefficient": COEFFICIENT,
        "batches": {
            "binary": numbers_of(make_batch(2, binary=True)),
            "real": numbers_of(make_batch(6, binary=False)),
        },
    }


def differences(one: Any, other: Any, where: str = "") -> list[str]:
    """Places in which two tables differ by more than rounding."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return [text for key in one for text in differences(one[key], other[key], f"{where}.{key}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            text
            for index, pair in enumerate(zip(one, other, strict=True))
            for text in differences(*pair, f"{where}[{index}]")
        ]
    if isinstance(one, float) and isinstance(other, float):
        return [] if math.isclose(one, other, rel_tol=1e-6, abs_tol=1e-9) else [f"{where}: {one} and {other}"]
    return [] if one == other else [f"{where}: {one} and {other}"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the table that is there")
    arguments = parser.parse_args()
    table = json.loads(json.dumps(measure()))
    if arguments.check:
        found = differences(json.loads(RESULTS.read_text(encoding="utf-8")), table)
        print("\n".join(found) or f"{RESULTS.name} is what these packages give")
        return 1 if found else 0
    flat = re.sub(r"\[[^\[\]{}]*\]", lambda found: " ".join(found[0].split()), json.dumps(table, indent=1))
    RESULTS.write_text(flat + "\n", encoding="utf-8")
    print(f"wrote {RESULTS}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
