"""Search self-play from a workbench: the supply of questions and its parts."""

from rekindle.assembly.bench import Workbench
from rekindle.assembly.players import Players
from rekindle.engines.engine import Engine
from rekindle.environments.self_play.answering import PolicyAnswerer
from rekindle.environments.self_play.building import (
    build_answerer,
    build_policy_answerer,
    build_reference_solver,
    build_supply,
)
from rekindle.environments.self_play.building import build_check as check_of
from rekindle.environments.self_play.building import build_proposer as proposer_of
from rekindle.environments.self_play.created_tasks import CreatedTasks
from rekindle.environments.self_play.proposer import Proposer
from rekindle.environments.self_play.rag_check import RagCheck
from rekindle.environments.self_play.reference_solver import ReferenceSolver
from rekindle.scheduling.pools import GrowingPool

__all__ = ["build_check", "build_proposer", "build_self_play", "policy_answerer"]


def build_self_play(bench: Workbench, pool: GrowingPool, start: Engine | None) -> Players:
    """The supply of questions of a configuration, and the environment of its solver.

    Args:
        bench: The workbench; its tasks are the seeds.
        pool: The pool of the scheduler.
        start: Samples from the start policy, for a fixed opponent, the check and the reference solver.
    """
    config, created = bench.config, CreatedTasks()
    fixed = {role: start if config.self_play.fixed == role else None for role in ("proposer", "solver")}
    supply = build_supply(
        config,
        bench.tasks.pool,
        chat=bench.policy.chat,
        proposer=build_proposer(bench, fixed["proposer"] or bench.engine),
        check=build_check(bench, start),
        created=created,
        pool=pool,
        reference_solver=_reference_solver(bench, created, start),
    )
    return Players(supply, bench.environment(created.tasks, fixed["solver"]))


def build_proposer(bench: Workbench, engine: Engine) -> Proposer:
    """Proposer of a workbench, sampled by ``engine``."""
    return proposer_of(bench.config, chat=bench.policy.chat, engine=engine, retrievers=bench.retrievers)


def build_check(bench: Workbench, start: Engine | None = None) -> RagCheck:
    """The RAG check of a workbench; ``start`` samples from the start policy, where it is the verifier."""
    engine = {"policy": bench.engine, "start": start}.get(bench.config.check.kind)
    policy = None if engine is None else policy_answerer(bench, engine)
    return check_of(bench.config, build_answerer(bench.config, policy), bench.verifier)


def policy_answerer(bench: Workbench, engine: Engine | None = None) -> PolicyAnswerer:
    """Answerer that samples from ``engine``, by default the workbench's, usually the policy."""
    return build_policy_answerer(bench.config, chat=bench.policy.chat, engine=engine or bench.engine)


def _reference_solver(bench: Workbench, created: CreatedTasks, start: Engine | None) -> ReferenceSolver | None:
    if start is None or not bench.config.self_play.reference_samples:
        return None
    return build_reference_solver(bench.config, bench.environment(created.tasks, start))
