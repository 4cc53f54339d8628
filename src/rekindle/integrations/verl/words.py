"""Messages of a run in verl's words: its settings in place of keys that it decides."""

from collections.abc import Mapping
from types import MappingProxyType

from rekindle.integrations.settings.words import Wording
from rekindle.integrations.verl.settings.tables import NAMES as SETTINGS
from rekindle.integrations.verl.settings.tables import PLACES

__all__ = ["NAMES", "said"]

PROFILE = "; leave profile.path out, and the prompts are profiled before the first step"
PHRASES: Mapping[str, str] = MappingProxyType(
    {
        "add --resume to go on with its run": "go on with its run (trainer.resume_mode=auto)",
        "continue with --resume": "go on with trainer.resume_mode=auto",
        "choose another --out": "choose another trainer.default_local_dir",
        "another --out": "another trainer.default_local_dir",
        "restore their file, or begin a new run with the model of its last checkpoint (model.path) and": "restore "
        "data.train_files, or begin a new run with the model of its last checkpoint and",
        "a run resumes with the settings it was started with (its length, checkpoint.keep, its trackers, and the "
        "places of files and servers may change)": "a run resumes with the settings it was started with "
        "(trainer.total_training_steps may change)",
        "the verifier (task.verifier) does not read the format": "the reward does not read the format",
        "add prompts (task.pool_size)": "add rows to data.train_files in a new run,",
        "(model.chat_template, model.system_prompt, engine.stop)": "(the tokenizer's chat template, the prompts of "
        "data.train_files)",
        "`rekindle try` shows them:": "samples.jsonl shows them:",
        "how to answer, or choose another verifier": "how to answer, or change the reward function",
        "a missing end token or engine.stop": "a missing end token",
        "; make a profile of this run's model and settings with `rekindle profile`, or set profile.force = true to use "
        "it anyway": f"{PROFILE}, or set profile.force = true to use it anyway",
        "; profile this pool with `rekindle profile`": PROFILE,
        "; make one with `rekindle profile`": PROFILE,
        "; make a profile with `rekindle profile`": PROFILE,
    }
)
"""What a message says of a run of the command line, and what it says on verl."""
TABLES: Mapping[str, str] = MappingProxyType(
    {
        "rewards[": "reward.custom_reward_function[",
        "audits[": "reward.custom_reward_function[",
        "model.": "actor_rollout_ref.model",
        "warm_start.": "actor_rollout_ref.model",
        "eval.": "data.val_files",
        "samples.": "trainer.log_val_generations",
        "task.": "data.train_files",
        "optimizer.": "actor_rollout_ref.actor.optim",
        "checkpoint.": "trainer.save_freq",
        "train.": "trainer.total_training_steps",
        "engine.": "actor_rollout_ref.rollout",
    }
)
"""Setting of verl for all other keys of a table."""
NAMES: Mapping[str, str] = MappingProxyType(
    {
        **SETTINGS,
        "train.group_size": "actor_rollout_ref.rollout.n",
        "train.temperature": "actor_rollout_ref.rollout.temperature",
        "optimizer.minibatches": "data.train_batch_size / actor_rollout_ref.actor.ppo_mini_batch_size",
    }
)
"""Setting of verl by our key."""
said = Wording(PLACES, PHRASES, NAMES, TABLES).said
