"""Reads files written by a sweep; a value of another type than its field counts as damage."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from tune_nas.text import shown


def read_stored(kind: type, text: str) -> Any:
    """Return the content of a JSON text of a dataclass or list, as plain containers.

    Args:
        kind: The type; fields of a dataclass with a default may be missing.
        text: The JSON text.

    Raises:
        ValueError: If it is not JSON, or a value has another type; in one line.
    """
    try:
        _adapter(kind).validate_json(text, strict=True)
        return json.loads(text)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])
        where = f"{key} is {shown(problem['input'])}: " if key else ""
        raise ValueError(f"{where}{problem['msg']}") from error
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


@cache
def _adapter(kind: type) -> TypeAdapter[object]:
    return TypeAdapter(kind)
