"""Calls of methods, counted by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import pytest

Counts = Counter[str]


def count_calls(
    monkeypatch: pytest.MonkeyPatch, counts: Counts, kind: type, names: Iterable[str]
) -> None:
    """Count the calls of some methods of a class, which work as before."""

    def counted(name: str) -> None:
        own = getattr(kind, name)

        def call(self: object, *args: object, **more: object) -> object:
            counts[name] += 1
            return own(self, *args, **more)

        monkeypatch.setattr(kind, name, call)

    for name in names:
        counted(name)
