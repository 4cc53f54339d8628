"""The directory of an index: built beside its place, then renamed; index.json records what it was built from.

    DIRECTORY/lexical/index.json    {"format": 1, "settings": {...}, "documents": 16340, "corpus": {...}}
    DIRECTORY/lexical/...           the index's own files
    DIRECTORY/lexical.building/     an unfinished build
    DIRECTORY/lexical.lock          held while it is built

``index.json`` is written after all other files, and the rename comes last: a directory with its final name is complete.
"""

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rekindle.locking import waiting_for_lock
from rekindle.retrieval.corpus import open_corpus
from rekindle.retrieval.retriever import RetrievalError

__all__ = ["IndexDirectory", "Settings"]

_FORMAT = 1
_MANIFEST = "index.json"

Settings = Mapping[str, str | int]
"""The settings that the content of an index depends on besides the corpus, e.g. ``{"backend": "tantivy 0.27.0"}``."""


class IndexDirectory:
    """Finds or builds one kind of index of one corpus.

    Args:
        place: Path of the index, e.g. ``DIRECTORY/lexical``.
        corpus: File that it indexes.
        settings: An index with other settings is refused.
    """

    def __init__(self, place: Path, corpus: Path, settings: Settings) -> None:
        self.place, self._corpus, self._settings = place, corpus, dict(settings)

    def find_or_build(self, build: Callable[[Path], tuple[int, str]], *, rebuild: bool, resume: bool = False) -> Path:
        """Return the directory of a matching index, built by ``build`` where there is none.

        Args:
            build: Fills an existing directory, and returns the number of documents and the SHA-256 of the corpus.
            rebuild: Replace an index that does not match; default: refuse it.
            resume: ``build`` continues with the files of a killed build; default: start with an empty directory.

        Raises:
            RetrievalError: The index there does not match, or the directory cannot be written.
        """
        if not (self.place.exists() and self._fits(rebuild)):
            with self._locked():
                if not (self.place.exists() and self._fits(rebuild)):  # another process may have been faster
                    self._build(build, resume)
        return self.place

    def _fits(self, rebuild: bool) -> bool:
        problem = self._mismatch()
        if problem is not None and not rebuild:
            raise RetrievalError(f"the index {self.place} {problem}; delete that directory, and it is built again")
        return problem is None

    def _mismatch(self) -> str | None:
        """Why the existing index does not match, as the end of a sentence; None where it does."""
        try:
            manifest = json.loads((self.place / _MANIFEST).read_bytes())
            form, settings, corpus = manifest["format"], manifest["settings"], manifest["corpus"]
            size, written, digest = corpus["bytes"], corpus["modified"], corpus["sha256"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return f"is incomplete or not an index of rekindle ({_MANIFEST} is missing or damaged)"
        if form != _FORMAT:
            return f"has format {form}, and this version of rekindle reads format {_FORMAT}"
        for name in self._settings:
            if settings.get(name) != self._settings[name]:
                return f"was built with {name} {settings.get(name)!r}, and here it is {self._settings[name]!r}"
        return self._corpus_mismatch(size, written, digest)

    def _corpus_mismatch(self, size: int, written: int, digest: str) -> str | None:
        with open_corpus(self._corpus) as file:
            now = os.fstat(file.fileno())
            if now.st_size == size and (now.st_mtime_ns == written or _digest(self._corpus) == digest):
                return None
        return f"was built from another corpus than {self._corpus} is now"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the place. Wait while another process builds; its lock is released when it ends."""
        with ExitStack() as stack:
            try:
                stack.enter_context(waiting_for_lock(self.place.with_name(f"{self.place.name}.lock")))
            except OSError as error:
                raise RetrievalError(
                    f"cannot write to {self.place.parent} ({error.strerror or error}); choose another directory for "
                    "the index (retriever.index)"
                ) from error
            yield

    def _build(self, build: Callable[[Path], tuple[int, str]], resume: bool) -> None:
        unfinished = self.place.with_name(f"{self.place.name}.building")
        if not resume:
            shutil.rmtree(unfinished, ignore_errors=True)
        try:
            unfinished.mkdir(exist_ok=True)
            before = self._corpus_state()
            documents, digest = build(unfinished)
            if self._corpus_state() != before:
                raise RetrievalError(f"{self._corpus} was changed while it was indexed; start again")
            corpus = {"bytes": before[0], "modified": before[1], "sha256": digest}
            self._write_manifest(unfinished, documents, corpus)
            shutil.rmtree(self.place, ignore_errors=True)
            unfinished.rename(self.place)
        except (OSError, sqlite3.DatabaseError) as error:
            if not resume:
                shutil.rmtree(unfinished, ignore_errors=True)
            reason = getattr(error, "strerror", None) or error
            raise RetrievalError(
                f"cannot build the index {self.place} ({reason}); make room or choose another "
                "directory (retriever.index)"
            ) from error

    def _corpus_state(self) -> tuple[int, int]:
        with open_corpus(self._corpus) as file:
            state = os.fstat(file.fileno())
        return state.st_size, state.st_mtime_ns

    def _write_manifest(self, directory: Path, documents: int, corpus: Mapping[str, object]) -> None:
        manifest = {"format": _FORMAT, "settings": self._settings, "documents": documents, "corpus": corpus}
        with (directory / _MANIFEST).open("w") as file:
            json.dump(manifest, file, indent=2)
            file.flush()
            os.fsync(file.fileno())


def _digest(path: Path) -> str:
    with open_corpus(path) as file:
        digest = hashlib.sha256()
        while block := file.read(1 << 20):
            digest.update(block)
        return digest.hexdigest()
