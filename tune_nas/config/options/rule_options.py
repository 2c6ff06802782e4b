"""The options of the rules, which change a search over its epochs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from tune_nas.config.section import (
    Cells,
    Count,
    CountOrNone,
    Decay,
    Epochs,
    EpochsOrNone,
    Fraction,
    Section,
)

_Group = Annotated[list[str], Field(min_length=1)]


class GreedyOptions(Section):
    """Options of ``greedy``: edges are decided one by one (SGAS, arXiv:1912.00195).

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
        groups: Groups of operations, only in the first stage: of each group, an edge has the first
            operation, as its representative; operations of no group stay (StacNAS). None for all.
        open_groups: In the stage after it: the number of groups of which an edge has all operations
            again, those with the strongest representatives; operations of no group stay. None for
            no change.
        cells: Number of cells of its supernet; None for the trial's.
        partial_channels: K of its supernet; None for the trial's.
        skip_dropout: Dropout rate on skip connections at its start; it decays over the stage.
    """

    epochs: Epochs
    operations: Count | None = None
    groups: Annotated[list[_Group], Field(min_length=1)] | None = None
    open_groups: Count | None = None
    cells: Cells | None = None
    partial_channels: Count | None = None
    skip_dropout: Decay = 0.0


class StagesOptions(Section):
    """Options of ``stages``: a progressive search (DrNAS, P-DARTS, StacNAS).

    Args:
        stages: The stages, in order; empty for none.
        carry_over: State that a stage keeps from the previous one: ``weights``: w and the state of
            the optimizers, widened where K shrinks (DrNAS); ``none``: neither (P-DARTS).
    """

    stages: list[StageConfig] = Field(default_factory=list)
    carry_over: Literal["weights", "none"] = "weights"


class StopOptions(Section):
    """Options of ``stop``: early stopping of a search.

    Args:
        convolutions: By cell type: stop when the genotype has at most this many convolutions in
            every named type (MiLeNAS: normal 6, reduction 0); empty for never.
        skips: By cell type: stop when a named type has at least this many skip connections, i.e.
            has collapsed (DARTS+: normal 2); empty for never.
        settled: Number of epochs: stop when as many epochs in a row have not changed the ranking by
            α of the convolutions on any edge (DARTS+, criterion 2: 10); None for never.
        patience: Number of consecutive epochs for which a bound must hold.
    """

    convolutions: dict[str, CountOrNone] = Field(default_factory=dict)
    skips: Annotated[
        dict[str, Count], BeforeValidator(lambda value: {} if value is None else value)
    ] = Field(default_factory=dict)  # null, the former default, means never
    settled: Epochs | None = None
    patience: Epochs = 1


class LowerRateOptions(Section):
    """Options of ``lr_rule``: lower w's learning rate with too few convolutions (Hou and Jin).

    Args:
        share: Fraction of parameter-free operations above which the learning rate is lowered.
        factor: Factor applied from the next epoch on, at most once per epoch.
        floor: Lower bound of the product of all factors.
    """

    share: Fraction = 0.3
    factor: Annotated[float, Field(gt=0, lt=1)] = 0.5
    floor: Annotated[float, Field(gt=0, le=1)] = 0.1
