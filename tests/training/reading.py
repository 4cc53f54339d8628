"""Which keys of a configuration are read, noted while something is done with it."""

from collections.abc import Iterator
from contextlib import contextmanager

from rekindle.config import Config


def tables(model=Config, prefix="") -> Iterator[tuple[type, str]]:
    """Each table of the configuration with the beginning of its keys: ``"train."``, ``"model.tiny."``."""
    yield model, prefix
    for name, field in model.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield from tables(field.annotation, f"{prefix}{name}.")


@contextmanager
def keys_read() -> Iterator[set[str]]:
    """A set that grows by each key, ``"train.group_size"``, that is read from any configuration."""
    found: set[str] = set()
    inner = {table: table.__getattribute__ for table, _ in tables()}

    def noting(table, prefix):
        keys = frozenset(table.model_fields)

        def read(self, name):
            if name in keys:
                found.add(prefix + name)
            return inner[table](self, name)

        return read

    try:
        for table, prefix in tables():
            table.__getattribute__ = noting(table, prefix)
        yield found
    finally:
        for table in inner:
            del table.__getattribute__
