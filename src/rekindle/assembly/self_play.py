"""Search self-play from a configuration: the supply of questions and its parts."""

from dataclasses import replace

from rekindle.assembly.bench import Workbench
from rekindle.assembly.engines import sampling_limits
from rekindle.assembly.environments import build_codec, build_conversations
from rekindle.assembly.players import Players
from rekindle.assembly.secrets import secret
from rekindle.config import Config
from rekindle.config.facts import invents_its_world
from rekindle.engines.endpoint import Endpoint
from rekindle.engines.engine import Engine
from rekindle.environments.search.documents import DocumentWriter
from rekindle.environments.search.hostile import Sanitizer
from rekindle.environments.search.turn_protocol import ANSWER, QUESTION
from rekindle.environments.self_play.answering import Answerer, EndpointAnswerer, PolicyAnswerer
from rekindle.environments.self_play.check_prompt import CLOSED_BOOK, OPEN_BOOK
from rekindle.environments.self_play.created_tasks import CreatedTasks
from rekindle.environments.self_play.filters import FilterLimits
from rekindle.environments.self_play.proposer import TAGS_INSTRUCTIONS, TOOL_INSTRUCTIONS, Proposer
from rekindle.environments.self_play.question_supply import QuestionSupply, SupplySettings
from rekindle.environments.self_play.rag_check import RagCheck
from rekindle.environments.self_play.reference_solver import ReferenceSolver
from rekindle.environments.self_play.review import Oracle, Review
from rekindle.environments.self_play.rewards import proposer_reward
from rekindle.environments.self_play.seeds import Seeds
from rekindle.methods import proposer_credit
from rekindle.scheduling.pools import GrowingPool
from rekindle.tasks import search_world

__all__ = ["build_check", "build_proposer", "build_self_play", "filter_limits", "policy_answerer"]

PROPOSER_SEED, CHECK_SEED, REFERENCE_SEED = 1_000_033, 1_000_037, 1_000_039
"""Added to train.seed, so that no two roles sample with the same seeds."""


def build_self_play(bench: Workbench, pool: GrowingPool, start: Engine | None) -> Players:
    """The supply of questions of a configuration, and the environment of its solver.

    Args:
        bench: The workbench; its tasks are the seeds.
        pool: The pool of the scheduler.
        start: Samples from the start policy, for a fixed opponent and for the reference solver.
    """
    config, created = bench.config, CreatedTasks()
    table = config.self_play
    oracle = _oracle(config)
    fixed = {role: start if table.fixed == role else None for role in ("proposer", "solver")}
    supply = QuestionSupply(
        _settings(config),
        seeds=Seeds(bench.tasks.pool, hops=table.hops, warmup_steps=table.hops_warmup_steps, seed=config.train.seed),
        proposer=build_proposer(bench, fixed["proposer"] or bench.engine),
        review=Review(
            limits=filter_limits(config),
            near_duplicate=config.filters.near_duplicate,
            check=build_check(bench),
            is_sanitized=Sanitizer(build_codec(config, bench.policy).controls).is_sanitized,
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
        reference_solver=_reference_solver(bench, created, start),
        oracle=oracle,
    )
    return Players(supply, bench.environment(created.tasks, fixed["solver"]))


def _settings(config: Config) -> SupplySettings:
    table, train = config.self_play, config.train
    return SupplySettings(
        proposals=table.proposals or train.groups_per_step,
        wanted=train.groups_per_step * train.oversample,
        rounds=table.max_rounds if table.fill == "resample" else 1,
        group_size=table.proposer_group_size,
        temperature=table.proposer_temperature,
        learns_from=None if table.fixed == "proposer" else table.proposer_from_step,
        policy_checks=config.check.kind == "policy",
        recorded_documents=table.recorded_documents,
        seed=train.seed + PROPOSER_SEED,
    )


def build_proposer(bench: Workbench, engine: Engine) -> Proposer:
    """Proposer of a workbench, sampled by ``engine``."""
    config = bench.config
    conversations = build_conversations(
        config, QUESTION, policy=bench.policy, engine=engine, retrievers=bench.retrievers
    )
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


def _reference_solver(bench: Workbench, created: CreatedTasks, start: Engine | None) -> ReferenceSolver | None:
    samples = bench.config.self_play.reference_samples
    if start is None or not samples:
        return None
    seed = bench.config.train.seed + REFERENCE_SEED
    return ReferenceSolver(bench.environment(created.tasks, start), samples=samples, seed=seed)


# -- the check ---------------------------------------------------------------------------------------------------------


def build_check(bench: Workbench) -> RagCheck:
    """The RAG check of a configuration."""
    table, config = bench.config.check, bench.config
    return RagCheck(
        _answerer(bench),
        bench.verifier,
        noise=table.noise,
        closed_book=table.closed_book,
        seed=config.train.seed + CHECK_SEED,
        success_at=config.task.success_threshold,
    )


def _answerer(bench: Workbench) -> Answerer | None:
    table = bench.config.check
    if table.kind == "off":
        return None
    return policy_answerer(bench) if table.kind == "policy" else _endpoint_answerer(bench.config)


def _prompts(config: Config) -> tuple[str, str]:
    """Prompts with and without documents; the second of a configured prompt is the first without ``{documents}``."""
    prompt = config.check.prompt
    return (OPEN_BOOK, CLOSED_BOOK) if prompt is None else (prompt, prompt.replace("{documents}", ""))


def policy_answerer(bench: Workbench) -> PolicyAnswerer:
    """Answerer that samples from the workbench's engine, usually the policy."""
    config, codec = bench.config, build_codec(bench.config, bench.policy)
    search, (prompt, closed_prompt) = config.search, _prompts(config)
    return PolicyAnswerer(
        codec,
        bench.engine,
        writer=DocumentWriter(codec, document_format=search.document_format, document_tokens=search.document_tokens),
        limits=replace(
            sampling_limits(config, bench.policy.max_length),
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
