"""Environments of one's own, from the object that a script gives."""

from collections.abc import Callable, Sequence
from functools import partial

from rekindle.assembly.bench import Workbench
from rekindle.assembly.engines import sampling_limits
from rekindle.engines.engine import Engine
from rekindle.environments.dialogue import Dialogue, DialogueLimits, frame_of
from rekindle.environments.search.codec import PolicyCodec
from rekindle.types import Task

__all__ = ["build_dialogue"]


def build_dialogue(respondent: object, bench: Workbench, tasks: Sequence[Task], engine: Engine) -> Dialogue:
    """The environment over ``tasks`` in which ``respondent`` answers the policy's turns."""
    config, policy = bench.config, bench.policy
    table, model = config.dialogue, config.model
    encode = partial(policy.encode_prompt, chat_template=model.chat_template, system_prompt=model.system_prompt)
    templated = model.chat_template and policy.tokenizer.chat_template
    codec = PolicyCodec(policy, chat_template=model.chat_template, system_prompt=model.system_prompt)
    return Dialogue(
        tasks,
        partner=respondent,
        encode=lambda task: encode(task.messages or task.prompt),
        codec=codec,
        frame=frame_of(codec, _render(bench) if templated else None),
        engine=engine,
        limits=DialogueLimits(
            sampling_limits(config, policy.max_length), table.max_turns, table.turn_tokens, table.reply_tokens
        ),
    )


def _render(bench: Workbench) -> Callable[..., str]:
    return lambda messages: bench.policy.render(list(messages), None)
