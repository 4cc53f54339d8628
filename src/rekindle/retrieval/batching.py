"""One thread that searches for many callers at once.

Requests that come within a few milliseconds, or while a search is running, are searched together: an encoder and an
index take a batch in much less time than its queries one by one. Requests with different ``k`` are never mixed, so that
what somebody finds does not depend on who else asks.

    caller      puts a job into the queue          waits for its future
    thread      takes the oldest job and all that go with it, searches, completes their futures
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from rekindle.retrieval.retriever import Hit, Retriever, RetrieverDown

__all__ = ["QueueFullError", "SearchThread"]

GATHER_SECONDS = 0.002
"""How long the first request of a batch waits for others."""
BATCH_QUERIES = 256
"""A batch takes no further request when it would have more queries than this; a single request may have more."""
CLOSE_SECONDS = 5.0
"""Longest wait for the last searches."""


class QueueFullError(Exception):
    """Too many queries wait already."""


@dataclass(slots=True, eq=False)
class _Job:
    queries: Sequence[str]
    k: int
    found: "Future[list[list[Hit]]]" = field(default_factory=Future)


class SearchThread:
    """Gathers searches and runs them one batch after the other.

    Args:
        retriever: Is only used by the thread; stays the caller's to close.
        waiting_queries: More than these do not wait.
    """

    def __init__(self, retriever: Retriever, waiting_queries: int) -> None:
        self._retriever, self._waiting_queries = retriever, waiting_queries
        self._jobs: list[_Job] = []
        self._waiting = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="search", daemon=True)
        self._thread.start()

    def submit(self, queries: Sequence[str], k: int) -> "Future[list[list[Hit]]]":
        """Ask for a search; the future ends with the hits per query, or with RetrieverDown.

        Raises:
            QueueFullError: Too many queries wait already, or the thread has been closed.
        """
        job = _Job(queries, k)
        with self._changed:
            if self._closed or self._waiting + len(queries) > self._waiting_queries:
                raise QueueFullError
            self._jobs.append(job)
            self._waiting += len(queries)
            self._changed.notify()
        return job.found

    def close(self) -> None:
        """Search what waits already, and end; a search that hangs is left behind. May be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while batch := self._next_batch():
            wanted = [job for job in batch if job.found.set_running_or_notify_cancel()]
            if wanted:
                _complete(self._retriever, wanted)

    def _next_batch(self) -> list[_Job]:
        """The oldest job and those that go with it; empty when closed and nothing is left."""
        with self._changed:
            if not self._jobs and not self._closed:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                self._gather()
            batch: list[_Job] = []
            rest: list[_Job] = []
            taken = 0
            for job in self._jobs:
                fits = not batch or (job.k == batch[0].k and taken + len(job.queries) <= BATCH_QUERIES)
                taken += len(job.queries) if fits else 0
                (batch if fits else rest).append(job)
            self._jobs = rest
            self._waiting -= taken
            return batch

    def _gather(self) -> None:
        """Give others the chance to join, until the batch is full."""
        end = time.monotonic() + GATHER_SECONDS
        while self._waiting < BATCH_QUERIES and not self._closed and (left := end - time.monotonic()) > 0:
            self._changed.wait(left)


def _complete(retriever: Retriever, batch: Sequence[_Job]) -> None:
    """Search a batch and complete its jobs; where it fails, each job is tried alone, so that one harms no other."""
    try:
        found = _search(retriever, [query for job in batch for query in job.queries], batch[0].k)
    except RetrieverDown as error:
        if len(batch) == 1:
            batch[0].found.set_exception(error)
        else:
            for job in batch:
                _complete(retriever, [job])
        return
    start = 0
    for job in batch:
        job.found.set_result(found[start : start + len(job.queries)])
        start += len(job.queries)


def _search(retriever: Retriever, queries: Sequence[str], k: int) -> list[list[Hit]]:
    try:
        found = retriever.search(queries, k)
    except RetrieverDown:
        raise
    except Exception as error:  # whatever goes wrong in a search must not end the server
        raise RetrieverDown(f"{type(error).__name__}: {error}") from error
    if len(found) != len(queries):
        raise RetrieverDown(f"{len(found)} results for {len(queries)} queries")
    return found
