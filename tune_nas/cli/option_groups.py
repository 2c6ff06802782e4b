"""Options shared by several commands, declared once: a dataclass whose fields are options."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import get_type_hints


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command with a typer option for each field of its dataclass parameters.

    A command with a parameter ``execution: ExecutionOptions`` thus has the options declared by the
    fields of `ExecutionOptions`, and is called with an instance of their values.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type] = {
        name: kind
        for name, kind in hints.items()
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    }
    shown: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name not in groups:
            keyword = inspect.Parameter.KEYWORD_ONLY
            shown.append(parameter.replace(kind=keyword, annotation=hints[name]))
            continue
        fields = get_type_hints(groups[name], include_extras=True)
        shown += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=field.default,
                annotation=fields[field.name],
            )
            for field in dataclasses.fields(groups[name])
        ]

    @functools.wraps(command)
    def run(**values: object) -> None:
        for name, group in groups.items():
            names = [field.name for field in dataclasses.fields(group)]
            values[name] = group(**{key: values.pop(key) for key in names})
        command(**values)

    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    return run
