"""The runs that are killed: every recipe, with the task's own verifier, with a Python reward, and with LoRA; and TRL's.

Each is a function of (run directory, resume) that makes the run and returns the exit code of the command. A run takes
about half a second, most of it in the libraries.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from embedded import EXAMPLE, QUICK
from fast import has
from rekindle.recipes import RECIPES, on_given_tasks
from searching import QUICK_SEARCH, SEARCH_EXAMPLE

Run = Callable[[Path, bool], int]

SELF_PLAY_EXAMPLE = EXAMPLE.with_name("self_play.toml")
SHORT = (
    "train.threads=1",
    "train.steps=3",
    "train.groups_per_step=4",
    "task.pool_size=24",
    "eval.every=2",
    "eval.prompts=4",
    "checkpoint.every=1",
    "optimizer.warmup_steps=0",
)
LORA = ("model.lora.rank=2", "train.learning_rate=1e-3")
SELF_PLAY = (
    *(one for one in QUICK_SEARCH if one.startswith(("model.", "warm_start."))),
    "model.tiny.max_length=160",
    "engine.max_new_tokens=60",
    "task.params.entities=16",
    "task.params.name_words=12",
    "task.params.relations=3",
    "task.params.hops=2",
    "train.group_size=2",
    "train.max_steps_without_signal=9",
)
NO_PROMPTS = ("task.pool_size",)
"""Keys of prompts that are given, without meaning where the policy proposes them."""
BOUND = (
    "task.pool_size=8", "pool.on_empty=stop", "pool.reset_below=0.0", "train.steps=30", "checkpoint.keep=1",
)  # fmt: skip
BARREN = ("engine.max_new_tokens=1", "train.steps=30", "train.max_steps_without_signal=2", "checkpoint.keep=1")
REWARD = '''"""A reward of the chaos runs."""


def score(completions, answer, **_):
    return [float(text.strip() == right) for text, right in zip(completions, answer)]
'''


def native_runs(place: Path) -> dict[str, Run]:
    """The runs of the native trainer, by name; their files are written to ``place``."""
    place.mkdir(parents=True, exist_ok=True)
    (place / "chaos_reward.py").write_text(REWARD)
    rewarded = place / "rewarded.toml"
    rewarded.write_text(f'{EXAMPLE.read_text()}\n[[rewards]]\nfunction = "{place}/chaos_reward.py:score"\n')
    found: dict[str, Run] = {}
    for recipe in on_given_tasks():
        found[recipe] = _command(EXAMPLE, recipe, QUICK)
        found[f"{recipe} reward"] = _command(rewarded, recipe, (*QUICK, "task.binary_rewards=true"))
        found[f"{recipe} lora"] = _command(EXAMPLE, recipe, (*QUICK, *LORA))
    for recipe in (one for one in RECIPES if one not in on_given_tasks()):
        found[recipe] = _command(SELF_PLAY_EXAMPLE, recipe, SELF_PLAY, without=NO_PROMPTS)
    found["search recycle"] = _command(SEARCH_EXAMPLE, "recycle", QUICK_SEARCH)
    found["bound"] = _command(EXAMPLE, "recycle", QUICK, BOUND)
    found["barren"] = _command(EXAMPLE, "grpo", QUICK, BARREN)
    found["off-policy"] = _command(EXAMPLE, "dapo", QUICK, ("train.max_off_policy_steps=1",))
    return found


def _command(
    file: Path, recipe: str, settings: tuple[str, ...], more: tuple[str, ...] = (), without: tuple[str, ...] = ()
) -> Run:
    chosen = dict(one.split("=", 1) for one in (*settings, *SHORT, *more))
    sized = recipe in {"spo", "c_rf_ntf", "reinforce_pp_ntf", "reinforce_ada", "speed", "pods", "sgpo"}
    left = {*without, *(("train.group_size",) if sized else ())}
    arguments = ["train", str(file), "--recipe", recipe]
    arguments += [part for key, value in chosen.items() if key not in left for part in ("--set", f"{key}={value}")]
    return partial(_run, arguments)


def _run(arguments: list[str], directory: Path, resume: bool) -> int:
    from rekindle.cli import main

    every = [*arguments, "--out", str(directory), *(["--resume"] if resume else [])]
    sys.argv = ["rekindle", *every]
    return main(every)


# -- TRL --------------------------------------------------------------------------------------------------------------

TRL_RECIPES = ("grpo", "recycle", "soft_recycle", "erpo", "dapo", "greso")


def trl_runs() -> dict[str, Run]:
    """The runs inside TRL, by name; none where it is not installed."""
    return {f"trl {recipe}": partial(_trl, recipe) for recipe in TRL_RECIPES} if has("trl") else {}


def _trl(recipe: str, directory: Path, resume: bool) -> int:
    from datasets import Dataset
    from trl import GRPOConfig

    from rekindle.failures import sentence_of
    from rekindle.integrations.trl import RekindleTrainer
    from rekindle.integrations.trl.state import newest_whole
    from rekindle.warm_starts.tiny_tokenizers import character_tokenizer
    from tiny_qwen import CHARACTERS, LONGEST, SETTINGS, made_model

    tokenizer = character_tokenizer(CHARACTERS, LONGEST)
    tokenizer.padding_side = "left"
    rows = [{"id": str(number), "prompt": f"{number}+{number % 7}=", "answer": str(number)} for number in range(24)]
    saved = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 2, "output_dir": str(directory)}
    try:
        trainer = RekindleTrainer(
            made_model(tokenizer),
            _odd,
            GRPOConfig(**SETTINGS | saved | {"steps_per_generation": 4, "max_steps": 4}),
            Dataset.from_list(rows),
            processing_class=tokenizer,
            recipe=recipe,
        )
        trainer.train(resume_from_checkpoint=bool(resume and newest_whole(directory)))
    except Exception as error:
        if (sentence := sentence_of(error, "resume")) is None:
            raise
        print(f"rekindle: {sentence}", file=sys.stderr)
        return 2
    return 0


def _odd(completions, **_):
    return [float(sum(one.isdigit() for one in text) % 2) for text in completions]
