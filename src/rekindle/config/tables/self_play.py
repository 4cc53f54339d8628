"""Tables of search self-play: roles, filters of questions, and the RAG check."""

from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from pydantic import model_validator

from rekindle.config.conditions import Condition, absent, on
from rekindle.config.keys import OneOf, Table, key
from rekindle.learning.estimators import ESTIMATORS

__all__ = ["CheckTable", "FiltersTable", "SelfPlayTable"]

PLAYS_ITSELF = on("task.source", "self_play")
PROPOSER_LEARNS = on("self_play.fixed", "none", "solver").but(
    'the fixed proposer does not learn, set self_play.fixed = "none"'
)
SOLVER_LEARNS = on("self_play.fixed", "none", "proposer").but(
    'the fixed solver does not learn, set self_play.fixed = "none"'
)
INTERMEDIATE = on("self_play.proposer_reward", "intermediate")
CHECKED = on("check.kind", "policy", "start", "endpoint").but('nothing is checked, set check.kind = "policy"')
# The warm start of a tiny policy includes verification in any case, so that runs with and without it are comparable.
ASKED = (CHECKED | absent("model.path")).but('nothing is checked, set check.kind = "policy"')
ENDPOINT = on("check.kind", "endpoint")
OF_PROPOSALS = MappingProxyType(
    {
        name: estimator
        for name, estimator in ESTIMATORS.items()
        if not (estimator.reads_history or estimator.needs_binary_rewards)
    }
)
"""Estimators for proposals: without a history of successes, and with real-valued rewards."""


class SelfPlayTable(Table):
    """Search self-play: one policy proposes questions and solves them.

    The solver's estimator, temperature and group size are those of ``advantage`` and ``train``; both roles search by
    ``search``.
    """

    read_when: ClassVar[Condition | None] = PLAYS_ITSELF

    proposals: int | None = key(None, "seeds drawn per step (and round); absent: train.groups_per_step", ge=1)
    prompt: str | None = key(None, "text with {answer} and {hops} in it; absent: instructions for the protocol")
    hops: int = key(4, "most hops requested of a proposer, drawn uniformly from 1 to hops", ge=1)
    hops_warmup_steps: int = key(
        0, "steps in which the most requested hops rise from 1 to hops; 0: all from the start", ge=0
    )
    max_turns: int | None = key(None, "turns of the proposer; absent: search.max_turns", ge=1)
    max_new_tokens: int | None = key(
        None, "sampled tokens of a proposal, all turns together; absent: engine.max_new_tokens", ge=1
    )
    turn_tokens: int | None = key(None, "sampled tokens of one turn of the proposer; absent: all that are left", ge=1)
    question_tokens: int = key(
        96, "tokens reserved for a question, which is requested when turns or tokens run out; 0: none", ge=0
    )
    proposer_group_size: int = key(1, "proposals per seed", ge=1)
    proposer_temperature: float = key(1.0, "sampling temperature of the proposer", gt=0)
    proposer_estimator: Annotated[str, OneOf(OF_PROPOSALS)] = key(
        "reinforce",
        "advantage estimator of proposals; a group is the proposals of one seed",
        only=PROPOSER_LEARNS,
    )
    proposer_reward: Literal["difficulty", "intermediate"] = key(
        "difficulty",
        "reward of a valid question, s being the solver's success rate on it",
        only=PROPOSER_LEARNS,
        values={
            "difficulty": "1 - s",
            "intermediate": "4 (low + s) (high - s), at least 0",
        },
    )
    intermediate_low: float = key(
        0.0, "low of the intermediate reward", ge=0, le=1, only=PROPOSER_LEARNS & INTERMEDIATE
    )
    intermediate_high: float = key(
        1.0, "high of the intermediate reward", gt=0, le=1, only=PROPOSER_LEARNS & INTERMEDIATE
    )
    intermediate_extremes: Literal["formula", "zero"] = key(
        "formula",
        "intermediate reward of a question that the solver always or never solves",
        only=PROPOSER_LEARNS & INTERMEDIATE,
        values={"formula": "that of the formula", "zero": "0 (the released code)"},
    )
    proposer_weight: float = key(1.0, "weight of the proposer's loss", gt=0, only=PROPOSER_LEARNS)
    solver_weight: float = key(1.0, "weight of the solver's loss", gt=0, only=SOLVER_LEARNS)
    updates: Literal["joint", "proposer_first"] = key(
        "joint",
        "how a step trains the two roles",
        only=on("self_play.fixed", "none").but('only one role learns, set self_play.fixed = "none"'),
        values={
            "joint": "one update on the samples of both",
            "proposer_first": "an update on the proposer's samples, then one on the solver's (the released code)",
        },
    )
    proposer_from_step: int = key(1, "first step in which the proposer learns", ge=1, only=PROPOSER_LEARNS)
    solver_from_step: int = key(1, "first step in which the solver learns", ge=1, only=SOLVER_LEARNS)
    fixed: Literal["none", "proposer", "solver"] = key(
        "none",
        "a control: the role that the start policy plays, while only the other one learns",
        values={
            "none": "both roles are played by the policy and learn",
            "proposer": "the start policy proposes",
            "solver": "the start policy solves",
        },
    )
    fill: Literal["dummy", "resample", "replay", "replay_reset"] = key(
        "replay_reset",
        "behaviour when a step has too few valid questions",
        values={
            "dummy": "the step is smaller",
            "resample": "further proposals are made, up to max_rounds rounds",
            "replay": "earlier questions are played again",
            "replay_reset": "as replay; earlier questions are dropped every reset_every steps",
        },
    )
    max_rounds: int = key(
        4, "rounds of proposals of a step, the first included", ge=2, only=on("self_play.fill", "resample")
    )
    reset_every: int = key(
        10, "steps after which earlier questions are dropped", ge=1, only=on("self_play.fill", "replay_reset")
    )
    reference_samples: int = key(
        1, "rollouts of the start policy on each new question, to measure its difficulty; 0: none", ge=0
    )
    recorded_documents: int = key(8, "proposals of a step whose documents are kept in proposals.jsonl", ge=0)


class FiltersTable(Table):
    """Requirements of a proposed question before the check."""

    read_when: ClassVar[Condition | None] = PLAYS_ITSELF

    min_characters: int = key(10, "fewest characters of a question", ge=1)
    max_characters: int = key(1000, "most characters of a question", ge=1)
    min_words: int = key(3, "fewest words (characters in scripts without spaces)", ge=1)
    min_searches: int = key(1, "fewest searches of the proposer with a result", ge=0)
    answer_in_query: Literal["allowed", "refused"] = key(
        "allowed",
        "proposers that search for the answer itself",
        values={"allowed": "their questions may be valid", "refused": "their questions are invalid"},
    )
    near_duplicate: float = key(
        0.9, "similarity to an accepted question at which a question is refused; 1: only equal ones", gt=0, le=1
    )
    ambiguous: Literal["refused", "allowed"] = key(
        "refused",
        "questions with several answers",
        values={
            "refused": "they are invalid, where the corpus shows the answers (embedded world)",
            "allowed": "they may be valid",
        },
    )

    @model_validator(mode="after")
    def _ordered(self) -> "FiltersTable":
        if self.min_characters > self.max_characters:
            raise ValueError(
                f"filters.min_characters = {self.min_characters} is above filters.max_characters = "
                f"{self.max_characters}; exchange them"
            )
        return self


class CheckTable(Table):
    """The RAG check: a question is valid only if its answer follows from what the proposer read."""

    read_when: ClassVar[Condition | None] = PLAYS_ITSELF

    kind: Literal["policy", "start", "endpoint", "off"] = key(
        "policy",
        "model that answers the question from the documents",
        values={
            "policy": "the policy itself",
            "start": "the start policy, which does not change during the run",
            "endpoint": "an OpenAI-compatible server",
            "off": "none: every question passes (a control)",
        },
    )
    noise: int = key(4, "number of other trajectories whose documents are mixed in", ge=0, only=ASKED)
    closed_book: int = key(
        1, "attempts without documents; a question that one of them answers is refused; 0: none", ge=0, only=CHECKED
    )
    unsolved: Literal["allowed", "refused"] = key(
        "refused",
        "new questions that no rollout of the solver solves",
        values={
            "refused": "they are invalid and not played again: their proposer gets 0",
            "allowed": "they are valid",
        },
    )
    prompt: str | None = key(None, "text with {documents} and {question} in it; absent: the built-in one", only=ASKED)
    temperature: float = key(0.0, "sampling temperature of the check; 0: greedy", ge=0, only=ASKED)
    max_new_tokens: int = key(256, "tokens of one reply", ge=1, only=ASKED)
    url: str | None = key(None, "base address, e.g. http://127.0.0.1:8000/v1", only=ENDPOINT)
    model: str | None = key(None, "name the server knows it by", only=ENDPOINT)
    key_env: str | None = key(None, "environment variable with the API key; absent: none is sent", only=ENDPOINT)
    timeout_seconds: float = key(60.0, "longest wait for one reply, seconds", gt=0, only=ENDPOINT)
    concurrency: int = key(16, "requests in flight at the same time", ge=1, only=ENDPOINT)
