"""Stages: a search that continues with fewer or other operations in another supernet.

Chen et al., "P-DARTS", ICCV 2019, arXiv:1904.12760: deeper, everything except the operations is
reset. Chen et al., "DrNAS", ICLR 2021, arXiv:2006.10355: wider, and w carried over. Li et al.,
"StacNAS", arXiv:1909.11926: representatives of groups, then all operations of the strongest group.
"""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from tune_nas.config.options.rule_options import StageConfig
from tune_nas.errors import ConfigError
from tune_nas.search.rules.operation_groups import check_names, opened, representatives
from tune_nas.search.rules.rule import Rule
from tune_nas.search.shares import operation_weights
from tune_nas.search.supernet_size import SupernetSize
from tune_nas.search.view import SearchControl
from tune_nas.seeds import derive_seed, make_generator
from tune_nas.spaces import check_cells_occur

_DROPOUT_DECAY = 0.2  # per epoch, once α is updated (P-DARTS's code)


class Stages(Rule):
    """Starts each stage: sets its operations, replaces the supernet, sets its skip dropout.

    Args:
        search: The search; its supernet and operations become those of the first stage.

    Raises:
        ConfigError: If a stage keeps more operations than there are, removes some before α was
            updated, or cannot carry w over.
    """

    def __init__(self, search: SearchControl) -> None:
        super().__init__(search)
        self.schedule = search.trial.schedule
        self._check()
        if self._size(0) != search.size:
            search.rebuild(self._size(0))
        if self.schedule.stages[0].groups is not None:
            for name, cell in search.space.cells.items():
                search.keep(name, representatives(cell, self.schedule.stages[0].groups))

    def before_epoch(self) -> None:
        """Start a stage at its first epoch."""
        search = self.search
        stage, start = self.schedule.stage_of(search.epoch)
        if search.epoch == start and stage > 0:
            self._begin(stage)
        own, warmup = self.schedule.stages[stage], search.trial.update.warmup
        search.set_skip_dropout(skip_dropout(own, search.epoch - start, warmup))

    def after_epoch(self, metrics: dict[str, float]) -> None:
        """Report the stage."""
        metrics["stage"] = self.schedule.stage_of(self.search.epoch - 1)[0] + 1
        metrics["skip_dropout"] = self.search.supernet.skip_dropout
        self.search.set_skip_dropout(0.0)  # none in tuning epochs

    def _begin(self, stage: int) -> None:
        search = self.search
        own, before = self.schedule.stages[stage], self.schedule.stages[stage - 1]
        if own.operations is not None:
            self._shrink(own.operations)
        if own.open_groups is not None and before.groups is not None:
            for name, cell in search.space.cells.items():
                strengths = self._strengths(name)
                search.reopen(name, opened(cell, before.groups, strengths, own.open_groups))
        size = self._size(stage)
        if self.schedule.carry_over == "none":
            search.rebuild(size)
            search.restart_alphas(derive_seed(search.trial.seed, f"stage {stage}"))
        elif size != search.size:
            search.widen(size, make_generator(search.trial.seed, f"widening of stage {stage}"))

    def _shrink(self, count: int) -> None:
        """Keep only the strongest operations of every edge."""
        search = self.search
        for name, cell in search.space.cells.items():
            remaining = search.choices.remaining(name)
            kept = strongest(self._strengths(name), remaining, cell.eligible(), count)
            search.keep(name, kept)

    def _strengths(self, name: str) -> Tensor:
        """Return the expected weights of a cell type, (edges, operations), on the CPU."""
        return operation_weights(self.search, name, self.search.choices.remaining(name))

    def _size(self, stage: int) -> SupernetSize:
        """Return the size of a stage's supernet."""
        trial, own = self.search.trial, self.schedule.stages[stage]
        return SupernetSize(
            trial.space.init_channels,
            own.cells or trial.space.cells or self.search.space.skeleton.cells,
            own.partial_channels or trial.relaxation.partial_channels,
        )

    def _check(self) -> None:
        space, stages = self.search.space, self.schedule.stages
        available = max(cell.n_operations for cell in space.cells.values())
        warmup = self.search.trial.update.warmup
        for index, stage in enumerate(stages):
            key, kept = f"schedule.stages.{index}", stage.operations
            if kept is not None and kept > available:
                raise ConfigError(
                    f"{key}.operations is {kept}, but an edge of space '{space.name}' has "
                    f"{available} operations at most"
                )
            if kept is not None and index == 0 and kept < available:
                raise ConfigError(
                    f"{key}.operations is {kept}, but must be null or {available}: before the "
                    "first stage no α has moved to choose by"
                )
            if stage.groups is not None:
                check_names(f"{key}.groups", stage.groups, space)
            if stage.cells is not None:
                check_cells_occur(space, stage.cells, f"{key}.cells")
            if warmup >= stage.epochs:
                raise ConfigError(
                    f"{key}.epochs is {stage.epochs}, but must be > update.warmup, {warmup}: "
                    "α has to move in every stage"
                )
        sizes = [self._size(index) for index in range(len(stages))]
        channels = self.search.trial.space.init_channels or space.skeleton.init_channels
        for index, size in enumerate(sizes):
            if channels % size.partial_channels:
                raise ConfigError(
                    f"schedule.stages.{index}.partial_channels is {size.partial_channels}, but "
                    f"must divide the {channels} channels of the first cell (space.init_channels)"
                )
        if self.schedule.carry_over == "weights":
            self._check_carry(sizes)

    @staticmethod
    def _check_carry(sizes: list[SupernetSize]) -> None:
        for index, (before, now) in enumerate(itertools.pairwise(sizes), start=1):
            if before.cells != now.cells:
                raise ConfigError(
                    f"schedule.stages.{index}.cells is {now.cells}, but must be {before.cells}, as "
                    "before it, with schedule.carry_over 'weights'"
                )
            if now.partial_channels > before.partial_channels:
                raise ConfigError(
                    f"schedule.stages.{index}.partial_channels is {now.partial_channels}, but must "
                    f"be <= {before.partial_channels}, as before it, with schedule.carry_over "
                    "'weights'"
                )


def skip_dropout(stage: StageConfig, epoch: int, warmup: int) -> float:
    """Return the skip dropout of an epoch: linear, then exponential (P-DARTS's code).

    Args:
        stage: The stage.
        epoch: The epoch within the stage (0-based).
        warmup: Number of epochs at its start in which α is fixed.
    """
    if epoch < warmup:
        return stage.skip_dropout * (stage.epochs - epoch - 1) / stage.epochs
    return stage.skip_dropout * math.exp(-_DROPOUT_DECAY * (epoch - warmup))


def strongest(weights: Tensor, remaining: Tensor, eligible: Tensor, count: int) -> Tensor:
    """Return the mask of the strongest operations of each edge, (edges, operations), bool.

    They always include one that a genotype may have: otherwise, the weakest of them is replaced by
    the strongest eligible one.

    Args:
        weights: Operation weights, (edges, operations).
        remaining: Mask of the operations of each edge, likewise, bool.
        eligible: Mask of the operations that a genotype may have, likewise.
        count: Maximum number per edge.
    """
    values = weights.masked_fill(~remaining, -math.inf)
    order = values.argsort(dim=1, descending=True, stable=True)
    kept = torch.zeros_like(remaining).scatter(1, order[:, :count], True) & remaining
    possible = remaining & eligible
    for row in (possible.any(dim=1) & ~(kept & eligible).any(dim=1)).nonzero().flatten().tolist():
        kept[row, order[row, count - 1]] = False
        kept[row, values[row].masked_fill(~possible[row], -math.inf).argmax()] = True
    return kept
