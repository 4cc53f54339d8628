"""verl's agent loops that play rekindle's environments: search agents, single turns, proposers, and the RAG check.

A session plays one conversation of an environment, by the same rules as in ``rekindle train``; verl's servers sample
its turns. Its reward is that of our verifier, so that verl's reward loop has nothing to judge.
"""

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from verl.experimental.agent_loop.agent_loop import AgentLoopBase, AgentLoopMetrics, AgentLoopOutput, register
from verl.utils.rollout_trace import rollout_trace_op

from rekindle.integrations.verl.conversing import Seconds
from rekindle.integrations.verl.facts import COUNTS, rollout_facts
from rekindle.integrations.verl.row_keys import FACTS, SEED
from rekindle.integrations.verl.rows import task_of
from rekindle.integrations.verl.server_turns import ServerTurns
from rekindle.integrations.verl.sessions import Sessions, chat_of, shared_sessions
from rekindle.integrations.verl.settings import settle
from rekindle.integrations.verl.settings.environments import CHECK, PROPOSER, SEARCH, SINGLE_TURN
from rekindle.types import GroupRequest, Rollout

__all__ = ["CheckLoop", "ProposerLoop", "SearchLoop", "SingleTurnLoop"]

NO_ROOM = "no room"
"""``Rollout.failure`` where the prompt leaves no room for a turn."""


class _Loop(AgentLoopBase):
    """A session of one of our environments.

    A row has the task (``rekindle_task``) and the seed of its group; verl's sampling parameters have the temperature
    and the session's own seed.
    """

    name: str

    @rollout_trace_op  # type: ignore[untyped-decorator]
    async def run(self, sampling_params: dict[str, Any], priority: int = 0, **row: Any) -> AgentLoopOutput:
        """Play one session."""
        sessions = await shared_sessions(self.tokenizer, self._build)
        session = f"det-{int(priority)}" if self.rollout_config.get("full_determinism", False) else uuid4().hex
        turns = ServerTurns(
            self.server_manager,
            session,
            sampling_params,
            decode=sessions.chat.decode,
            ends=sessions.chat.eos_ids,
            priority=int(priority),
        )
        player = await sessions.player(self.name)
        rollout, seconds, counts = await player.play(
            task_of(row),
            _request(sampling_params, row),
            int(row.get("session_id", 0)),
            turns,
        )
        return _output(rollout or self._void(), turns, seconds, counts)

    def _build(self) -> Sessions:
        config = settle(self.config)
        return Sessions(config, chat_of(config, self.config, self.tokenizer))

    def _void(self) -> Rollout:
        """The rollout of a prompt without room: verl needs a token of each, which nobody sampled."""
        token = self.tokenizer.eos_token_id or 0
        return Rollout(
            token_ids=[token, token],
            loss_mask=[False, False],
            logprobs=[0.0, 0.0],
            reward=0.0,
            truncated=True,
            turns=0,
            failure=NO_ROOM,
            void=True,
        )


@register(SEARCH)
class SearchLoop(_Loop):
    """A search agent that answers a question."""

    name = SEARCH


@register(SINGLE_TURN)
class SingleTurnLoop(_Loop):
    """One completion of a prompt, judged by our verifier."""

    name = SINGLE_TURN


@register(PROPOSER)
class ProposerLoop(_Loop):
    """The proposer of self-play, which searches and ends with a question."""

    name = PROPOSER


@register(CHECK)
class CheckLoop(_Loop):
    """The policy as the verifier of a proposed question, which it answers from documents."""

    name = CHECK


def _request(sampling: dict[str, Any], row: dict[str, Any]) -> GroupRequest:
    """The session as a request of its own. The seed of the group decides on audits, the session's on sampling."""
    return GroupRequest(
        id=0,
        task_id="",
        row=0,
        n=1,
        temperature=float(sampling.get("temperature", 1.0)),
        seed=int(row.get(SEED, 0)),
        version=0,
        step=0,
    )


def _output(rollout: Rollout, turns: ServerTurns, seconds: Seconds, counts: Mapping[str, int]) -> AgentLoopOutput:
    """The session as verl takes it; at least one token follows the prompt, sampled or not."""
    prompt = min(rollout.prompt_length, len(rollout.token_ids) - 1)
    mask = [int(own) for own in rollout.loss_mask[prompt:]]
    logprobs = list(rollout.logprobs[prompt:]) if turns.has_logprobs else None
    return AgentLoopOutput(
        prompt_ids=list(rollout.token_ids[:prompt]),
        response_ids=list(rollout.token_ids[prompt:]),
        response_mask=mask,
        response_logprobs=logprobs,
        reward_score=rollout.reward,
        num_turns=2 * rollout.turns,
        metrics=AgentLoopMetrics(
            generate_sequences=seconds.generate,
            tool_calls=seconds.reply,
            compute_score=seconds.verify,
            num_preempted=turns.preempted,
        ),
        extra_fields={
            **turns.extra,
            "turn_scores": [],
            "tool_rewards": [],
            "reward_extra_info": {"acc": rollout.reward},
            FACTS: rollout_facts(rollout) | {COUNTS: dict(counts)},
        },
    )
