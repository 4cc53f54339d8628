"""Where a policy's weights come from: a model directory, a name on the hub, or a GGUF file.

model.path = "models/SmolLM2"                          a directory
model.path = "HuggingFaceTB/SmolLM2-135M-Instruct"     on the hub, where no such directory exists
model.path = "models/smollm2.gguf"                     a file
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rekindle.hub import HUB_NAME
from rekindle.models.directory import ModelError, check_model, saved_parameters
from rekindle.models.gguf_files import check_gguf, converted
from rekindle.models.hub import downloaded
from rekindle.notices import Say

__all__ = ["Source", "located"]


@dataclass(frozen=True, slots=True)
class Source:
    """A model whose files were found and checked.

    Attributes:
        commit: Commit on the hub; None elsewhere.
        parameters: Number of weights; None where the files do not say.
        ready: The model directory; None for a GGUF file, which has to be converted.
        directory: Returns the model directory; converts a GGUF file first, which imports torch.
    """

    commit: str | None
    parameters: int | None
    ready: Path | None
    directory: Callable[[], Path]


def located(path: str, revision: str | None, say: Say) -> Source:
    """Find a model, download it if it is on the hub, and check its files; torch is not imported.

    Args:
        path: Directory, name on the hub, or GGUF file.
        revision: Branch, tag or commit on the hub; None: the main branch.
        say: Shows a line before slow work.

    Raises:
        ModelError: There is no such model, or it cannot be used.
    """
    local = Path(path)
    if local.suffix.lower() == ".gguf" and not local.is_dir():
        _refuse_revision(path, revision)
        parameters = check_gguf(local)
        return Source(None, parameters, None, lambda: converted(local, say))
    commit = None
    if not local.exists() and HUB_NAME.fullmatch(path):
        local, commit = downloaded(path, revision, say)
    else:
        _refuse_revision(path, revision)
    check_model(local)
    return Source(commit, saved_parameters(local), local, lambda: local)


def _refuse_revision(path: str, revision: str | None) -> None:
    if revision is not None:
        raise ModelError(f"model.revision = {revision!r} belongs to a model of the hub, and {path} is not; remove it")
