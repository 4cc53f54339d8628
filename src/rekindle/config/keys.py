"""Keys of a configuration: their declaration in a table, and the list of all keys as data."""

import json
import os.path
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic.fields import FieldInfo
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from rekindle.choices import Described, closest, few
from rekindle.config.conditions import Condition
from rekindle.config.defaults import Case

__all__ = ["Key", "OneOf", "OptionalPath", "SomeOf", "Table", "choice_problem", "key", "keys_of", "lists_of"]

MOST_CHOICES = 12
"""Most values of a choice that a message lists."""


def _in_home(path: str | None) -> str | None:
    return None if path is None else os.path.expanduser(path)


OptionalPath = Annotated[str | None, AfterValidator(_in_home)]
"""A path, or none; ``~`` is the home directory."""


class Table(BaseModel):
    """A table: unknown keys and wrong types are refused.

    Attributes:
        read_when: Condition under which the keys of the table are read; None: always.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        protected_namespaces=(),
    )
    read_when: ClassVar[Condition | None] = None


def key(
    default: Any,
    description: str,
    *,
    only: Condition | None = None,
    cases: tuple[Case, ...] = (),
    values: Mapping[str, str] | None = None,
    ge: float | None = None,
    gt: float | None = None,
    le: float | None = None,
    lt: float | None = None,
) -> Any:
    """A key of a table.

    Args:
        default: Value where the key is not set.
        description: One line, with the unit.
        only: Condition under which the key is read; None: that of its table.
        cases: Other defaults, under conditions.
        values: Descriptions by value, of a ``Literal``.
        ge: Smallest value.
        gt: Exclusive lower bound.
        le: Largest value.
        lt: Exclusive upper bound.
    """
    extra: dict[str, Any] = {"only": only, "cases": cases, "values": dict(values or {})}
    return Field(default=default, description=description, ge=ge, gt=gt, le=le, lt=lt, json_schema_extra=extra)


@dataclass(frozen=True, slots=True)
class OneOf:
    """Annotation of a string that must name an entry of a table: ``Annotated[str, OneOf(ESTIMATORS)]``."""

    table: Mapping[str, Described]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, name: str) -> str:
        if name not in self.table:
            raise PydanticCustomError("choice", "{problem}", {"problem": choice_problem(name, self.table)})
        return name


@dataclass(frozen=True, slots=True)
class SomeOf:
    """Annotation of a list of different entries of a table: ``Annotated[tuple[str, ...], SomeOf(TRACKERS)]``."""

    table: Mapping[str, Described]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.chain_schema(
            [
                core_schema.no_info_plain_validator_function(self._check_form),
                core_schema.no_info_after_validator_function(self._check, handler(source)),
            ]
        )

    def _check_form(self, given: Any) -> Any:
        if isinstance(given, str):
            raise PydanticCustomError("list", "a list is needed; write {example}", {"example": json.dumps([given])})
        return tuple(given) if isinstance(given, list) else given

    def _check(self, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in self.table:
                text = f"{json.dumps(name)} is unknown; {choice_problem(name, self.table)}"
                raise PydanticCustomError("choice", "{problem}", {"problem": text})
            if names.count(name) > 1:
                raise PydanticCustomError("twice", "{name} is there twice; remove one", {"name": json.dumps(name)})
        return names


def choice_problem(name: object, known: Mapping[str, Any]) -> str:
    """Remedy for a value that is not among the known ones: the nearest one, or all of them."""
    near = closest(name, known) if isinstance(name, str) else None
    return f"did you mean {json.dumps(near)}?" if near else f"choose one of {few(map(json.dumps, known), MOST_CHOICES)}"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as data.

    Attributes:
        path: E.g. "pool.alpha".
        field: Type, bounds and default.
        only: Condition under which the key is read, those of its tables included; None: always.
        own: The key's own condition, without those of its tables.
        values: Descriptions by value of a choice; empty for other keys.
        cases: Other defaults, under conditions.
    """

    path: str
    field: FieldInfo
    only: Condition | None
    own: Condition | None
    values: Mapping[str, str]
    cases: tuple[Case, ...] = ()

    @property
    def description(self) -> str:
        """One line, with the unit."""
        return self.field.description or ""

    @property
    def default(self) -> Any:
        """Value where the key is not set."""
        return self.field.get_default(call_default_factory=True)

    @property
    def several(self) -> bool:
        """Whether the key is a list of choices."""
        return any(isinstance(rule, SomeOf) for rule in self.field.metadata)

    @property
    def choices(self) -> tuple[Any, ...]:
        """Every value of a choice, or of the members of a list of them; empty for other keys."""
        for rule in self.field.metadata:
            if isinstance(rule, OneOf | SomeOf):
                return tuple(rule.table)
        kind = self.field.annotation
        for part in (kind, *get_args(kind)):  # Literal[...] | None
            if get_origin(part) is Literal:
                return get_args(part)
        return ()


def keys_of(model: type[BaseModel], prefix: str = "", table: Condition | None = None) -> Iterator[Key]:
    """Every key of a model and of the tables in it, in order."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, Table):
            yield from keys_of(kind, f"{prefix}{name}.", _both(table, kind.read_when))
        else:
            yield _key(prefix + name, field, table)


def lists_of(model: type[BaseModel]) -> Iterator[tuple[str, type[Table]]]:
    """The keys of a model that are lists of tables (``[[rewards]]``), with the kind of their tables.

    Conditions of keys in such a table are about the same table: ``on("in_process", False)``.
    """
    for name, field in model.model_fields.items():
        kind = get_args(field.annotation)[:1]
        if kind and isinstance(kind[0], type) and issubclass(kind[0], Table):
            yield name, kind[0]


def _key(path: str, field: FieldInfo, table: Condition | None) -> Key:
    extra: Any = field.json_schema_extra or {}
    values = dict(extra.get("values") or {})
    for rule in field.metadata:
        if isinstance(rule, OneOf | SomeOf):
            values = {name: entry.description for name, entry in rule.table.items()}
    own = extra.get("only")
    return Key(path, field, _both(table, own), own, values, tuple(extra.get("cases") or ()))


def _both(one: Condition | None, other: Condition | None) -> Condition | None:
    if one is None or other is None:
        return one or other
    return one & other
