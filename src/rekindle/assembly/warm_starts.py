"""The tiny model's warm start: from the cache, or made once."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

from rekindle.assembly.bench import EVALUATION_SEED, Workbench, accuracy_by_level
from rekindle.config import Config
from rekindle.config.rules.facts import plays_search
from rekindle.engines.torch_engine import TorchEngine
from rekindle.evaluation.evaluator import evaluate
from rekindle.models.policy import Policy
from rekindle.models.tiny import build_tiny
from rekindle.retrieval.lexical import LexicalIndex
from rekindle.retrieval.protocol import Retriever
from rekindle.tasks import search_world, spell_backward
from rekindle.tasks.loading import TaskSet
from rekindle.tasks.task_set import levels_of
from rekindle.training import warm_start
from rekindle.types import GroupRequest, Outcome, TrainingSample, outcome_of
from rekindle.verifiers.protocol import Verifier

__all__ = ["warm_started"]

PROFILE_PROMPTS, PROFILE_SAMPLES = 256, 4
CONVERSATIONS = 12_000
"""Most conversations of the search world's teacher; each is used again with other names when more are needed."""

Say = Callable[[str], None]


def warm_started(
    config: Config, tasks: TaskSet, verifier: Verifier, retrievers: Mapping[str, Retriever], say: Say
) -> Path:
    """Directory of the tiny model after its warm start, from the cache when it was made before.

    Raises:
        WarmStartError: Its profile is outside what RL can use.
    """
    settings = config.warm_start
    key = {
        "tiny": config.model.tiny.model_dump(),
        "warm_start": settings.model_dump(exclude={"sampled_accuracy", "least_by_level"}),
        "task": {"source": config.task.source, "params": config.task.params},
    }
    if plays_search(config):
        key["search"] = config.search.model_dump() | {"max_new_tokens": config.engine.max_new_tokens}
    directory, profile = warm_start.cached(key, lambda: _make_warm_start(config, tasks, verifier, retrievers, say))
    words = ", ".join(f"{name.replace('_', ' ')} {value:.2f}" for name, value in profile.items())
    _refuse_useless(config, profile, words)
    say(f"warm start ({directory}): {words}")
    return directory


def _refuse_useless(config: Config, profile: Mapping[str, float], words: str) -> None:
    low, high = config.warm_start.sampled_accuracy
    if not low <= profile["sampled"] <= high:
        raise warm_start.WarmStartError(
            f"the warm start's sampled accuracy {profile['sampled']:.2f} is outside warm_start.sampled_accuracy = "
            f"({low}, {high}) ({words}); change warm_start.steps or warm_start.seed, or widen the range"
        )
    for level, least in enumerate(config.warm_start.least_by_level, start=1):
        if profile.get(f"level_{level}", 0.0) < least:
            raise warm_start.WarmStartError(
                f"the warm start solves {profile.get(f'level_{level}', 0.0):.2f} of level {level}, less than "
                f"warm_start.least_by_level asks for ({least:g}), and RL cannot reward what never happens ({words}); "
                "raise warm_start.steps or change warm_start.seed"
            )


def _make_warm_start(
    config: Config, tasks: TaskSet, verifier: Verifier, retrievers: Mapping[str, Retriever], say: Say
) -> tuple[Policy, dict[str, float]]:
    settings = config.warm_start
    policy = _tiny(config)
    engine = TorchEngine(policy, max_rows=config.engine.max_rows)
    bench = Workbench(config, policy, engine, tasks, verifier, retrievers)
    say(f"warming up a model of {policy.parameter_count:,} parameters on noisy demonstrations, once ...")

    def on_step(step: int, loss: float) -> None:
        if step % 100 == 0 or step == settings.steps:
            say(f"  warm start: step {step} of at most {settings.steps + settings.decay_steps}, loss {loss:.2f}")

    warm_start.imitate(policy, _demonstrations(bench), settings, on_step)
    return policy, _profile(bench)


def _tiny(config: Config) -> Policy:
    sizes, seed = config.model.tiny.model_dump(), config.warm_start.seed
    if config.task.source == "search_world":
        return build_tiny(
            **sizes, words=search_world.vocabulary(search_world.Params.read(config.task.params)), seed=seed
        )
    return build_tiny(**sizes, characters=spell_backward.CHARACTERS, seed=seed)


def _demonstrations(bench: Workbench) -> Iterable[TrainingSample]:
    settings, params = bench.config.warm_start, bench.config.task.params
    if bench.config.task.source == "search_world":
        return _conversations(bench)
    pairs = spell_backward.demonstrations(settings.steps * settings.batch_size, seed=settings.seed, params=params)
    return (warm_start.demonstration(bench.policy, *pair) for pair in pairs)


def _conversations(bench: Workbench) -> Iterator[TrainingSample]:
    """What the noisy teacher says and reads in the environment that the policy will play in, under ever new names."""
    settings, params = bench.config.warm_start, search_world.Params.read(bench.config.task.params)
    wanted, seed = (settings.steps + settings.decay_steps) * settings.batch_size, settings.seed
    encode = partial(bench.policy.encode_prompt, chat_template=False)
    tasks = search_world.demonstration_tasks(params, min(CONVERSATIONS, wanted), seed)
    teacher = search_world.TeacherEngine(tasks, encode=encode, decode=bench.policy.decode, params=params)
    requests = [GroupRequest(row, task.id, row, 1, 1.0, seed + row, 0, 0) for row, task in enumerate(tasks)]
    with closing(LexicalIndex.in_memory(search_world.passages(params, search_world.TAUGHT))) as index:
        school = replace(bench, retrievers={search_world.TAUGHT: index})
        played = sorted(school.environment(tasks, teacher).play(requests))
    rollouts = [one for _, group in played for one in group or ()]
    if len(rollouts) < len(tasks):  # who is left out would put the teacher off by one
        raise warm_start.WarmStartError(
            f"a question of the search world does not fit into model.tiny.max_length = {bench.policy.max_length}; "
            "raise it"
        )
    renaming = search_world.Renaming(encode(" ".join(search_world.name_words(params.name_words))))
    for number in count():
        rollout = rollouts[number % len(rollouts)]
        yield warm_start.imitated(renaming.apply(rollout.token_ids, f"{seed} {number}"), rollout.loss_mask)


def _profile(bench: Workbench) -> dict[str, float]:
    """Pass rates and shares of unanimous groups, on prompts of the pool: held-out prompts decide nothing."""
    tasks = bench.tasks.pool[:PROFILE_PROMPTS]
    environment = bench.environment(tasks)
    sampled = evaluate(environment, tasks, samples=PROFILE_SAMPLES, seed=EVALUATION_SEED)
    greedy = evaluate(environment, tasks, samples=1, temperature=0.0)
    outcomes = [outcome_of([1.0] * correct + [0.0] * (PROFILE_SAMPLES - correct)) for correct in sampled.successes]
    levels = accuracy_by_level(sampled, levels_of(tasks))
    return {
        "sampled": sampled.accuracy,
        "greedy": greedy.accuracy,
        "all_correct": outcomes.count(Outcome.ALL_CORRECT) / len(outcomes),
        "all_wrong": outcomes.count(Outcome.ALL_WRONG) / len(outcomes),
        **{f"level_{level}": accuracy for level, accuracy in levels.items()},
    }
