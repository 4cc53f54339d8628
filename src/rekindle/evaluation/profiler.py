"""The profiling pass: a few rollouts of every prompt of a pool, resumable after a kill.

A prompt's rollouts depend only on (seed, row). A pass that is killed and resumed from its journal therefore ends with
the same numbers as an uninterrupted one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from rekindle.engines.endpoint import Endpoint, EndpointCompletion, EndpointRequest
from rekindle.engines.engine import SamplingLimits
from rekindle.evaluation.passes import OnProgress, PlayGroups, chunks, play_in_chunks
from rekindle.evaluation.profile_journal import open_profile_journal
from rekindle.scheduling.history import TaskIds
from rekindle.scheduling.profiling import Profile, ProfileError, ProfileKey
from rekindle.types import GroupRequest, Rollout, Task
from rekindle.verifiers.verifier import Verifier

__all__ = ["PlayGroups", "endpoint_play", "profile_tasks"]


def profile_tasks(
    play: PlayGroups,
    tasks: Sequence[Task],
    *,
    samples: int,
    key: ProfileKey,
    parameters: int,
    partial: Path,
    seed: int,
    success_at: float,
    chunk: int = 64,
    on_progress: OnProgress,
    interrupted: Callable[[], bool],
) -> Profile | None:
    """Roll out every task ``samples`` times; resume the pass of the journal ``partial`` if there is one.

    Prompts that could not be played before an interruption are tried again at the end. Prompts that still cannot be
    played have no row in the profile and are listed in its ``failed``.

    Args:
        play: ``play`` of an environment over ``tasks``; a request's row is the index of its task.
        tasks: [N] the pool.
        samples: Rollouts per prompt, at least 1.
        key: Model and settings of the profile, with the sampling temperature.
        parameters: P, for the cost of 2P FLOPs per token; 0 if unknown.
        partial: The journal. It is kept; the caller removes it after saving the profile.
        seed: Seed of the rollouts.
        success_at: A reward of at least this much is a success.
        chunk: Prompts per chunk; a kill loses at most one chunk.
        on_progress: Called after every chunk with prompts done, prompts in all, and seconds left.
        interrupted: Called before every chunk.

    Returns:
        The profile, or None when interrupted.

    Raises:
        ProfileError: The journal belongs to another pass or is damaged, or no prompt can be played.
    """
    if samples < 1:
        raise ProfileError(f"a profile with {samples} samples per prompt is empty; take 8")
    ids = TaskIds(task.id for task in tasks)
    settings = {"samples": samples, "seed": seed, "success_at": success_at, "prompts": ids.digest(), **asdict(key)}
    with open_profile_journal(partial, settings, len(tasks)) as journal:
        fresh, again = journal.pending()
        complete = play_in_chunks(
            chunks(fresh, chunk),
            chunks(again, chunk),
            total=len(tasks),
            play=lambda rows: journal.record(
                play([_request(tasks[row], row, samples, key.temperature, seed) for row in rows]), samples, success_at
            ),
            stuck=lambda failed: ProfileError(
                f"{failed} prompts in a row could not be played; check the model or the endpoint, and look for prompts "
                f"that are too long; then start again to continue ({partial} keeps the finished prompts)"
            ),
            on_progress=on_progress,
            interrupted=interrupted,
        )
        return journal.profile([task.id for task in tasks], key, samples, parameters) if complete else None


def _request(task: Task, row: int, samples: int, temperature: float, seed: int) -> GroupRequest:
    own_seed = int(np.random.SeedSequence((seed, row)).generate_state(1, np.uint64)[0] >> 1)
    return GroupRequest(
        id=row, task_id=task.id, row=row, n=samples, temperature=temperature, seed=own_seed, version=0, step=0
    )


# -- an endpoint as the policy -----------------------------------------------------------------------------------------


def endpoint_play(
    endpoint: Endpoint,
    tasks: Sequence[Task],
    verifier: Verifier,
    reward: Callable[[float], float],
    *,
    limits: SamplingLimits,
) -> PlayGroups:
    """Play tasks with an endpoint, for ``profile_tasks``.

    The rollouts have text, reward and the right number of prompt and sampled tokens. Token ids and log-probabilities,
    which an endpoint does not return, are zeros, so the rollouts cannot be trained on.

    Args:
        endpoint: Samples the completions.
        tasks: A request's row is the index of its task.
        verifier: Judges the completions.
        reward: Score of a verdict -> reward.
        limits: Of a completion; ``min_p`` and ``context`` are not read, because the API has no place for them.
    """

    def order(request: GroupRequest) -> EndpointRequest:
        task = tasks[request.row]
        return EndpointRequest(
            task.messages or task.prompt,
            n=request.n,
            temperature=request.temperature,
            max_tokens=limits.max_new_tokens,
            seed=request.seed,
            stop=limits.stop,
            top_p=limits.top_p,
        )

    def judged(request: GroupRequest, completions: list[EndpointCompletion]) -> list[Rollout]:
        verdicts = verifier.judge([(tasks[request.row], completion.text) for completion in completions])
        return [
            Rollout(
                token_ids=[0] * (completion.prompt_tokens + completion.tokens),
                loss_mask=[False] * completion.prompt_tokens + [True] * completion.tokens,
                logprobs=[0.0] * (completion.prompt_tokens + completion.tokens),
                reward=reward(verdict.score),
                temperature=request.temperature,
                version=request.version,
                truncated=completion.truncated,
                text=completion.text,
                failure=verdict.failure,
                void=verdict.void,
                rewards=verdict.parts,
            )
            for completion, verdict in zip(completions, verdicts, strict=True)
        ]

    def play(requests: Sequence[GroupRequest]) -> Iterator[tuple[int, list[Rollout] | None]]:
        for index, completions in endpoint.complete([order(request) for request in requests]):
            yield requests[index].id, None if completions is None else judged(requests[index], completions)

    return play
