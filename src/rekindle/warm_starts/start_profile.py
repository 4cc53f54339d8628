"""Start profiles: success rates of a policy after its warm start, role by role."""

from collections.abc import Sequence

from rekindle.assembly.bench import EVALUATION_SEED, Workbench, accuracy_by_level
from rekindle.assembly.self_play import build_proposer, policy_answerer
from rekindle.config.facts import demonstrated_noise
from rekindle.environments.self_play.proposals import Proposal
from rekindle.environments.self_play.proposer import Order
from rekindle.environments.self_play.rag_check import RagCheck
from rekindle.evaluation.evaluator import evaluate
from rekindle.tasks import search_world
from rekindle.tasks.task_set import levels_of
from rekindle.types import GroupRequest, Outcome, Task, outcome_of

__all__ = ["PROMPTS", "proposing_and_verifying", "solving"]

PROMPTS, SAMPLES, PROPOSALS = 256, 4, 400
POOL = "pool"


def solving(bench: Workbench, tasks: Sequence[Task]) -> dict[str, float]:
    """Pass rates of the solver, and shares of unanimous groups."""
    environment = bench.environment(tasks)
    sampled = evaluate(environment, tasks, samples=SAMPLES, seed=EVALUATION_SEED)
    greedy = evaluate(environment, tasks, samples=1, temperature=0.0)
    outcomes = [outcome_of([1.0] * correct + [0.0] * (SAMPLES - correct)) for correct in sampled.successes]
    levels = accuracy_by_level(sampled, levels_of(tasks))
    return {
        "sampled": sampled.accuracy,
        "greedy": greedy.accuracy,
        "all_correct": outcomes.count(Outcome.ALL_CORRECT) / len(outcomes),
        "all_wrong": outcomes.count(Outcome.ALL_WRONG) / len(outcomes),
        **{f"level_{level}": accuracy for level, accuracy in levels.items()},
    }


def proposing_and_verifying(bench: Workbench, params: search_world.Params) -> dict[str, float]:
    """Shares of right questions by wished hops, and of accepted questions: right ones by hops, and wrong ones."""
    facts = search_world.Facts(search_world.self_play_passages(params, POOL))
    proposals = _proposals(bench)
    right = [_is_right(one, facts) for one in proposals]
    wished = _shares([one.hops for one in proposals], right)
    asked = [one for one in proposals if one.question is not None]
    _verify(bench, asked)
    kinds = [len((one.question or "").split()) - 3 if _is_right(one, facts) else 0 for one in asked]
    accepted = _shares(kinds, [one.reason is None for one in asked])
    return {
        "proposer": sum(right) / len(right),
        **{f"proposer_{hops}": share for hops, share in wished.items()},
        "false_accepts": accepted.pop(0, 0.0),
        **{f"verifier_{hops}": share for hops, share in accepted.items()},
    }


def _proposals(bench: Workbench) -> list[Proposal]:
    """Proposals at temperature 1, one per order, with equally many orders for each number of hops."""
    seeds, most = bench.tasks.pool, bench.config.self_play.hops
    orders = [_order(seeds[number % len(seeds)], number, 1 + number % most) for number in range(PROPOSALS)]
    return build_proposer(bench, bench.engine).propose(orders)[0]


def _order(seed: Task, number: int, hops: int) -> Order:
    return Order(
        GroupRequest(
            id=number,
            task_id=seed.id,
            row=number,
            n=1,
            temperature=1.0,
            seed=EVALUATION_SEED + number,
            version=0,
            step=0,
        ),
        seed,
        hops,
    )


def _is_right(proposal: Proposal, facts: search_world.Facts) -> bool:
    """Whether the question has its seed's answer, and does not contain it."""
    question, answer = proposal.question or "", proposal.answers[0]
    return facts.answers(question) == {answer} and answer not in question


def _verify(bench: Workbench, proposals: Sequence[Proposal]) -> None:
    config = bench.config
    check = RagCheck(
        policy_answerer(bench),
        bench.verifier,
        noise=demonstrated_noise(config),
        closed_book=0,
        seed=EVALUATION_SEED,
        success_at=config.task.success_threshold,
    )
    check.judge(proposals)


def _shares(kinds: Sequence[int], holds: Sequence[bool]) -> dict[int, float]:
    """Share of True by kind."""
    found: dict[int, list[bool]] = {}
    for kind, one in zip(kinds, holds, strict=True):
        found.setdefault(kind, []).append(one)
    return {kind: sum(found[kind]) / len(found[kind]) for kind in sorted(found)}
