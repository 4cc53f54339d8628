"""A supervised start for a policy made from scratch: imitate noisy demonstrations, at a constant learning rate.

A teacher that errs more often on harder prompts leaves a policy whose pass rates are spread over the difficulties, so
that RL finds prompts that are always solved, never solved, and in between. The result is cached by its settings.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from rekindle.config import WarmStartTable
from rekindle.models.policy import ModelError, Policy
from rekindle.types import TrainingSample, UserError

__all__ = ["WarmStartError", "cache_directory", "cached", "imitate"]

RECIPE_VERSION = 1
"""Part of the cache key; raised when the same settings would give another policy."""


class WarmStartError(UserError):
    """The warm start left a policy that RL cannot use."""


def imitate(
    policy: Policy,
    demonstrations: Sequence[tuple[str, str]],
    settings: WarmStartTable,
    on_step: Callable[[int, float], None],
) -> None:
    """Train on ``steps`` batches of (prompt, completion) pairs, mean over the completion tokens of a batch.

    Args:
        policy: Changed in place.
        demonstrations: ``steps * batch_size``, used once each, in order; those that do not fit the model are left out.
        settings: Steps, batch size and learning rate.
        on_step: Told the step and its loss.
    """
    end = min(policy.eos_ids)
    samples = [_demonstration(policy, prompt, completion, end) for prompt, completion in demonstrations]
    samples = [sample for sample in samples if len(sample.token_ids) <= policy.max_length]
    optimizer = torch.optim.AdamW(policy.model.parameters(), lr=settings.learning_rate, weight_decay=0.0)
    for step in range(settings.steps):
        batch = samples[step * settings.batch_size : (step + 1) * settings.batch_size]
        if not batch:
            break
        optimizer.zero_grad()
        loss = -policy.token_logprobs(batch).logprobs.mean()
        torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(policy.model.parameters(), 1.0)
        optimizer.step()
        on_step(step + 1, float(loss.detach()))


def _demonstration(policy: Policy, prompt: str, completion: str, end: int) -> TrainingSample:
    prompt_ids = policy.encode_prompt(prompt)
    answer_ids = [*policy.tokenizer(completion, add_special_tokens=False)["input_ids"], end]
    tokens, mask = [*prompt_ids, *answer_ids], [False] * len(prompt_ids) + [True] * len(answer_ids)
    nothing = [0.0] * len(tokens)
    return TrainingSample(tokens, mask, nothing, nothing, temperature=1.0, weight=1.0)


def cache_directory() -> Path:
    """Where warm starts are kept: ``REKINDLE_CACHE``, else the user's cache directory."""
    chosen = os.environ.get("REKINDLE_CACHE")
    base = Path(chosen) if chosen else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rekindle"
    return base / "warm-start"


def cached(key: dict[str, Any], make: Callable[[], tuple[Policy, dict[str, float]]]) -> tuple[Path, dict[str, float]]:
    """Directory and profile of the policy with these settings; made, and kept, when it is not there yet.

    Args:
        key: Every setting the policy depends on, JSON-like.
        make: Trains the policy and measures its profile.
    """
    text = json.dumps({**key, "recipe_version": RECIPE_VERSION, "torch": torch.__version__}, sort_keys=True)
    directory = cache_directory() / hashlib.blake2b(text.encode(), digest_size=12).hexdigest()
    found = _read_profile(directory)
    if found is None:
        policy, found = make()
        _keep(directory, policy, found, text)
    return directory, found


def _read_profile(directory: Path) -> dict[str, float] | None:
    """None where nothing whole is cached."""
    try:
        Policy.load(directory, device="cpu")
        return dict(json.loads((directory / "profile.json").read_text(encoding="utf-8")))
    except (ModelError, OSError, ValueError):
        return None


def _keep(directory: Path, policy: Policy, profile: dict[str, float], key: str) -> None:
    """Write beside and rename, so that two runs started at once both see a whole directory."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=directory.parent, prefix=".partial-"))
    policy.save(partial)
    (partial / "profile.json").write_text(json.dumps(profile), encoding="utf-8")
    (partial / "settings.json").write_text(key, encoding="utf-8")
    if directory.exists():
        shutil.rmtree(directory)
    partial.rename(directory)
