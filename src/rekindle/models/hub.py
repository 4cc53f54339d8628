"""Models of the Hugging Face hub: download through huggingface_hub, into its cache, and its errors in one sentence.

``HF_ENDPOINT``, ``HF_HOME``, ``HF_TOKEN`` and ``HF_HUB_OFFLINE`` mean what they mean elsewhere. Weights are downloaded
as safetensors; other formats, which may carry code, are not.
"""

import logging
import os
import re
from pathlib import Path

from rekindle.choices import one_line
from rekindle.models.directory import ModelError
from rekindle.notices import Say

__all__ = ["HUB_NAME", "downloaded", "is_commit"]

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
"""A name on the hub, ``owner/name``."""
FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
SUBFOLDERS = ("*/*",)
COMMIT = re.compile(r"[0-9a-f]{40}")


def is_commit(revision: str | None) -> bool:
    """Whether a revision is the whole hash of a commit, which never changes."""
    return revision is not None and COMMIT.fullmatch(revision) is not None


def downloaded(name: str, revision: str | None, say: Say) -> tuple[Path, str]:
    """Directory of a model in the hub's cache, downloaded if it is not there, and the commit it is from.

    Args:
        name: ``owner/name``.
        revision: Branch, tag or commit; None: the main branch.
        say: Shows a line before the download.

    Raises:
        ModelError: The model does not exist, is private or gated, or cannot be downloaded now.
    """
    if is_commit(revision) and (found := _cached(name, revision)) is not None:
        return found, found.name
    say(f"downloading {name} ...")
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)  # our own sentence says what its warnings of each attempt say
    try:
        directory = _snapshot(name, revision)
    except Exception as error:  # the boundary to a library with several HTTP clients, by version
        raise ModelError(_sentence(name, revision, error)) from error
    finally:
        logger.setLevel(level)
    return directory, directory.name


def _cached(name: str, revision: str | None) -> Path | None:
    """The cached files of a commit, without a question to the network; None where they are not all there."""
    try:
        return _snapshot(name, revision, local_files_only=True)
    except (OSError, ValueError, LookupError):
        return None


def _snapshot(name: str, revision: str | None, *, local_files_only: bool = False) -> Path:
    """Directory of a model in the hub's cache; its name is that of the commit."""
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            name,
            revision=revision,
            allow_patterns=list(FILES),
            ignore_patterns=list(SUBFOLDERS),
            endpoint=os.environ.get("HF_ENDPOINT"),
            local_files_only=local_files_only,
        )
    )


def _sentence(name: str, revision: str | None, error: Exception) -> str:
    """What is wrong with a model of the hub, and the remedy."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    kinds |= {kind.__name__ for kind in type(error.__cause__).__mro__} if error.__cause__ else set()
    where = f"{name} (revision {revision})" if revision else name
    login = "set HF_TOKEN, or log in with `hf auth login`"
    if "GatedRepoError" in kinds:
        return f"the model {name} on the hub is gated; accept its terms on its page, and {login}"
    if "RevisionNotFoundError" in kinds:
        return f"the model {name} on the hub has no revision {revision!r}; correct model.revision"
    if "RepositoryNotFoundError" in kinds:
        return (
            f"there is no directory {name} here, and no model {name} on the hub that you may read; correct model.path, "
            f"or, for a private model, {login}"
        )
    if "OfflineModeIsEnabled" in kinds or os.environ.get("HF_HUB_OFFLINE", "").lower() in {"1", "true", "yes", "on"}:
        return (
            f"there is no directory {name} here, the model {where} is not in the hub's cache, and HF_HUB_OFFLINE "
            "forbids a download; unset it, or set model.path to a directory"
        )
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, ConnectionError):
        return f"the model {where} could not be kept in the hub's cache ({error}); free some space, or set HF_HOME"
    cause = error.__cause__ or error
    why = one_line(cause, 200)
    return (
        f"there is no directory {name} here, and the model {where} could not be downloaded from the hub "
        f"({type(cause).__name__}: {why}); check the network and repeat the command, which goes on where it stopped, "
        "or set model.path to a directory"
    )
