"""A search thread that batches the requests of many callers, fairly.

Requests that arrive within a few milliseconds, or while a search is running, are searched together: a batch takes an
encoder and an index much less time than its queries one by one. Requests with different ``k`` are never mixed, so a
result does not depend on other callers.

    caller      puts a job into the queue of its client          waits for its future
    thread      takes parts of the jobs of those clients who had least, searches, completes the futures of finished jobs

A request with thousands of queries is searched in parts of about a quarter of a second, and before each part those come
first who have had less of the thread (start-time fair queueing, by the cost of what was searched). So a small request
waits for the part that is being searched, not for the large requests of any number of others.
"""

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field

from rekindle.retrieval.hit_cache import bytes_of
from rekindle.retrieval.memory import Memory, Ticket
from rekindle.retrieval.retriever import Hit, Retriever, RetrieverDown

__all__ = ["QueueFullError", "SearchThread"]

GATHER_SECONDS = 0.002
"""Time that the first request of a batch waits for others."""
BATCH_QUERIES = 256
"""Most queries of a batch."""
BATCH_SECONDS = 0.25
"""What a batch should take, by the speed of the ones before."""
QUERY_COST = 8
"""Cost of a query in documents: it takes the time of about so many documents found, besides its own."""
NEWEST = 0.3
"""Weight of the newest batch in the speed."""
MOST_REMEMBERED = 4096
"""Clients without a waiting request whose share is remembered."""
FREE_QUERIES = 64
"""Queries of a client that may wait even while others fill the queue."""
CLOSE_SECONDS = 5.0
"""Longest wait for the last searches when the thread is closed."""


class QueueFullError(Exception):
    """The queue of waiting queries is full, or the documents found take too much memory."""


@dataclass(slots=True, eq=False)
class _Job:
    """A request: its queries, and the hits of those that have been searched."""

    queries: Sequence[str]
    k: int
    ticket: Ticket
    found: "Future[list[list[Hit]]]" = field(default_factory=Future)
    hits: list[list[Hit]] = field(default_factory=list)
    taken: int = 0
    """Queries that are searched, or being searched."""

    @property
    def left(self) -> int:
        return 0 if self.found.done() else len(self.queries) - self.taken

    def end(self, error: Exception | None = None) -> None:
        """Complete the future, unless its caller has given up."""
        with contextlib.suppress(InvalidStateError):
            if error is None:
                self.found.set_result(self.hits)
            else:
                self.found.set_exception(error)


@dataclass(frozen=True, slots=True)
class _Part:
    job: _Job
    queries: Sequence[str]


class SearchThread:
    """Gathers searches and runs them one batch after the other.

    Args:
        retriever: Used by this thread alone; the caller closes it.
        waiting_queries: Most queries in the queue; further ones are refused, but ``FREE_QUERIES`` of each client are
            not.
        memory: Room for the documents found; None: without a bound.
    """

    def __init__(self, retriever: Retriever, waiting_queries: int, memory: Memory | None = None) -> None:
        self._retriever, self._waiting_queries, self._memory = retriever, waiting_queries, memory
        self._clients: dict[Hashable, list[_Job]] = {}
        """Waiting jobs by client."""
        self._had: OrderedDict[Hashable, int] = OrderedDict()
        """What each client has had, in cost; one who comes again or anew has had ``_least`` at least."""
        self._least = 0
        """What the client had who was served last, and waited with least."""
        self._seconds_per_cost = 0.0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="search", daemon=True)
        self._thread.start()

    def submit(
        self, queries: Sequence[str], k: int, client: Hashable = None, ticket: Ticket | None = None
    ) -> "Future[list[list[Hit]]]":
        """Queue a search. The future gives the hits per query, or raises RetrieverDown or QueueFullError.

        Args:
            queries: The queries.
            k: Hits per query.
            client: Who asks; clients have equal shares of the thread's time.
            ticket: What the request holds of the memory; what is found for it is added.

        Raises:
            QueueFullError: Too many queries wait already, or the thread has been closed.
        """
        job = _Job(queries, k, ticket or Ticket())
        if not queries:
            job.end()
            return job.found
        with self._changed:
            own = sum(one.left for one in self._clients.get(client, ()))
            free = own + len(queries) <= min(FREE_QUERIES, self._waiting_queries)
            if self._closed or not (free or self._waiting() + len(queries) <= self._waiting_queries):
                raise QueueFullError("too many queries are waiting")
            if client not in self._clients:
                self._had[client] = max(self._had.get(client, 0), self._least)
                self._had.move_to_end(client)
            self._clients.setdefault(client, []).append(job)
            self._changed.notify()
        return job.found

    def close(self) -> None:
        """Finish the queued searches and end; a hanging search is abandoned. May be called twice."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(CLOSE_SECONDS)

    def _waiting(self) -> int:
        return sum(job.left for jobs in self._clients.values() for job in jobs)

    def _run(self) -> None:
        while batch := self._next_batch():
            begun = time.monotonic()
            self._search(batch)
            speed = (time.monotonic() - begun) / _cost(sum(len(part.queries) for part in batch), batch[0].job.k)
            self._seconds_per_cost += NEWEST * (speed - self._seconds_per_cost)

    def _next_batch(self) -> list[_Part]:
        """Parts of waiting jobs with equal ``k``; empty when closed and nothing is left."""
        with self._changed:
            while not (parts := self._parts()):
                if self._closed:
                    return []
                self._changed.wait_for(lambda: self._clients or self._closed)
                self._gather()
            return parts

    def _gather(self) -> None:
        """Wait up to ``GATHER_SECONDS`` for further requests, until the batch is full."""
        end = time.monotonic() + GATHER_SECONDS
        while self._waiting() < BATCH_QUERIES and not self._closed and (left := end - time.monotonic()) > 0:
            self._changed.wait(left)

    def _parts(self) -> list[_Part]:
        """Parts for those clients who had least: an equal share for each, then what still fits."""
        self._forget()
        order = sorted(self._clients, key=self._had.__getitem__)
        if not order:
            return []
        self._least = max(self._least, self._had[order[0]])
        k = self._clients[order[0]][0].k
        parts: list[_Part] = []
        room = self._most_queries(k)
        for most in (max(1, room // len(order)), room):
            for client in order:
                taken = list(_taken(self._clients[client], k, min(most, room)))
                count = sum(len(part.queries) for part in taken)
                self._had[client] += _cost(count, k)
                room -= count
                parts += taken
        self._forget()
        return parts

    def _forget(self) -> None:
        """Drop jobs that are done or taken, clients without jobs, and the shares of those who left long ago."""
        left = ((client, [job for job in jobs if job.left]) for client, jobs in self._clients.items())
        self._clients = {client: jobs for client, jobs in left if jobs}
        for client in [one for one in self._had if one not in self._clients][
            : max(0, len(self._had) - MOST_REMEMBERED)
        ]:
            del self._had[client]

    def _search(self, batch: Sequence[_Part]) -> None:
        """Search a batch. When it fails, each part is searched alone, so that only its own job fails."""
        try:
            found = _found(self._retriever, [query for part in batch for query in part.queries], batch[0].job.k)
        except RetrieverDown as error:
            if len(batch) == 1:
                batch[0].job.end(error)
            for part in batch if len(batch) > 1 else ():
                self._search([part])
            return
        start = 0
        for part in batch:
            self._keep(part, found[start : start + len(part.queries)])
            start += len(part.queries)

    def _keep(self, part: _Part, found: list[list[Hit]]) -> None:
        """Add hits to a job, and complete it with its last ones."""
        job = part.job
        if self._memory is not None and not self._memory.take(job.ticket, sum(map(bytes_of, found))):
            job.end(QueueFullError("the documents of all requests take too much memory"))
            return
        job.hits += found
        if len(job.hits) == len(job.queries):
            job.end()

    def _most_queries(self, k: int) -> int:
        """Queries with ``k`` documents each that are searched in ``BATCH_SECONDS``."""
        seconds = self._seconds_per_cost * _cost(1, k)
        return max(1, min(BATCH_QUERIES, int(BATCH_SECONDS / seconds))) if seconds > 0 else BATCH_QUERIES


def _cost(queries: int, k: int) -> int:
    return queries * (QUERY_COST + k)


def _taken(jobs: Sequence[_Job], k: int, most: int) -> Iterator[_Part]:
    """Parts of the jobs of a client, oldest first, with at most ``most`` queries together."""
    for job in jobs:
        count = min(job.left, most) if job.k == k else 0
        if count:
            yield _Part(job, job.queries[job.taken : job.taken + count])
            job.taken += count
            most -= count


def _found(retriever: Retriever, queries: Sequence[str], k: int) -> list[list[Hit]]:
    try:
        found = retriever.search(queries, k)
    except RetrieverDown:
        raise
    except Exception as error:  # no error of a search may end the server
        raise RetrieverDown(f"{type(error).__name__}: {error}") from error
    if len(found) != len(queries):
        raise RetrieverDown(f"{len(found)} results for {len(queries)} queries")
    return found
