"""Environments of one's own, from the object that a script gives."""

from collections.abc import Sequence

from rekindle.assembly.bench import Workbench
from rekindle.engines.engine import Engine
from rekindle.environments.building import build_codec, prompt_encoder, sampling_limits
from rekindle.environments.dialogue import Dialogue, DialogueLimits, frame_of
from rekindle.types import Task

__all__ = ["build_dialogue"]


def build_dialogue(respondent: object, bench: Workbench, tasks: Sequence[Task], engine: Engine) -> Dialogue:
    """The environment over ``tasks`` in which ``respondent`` answers the policy's turns."""
    config, policy, table = bench.config, bench.policy, bench.config.dialogue
    codec, encode = build_codec(config, policy.chat), prompt_encoder(config, policy.chat)
    templated = config.model.chat_template and policy.tokenizer.chat_template
    return Dialogue(
        tasks,
        partner=respondent,
        encode=lambda task: encode(task.messages or task.prompt),
        codec=codec,
        frame=frame_of(codec, templated=bool(templated)),
        engine=engine,
        limits=DialogueLimits(
            sampling_limits(config, policy.max_length), table.max_turns, table.turn_tokens, table.reply_tokens
        ),
    )
