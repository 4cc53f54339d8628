"""The environments of a process with verl's agent loops: built once, by the tables of a configuration."""

import asyncio
import copy
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from rekindle.config import Config
from rekindle.environments.building import build_environment
from rekindle.environments.conversational import Conversational
from rekindle.environments.retrievers import opened_retrievers
from rekindle.environments.rewards import build_rewards
from rekindle.environments.self_play.building import build_policy_answerer, build_proposer
from rekindle.integrations.verl.conversing import Desk, Player
from rekindle.integrations.verl.settings.environments import CHECK, PROPOSER, SEARCH, SINGLE_TURN
from rekindle.models.chat import Chat, end_ids
from rekindle.retrieval.retriever import Retriever
from rekindle.types import UserError
from rekindle.verifiers.verifier import Verifier

__all__ = ["Sessions", "chat_of", "close_shared", "shared_sessions"]

Built = TypeVar("Built")


class Sessions:
    """The environments of a configuration, played one conversation at a time.

    Args:
        config: The complete configuration.
        chat: Tokenizer, chat template and lengths of the policy.

    Attributes:
        chat: Tokenizer, chat template and lengths of the policy.
    """

    def __init__(self, config: Config, chat: Chat) -> None:
        self._config, self.chat = config, chat
        self._desk, self._stack = Desk(), ExitStack()
        self._stack.callback(self._desk.close)
        self._players: dict[str, asyncio.Future[Player[Any]]] = {}

    async def player(self, name: str) -> Player[Any]:
        """Player of an agent loop of ours, by its name; its environment is built by the first who asks.

        Raises:
            UserError: The environment cannot be built.
        """
        if name not in self._players:
            loop = asyncio.get_running_loop()
            self._players[name] = loop.run_in_executor(self._desk.conversations, self._built, name)
        return await _built(self._players[name])

    def _built(self, name: str) -> Player[Any]:
        return Player(ENVIRONMENTS[name](self), self._desk)

    def close(self) -> None:
        """Close retrievers and verifiers, and end the threads."""
        self._stack.close()

    @cached_property
    def _retrievers(self) -> Mapping[str, Retriever]:
        return self._stack.enter_context(opened_retrievers(self._config, print))

    @cached_property
    def _verifier(self) -> Verifier:
        verifier = build_rewards(self._config, token_ids=True, audits=True)
        return self._stack.enter_context(closing(verifier))

    def solver(self) -> Conversational[Any]:
        """The environment of ``task.environment``."""
        return build_environment(
            self._config, (), chat=self.chat, engine=None, verifier=self._verifier, retrievers=self._retrievers
        )

    def proposer(self) -> Conversational[Any]:
        """The proposer of self-play."""
        return build_proposer(self._config, chat=self.chat, engine=None, retrievers=self._retrievers)

    def check(self) -> Conversational[Any]:
        """The policy as the verifier of the RAG check."""
        return build_policy_answerer(self._config, chat=self.chat, engine=None)


ENVIRONMENTS: Mapping[str, Callable[[Sessions], Conversational[Any]]] = {
    SEARCH: Sessions.solver,
    SINGLE_TURN: Sessions.solver,
    PROPOSER: Sessions.proposer,
    CHECK: Sessions.check,
}
"""The environment of every agent loop of ours."""


def chat_of(config: Config, settings: Any, tokenizer: Any) -> Chat:
    """The text side of the policy that verl trains.

    Args:
        config: The complete configuration.
        settings: verl's configuration.
        tokenizer: verl's tokenizer. A copy is used, because verl uses its own in threads of its own.

    Raises:
        UserError: The chat template cannot be used.
    """
    from transformers import AutoConfig

    rollout, model = settings.actor_rollout_ref.rollout, settings.actor_rollout_ref.model
    remote = bool(model.get("trust_remote_code", False))
    path = str(Path(str(model.path)).expanduser())
    shape = AutoConfig.from_pretrained(path, trust_remote_code=remote)
    positions = getattr(shape, "max_position_embeddings", None) or tokenizer.model_max_length
    lengths = [rollout.get("max_model_len"), int(positions), rollout.prompt_length + rollout.response_length]
    chat = Chat(
        copy.deepcopy(tokenizer),
        eos_ids=end_ids(tokenizer, _generation(path)),
        max_length=min(int(one) for one in lengths if one),
        vocabulary=int(shape.vocab_size),
        max_response=int(rollout.response_length),
    )
    if config.model.chat_template:
        variables = dict(settings.data.get("apply_chat_template_kwargs") or {}) or config.model.template_variables
        chat.use_template(config.model.template, variables)
    return chat


def _generation(path: str) -> Any:
    """The generation configuration of a model; None where it has none."""
    from transformers import GenerationConfig

    try:
        return GenerationConfig.from_pretrained(path)
    except OSError:
        return None


_SHARED: dict[int, tuple[Any, asyncio.Future[Sessions]]] = {}
"""The sessions of this process by the ``id`` of verl's tokenizer, which is kept with them."""


async def shared_sessions(tokenizer: Any, build: Callable[[], Sessions]) -> Sessions:
    """The sessions of this process, built in a thread by the first who asks.

    Args:
        tokenizer: verl's tokenizer of the process.
        build: Makes them.

    Raises:
        UserError: They cannot be built; everybody who asks is told so.
    """
    if id(tokenizer) not in _SHARED:
        _SHARED[id(tokenizer)] = (tokenizer, asyncio.ensure_future(asyncio.to_thread(build)))
    return await _built(_SHARED[id(tokenizer)][1])


async def _built(building: asyncio.Future[Built]) -> Built:
    """What several sessions wait for; one that is cancelled does not end it."""
    try:
        return await asyncio.shield(building)
    except UserError as error:
        raise UserError(f"rekindle's environments cannot be built in this agent-loop worker: {error}") from error


async def close_shared() -> None:
    """Close the sessions of this process; whoever asks next builds them anew."""
    built = [building for _, building in _SHARED.values()]
    _SHARED.clear()
    for found in await asyncio.gather(*built, return_exceptions=True):
        if isinstance(found, Sessions):
            found.close()
