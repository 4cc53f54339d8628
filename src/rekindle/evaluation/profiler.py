"""The profiling pass: play every prompt of a pool a few times, once, and survive being stopped.

A prompt's rollouts depend on (seed, row) and on nothing else, so a pass that was killed and goes on from its journal
ends with the numbers of one that was not.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

from rekindle.engines.endpoint import Endpoint, EndpointCompletion, EndpointRequest
from rekindle.engines.engine import SamplingLimits
from rekindle.evaluation.passes import Play, Progress, chunks, play_in_chunks
from rekindle.evaluation.profile_journal import open_profile_journal
from rekindle.scheduling.history import TaskIds
from rekindle.scheduling.profiling import Profile, ProfileError, ProfileKey
from rekindle.types import GroupRequest, Rollout, Task
from rekindle.verifiers.verifier import Verifier

__all__ = ["Play", "endpoint_play", "profile_tasks"]


def profile_tasks(
    play: Play,
    tasks: Sequence[Task],
    *,
    samples: int,
    key: ProfileKey,
    parameters: int,
    partial: Path,
    seed: int,
    success_at: float,
    chunk: int = 64,
    on_progress: Progress,
    interrupted: Callable[[], bool],
) -> Profile | None:
    """Roll out every task ``samples`` times; a pass that ``partial`` holds is gone on with.

    Prompts that could not be played in an earlier, stopped part of the pass are tried again at the end. Those that
    still cannot be played have no row in the profile and are in its ``failed``.

    Args:
        play: Of an environment over ``tasks``; a request's row is the index of its task.
        tasks: [N] the pool.
        samples: Rollouts per prompt, at least 1.
        key: What is profiled; its temperature is the one that is sampled at.
        parameters: P, for the cost of 2P per token; 0 where it is unknown.
        partial: The journal. It stays where it is: the caller removes it once the profile is saved.
        seed: Of the rollouts.
        success_at: A reward of at least this much is a success.
        chunk: Prompts played at a time; what a kill can lose.
        on_progress: Told prompts done, prompts in all, and the seconds left, after every chunk.
        interrupted: Asked before every chunk.

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
            stuck=lambda barren: ProfileError(
                f"{barren} prompts in a row could not be played; look at the model or the endpoint and at prompts "
                f"that are too long, and start again to go on ({partial} keeps what is done)"
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
    limits: SamplingLimits,
) -> Play:
    """Play tasks with an endpoint, for ``profile_tasks``.

    The rollouts have text, reward and the right number of prompt and sampled tokens; the tokens themselves and their
    log-probabilities, which an endpoint does not give, are zeros. Nothing can be trained on them.

    Args:
        endpoint: Samples the completions.
        tasks: A request's row is the index of its task.
        verifier: Judges them.
        reward: From a verdict's score to a reward.
        limits: Of a completion; ``min_p`` and ``context`` are not read, as the protocol has no place for them.
    """

    def order(request: GroupRequest) -> EndpointRequest:
        prompt = tasks[request.row].prompt
        return EndpointRequest(
            prompt,
            n=request.n,
            temperature=request.temperature,
            max_tokens=limits.max_new_tokens,
            seed=request.seed,
            stop=limits.stop,
            top_p=limits.top_p,
        )

    def judged(request: GroupRequest, completions: list[EndpointCompletion]) -> list[Rollout]:
        verdicts = verifier.judge([(tasks[request.row], one.text) for one in completions])
        return [
            Rollout(
                token_ids=[0] * (one.prompt_tokens + one.tokens),
                loss_mask=[False] * one.prompt_tokens + [True] * one.tokens,
                logprobs=[0.0] * (one.prompt_tokens + one.tokens),
                reward=reward(verdict.score),
                temperature=request.temperature,
                version=request.version,
                truncated=one.truncated,
                text=one.text,
                failure=verdict.failure,
                void=verdict.void,
            )
            for one, verdict in zip(completions, verdicts, strict=True)
        ]

    def play(requests: Sequence[GroupRequest]) -> Iterator[tuple[int, list[Rollout] | None]]:
        for index, completions in endpoint.complete([order(request) for request in requests]):
            yield requests[index].id, None if completions is None else judged(requests[index], completions)

    return play
