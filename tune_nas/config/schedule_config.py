"""The ``schedule`` section of a trial: the length of a search and changes over its epochs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, field_validator, model_validator

from tune_nas import manifest
from tune_nas.config.options.early_fixing_options import EarlyFixingOptions
from tune_nas.config.options.eigenvalue_options import EigenvalueOptions
from tune_nas.config.options.exponentiated_options import WipeOutOptions
from tune_nas.config.options.option_keys import with_rules_as_keys
from tune_nas.config.options.rule_options import (
    GreedyOptions,
    LowerRateOptions,
    StagesOptions,
    StopOptions,
)
from tune_nas.config.options.stage_groups import check_groups
from tune_nas.config.section import BatchSize, Content, Epochs, Section, with_current_names
from tune_nas.errors import ConfigError


class _Lengths(Section):
    epochs: Epochs = 50
    batch_size: BatchSize = 64
    steps_per_epoch: Annotated[int, Field(ge=1, le=10_000_000)] | None = None


class ScheduleConfig(StagesOptions, _Lengths):
    """The length of a search and changes over its epochs.

    The options of ``stages`` are keys of this section.

    Args:
        epochs: Number of search epochs; tuning epochs of a selection come after them.
        batch_size: Number of images per training batch and per validation batch.
        steps_per_epoch: Number of w steps per epoch; None for one pass over the images that w is
            trained on.
        greedy: Decisions during the search (SGAS); None for none.
        early_fixing: Decisions at every epoch end, of the edges whose α is clear (DSNAS); None for
            none.
        stop: Early stopping.
        lr_rule: Rule that lowers w's learning rate; None for none.
        wipe_out: Removal of operations that cannot win any more (XNAS); None for none.
        eigenvalue: Rule that goes back to an earlier epoch when the dominant eigenvalue of ∇²α
            L_valid has grown (DARTS-ES, R-DARTS); None for none.
        rules: Custom rules, ``module:Class`` each. ``{kind: greedy, options: {…}}`` is another
            spelling of ``greedy: {…}``, likewise for the other shipped rules.
    """

    renamed: ClassVar[Mapping[str, str]] = {"rate_rule": "lr_rule", "carry": "carry_over"}
    renamed_values: ClassVar[Mapping[str, Mapping[str, str]]] = {"carry_over": {"nothing": "none"}}

    greedy: GreedyOptions | None = None
    early_fixing: EarlyFixingOptions | None = None
    stop: StopOptions = StopOptions()
    lr_rule: LowerRateOptions | None = None
    wipe_out: WipeOutOptions | None = None
    eigenvalue: EigenvalueOptions | None = None
    rules: list[str] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _options_as_keys(cls, content: object) -> object:
        if not isinstance(content, Mapping):
            return content
        return with_rules_as_keys(with_current_names(cls, content))

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
    def _one_rule_decides(self) -> ScheduleConfig:
        if self.greedy is not None and self.early_fixing is not None:
            raise ValueError(
                "schedule.greedy and schedule.early_fixing exclude each other; give one (null for "
                "the other)"
            )
        return self

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
        check_groups(self.stages, self.carry_over)
        kept = [stage.operations for stage in self.stages]
        for index, (before, now) in enumerate(itertools.pairwise(kept), start=1):
            if before is not None and (now is None or now > before):
                given = "null" if now is None else now
                raise ValueError(
                    f"schedule.stages.{index}.operations is {given}, but the stage before keeps "
                    f"{before}; removed operations cannot return"
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


def scaled(trial: Content, epochs: int) -> dict[str, object]:
    """Return the dotted keys that change the length of a trial, keeping its proportions.

    Every epoch in ``update`` or ``schedule`` at which something changes is scaled with
    ``schedule.epochs``. Windows of past epochs (``patience``, ``history``) stay the same. The
    length of a black-box search is its budget.

    Args:
        trial: A complete trial, as ``TrialConfig.to_dict`` returns it.
        epochs: The new number of epochs.

    Raises:
        ConfigError: If it has fewer epochs than stages.
    """
    if trial.get("strategy") is not None:
        return {"strategy.budget": epochs}
    update, schedule = trial["update"], trial["schedule"]

    def at_least(least: int, count: int) -> int:
        return max(least, count * epochs // int(schedule["epochs"]))

    changes: dict[str, object] = {"schedule.epochs": epochs}
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
    if schedule.get("eigenvalue") is not None:
        rule = schedule["eigenvalue"]
        changes["schedule.eigenvalue.every"] = at_least(1, rule["every"])
        changes["schedule.eigenvalue.start"] = at_least(0, rule["start"])
    if schedule["stages"]:
        if epochs < len(schedule["stages"]):
            raise ConfigError(
                f"trial '{trial['name']}': epochs is {epochs}, but must be >= "
                f"{len(schedule['stages'])}, one for each of schedule.stages"
            )
        lengths = [at_least(1, stage["epochs"]) for stage in schedule["stages"]]
        lengths[-1] += epochs - sum(lengths)
        changes["schedule.stages"] = [
            {**stage, "epochs": length}
            for stage, length in zip(schedule["stages"], lengths, strict=True)
        ]
    return changes
