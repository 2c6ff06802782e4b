"""The ``schedule`` section of a trial: the length of a search and changes over its epochs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from tune_nas import manifest
from tune_nas.config.section import (
    BatchSize,
    Cells,
    Count,
    CountOrNone,
    Decay,
    Epochs,
    EpochsOrNone,
    Fraction,
    Section,
)


class GreedyConfig(Section):
    """Edges are decided one by one during the search (SGAS, arXiv:1912.00195).

    Args:
        criterion: 1: edge importance × selection certainty; 2: × selection stability too.
        warmup: Epochs without a decision; the first decision is at the end of the next epoch.
        every: Epochs between decisions; each decides one edge of every cell type.
        batch_growth: Increase of the batch size at each decision.
        history: Number of past epochs that criterion 2 compares with.
        prune: Whether edges that can no longer be in the genotype are removed; otherwise they
            remain mixed.
    """

    criterion: Literal[1, 2] = 1
    warmup: EpochsOrNone = 9
    every: Epochs = 5
    batch_growth: CountOrNone = 8
    history: Epochs = 4
    prune: bool = True


class StageConfig(Section):
    """One stage of a progressive search.

    Args:
        epochs: Number of epochs.
        operations: Number of operations kept on each edge, the strongest ones; None for all.
        cells: Number of cells of its supernet; None for the trial's.
        partial_channels: K of its supernet; None for the trial's.
        skip_dropout: Dropout rate on skip connections at its start; it decays over the stage.
    """

    epochs: Epochs
    operations: Count | None = None
    cells: Cells | None = None
    partial_channels: Count | None = None
    skip_dropout: Decay = 0.0


class StopConfig(Section):
    """Early stopping of a search.

    Args:
        convolutions: By cell type: stop when the genotype has at most this many convolutions in
            every named type (MiLeNAS: normal 6, reduction 0); empty for never.
        skips: By cell type: stop when a named type has at least this many skip connections, i.e.
            has collapsed (DARTS+: normal 2); empty for never.
        patience: Number of consecutive epochs for which it must hold.
    """

    convolutions: dict[str, CountOrNone] = Field(default_factory=dict)
    skips: Annotated[
        dict[str, Count], BeforeValidator(lambda value: {} if value is None else value)
    ] = Field(default_factory=dict)  # null, the former default, means never
    patience: Epochs = 1


class RateRuleConfig(Section):
    """Lower w's learning rate when the genotype has too few convolutions (Hou and Jin).

    Args:
        share: Fraction of parameter-free operations above which the learning rate is lowered.
        factor: Factor applied from the next epoch on, at most once per epoch.
        floor: Lower bound of the product of all factors.
    """

    share: Fraction = 0.3
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    floor: Annotated[float, Field(gt=0, le=1)] = 0.1


class ScheduleConfig(Section):
    """The length of a search and changes over its epochs.

    Args:
        epochs: Number of search epochs; tuning epochs of a selection come after them.
        batch_size: Number of images per training batch and per validation batch.
        steps_per_epoch: Number of w steps per epoch; None for one pass over the images that w is
            trained on.
        greedy: Decisions during the search (SGAS); None for none.
        stages: Stages of a progressive search (DrNAS, P-DARTS); empty for none.
        carry_over: State that a stage keeps from the previous one: ``weights``: w and the state of
            the optimizers, widened where K shrinks (DrNAS); ``none``: neither (P-DARTS).
        stop: Early stopping.
        lr_rule: Rule that lowers w's learning rate; None for none.
        rules: Custom rules, ``module:Class`` each.
    """

    renamed: ClassVar[Mapping[str, str]] = {"rate_rule": "lr_rule", "carry": "carry_over"}
    renamed_values: ClassVar[Mapping[str, Mapping[str, str]]] = {"carry_over": {"nothing": "none"}}

    epochs: Epochs = 50
    batch_size: BatchSize = 64
    steps_per_epoch: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    greedy: GreedyConfig | None = None
    stages: list[StageConfig] = Field(default_factory=list)
    carry_over: Literal["weights", "none"] = "weights"
    stop: StopConfig = StopConfig()
    lr_rule: RateRuleConfig | None = None
    rules: list[str] = Field(default_factory=list)

    @field_validator("rules")
    @classmethod
    def _known_rules(cls, value: list[str]) -> list[str]:
        for name in value:
            if manifest.is_shipped("rules", name):
                raise ValueError(f"must not have '{name}': schedule.{name} turns it on")
            if not manifest.is_known("rules", name) and not manifest.is_reference(name):
                raise ValueError(f"must name each rule as module:Class, but has '{name}'")
        return value

    @model_validator(mode="after")
    def _stages_fit(self) -> ScheduleConfig:
        if not self.stages:
            return self
        total = sum(stage.epochs for stage in self.stages)
        if total != self.epochs:
            raise ValueError(
                f"schedule.stages take {total} epochs, but schedule.epochs is {self.epochs}; "
                "they must be equal"
            )
        kept = [stage.operations for stage in self.stages]
        for index, (before, now) in enumerate(itertools.pairwise(kept), start=1):
            if before is not None and (now is None or now > before):
                given = "null" if now is None else now
                raise ValueError(
                    f"schedule.stages.{index}.operations is {given}, but the stage before keeps "
                    f"{before}; operations never come back"
                )
        if self.greedy is not None:
            raise ValueError("schedule.greedy and schedule.stages exclude each other; give one")
        return self

    def stage_of(self, epoch: int) -> tuple[int, int]:
        """Return the stage of an epoch (0-based) and the epoch at which it starts."""
        start = 0
        for index, stage in enumerate(self.stages):
            if epoch < start + stage.epochs or index == len(self.stages) - 1:
                return index, start
            start += stage.epochs
        return 0, 0


def scaled(trial: dict[str, Any], epochs: int) -> dict[str, Any]:
    """Return the dotted keys that change the length of a trial, keeping its proportions.

    Every epoch in ``update`` or ``schedule`` at which something changes is scaled with
    ``schedule.epochs``. Windows of past epochs (``patience``, ``history``) stay the same.

    Args:
        trial: A complete trial, as ``TrialConfig.to_dict`` returns it.
        epochs: The new number of epochs.
    """
    update, schedule = trial["update"], trial["schedule"]

    def at_least(least: int, count: int) -> int:
        return max(least, count * epochs // int(schedule["epochs"]))

    changes: dict[str, Any] = {"schedule.epochs": epochs}
    if update["warmup"]:
        changes["update.warmup"] = at_least(0, update["warmup"])
    if update["phases"]:
        ends: list[int] = []
        for phase in update["phases"]:
            ends.append(at_least(ends[-1] + 1 if ends else 0, phase["until"]))
        changes["update.phases"] = [
            {**phase, "until": end} for phase, end in zip(update["phases"], ends, strict=True)
        ]
    if schedule["greedy"] is not None:
        greedy = schedule["greedy"]
        changes["schedule.greedy.warmup"] = at_least(0, greedy["warmup"])
        changes["schedule.greedy.every"] = at_least(1, greedy["every"])
    if schedule["stages"]:
        lengths = [at_least(1, stage["epochs"]) for stage in schedule["stages"]]
        lengths[-1] += epochs - sum(lengths)
        changes["schedule.stages"] = [
            {**stage, "epochs": length}
            for stage, length in zip(schedule["stages"], lengths, strict=True)
        ]
    return changes
