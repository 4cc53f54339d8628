"""Rollouts on verl: requests of the scheduler become prompts of its agent loops, and groups come back as rollouts.

    GroupRequest -> row of the dataset + size, temperature, seed -> agent loops -> TransferQueue -> Rollouts

A prompt's key in TransferQueue is the id of its request, and a trajectory's is ``ID_SESSION_0``.
"""

import time
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import transfer_queue as tq

from rekindle.config import Config
from rekindle.integrations.verl.facts import COUNTS, rollout_fields
from rekindle.integrations.verl.row_keys import FACTS, REQUEST, ROLLOUT_N, SEED, TEMPERATURE
from rekindle.integrations.verl.session_failures import FUNCTION, raise_mendable, taken_failures
from rekindle.types import GroupRequest, Rollout
from rekindle.verifiers.rewards import reward

__all__ = ["PARTITION", "Prompts", "VerlGroups", "key_of"]

PARTITION = "train"
FIELDS = ("prompts", "responses", "response_mask", "rollout_log_probs", "rm_scores", "num_turns", "extra_fields")
POLL_SECONDS = 0.05
"""Shortest wait between two looks for finished groups."""
POLL_SHARE = 0.05
"""Most of the driver's time that they take."""


def key_of(request_id: int, session: int) -> str:
    """Key of a trajectory in TransferQueue."""
    return f"{request_id}_{session}_0"


class Prompts(Protocol):
    """What rollouts need of verl's trainer."""

    def submit(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Begin the sessions of rows, whose ``uid`` is their key."""
        ...

    def row(self, place: int) -> Mapping[str, Any]:
        """A row of the dataset by its number."""
        ...

    def place(self, row: int) -> int:
        """Number of a row of the scheduler in the dataset."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of tokens, without special ones."""
        ...

    @property
    def ends(self) -> Container[int]:
        """End tokens."""
        ...

    @property
    def updates_per_sync(self) -> int:
        """Updates between two synchronisations of weights."""
        ...


class VerlGroups:
    """Environment whose rollouts verl's agent loops make; ``play`` returns with the first groups that are finished.

    Args:
        prompts: The prompts, and the way to the agent loops.
        config: The run's settings. A response of ``engine.max_new_tokens`` without an end token was truncated.

    Attributes:
        seconds: Wall seconds by phase. Verifiers run beside generation, so that their time is in it.
        counts: Events of conversations, as their sessions counted them.
        tags: verl's tags of finished trajectories that were not cleared, by key.
        keys: Keys of the rollouts that were yielded and not cleared, by ``id`` of their tokens.
    """

    def __init__(self, prompts: Prompts, config: Config) -> None:
        self._prompts = prompts
        self._limit, self._task = config.engine.max_new_tokens, config.task
        self._open: dict[int, GroupRequest] = {}
        self._groups_per_step, self._without_reward = config.train.groups_per_step, 0
        self._causes: dict[int, str] = {}
        """Causes of failed groups, by request."""
        self.seconds = {"generate": 0.0}
        self.counts: Counter[str] = Counter()
        self.tags: dict[str, dict[str, Any]] = {}
        self.keys: dict[int, str] = {}

    @property
    def in_flight(self) -> int:
        """Requests whose groups are not finished."""
        return len(self._open)

    def play(self, requests: Sequence[GroupRequest]) -> Iterator[tuple[int, list[Rollout] | None]]:
        """Begin requests, and yield ``(request id, its n rollouts)`` of those, new or old, that are finished."""
        self._begin(self._with_rows(requests))
        began = time.perf_counter()
        rows = {**self._open}
        groups = self._next(self._open)
        self.seconds["generate"] += time.perf_counter() - began
        yield from ((one, self._void(rows[one]) if rollouts is None else rollouts) for one, rollouts in groups)

    def play_rows(
        self, rows: Sequence[tuple[GroupRequest, Mapping[str, Any]]], *, trained: bool
    ) -> Iterator[tuple[int, list[Rollout] | None]]:
        """Begin rows that are not of the scheduler, and yield the groups of all of them (``self_play.PlaysRows``).

        Args:
            rows: Requests with their rows; size, temperature and seed are the request's.
            trained: Whether their rollouts may be in an update; others leave TransferQueue.
        """
        self._begin(rows)
        asked = {request.id for request, _ in rows}
        while waiting := asked & self._open.keys():
            yield from self._next(waiting)
        keys = [] if trained else self.keys_of(asked)
        if keys:
            tq.kv_clear(keys=keys, partition_id=PARTITION)
        self.forget(keys)

    def _with_rows(self, requests: Sequence[GroupRequest]) -> list[tuple[GroupRequest, Mapping[str, Any]]]:
        """Requests of the scheduler with their rows of the dataset."""
        return [(request, self._prompts.row(self._prompts.place(request.row))) for request in requests]

    def _begin(self, rows: Sequence[tuple[GroupRequest, Mapping[str, Any]]]) -> None:
        if rows:
            self._prompts.submit([{**row, **_own(request)} for request, row in rows])
            self._open |= {request.id: request for request, _ in rows}

    def _next(self, asked: Container[int]) -> list[tuple[int, list[Rollout] | None]]:
        """The groups of some of these requests, once there are any; none where nothing is open."""
        while self._open:
            began = time.perf_counter()
            if finished := {one: whole for one, whole in self._finished().items() if one in asked}:
                return self._read(finished)
            time.sleep(max(POLL_SECONDS, (time.perf_counter() - began) / POLL_SHARE))
        return []

    def play_apart(self, requests: Sequence[GroupRequest]) -> Iterator[tuple[int, list[Rollout] | None]]:
        """Yield all groups of requests that no step has, and remove them from TransferQueue."""
        yield from self.play_rows(self._with_rows(requests), trained=False)

    def keep(self, request_ids: Iterable[int]) -> None:
        """Keep the groups of these requests in TransferQueue, of a checkpoint, and remove all others.

        The others are those of the step that was trained, with its dummy rows, and of requests that are asked again.
        """
        tags, wanted = (tq.kv_list(PARTITION) or {}).get(PARTITION, {}), set(map(str, request_ids))
        kept = {key: tag for key, tag in tags.items() if not tag.get("is_prompt") and key.partition("_")[0] in wanted}
        if others := [key for key in tags if key not in kept]:
            tq.kv_clear(keys=others, partition_id=PARTITION)
        self.tags |= kept

    def forget(self, keys: Iterable[str]) -> None:
        """Forget trajectories, which leave TransferQueue elsewhere."""
        gone = set(keys)
        self.tags = {key: tag for key, tag in self.tags.items() if key not in gone}
        self.keys = {tokens: key for tokens, key in self.keys.items() if key not in gone}

    def keys_of(self, request_ids: Iterable[int]) -> list[str]:
        """Keys of the trajectories of requests, in TransferQueue's order."""
        asked = set(map(str, request_ids))
        return [key for key in self.tags if key.partition("_")[0] in asked]

    def _finished(self) -> dict[int, bool]:
        """Request ids of groups that are finished, and whether all their sessions were."""
        asked = list(self._open)
        return {
            one: tag["status"] == "finished"
            for one, tag in zip(asked, _tags(list(map(str, asked))), strict=True)
            if tag.get("status") in ("finished", "failure")
        }

    def _read(self, finished: Mapping[int, bool]) -> list[tuple[int, list[Rollout] | None]]:
        """Groups in the order of their requests; those of a failed session are None, and leave TransferQueue."""
        tq.kv_clear(keys=[str(one) for one in finished], partition_id=PARTITION)
        requests = [self._open.pop(one) for one in sorted(finished)]
        self.tags |= _rows_of(requests, all(finished.values()))
        keys: dict[int, list[str]] = {one.id: [] for one in requests}
        for key in self.keys_of(keys):
            keys[int(key.partition("_")[0])].append(key)
        whole = [one for one in requests if finished[one.id] and self._is_whole(one, set(keys[one.id]))]
        groups = dict(self._rollouts(whole))
        self._note_failures([one for one in requests if one.id not in groups], bool(groups))
        if broken := [key for one in requests if one.id not in groups for key in keys[one.id]]:
            tq.kv_clear(keys=broken, partition_id=PARTITION)
            self.forget(broken)
        return [(one.id, groups.get(one.id)) for one in requests]

    def _note_failures(self, requests: Sequence[GroupRequest], others: bool) -> None:
        """Keep the causes of failed groups.

        Args:
            requests: Their requests.
            others: Whether other groups did not fail.

        Raises:
            UserError: A cause is the user's to mend, or the reward function raised for all groups of a step.
        """
        self._without_reward = 0 if others else self._without_reward
        if not requests:
            return
        found = taken_failures()
        raise_mendable([failure for several in found.values() for failure in several])
        for one in requests:
            causes = found.get(str(one.id), [])
            self._causes[one.id] = ", ".join(sorted({cause.text for cause in causes}))
            self._without_reward += any(cause.of_reward for cause in causes)
            if self._without_reward >= self._groups_per_step:
                cause = next(cause for cause in causes if cause.of_reward)
                raise cause.error(
                    f"{FUNCTION} raised an error in {self._without_reward} groups, one after the other "
                    f"({cause.text}); correct it"
                )

    def _void(self, request: GroupRequest) -> list[Rollout]:
        """The rollouts of a failed group."""
        cause = self._causes.pop(request.id, "") or "a session did not end"
        void = Rollout(token_ids=[], loss_mask=[], logprobs=[], reward=0.0, failure=cause, void=True)
        return [void] * request.n

    def _is_whole(self, request: GroupRequest, found: set[str]) -> bool:
        return all(key_of(request.id, session) in found for session in range(request.n))

    def _rollouts(self, requests: Sequence[GroupRequest]) -> Iterator[tuple[int, list[Rollout]]]:
        """The rollouts of whole groups."""
        keys = [key_of(request.id, session) for request in requests for session in range(request.n)]
        if not keys:
            return
        data = tq.kv_batch_get(keys=keys, partition_id=PARTITION, select_fields=list(FIELDS))
        columns = [list(data[name]) for name in FIELDS]
        rows = iter([dict(zip(FIELDS, values, strict=True)) for values in zip(*columns, strict=True)])
        for request in requests:
            group = []
            for session in range(request.n):
                key = key_of(request.id, session)
                rollout = self._rollout(request, self.tags[key], next(rows))
                self.keys[id(rollout.token_ids)] = key
                group.append(rollout)
            yield request.id, group

    def _rollout(self, request: GroupRequest, tag: Mapping[str, Any], found: Mapping[str, Any]) -> Rollout:
        prompt, response = found["prompts"].tolist(), found["responses"].tolist()
        mask = [bool(value) for value in found["response_mask"].tolist()]
        logprobs = found["rollout_log_probs"].tolist()
        extras = getattr(found["extra_fields"], "data", found["extra_fields"]) or {}
        self.counts.update(extras.get(FACTS, {}).get(COUNTS, {}))
        sampled = [token for token, own in zip(response, mask, strict=True) if own]
        facts = {
            "text": self._prompts.decode(sampled),
            "turns": max(1, int(found["num_turns"]) // 2),
            "truncated": len(response) >= self._limit and response[-1] not in self._prompts.ends,
            "rewards": _rewards(extras),
            **rollout_fields(extras.get(FACTS, {})),
        }
        return Rollout(
            token_ids=prompt + response,
            loss_mask=[False] * len(prompt) + mask,
            logprobs=[0.0] * len(prompt) + [value if own else 0.0 for value, own in zip(logprobs, mask, strict=True)],
            reward=reward(float(found["rm_scores"].sum()), self._task.binary_rewards, self._task.success_threshold),
            temperature=request.temperature,
            version=self._version(tag, request),
            **facts,
        )

    def _version(self, tag: Mapping[str, Any], request: GroupRequest) -> int:
        """Policy version of the first token: verl numbers its weights by the synchronisations before them."""
        found = tag.get("min_global_steps")
        return request.version if found is None else int(found) * self._prompts.updates_per_sync


def _tags(keys: list[str]) -> list[dict[str, Any]]:
    """Tags of keys that are in TransferQueue; a tenth of the time of ``kv_list``, which has those of all rows."""
    found: list[dict[str, Any]] = tq.get_client().kv_retrieve_meta(keys=keys, partition_id=PARTITION).custom_meta
    return found


def _rows_of(requests: Sequence[GroupRequest], whole: bool) -> dict[str, dict[str, Any]]:
    """Tags of the trajectories of finished requests; of failed ones those that are there.

    Args:
        requests: The requests.
        whole: Whether no session of theirs failed.
    """
    keys = [key_of(request.id, session) for request in requests for session in range(request.n)]
    tags = _tags(keys) if whole else []
    if len(tags) == len(keys):
        return dict(zip(keys, tags, strict=True))
    listed = (tq.kv_list(PARTITION) or {}).get(PARTITION, {})
    asked = {str(request.id) for request in requests}
    return {key: tag for key, tag in listed.items() if not tag.get("is_prompt") and key.partition("_")[0] in asked}


def _own(request: GroupRequest) -> dict[str, Any]:
    """Keys of a request's row that are its own."""
    return {
        "uid": str(request.id),
        REQUEST: request.id,
        ROLLOUT_N: request.n,
        TEMPERATURE: request.temperature,
        SEED: request.seed,
    }


def _rewards(extras: Mapping[str, Any]) -> dict[str, float]:
    """Numbers that the reward function returned beside the score."""
    found = extras.get("reward_extra_info") or {}
    return {str(name): float(value) for name, value in found.items() if isinstance(value, int | float)}
