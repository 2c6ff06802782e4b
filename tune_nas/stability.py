"""Marks of experimental features; docs/stability.md lists them."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

PAGE = "docs/stability.md"

_Marked = TypeVar("_Marked", bound=Callable[..., Any])
_LOG = logging.getLogger(__name__)


class ExperimentalFeature(NamedTuple):
    """A feature that is marked as experimental.

    Args:
        name: Its name.
        reason: What is not known about it, as the end of a sentence.
        marked: The marked class or function: ``module:name``.
    """

    name: str
    reason: str
    marked: str


_FEATURES: dict[str, ExperimentalFeature] = {}
_ANNOUNCED: set[str] = set()


def experimental(name: str, reason: str) -> Callable[[_Marked], _Marked]:
    """Return a decorator that marks the class or function that turns on an experimental feature.

    When an object of the class is created, or the function is called, for the first time in a
    process, one line is logged. The signature is unchanged, and the docstring has one more line.

    Args:
        name: Name of the feature.
        reason: What is not known about it, e.g. "has not run on a GPU".
    """

    def mark(marked: _Marked) -> _Marked:
        where = f"{marked.__module__}:{marked.__qualname__}"
        _FEATURES[name] = ExperimentalFeature(name, reason, where)
        result = marked
        if isinstance(marked, type):
            marked.__init__ = _announcing(name, marked.__init__)  # type: ignore[misc]
        else:
            result = cast(_Marked, _announcing(name, marked))
        text = inspect.cleandoc(marked.__doc__ or "")
        result.__doc__ = f"{text}\n\nExperimental: {reason}; see {PAGE}.".strip()
        return result

    return mark


def experimental_features() -> tuple[ExperimentalFeature, ...]:
    """Return the features that the imported modules mark, by name."""
    return tuple(_FEATURES[name] for name in sorted(_FEATURES))


def _announcing(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that logs one line at the first use of a feature in the process."""

    @functools.wraps(function)
    def announce_and_call(*args: Any, **kwargs: Any) -> Any:
        if name not in _ANNOUNCED:
            _ANNOUNCED.add(name)
            _LOG.warning("%s: experimental, %s; see %s", name, _FEATURES[name].reason, PAGE)
        return function(*args, **kwargs)

    return announce_and_call
