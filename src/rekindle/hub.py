"""The Hugging Face hub: downloads of models and data sets through huggingface_hub, into its cache.

``HF_ENDPOINT``, ``HF_HOME``, ``HF_TOKEN`` and ``HF_HUB_OFFLINE`` mean what they mean elsewhere. The library's errors
become one sentence each.
"""

import json
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from rekindle.caching import cache_directory
from rekindle.choices import one_line
from rekindle.types import UserError

__all__ = ["HUB_NAME", "Kind", "cached", "is_commit", "listing", "snapshot"]

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""A name on the hub, ``owner/name``."""
COMMIT = re.compile(r"[0-9a-f]{40}")
LOGIN = "set HF_TOKEN, or log in with `hf auth login`"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of repository, with its words for messages.

    Attributes:
        repo_type: The library's name of the kind.
        noun: E.g. "data set".
        table: Table of the keys ``path`` and ``revision``.
        elsewhere: What there is not besides, for messages, e.g. ``there is no directory {name} here``; may be empty.
        instead: What can be used without the hub.
        error: Class of the errors.
    """

    repo_type: str
    noun: str
    table: str
    elsewhere: str
    instead: str
    error: type[UserError]


def is_commit(revision: str | None) -> bool:
    """Whether a revision is the whole hash of a commit, which never changes."""
    return revision is not None and COMMIT.fullmatch(revision) is not None


def cached(kind: Kind, name: str, commit: str, files: Sequence[str], ignored: Sequence[str] = ()) -> Path | None:
    """The cached files of a commit, without a question to the network; None where the library does not have them."""
    try:
        return _snapshot(kind, name, commit, files, ignored, local_files_only=True)
    except (OSError, ValueError, LookupError):
        return None


def snapshot(
    kind: Kind,
    name: str,
    revision: str | None,
    files: Sequence[str],
    ignored: Sequence[str] = (),
    *,
    progress: bool = True,
) -> Path:
    """Directory of a repository in the hub's cache, with the files that were asked for; its name is the commit.

    Args:
        kind: Kind of the repository.
        name: ``owner/name``.
        revision: Branch, tag or commit; None: the main branch.
        files: Patterns of the files to download where they are not in the cache.
        ignored: Patterns of files that are not downloaded.
        progress: Show the library's progress bars.

    Raises:
        UserError: The repository does not exist, is private or gated, or cannot be downloaded now (``kind.error``).
    """
    with _in_one_sentence(kind, name, revision), nullcontext() if progress else _without_progress():
        return _snapshot(kind, name, revision, files, ignored)


def listing(kind: Kind, name: str, commit: str) -> list[str]:
    """The files of a commit; kept in a cache, so that a commit needs no network twice.

    Raises:
        UserError: See ``snapshot``.
    """
    kept = cache_directory("hub_files") / f"{kind.repo_type}--{name.replace('/', '--')}--{commit}.json"
    try:
        return [str(path) for path in json.loads(kept.read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):
        pass
    with _in_one_sentence(kind, name, commit):
        from huggingface_hub import HfApi

        api = HfApi(endpoint=os.environ.get("HF_ENDPOINT"))
        found = sorted(api.list_repo_files(name, repo_type=kind.repo_type, revision=commit))
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        partial = kept.with_suffix(f".{os.getpid()}")
        partial.write_text(json.dumps(found), encoding="utf-8")
        partial.replace(kept)
    except OSError:  # a cache that cannot be written costs a question to the network
        pass
    return found


def _snapshot(
    kind: Kind,
    name: str,
    revision: str | None,
    files: Sequence[str],
    ignored: Sequence[str],
    *,
    local_files_only: bool = False,
) -> Path:
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            name,
            repo_type=kind.repo_type,
            revision=revision,
            allow_patterns=list(files),
            ignore_patterns=list(ignored),
            endpoint=os.environ.get("HF_ENDPOINT"),
            local_files_only=local_files_only,
        )
    )


@contextmanager
def _without_progress() -> Iterator[None]:
    bars = import_module("huggingface_hub.utils")
    shown = not bars.are_progress_bars_disabled()
    bars.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bars()


@contextmanager
def _in_one_sentence(kind: Kind, name: str, revision: str | None) -> Iterator[None]:
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)  # our own sentence says what its warnings of each attempt say
    try:
        yield
    except Exception as error:  # the boundary to a library with several HTTP clients, by version
        raise kind.error(_sentence(kind, name, revision, error)) from error
    finally:
        logger.setLevel(level)


def _sentence(kind: Kind, name: str, revision: str | None, error: Exception) -> str:
    """What is wrong with a repository, and the remedy."""
    kinds = {one.__name__ for one in type(error).__mro__}
    kinds |= {one.__name__ for one in type(error.__cause__).__mro__} if error.__cause__ else set()
    noun, elsewhere = kind.noun, kind.elsewhere.format(name=name)
    where = f"{name} (revision {revision})" if revision else name
    if "GatedRepoError" in kinds:
        return f"the {noun} {name} on the hub is gated; accept its terms on its page, and {LOGIN}"
    if "RevisionNotFoundError" in kinds:
        return f"the {noun} {name} on the hub has no revision {revision!r}; correct {kind.table}.revision"
    if "RepositoryNotFoundError" in kinds:
        return (
            f"{f'{elsewhere}, and' if elsewhere else 'there is'} no {noun} {name} on the hub that you may read; "
            f"correct {kind.table}.path, or, for a private {noun}, {LOGIN}"
        )
    if "OfflineModeIsEnabled" in kinds or os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        return (
            f"{f'{elsewhere}, ' if elsewhere else ''}the {noun} {where} is not in the hub's cache, and HF_HUB_OFFLINE "
            f"forbids a download; unset it, or {kind.instead}"
        )
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        return f"the {noun} {where} could not be kept in the hub's cache ({error}); free some space, or set HF_HOME"
    cause = error.__cause__ or error
    return (
        f"{f'{elsewhere}, and ' if elsewhere else ''}the {noun} {where} could not be downloaded from the hub "
        f"({type(cause).__name__}: {one_line(cause, 200)}); check the network and repeat the command, which goes on "
        f"where it stopped, or {kind.instead}"
    )
