"""Models of the Hugging Face hub: which of their files are downloaded.

Weights are downloaded as safetensors; other formats, which may carry code, are not.
"""

from pathlib import Path

from rekindle.hub import Kind, cached, is_commit, snapshot
from rekindle.models.directory import ModelError
from rekindle.notices import Say

__all__ = ["downloaded"]

MODEL = Kind(
    "model", "model", "model", "there is no directory {name} here", "set model.path to a directory", ModelError
)
FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
SUBFOLDERS = ("*/*",)


def downloaded(name: str, revision: str | None, say: Say) -> tuple[Path, str]:
    """Directory of a model in the hub's cache, downloaded if it is not there, and the commit it is from.

    Args:
        name: ``owner/name``.
        revision: Branch, tag or commit; None: the main branch.
        say: Shows a line before the download.

    Raises:
        ModelError: The model does not exist, is private or gated, or cannot be downloaded now.
    """
    pinned = revision is not None and is_commit(revision)
    if pinned and (found := cached(MODEL, name, str(revision), FILES, SUBFOLDERS)) is not None:
        return found, found.name
    say(f"downloading {name} ...")
    directory = snapshot(MODEL, name, revision, FILES, SUBFOLDERS)
    return directory, directory.name
