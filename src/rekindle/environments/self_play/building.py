"""The parts of search self-play, from the tables of a configuration."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from rekindle.config import Config
from rekindle.config.facts import invents_its_world
from rekindle.engines.endpoint import Endpoint
from rekindle.engines.engine import Engine
from rekindle.environments.building import build_codec, build_conversations, sampling_limits
from rekindle.environments.search.documents import DocumentWriter
from rekindle.environments.search.hostile import Sanitizer
from rekindle.environments.search.turn_protocol import ANSWER, QUESTION
from rekindle.environments.self_play.answering import Answerer, EndpointAnswerer, PolicyAnswerer
from rekindle.environments.self_play.check_prompt import CLOSED_BOOK, OPEN_BOOK
from rekindle.environments.self_play.created_tasks import CreatedTasks
from rekindle.environments.self_play.filters import FilterLimits
from rekindle.environments.self_play.proposer import TAGS_INSTRUCTIONS, TOOL_INSTRUCTIONS, Proposer, Proposes
from rekindle.environments.self_play.question_supply import QuestionSupply, SupplySettings
from rekindle.environments.self_play.rag_check import RagCheck
from rekindle.environments.self_play.reference_solver import ReferenceSolver
from rekindle.environments.self_play.review import Oracle, Review
from rekindle.environments.self_play.rewards import proposer_reward
from rekindle.environments.self_play.seeds import Seeds
from rekindle.methods import proposer_credit
from rekindle.models.chat import Chat
from rekindle.remote import secret
from rekindle.retrieval.retriever import Retriever
from rekindle.scheduling.pools import GrowingPool
from rekindle.tasks import search_world
from rekindle.types import Environment, Task
from rekindle.verifiers.verifier import Verifier

__all__ = [
    "build_answerer",
    "build_check",
    "build_policy_answerer",
    "build_proposer",
    "build_reference_solver",
    "build_supply",
    "filter_limits",
]

PROPOSER_SEED, CHECK_SEED, REFERENCE_SEED = 1_000_033, 1_000_037, 1_000_039
"""Added to train.seed, so that no two roles sample with the same seeds."""


def build_supply(
    config: Config,
    seeds: Sequence[Task],
    *,
    chat: Chat,
    proposer: Proposes,
    check: RagCheck,
    created: CreatedTasks,
    pool: GrowingPool,
    reference_solver: ReferenceSolver | None,
) -> QuestionSupply:
    """The supply of questions of a configuration.

    Args:
        config: The complete configuration.
        seeds: The answers to ask for.
        chat: Tokenizer and chat template of the policy.
        proposer: Writes the questions.
        check: The RAG check.
        created: Collects the created tasks; shared with the environment that plays them.
        pool: The pool of the scheduler.
        reference_solver: Measures the difficulty of every new question; None: it is not measured.
    """
    table, oracle = config.self_play, _oracle(config)
    return QuestionSupply(
        _settings(config),
        seeds=Seeds(seeds, hops=table.hops, warmup_steps=table.hops_warmup_steps, seed=config.train.seed),
        proposer=proposer,
        review=Review(
            limits=filter_limits(config),
            near_duplicate=config.filters.near_duplicate,
            check=check,
            is_sanitized=Sanitizer(build_codec(config, chat).controls).is_sanitized,
            oracle=oracle if config.filters.ambiguous == "refused" else None,
        ),
        created=created,
        pool=pool,
        reward=proposer_reward(
            table.proposer_reward,
            table.intermediate_low,
            table.intermediate_high,
            extremes=table.intermediate_extremes == "formula",
        ),
        credit=proposer_credit(config),
        reference_solver=reference_solver,
        oracle=oracle,
    )


def _settings(config: Config) -> SupplySettings:
    table, train = config.self_play, config.train
    return SupplySettings(
        proposals=table.proposals or train.groups_per_step,
        wanted=train.groups_per_step * train.oversample,
        rounds=table.max_rounds if table.fill == "resample" else 1,
        group_size=table.proposer_group_size,
        temperature=table.proposer_temperature,
        learns_from=None if table.fixed == "proposer" else table.proposer_from_step,
        policy_checks=config.check.kind in ("policy", "start"),
        unsolved_refused=config.check.unsolved == "refused",
        recorded_documents=table.recorded_documents,
        seed=train.seed + PROPOSER_SEED,
    )


def build_proposer(
    config: Config, *, chat: Chat, engine: Engine | None, retrievers: Mapping[str, Retriever]
) -> Proposer:
    """Proposer of a configuration; see ``build_conversations``."""
    conversations = build_conversations(config, QUESTION, chat=chat, engine=engine, retrievers=retrievers)
    default = TAGS_INSTRUCTIONS if config.search.protocol == "tags" else TOOL_INSTRUCTIONS
    return Proposer(conversations, config.self_play.prompt or default)


def filter_limits(config: Config) -> FilterLimits:
    """Limits of the rule filters."""
    table = config.filters
    return FilterLimits(
        min_characters=table.min_characters,
        max_characters=table.max_characters,
        min_words=table.min_words,
        min_searches=table.min_searches,
        answer_in_query=table.answer_in_query == "allowed",
    )


def _oracle(config: Config) -> Oracle | None:
    """The embedded world, which knows the answers of its questions; None for other corpora."""
    if not invents_its_world(config):
        return None
    params = search_world.Params.read(config.task.params)
    return search_world.Facts(search_world.self_play_passages(params, "pool"))


def build_reference_solver(config: Config, environment: Environment) -> ReferenceSolver:
    """Reference solver over created tasks, played by the start policy in ``environment``."""
    seed = config.train.seed + REFERENCE_SEED
    return ReferenceSolver(environment, samples=config.self_play.reference_samples, seed=seed)


# -- the check ---------------------------------------------------------------------------------------------------------


def build_check(config: Config, answerer: Answerer | None, verifier: Verifier) -> RagCheck:
    """The RAG check of a configuration.

    Args:
        config: The complete configuration.
        answerer: See ``build_answerer``.
        verifier: Judges the answers.
    """
    table = config.check
    return RagCheck(
        answerer,
        verifier,
        noise=table.noise,
        closed_book=table.closed_book,
        seed=config.train.seed + CHECK_SEED,
        success_at=config.task.success_threshold,
    )


def build_answerer(config: Config, policy: Answerer | None) -> Answerer | None:
    """Who answers the questions of the check: ``policy`` (of now or of the start), an endpoint's model, or nobody."""
    match config.check.kind:
        case "off":
            return None
        case "policy" | "start":
            return policy
        case _:
            return _endpoint_answerer(config)


def _prompts(config: Config) -> tuple[str, str]:
    """Prompts with and without documents; the second of a configured prompt is the first without ``{documents}``."""
    prompt = config.check.prompt
    return (OPEN_BOOK, CLOSED_BOOK) if prompt is None else (prompt, prompt.replace("{documents}", ""))


def build_policy_answerer(config: Config, *, chat: Chat, engine: Engine | None) -> PolicyAnswerer:
    """Answerer that is a policy, sampled by ``engine``."""
    codec, search = build_codec(config, chat), config.search
    prompt, closed_prompt = _prompts(config)
    return PolicyAnswerer(
        codec,
        engine,
        writer=DocumentWriter(codec, document_format=search.document_format, document_tokens=search.document_tokens),
        limits=replace(
            sampling_limits(config, chat.max_length, chat.max_response),
            max_new_tokens=config.check.max_new_tokens,
            # A chat model may mention the tags while it thinks; the last pair counts.
            stop=(ANSWER.close,) if search.protocol == "tags" else (),
        ),
        temperature=config.check.temperature,
        prompt=prompt,
        closed_prompt=closed_prompt,
    )


def _endpoint_answerer(config: Config) -> EndpointAnswerer:
    table = config.check
    assert table.url is not None, "the configuration checks it"
    assert table.model is not None, "the configuration checks it"
    prompt, closed_prompt = _prompts(config)
    endpoint = Endpoint(
        table.url,
        table.model,
        api_key=secret(table.key_env, "check.key_env"),
        timeout_seconds=table.timeout_seconds,
        concurrency=table.concurrency,
        counts_tokens=False,
    )
    return EndpointAnswerer(
        endpoint,
        concurrency=table.concurrency,
        max_tokens=table.max_new_tokens,
        temperature=table.temperature,
        prompt=prompt,
        closed_prompt=closed_prompt,
    )
