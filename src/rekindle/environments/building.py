"""Environments from the tables of a configuration."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from rekindle.config import Config, ConfigError
from rekindle.config.facts import plays_search
from rekindle.engines.engine import Engine, SamplingLimits
from rekindle.environments.search.codec import PolicyCodec
from rekindle.environments.search.conversations import SearchConversations
from rekindle.environments.search.environment import SearchEnvironment
from rekindle.environments.search.limits import SearchLimits
from rekindle.environments.search.tags import Tags
from rekindle.environments.search.tool_calls import ToolCalls
from rekindle.environments.search.turn_protocol import ANSWER, QUESTION, Final, TurnProtocol
from rekindle.environments.single_turn import SingleTurn
from rekindle.models.chat import Chat
from rekindle.retrieval.retriever import Retriever
from rekindle.types import Task
from rekindle.verifiers.completions import opened_thought
from rekindle.verifiers.rewards import reward
from rekindle.verifiers.verifier import Verifier

__all__ = ["build_codec", "build_conversations", "build_environment", "prompt_encoder", "sampling_limits"]

PROMPT_END = 24
"""Tokens at the end of a prompt that may begin a thought."""


def build_environment(
    config: Config,
    tasks: Sequence[Task],
    *,
    chat: Chat,
    engine: Engine | None,
    verifier: Verifier,
    retrievers: Mapping[str, Retriever],
) -> SingleTurn | SearchEnvironment:
    """The environment of a configuration over ``tasks``.

    Args:
        config: The complete configuration.
        tasks: The tasks to play.
        chat: Tokenizer, chat template and context length of the policy.
        engine: Samples the turns; None: they are sampled elsewhere, one conversation at a time.
        verifier: Judges the answers.
        retrievers: Retriever by corpus; read by search environments alone.
    """
    if config.task.environment == "given":
        raise ConfigError(
            'task.environment = "given": a script handed the environment to rekindle.train; run that script'
        )
    if plays_search(config):
        return _search(config, tasks, chat, engine, verifier, retrievers)
    return _single_turn(config, tasks, chat, engine, verifier)


def prompt_encoder(config: Config, chat: Chat) -> Callable[..., Sequence[int]]:
    """Encodes prompts of a configuration, texts or chat messages."""
    model = config.model
    return partial(chat.encode_prompt, chat_template=model.chat_template, system_prompt=model.system_prompt)


def _single_turn(
    config: Config, tasks: Sequence[Task], chat: Chat, engine: Engine | None, verifier: Verifier
) -> SingleTurn:
    return SingleTurn(
        tasks,
        encode=prompt_encoder(config, chat),
        engine=engine,
        verifier=verifier,
        reward=_reward(config),
        limits=sampling_limits(config, chat.max_length, chat.max_response),
        thought=lambda prompt: opened_thought(chat.tokenizer.decode(list(prompt[-PROMPT_END:]))),
    )


def _search(
    config: Config,
    tasks: Sequence[Task],
    chat: Chat,
    engine: Engine | None,
    verifier: Verifier,
    retrievers: Mapping[str, Retriever],
) -> SearchEnvironment:
    return SearchEnvironment(
        tasks,
        conversations=build_conversations(config, ANSWER, chat=chat, engine=engine, retrievers=retrievers),
        corpora=tuple(retrievers),
        verifier=verifier,
        reward=_reward(config),
        prompt=config.search.prompt,
    )


def build_conversations(
    config: Config, final: Final, *, chat: Chat, engine: Engine | None, retrievers: Mapping[str, Retriever]
) -> SearchConversations:
    """Search conversations of a configuration.

    Args:
        config: The complete configuration.
        final: The text that ends a conversation: the solver's answer, or the proposer's question.
        chat: Tokenizer, chat template and context length of the policy.
        engine: Samples the turns; None: they are sampled elsewhere, one conversation at a time.
        retrievers: Retriever by corpus.
    """
    codec, limits = build_codec(config, chat), _limits(config, chat)
    return SearchConversations(
        codec=codec,
        engine=engine,
        retrievers=retrievers,
        limits=_of_the_proposer(config, limits) if final is QUESTION else limits,
        protocol=_protocol(config, codec, final),
        document_format=config.search.document_format,
    )


def build_codec(config: Config, chat: Chat) -> PolicyCodec:
    """Codec of a policy's tokenizer and chat template."""
    return PolicyCodec(chat, chat_template=config.model.chat_template, system_prompt=config.model.system_prompt)


def _reward(config: Config) -> Callable[[float], float]:
    table = config.task
    return lambda score: reward(score, table.binary_rewards, table.success_threshold)


def _limits(config: Config, chat: Chat) -> SearchLimits:
    table = config.search
    return SearchLimits(
        sampling=sampling_limits(config, chat.max_length, chat.max_response),
        max_turns=table.max_turns,
        turn_tokens=table.turn_tokens,
        answer_tokens=table.answer_tokens,
        max_queries=table.max_queries,
        documents=table.documents,
        document_tokens=table.document_tokens,
    )


def _of_the_proposer(config: Config, limits: SearchLimits) -> SearchLimits:
    table = config.self_play
    return replace(
        limits,
        sampling=replace(limits.sampling, max_new_tokens=table.max_new_tokens or limits.sampling.max_new_tokens),
        max_turns=table.max_turns or limits.max_turns,
        turn_tokens=table.turn_tokens,
        answer_tokens=table.question_tokens,
    )


def _protocol(config: Config, codec: PolicyCodec, final: Final) -> TurnProtocol:
    queries = config.search.max_queries
    return Tags(queries, final) if config.search.protocol == "tags" else ToolCalls(queries, codec, final)


def sampling_limits(config: Config, context: int, response: int | None = None) -> SamplingLimits:
    """Sampling limits of a completion.

    Args:
        config: The complete configuration.
        context: Context length of the model in tokens.
        response: Most tokens after a prompt; None: as many as the context has room for.
    """
    table = config.engine
    return SamplingLimits(
        max_new_tokens=table.max_new_tokens,
        context=context,
        top_p=table.top_p,
        min_p=table.min_p,
        stop=table.stop,
        response=response,
    )
