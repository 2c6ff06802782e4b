"""Checks of the groups of operations in the stages of a search."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from tune_nas.config.options.rule_options import StageConfig


def check_groups(stages: Sequence[StageConfig], carry_over: str) -> None:
    """Raise a one-line ValueError if groups are given or opened where they cannot be."""
    for index, stage in enumerate(stages):
        key = f"schedule.stages.{index}"
        opened = stage.open_groups
        if stage.groups is not None:
            _check_given(key, index, stage.groups)
        if stage.operations is not None and (stage.groups is not None or opened is not None):
            by = "groups" if opened is None else "open_groups"
            raise ValueError(
                f"{key}.operations is {stage.operations}, but must be null in a stage whose "
                f"operations {by} determines"
            )
        if opened is None:
            continue
        groups = stages[index - 1].groups if index > 0 else None
        if groups is None:
            raise ValueError(
                f"{key}.open_groups is {opened}, but the stage before it has no groups; it must be "
                "null"
            )
        if opened > len(groups):
            raise ValueError(
                f"{key}.open_groups is {opened}, but must be <= {len(groups)}, the number of groups"
            )
        if carry_over != "none":
            raise ValueError(
                f"schedule.carry_over is '{carry_over}', but must be 'none' with "
                f"{key}.open_groups, because operations that return have no trained weights"
            )


def _check_given(key: str, index: int, groups: Sequence[Sequence[str]]) -> None:
    if index > 0:
        raise ValueError(f"{key}.groups is given, but only the first stage can have groups")
    named: set[str] = set()
    for name in itertools.chain.from_iterable(groups):
        if name in named:
            raise ValueError(f"{key}.groups has '{name}' twice, but each operation has one group")
        named.add(name)
