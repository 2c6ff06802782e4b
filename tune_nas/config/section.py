"""The base of all YAML models and the types of their values."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import cache
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, TypeAlias, Union, get_args, get_origin

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tune_nas import manifest

Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
# Upper bounds are far above realistic values: a larger number is a typo and would never finish.
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]
CountOrNone = Annotated[int, Field(ge=0, le=1_000_000_000)]
Epochs = Annotated[int, Field(ge=1, le=100_000)]
EpochsOrNone = Annotated[int, Field(ge=0, le=100_000)]
Passes = Annotated[int, Field(ge=1, le=100_000)]  # forward passes or steps between two messages
BatchSize = Annotated[int, Field(ge=1, le=1_000_000)]
Channels = Annotated[int, Field(ge=1, le=65_536)]
Cells = Annotated[int, Field(ge=1, le=1000)]
Pixels = Annotated[int, Field(ge=4, le=4096)]
Threads = Annotated[int, Field(ge=1, le=1024)]
Layout = Literal["thirds", "stages", "imagenet"]  # of a skeleton

_EXAMPLES = {"module:Class": "MyRelaxation", "module:function": "my_function"}


Content: TypeAlias = Mapping[str, Any]
"""A trial, or a section of it, as plain containers: `Section.to_dict`."""


class Section(BaseModel):
    """Base of every model: unknown keys are errors, instances are immutable.

    Attributes:
        renamed: Keys of earlier versions that are still accepted, with their current keys.
        renamed_values: Likewise for values, by current key.
    """

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True
    )
    renamed: ClassVar[Mapping[str, str]] = {}
    renamed_values: ClassVar[Mapping[str, Mapping[str, str]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _of_earlier_versions(cls, content: object) -> object:
        return with_current_names(cls, content) if isinstance(content, Mapping) else content

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_for_a_number(cls, value: object, info: ValidationInfo) -> object:
        """Reject booleans for numbers: YAML reads ``yes`` as true, and true equals 1 in Python."""
        field = cls.model_fields.get(info.field_name or "")
        if field is None:
            return value
        if isinstance(value, bool) and _needs_number(_kinds(field.annotation)):
            raise ValueError("must be a number")
        if isinstance(value, list | tuple) and any(isinstance(each, bool) for each in value):
            lists = _kinds(field.annotation)
            if _needs_number({kind for each in lists for kind in _kinds_inside(each)}):
                raise ValueError("must be a list of numbers")
        return value

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers with the names that YAML uses (``lambda``, not ``lambda_``)."""
        return self.model_dump(mode="python", by_alias=True)


def _needs_number(kinds: Iterable[object]) -> bool:
    return bool not in kinds and (int in kinds or float in kinds)


def _kinds(annotation: object) -> set[object]:
    """Return the alternatives of an annotation, e.g. int and NoneType, without their bounds."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _kinds(inside[0])
    if origin in (Union, UnionType):
        return {kind for each in inside for kind in _kinds(each)}
    return {annotation}


def _kinds_inside(annotation: object) -> set[object]:
    """Return the alternatives of the entries of a list or tuple; none for other annotations."""
    if get_origin(annotation) not in (list, tuple):
        return set()
    return {kind for each in get_args(annotation) for kind in _kinds(each)}


def check_part(key: str, name: str, form: str = "module:Class", also: tuple[str, ...] = ()) -> str:
    """Return the name of a part: one of the manifest, or a custom ``module:Class``.

    For a built-in part given by its class, return its built-in name.

    Args:
        key: The key that names the part, one of `tune_nas.manifest.KINDS`.
        name: The name.
        form: The notation of a custom part.
        also: Values that denote no part.

    Raises:
        ValueError: If no part has this name; names the nearest one.
    """
    kind = manifest.KINDS[key]
    if name in also or manifest.is_known(kind, name):
        return name
    if manifest.is_reference(name):
        return manifest.short_name(kind, name)
    if ":" in name:
        raise ValueError(f"must be written {form}, as my_parts:{_EXAMPLES[form]}")
    known = [*also, *manifest.names(kind)]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else ""
    raise ValueError(f"must be one of {', '.join(known)}, or a custom {form}{hint}")


def with_current_names(model: type[Section], content: Mapping[str, object]) -> dict[str, object]:
    """Return the content of a section with keys and values of earlier versions replaced.

    Raises:
        ValueError: If a key is given in both spellings.
    """
    current: dict[str, object] = {}
    for key, value in content.items():
        name = model.renamed.get(key, key)
        if name != key and name in content:
            raise ValueError(f"'{key}' is the earlier name of '{name}'; give '{name}' alone")
        current[name] = _current_value(model, name, value)
    return current


def current_key(model: type[BaseModel], key: str) -> str:
    """Return a dotted key with current names; an unknown one is returned unchanged."""
    head, dot, rest = key.partition(".")
    head = model.renamed.get(head, head) if issubclass(model, Section) else head
    inner = _inner(model, head)
    return f"{head}{dot}{current_key(inner, rest) if inner and rest else rest}"


def current_value(model: type[BaseModel], key: str, value: object) -> object:
    """Return the value of a dotted key (with current names) in its current spelling."""
    head, _, rest = key.partition(".")
    inner = _inner(model, head)
    if rest:
        return current_value(inner, rest, value) if inner else value
    return _current_value(model, head, value)


def current_settings(model: type[BaseModel], settings: Mapping[str, object]) -> dict[str, object]:
    """Return dotted keys and their values, or lists of values, in their current spelling.

    Sections among the values are unchanged: they are renamed when they are validated.

    Raises:
        ValueError: If a key is given in both spellings.
    """
    current: dict[str, object] = {}
    for key, value in settings.items():
        name = current_key(model, key)
        if name != key and name in settings:
            raise ValueError(f"'{key}' is the earlier name of '{name}'; give '{name}' alone")
        current[name] = current_value(model, name, value)
    return current


def _current_value(model: type[BaseModel], name: str, value: object) -> object:
    if isinstance(value, list):
        return [_current_value(model, name, each) for each in value]
    renamed = model.renamed_values.get(name, {}) if issubclass(model, Section) else {}
    return renamed.get(value, value) if isinstance(value, str) else value


def _inner(model: type[BaseModel], head: str) -> type[BaseModel] | None:
    fields = {field.alias or name: field for name, field in model.model_fields.items()}
    return inner_section(fields[head].annotation) if head in fields else None


@cache
def dotted_keys(model: type[BaseModel], prefix: str = "") -> tuple[str, ...]:
    """Return every dotted key of a model, with the names that YAML uses."""
    keys: list[str] = []
    for name, field in model.model_fields.items():
        key = prefix + (field.alias or name)
        inner = inner_section(field.annotation)
        keys += (key,) if inner is None else dotted_keys(inner, f"{key}.")
    return tuple(keys)


@cache
def optional_sections(model: type[BaseModel], prefix: str = "") -> tuple[str, ...]:
    """Return the dotted name of every section of a model that may be null."""
    names: list[str] = []
    for name, field in model.model_fields.items():
        inner, key = inner_section(field.annotation), prefix + (field.alias or name)
        if inner is None:
            continue
        if type(None) in get_args(field.annotation):
            names.append(key)
        names += optional_sections(inner, f"{key}.")
    return tuple(names)


def inner_section(annotation: object) -> type[BaseModel] | None:
    """Return the model that a field holds; None for a plain value, and for a list."""
    if get_origin(annotation) is list:
        return None
    for candidate in (annotation, *get_args(annotation)):
        if isinstance(candidate, type) and issubclass(candidate, BaseModel):
            return candidate
    return None
