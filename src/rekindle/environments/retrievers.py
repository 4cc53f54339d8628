"""Retrievers by corpus, from the tables of a configuration."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rekindle.config import Config
from rekindle.config.facts import invents_its_world, plays_itself, plays_search
from rekindle.notices import Say
from rekindle.remote import secret
from rekindle.retrieval.client import HttpRetriever
from rekindle.retrieval.lexical import LexicalIndex
from rekindle.retrieval.opening import index_progress, open_index
from rekindle.retrieval.retriever import RetrievalError, Retriever, RetrieverDown
from rekindle.tasks import search_world

__all__ = ["opened_retrievers"]


@contextmanager
def opened_retrievers(config: Config, say: Say) -> Iterator[Mapping[str, Retriever]]:
    """Retriever by corpus, closed with the context; empty where the task has no search."""
    with ExitStack() as stack:
        found = _retrievers(config, say) if plays_search(config) else {}
        for retriever in found.values():
            stack.callback(retriever.close)
        yield found


def _retrievers(config: Config, say: Say) -> dict[str, Retriever]:
    if invents_its_world(config):
        params = search_world.Params.read(config.task.params)
        # A proposer begins with an answer, so in self-play a fact is found by its object as well.
        passages = search_world.self_play_passages if plays_itself(config) else search_world.passages
        return {corpus: LexicalIndex.in_memory(passages(params, corpus)) for corpus in search_world.POLICY_CORPORA}
    return {"": _retriever(config, say)}


def _retriever(config: Config, say: Say) -> Retriever:
    table = config.retriever
    if table.kind == "http":
        assert table.url is not None, "the configuration checks it"
        retriever = HttpRetriever(
            table.url,
            token=secret(table.token_env, "retriever.token_env"),
            timeout_seconds=table.timeout_seconds,
            retries=table.retries,
            cache_size=table.cache_size,
        )
        _try(retriever)
        return retriever
    if table.kind == "given":
        raise RetrievalError('retriever.kind = "given": a script handed it to rekindle.train; run that script')
    assert table.corpus is not None, "the configuration checks it"
    opened = open_index(
        Path(table.corpus),
        table.kind,
        directory=_path(table.index),
        encoder=_path(table.encoder),
        vectors=_path(table.vectors),
        query_prefix=table.query_prefix,
        passage_prefix=table.passage_prefix,
        title_weight=table.title_weight,
        on_progress=index_progress(lambda text: say(f"building the {text}"), steps=10),
    )
    return opened.retriever


def _try(retriever: HttpRetriever) -> None:
    """Search once, so that errors of the server are found before the run.

    Raises:
        RetrievalError: The server cannot be reached, or refuses the search.
    """
    try:
        retriever.search(["a search before the run begins"], 1)
    except RetrieverDown as error:
        retriever.close()
        raise RetrievalError(f"no search is possible ({error}); start the server, or correct retriever.url") from None


def _path(value: str | None) -> Path | None:
    return None if value is None else Path(value)
