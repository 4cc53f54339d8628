"""`rekindle serve-retriever`: a search server for a corpus, with the `/retrieve` protocol of Search-R1.

The exit code is 0 after SIGTERM and 130 after SIGINT; requests in flight are answered first.
"""

import argparse
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from rekindle.cli.messages import say
from rekindle.cli.options import user_path
from rekindle.types import UserError

if TYPE_CHECKING:
    from rekindle.retrieval.server import RetrieverServer

__all__ = ["add"]

INTERRUPTED = 130
MOST_FILES = 4096
FREED_SECONDS = 5.0
"""How often memory that requests have freed is returned to the system."""
DEFAULT_TITLE_WEIGHT = 2.0


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    serve = commands.add_parser("serve-retriever", help="search a corpus for other processes, over HTTP")
    serve.add_argument("--corpus", type=user_path, required=True, metavar="FILE", help="JSONL with id and contents")
    serve.add_argument("--port", type=int, default=8000, metavar="N", help="0 takes a free one (default: 8000)")
    serve.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="addresses other than localhost need a token"
    )
    serve.add_argument("--kind", choices=("lexical", "dense", "hybrid"), default="lexical", help="(default: lexical)")
    serve.add_argument("--index", type=user_path, metavar="DIR", help="index directory (default: in the user's cache)")
    serve.add_argument("--encoder", type=user_path, metavar="DIR", help="encoder directory (dense, hybrid)")
    serve.add_argument(
        "--vectors", type=user_path, metavar="FILE", help="precomputed vectors of the passages (.npy or faiss)"
    )
    serve.add_argument(
        "--query-prefix", metavar="TEXT", help='put before queries, e.g. "query: " for E5 (dense, hybrid)'
    )
    serve.add_argument("--passage-prefix", metavar="TEXT", help="put before passages (dense, hybrid)")
    serve.add_argument("--title-weight", type=float, metavar="W", help="weight of a match in the title (default: 2)")
    serve.add_argument(
        "--top-k", type=int, default=3, metavar="N", help="documents where a request names no number (default: 3)"
    )
    token = serve.add_mutually_exclusive_group()
    token.add_argument(
        "--token-env", metavar="NAME", help="environment variable with the token that requests must have"
    )
    token.add_argument(
        "--token-file", type=user_path, metavar="FILE", help="file with the token that requests must have"
    )
    serve.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    _check(options)
    from rekindle.allocator import returning_freed_memory
    from rekindle.retrieval.opening import index_progress, open_index
    from rekindle.retrieval.server import RetrieverServer

    _allow_files()
    # The address comes before the index: it may be refused, and building an index may take long.
    server = RetrieverServer(host=options.host, port=options.port, token=_token(options), default_k=options.top_k)
    with closing(server):
        found = open_index(
            options.corpus,
            options.kind,
            directory=options.index,
            encoder=options.encoder,
            vectors=options.vectors,
            query_prefix=options.query_prefix,
            passage_prefix=options.passage_prefix,
            title_weight=DEFAULT_TITLE_WEIGHT if options.title_weight is None else options.title_weight,
            on_progress=index_progress(say, steps=100),
        )
        freed = returning_freed_memory(FREED_SECONDS)
        with closing(found.retriever), freed, _stopped_by_signals(server) as signals:
            server.run(
                found.retriever, documents=found.documents, on_ready=lambda: _announce(server.url, found.documents)
            )
    say("stopped")
    return INTERRUPTED if signal.SIGINT in signals else 0


def _allow_files() -> None:
    """Let this process open files for all connections of a server, as far as the system's hard limit allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # macOS has a further limit
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _check(options: argparse.Namespace) -> None:
    dense = options.kind != "lexical"
    if dense and options.encoder is None:
        raise UserError(f"--kind {options.kind} needs --encoder, the directory of an encoder; give it")
    for name in ("encoder", "vectors", "query_prefix", "passage_prefix"):
        if not dense and getattr(options, name) is not None:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(
                f"{flag} is for --kind dense or hybrid, and the kind is lexical; give another --kind, or leave it out"
            )
    if options.kind == "dense" and options.title_weight is not None:
        raise UserError("--title-weight is for --kind lexical or hybrid, and the kind is dense; leave it out")
    if options.title_weight is not None and not 0 < options.title_weight < float("inf"):
        raise UserError(f"--title-weight {options.title_weight} must be above 0; use e.g. --title-weight 2")


def _token(options: argparse.Namespace) -> str | None:
    if options.token_env is not None:
        token = os.environ.get(options.token_env)
        if token is None:
            raise UserError(
                f"--token-env {options.token_env}: that environment variable is not set; put the token into it"
            )
        return token
    if options.token_file is None:
        return None
    try:
        return str(options.token_file.read_text(encoding="utf-8").strip())
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--token-file {options.token_file} cannot be read ({error}); write the token into it"
        ) from None


def _announce(url: str, documents: int) -> None:
    """Print the address alone on a line of standard output, for scripts."""
    say(f"{documents:,} documents; stop with Ctrl-C")
    print(url, flush=True)


@contextmanager
def _stopped_by_signals(server: "RetrieverServer") -> Iterator[set[int]]:
    """Stop the server on SIGINT and SIGTERM; yield the set of received signals."""
    received: set[int] = set()

    def stop(number: int, _: object) -> None:
        received.add(number)
        server.stop()

    # While the server runs it has handlers of its own; when it has ended, it raises the received signals again.
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
