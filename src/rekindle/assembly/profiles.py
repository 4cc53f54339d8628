"""Profiling passes of `rekindle profile`, and of runs that need a profile before their first step."""

import json
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from rekindle.assembly.bench import Workbench
from rekindle.config import Config
from rekindle.config.facts import plays_search, reward_name, verifies_maths
from rekindle.engines.endpoint import Endpoint
from rekindle.environments.building import sampling_limits
from rekindle.environments.rewards import build_rewards, file_digests
from rekindle.evaluation.kept_profile import keep_profile, tenths
from rekindle.evaluation.passes import OnProgress
from rekindle.evaluation.profile_file import check_profile, load_profile, rows_for
from rekindle.evaluation.profiler import endpoint_play
from rekindle.notices import Say
from rekindle.preflight import check_profilable, settled
from rekindle.scheduling.profiling import Profile, ProfileKey
from rekindle.tasks.loading import TaskSet
from rekindle.verifiers.judge_prompt import PROMPT_VERSION
from rekindle.verifiers.results import RULE_VERSION
from rekindle.verifiers.rewards import reward

__all__ = ["endpoint_profile", "given_profile", "make_profile", "own_profile", "profile_costs", "profile_key"]


def profile_key(config: Config, model: str) -> ProfileKey:
    """Everything that success rates depend on besides the prompts.

    Args:
        config: The complete configuration.
        model: Fingerprint of a policy, or name of an endpoint's model.
    """
    task = config.task
    how = f"{task.verifier}:{task.source}:{task.success_threshold:g}"
    if verifies_maths(config):
        how += f":{RULE_VERSION}" + (":powers" if config.verify.powers else "")
    if task.verifier == "judge":
        how += f":{config.judge.model}:{PROMPT_VERSION}"
    if config.rewards:
        weights = [(reward_name(one), one.weight) for one in config.rewards]
        how += f":{json.dumps([weights, task.verifier_weight, file_digests(config)])}"
    if plays_search(config):
        found_in = config.retriever.model_dump_json(include={"kind", "corpus", "url", "encoder", "title_weight"})
        how += f":{config.search.model_dump_json()}:{found_in}:{json.dumps(task.params, sort_keys=True, default=str)}"
    return ProfileKey(model, how, config.train.temperature, config.engine.max_new_tokens)


def make_profile(
    bench: Workbench, out: Path, samples: int, on_progress: OnProgress, interrupted: Callable[[], bool]
) -> Profile | None:
    """Profile the pool with the workbench's policy and write ``out``; None when interrupted (repeat to continue)."""
    check_profilable(bench.config)
    key = profile_key(bench.config, bench.policy.fingerprint())
    play = bench.environment(bench.tasks.pool).play
    return keep_profile(
        bench.config,
        bench.tasks.pool,
        play,
        key,
        out,
        samples,
        parameters=bench.policy.parameter_count,
        on_progress=on_progress,
        interrupted=interrupted,
    )


def endpoint_profile(
    config: Config,
    endpoint: Endpoint,
    tasks: TaskSet,
    out: Path,
    samples: int,
    on_progress: OnProgress,
    interrupted: Callable[[], bool],
) -> Profile | None:
    """Profile the pool with an OpenAI-compatible endpoint; its FLOPs are unknown, as its parameters are."""
    check_profilable(config, endpoint=True)
    config = settled(config, tasks)
    table = config.task
    with closing(build_rewards(config, tasks=tasks.pool, token_ids=False)) as verifier:
        play = endpoint_play(
            endpoint,
            tasks.pool,
            verifier,
            lambda score: reward(score, table.binary_rewards, table.success_threshold),
            limits=sampling_limits(config, context=sys.maxsize),  # the server knows its model's own
        )
        key = profile_key(config, endpoint.model)
        return keep_profile(
            config,
            tasks.pool,
            play,
            key,
            out,
            samples,
            parameters=0,
            on_progress=on_progress,
            interrupted=interrupted,
        )


def given_profile(bench: Workbench, *, started: bool) -> Profile | None:
    """The profile that ``profile.path`` names, aligned with the pool; None where none is named.

    Args:
        bench: The workbench; its policy is the start policy unless ``started``.
        started: Whether the run continues from a checkpoint; its profile was checked when it began.

    Raises:
        ProfileError: The profile is damaged, lacks prompts of the pool, or belongs to another policy or setting.
    """
    config = bench.config
    if config.profile.path is None:
        return None
    profile = load_profile(Path(config.profile.path))
    if not started:
        key = profile_key(config, bench.policy.fingerprint())
        check_profile(profile, key, forced=config.profile.force, where=config.profile.path)
    return _aligned(profile, bench)


def own_profile(bench: Workbench, directory: Path, say: Say, interrupted: Callable[[], bool]) -> Profile:
    """The profile that a run makes before its first step and keeps in its directory.

    Raises:
        KeyboardInterrupt: Interrupted; finished prompts are kept, and a resumed run continues from them.
    """
    out, samples = directory / "profile.parquet", bench.config.profile.samples
    if out.exists():
        return _aligned(load_profile(out), bench)
    profile = make_profile(bench, out, samples, tenths(say, len(bench.tasks.pool), samples), interrupted)
    if profile is None:
        raise KeyboardInterrupt
    return _aligned(profile, bench)


def _aligned(profile: Profile, bench: Workbench) -> Profile:
    return rows_for(profile, [task.id for task in bench.tasks.pool])


def profile_costs(profile: Profile | None) -> Mapping[str, float]:
    """Cost of a profile, as metrics of the run's first line."""
    if profile is None:
        return {}
    return {
        "generated_tokens": int(profile.generated_tokens.sum()),
        "prompt_tokens": int(profile.prompt_tokens.sum()),
        "flops": profile.flops,
        "flops_sgpo": profile.flops,  # 2 per parameter and token in both accounts
        "profile/rollouts": int(profile.samples.sum()),
    }
