"""A search thread that batches the requests of many callers.

Requests that arrive within a few milliseconds, or while a search is running, are searched together: a batch takes an
encoder and an index much less time than its queries one by one. Requests with different ``k`` are never mixed, so a
result does not depend on other callers.

    caller      puts a job into the queue          waits for its future
    thread      takes the oldest job and all that fit into its batch, searches, completes their futures
"""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from rekindle.retrieval.retriever import Hit, Retriever, RetrieverDown

__all__ = ["QueueFullError", "SearchThread"]

GATHER_SECONDS = 0.002
"""Time that the first request of a batch waits for others."""
BATCH_QUERIES = 256
"""Most queries of a batch of several requests; a single request may have more."""
CLOSE_SECONDS = 5.0
"""Longest wait for the last searches when the thread is closed."""


class QueueFullError(Exception):
    """The queue of waiting queries is full."""


@dataclass(slots=True, eq=False)
class _Job:
    queries: Sequence[str]
    k: int
    found: "Future[list[list[Hit]]]" = field(default_factory=Future)


class SearchThread:
    """Gathers searches and runs them one batch after the other.

    Args:
        retriever: Used by this thread alone; the caller closes it.
        waiting_queries: Most queries in the queue; further ones are refused.
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
        """Queue a search. The future gives the hits per query, or raises RetrieverDown.

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
        """Finish the queued searches and end; a hanging search is abandoned. May be called twice."""
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
        """The oldest job and those that fit into its batch; empty when closed and nothing is left."""
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
        """Wait up to ``GATHER_SECONDS`` for further requests, until the batch is full."""
        end = time.monotonic() + GATHER_SECONDS
        while self._waiting < BATCH_QUERIES and not self._closed and (left := end - time.monotonic()) > 0:
            self._changed.wait(left)


def _complete(retriever: Retriever, batch: Sequence[_Job]) -> None:
    """Search a batch and complete its jobs. When it fails, each job is searched alone, so that only its own fails."""
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
    except Exception as error:  # no error of a search may end the server
        raise RetrieverDown(f"{type(error).__name__}: {error}") from error
    if len(found) != len(queries):
        raise RetrieverDown(f"{len(found)} results for {len(queries)} queries")
    return found
