"""Tables of search agents: protocol and retriever."""

from typing import ClassVar, Literal

from rekindle.config.conditions import Condition, fact, on
from rekindle.config.facts import invents_its_world, plays_search
from rekindle.config.keys import OptionalPath, Table, key

__all__ = ["RetrieverTable", "SearchTable"]

PLAYS_SEARCH = fact("the environment is the search agent", plays_search, task__environment="search")
OWN_CORPUS = fact(
    "the corpus is not that of the embedded search world",
    lambda config: not invents_its_world(config),
    task__source="jsonl",
).but('the search world has its own corpus, set task.source = "jsonl"')
LOCAL = on("retriever.kind", "lexical", "dense", "hybrid").but(
    'the server has the index, set retriever.kind = "lexical"'
)
VECTORS = on("retriever.kind", "dense", "hybrid")
HTTP = on("retriever.kind", "http")


class SearchTable(Table):
    """The search agent: protocol, documents, and limits of a rollout.

    ``engine.max_new_tokens`` bounds the tokens that the policy samples in all turns together.
    """

    read_when: ClassVar[Condition | None] = PLAYS_SEARCH

    protocol: Literal["tags", "tool_calls"] = key(
        "tags",
        "format of queries and answers",
        values={
            "tags": "<search> and <answer> in the text (Search-R1)",
            "tool_calls": "JSON tool calls of the model's chat template",
        },
    )
    prompt: str | None = key(None, "text with {question} in it; absent: instructions for the protocol")
    max_turns: int = key(5, "turns of the policy, the answer included", ge=1)
    max_queries: int = key(3, "answered queries per turn", ge=1, le=3)
    turn_tokens: int | None = key(None, "tokens sampled in one turn; absent: engine.max_new_tokens", ge=1)
    answer_tokens: int = key(
        32, "tokens reserved for an answer, which is requested when turns or tokens run out; 0: none", ge=0
    )
    documents: int = key(3, "documents per query", ge=1)
    document_tokens: int = key(200, "most tokens of one document; longer ones are cut", ge=1)
    document_format: str = key(
        'Doc {rank}(Title: "{title}") {text}\n', "template of a document, with {rank} {title} {text}"
    )


class RetrieverTable(Table):
    """Retrieval for search agents; the embedded search world has its own retriever."""

    read_when: ClassVar[Condition | None] = PLAYS_SEARCH & OWN_CORPUS

    kind: Literal["lexical", "dense", "hybrid", "http", "given"] = key(
        "lexical",
        "kind of retriever",
        values={
            "lexical": "BM25 over words",
            "dense": "nearest neighbours among vectors of an encoder",
            "hybrid": "lexical and dense, merged by reciprocal rank",
            "http": "a server that speaks the /retrieve protocol",
            "given": "one that a script hands to rekindle.train",
        },
    )
    corpus: OptionalPath = key(None, "JSONL file with id and contents (title line, then text)", only=LOCAL)
    index: OptionalPath = key(
        None, "directory of the index, built when missing; absent: in the user's cache", only=LOCAL
    )
    title_weight: float = key(
        2.0, "weight of a match in the title", gt=0, only=on("retriever.kind", "lexical", "hybrid")
    )
    encoder: OptionalPath = key(None, "directory of the encoder of dense vectors", only=VECTORS)
    vectors: OptionalPath = key(
        None,
        "precomputed vectors of the passages, in their order: .npy or a faiss index; absent: computed",
        only=VECTORS,
    )
    query_prefix: str | None = key(
        None, 'prefix of a query, e.g. "query: " for E5; absent: that of the encoder', only=VECTORS
    )
    passage_prefix: str | None = key(
        None, 'prefix of a passage, e.g. "passage: " for E5; absent: that of the encoder', only=VECTORS
    )
    url: str | None = key(None, "address of the server, e.g. http://127.0.0.1:8000/retrieve", only=HTTP)
    token_env: str | None = key(None, "environment variable with the server's token; absent: none is sent", only=HTTP)
    timeout_seconds: float = key(10.0, "longest wait for one reply, seconds", gt=0, only=HTTP)
    retries: int = key(3, "further attempts after a failed one", ge=0, only=HTTP)
    cache_size: int = key(100_000, "replies kept in memory; 0 keeps none", ge=0, only=HTTP)
