"""Which keys of a configuration are read, noted while something is done with it."""

from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from rekindle.config import Config


def tables(model, prefix=""):
    """Each table below a model with the beginning of its keys: ``"train."``, ``"model.tiny."``."""
    for name, field in model.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield field.annotation, f"{prefix}{name}."
            yield from tables(field.annotation, f"{prefix}{name}.")


@contextmanager
def keys_read():
    """A set that grows by each key, ``"train.group_size"``, that is read from any configuration.

    A table that is handed over whole, as a dictionary, has all its keys read. The whole configuration as a dictionary
    is what is written to config.toml, and counts for nothing.
    """
    found = set()
    with ExitStack() as stack:
        for table, prefix in tables(Config):
            stack.enter_context(patch.multiple(table, **_noting(table, prefix, found)))
        yield found


def _noting(table, prefix, found):
    read, dump, keys = table.__getattribute__, table.model_dump, frozenset(table.model_fields)

    def noted_read(self, name):
        if name in keys:
            found.add(prefix + name)
        return read(self, name)

    def noted_dump(self, **settings):
        values = dump(self, **settings)
        found.update(prefix + key for key in values)
        return values

    return {"__getattribute__": noted_read, "model_dump": noted_dump}
