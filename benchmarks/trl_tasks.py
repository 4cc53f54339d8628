"""What the benchmarks inside TRL train on: the embedded task, or SmolLM2's arithmetic; and judges of completions.

``verifier`` is what the reward says, ``last_number`` an audit that shares no rule with it, and ``strict`` takes nothing
but the answer, in a completion that ended by itself.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import transformers
import trl
from datasets import Dataset

import arms
from rekindle.preflight import task_set
from rekindle.recipes import RECIPES, resolve
from rekindle.tasks.arithmetic import load_arithmetic
from rekindle.types import Task
from rekindle.verifiers import exact_match, math_equal
from rekindle.verifiers.last_number import last_number
from rekindle.warm_starts.stage import start_model

__all__ = ["STOCK", "Setting", "arguments", "completed", "kind_of", "make_trainer", "on_model", "toy"]

STOCK = "trl"
"""TRL's own trainer, among the names of recipes."""
EVALUATED_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A model, its task, and the arguments of a run that suit them.

    Attributes:
        start: seed -> directory of the model that a run begins with.
        judge: (task, completion, whether it ended by itself) -> verdict of each judge.
        more: Arguments of TRL.
    """

    name: str
    train: Sequence[Task]
    held_out: Sequence[Task]
    start: Callable[[int], Path]
    judge: Callable[[Task, str, bool], dict[str, bool]]
    limit: int
    steps: int
    every: int
    groups: int
    group_size: int
    more: Mapping[str, Any]

    @property
    def rows(self) -> int:
        """Rollouts of a step of TRL."""
        return self.groups * self.group_size


def toy() -> Setting:
    """The embedded task of examples/spell_backward.toml, with its start policy of 0.2 million parameters."""
    config = resolve(arms.ROOT / "examples" / "spell_backward.toml", "grpo")
    tasks = task_set(config, _say_nothing)

    def judge(task: Task, text: str, ended: bool) -> dict[str, bool]:
        return {"verifier": exact_match(text, task.answer) == 1, "strict": ended and text == task.answer}

    return Setting(
        name="toy", train=tasks.pool, held_out=tasks.held_out, start=lambda seed: start_model(config, _say_nothing),
        judge=judge, limit=config.engine.max_new_tokens, steps=120, every=15, groups=64, group_size=4,
        more={"learning_rate": 5e-4, "warmup_steps": 20},
    )  # fmt: skip


def _say_nothing(_: str) -> None:
    """Show no line before slow work."""


def on_model(directory: Path) -> Setting:
    """Sums and products as lines of text that the model in a directory goes on with; its first line is the answer."""

    def judge(task: Task, text: str, ended: bool) -> dict[str, bool]:
        line, more, _ = text.partition("\n")
        return {
            "verifier": math_equal(line, task.answer),
            "last_number": last_number(line, task.answer, task.prompt) == 1,
            "strict": bool(more or ended) and line.strip() == task.answer,
        }

    params = {"kinds": ["1+1", "2+1", "1*1"], "template": "6 + 3 = 9\n5 * 7 = 35\n{} ="}
    found = load_arithmetic(params, pool_size=1000, eval_prompts=128, seed=0)
    return Setting(
        name=directory.name, train=found.pool, held_out=found.held_out, start=lambda seed: directory, judge=judge,
        limit=5, steps=30, every=10, groups=8, group_size=4,
        more={"learning_rate": 2e-5, "warmup_steps": 3},
    )  # fmt: skip


def arguments(setting: Setting, recipe: str, seed: int, folder: Path, **more: Any) -> trl.GRPOConfig:
    """Arguments of TRL, float32 on a CPU; no group size where the recipe has its own."""
    sized = (
        {} if recipe != STOCK and RECIPES[recipe]().train.group_size == 1 else {"num_generations": setting.group_size}
    )
    return trl.GRPOConfig(
        output_dir=str(folder),
        seed=seed,
        per_device_train_batch_size=setting.rows,
        max_completion_length=setting.limit,
        temperature=1.0,
        lr_scheduler_type="constant_with_warmup",
        bf16=False,
        gradient_checkpointing=False,
        model_init_kwargs={"dtype": "float32"},
        use_cpu=True,
        report_to=[],
        logging_steps=1,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        **{"max_steps": setting.steps, **sized, **setting.more, **more},
    )


def make_trainer(setting: Setting, recipe: str, args: trl.GRPOConfig, *, kind: type | None = None, **more: Any) -> Any:
    """TRL's trainer, or ours with a recipe; ``kind``: a subclass of one of them."""

    def reward(completions, question, answer, **columns):
        tasks = (Task(asked, asked, right) for asked, right in zip(question, answer, strict=True))
        judged = zip(tasks, completions, strict=True)
        return [float(setting.judge(task, text, False)["verifier"]) for task, text in judged]

    if recipe != STOCK:
        more["recipe"] = recipe
    trainer = (kind or kind_of(recipe))(
        model=str(setting.start(args.seed)),
        reward_funcs=reward,
        args=args,
        train_dataset=Dataset.from_list([_row(task) for task in setting.train]),
        processing_class=transformers.AutoTokenizer.from_pretrained(setting.start(args.seed), padding_side="left"),
        **more,
    )
    trainer.remove_callback(transformers.trainer_callback.PrinterCallback)
    return trainer


def kind_of(recipe: str) -> type:
    """Class of the trainer of a recipe."""
    module, name = ("trl", "GRPOTrainer") if recipe == STOCK else ("rekindle.integrations.trl", "RekindleTrainer")
    return getattr(import_module(module), name)


def _row(task: Task) -> dict[str, Any]:
    return {"id": task.id, "prompt": task.prompt, "question": task.prompt, "answer": str(task.answer)}


@torch.no_grad()
def completed(setting: Setting, model: Any, tokenizer: Any, seed: int = 0) -> list[dict[str, Any]]:
    """A completion of every held-out task, sampled at temperature 1 by transformers, with the judges' verdicts."""
    was_training = model.training
    model.eval()
    rows = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for first in range(0, len(setting.held_out), EVALUATED_AT_ONCE):
            rows += _completed(setting, model, tokenizer, setting.held_out[first : first + EVALUATED_AT_ONCE])
    model.train(was_training)
    return rows


def _completed(setting: Setting, model: Any, tokenizer: Any, tasks: Sequence[Task]) -> Iterator[dict[str, Any]]:
    prompts = [task.prompt for task in tasks]
    batch = tokenizer(prompts, return_tensors="pt", padding=True)
    sampling = transformers.GenerationConfig(
        do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=setting.limit,
        pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    ids = model.generate(**batch, generation_config=sampling)[:, batch["input_ids"].shape[1] :]
    texts = tokenizer.batch_decode(ids, skip_special_tokens=True)
    ended = (ids == tokenizer.eos_token_id).any(dim=1).tolist()
    for task, text, by_itself in zip(tasks, texts, ended, strict=True):
        yield {"prompt": task.prompt, "completion": text, **setting.judge(task, text, by_itself)}
