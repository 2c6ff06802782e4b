"""The ``strategy`` section of a trial: a search that trains candidates instead of a supernet."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tune_nas.config.decides import Decides
from tune_nas.config.section import (
    Epochs,
    Passes,
    Rate,
    Section,
    check_part,
)

_OF_SEARCH = Decides.SEARCH | Decides.SEARCH_STARTS
Share = Annotated[float, Field(gt=0, lt=1, allow_inf_nan=False)]


class PredictorConfig(Section):
    """The predictor of a candidate's rank.

    The paper's sizes are not public: the defaults were chosen in NAS-Bench-201
    (docs/rank-nosh.md).

    Args:
        encoder: ``gin`` (a graph network on the cells), ``mlp`` (on path encodings), or
            ``module:Class``.
        loss: ``ranking`` (pairwise), ``regression`` (of the accuracy), or ``module:Class``.
        width: Number of features of a layer.
        depth: Number of layers.
        epochs: Optimizer steps of a fit; each uses all pairs, or all candidates, of the pool.
        learning_rate: Learning rate of Adam.
        weight_decay: Weight decay of Adam.
    """

    encoder: str = "gin"
    loss: str = "ranking"
    width: Annotated[int, Field(ge=1, le=4096)] = 32
    depth: Annotated[int, Field(ge=1, le=32)] = 3
    epochs: Epochs = 100
    learning_rate: Rate = 5e-3
    weight_decay: Rate = 1e-4

    @field_validator("encoder")
    @classmethod
    def _known_encoder(cls, value: str) -> str:
        return check_part("strategy.predictor.encoder", value)

    @field_validator("loss")
    @classmethod
    def _known_loss(cls, value: str) -> str:
        return check_part("strategy.predictor.loss", value)


class EvolutionConfig(Section):
    """Options of ``evolution``: regularized evolution (Real et al., arXiv:1802.01548).

    Args:
        population: Number of youngest candidates that may be parents.
        sample_size: Number of them that a parent is the best of.
    """

    population: Passes = 30
    sample_size: Passes = 10


class LocalSearchConfig(Section):
    """Options of ``local-search`` (White et al., arXiv:2005.02960).

    Args:
        start: Number of random candidates; the best of them is where the search starts.
    """

    start: Passes = 10


class HalvingConfig(Section):
    """Options of ``successive-halving`` and ``asha``.

    Args:
        reduction_factor: One in this many candidates continues at each level.
        candidates: Candidates of a bracket of ``successive-halving``.
    """

    reduction_factor: Annotated[float, Field(gt=1, le=1000, allow_inf_nan=False)] = 2.0
    candidates: Passes = 32


class NoshConfig(Section):
    """Options of ``rank-nosh``.

    The paper's K, M and e(i) are not public. With the defaults and ``levels`` [3, 6, 12], a round
    of 8 · 3 + 4 · 3 + 2 · 6 = 48 epochs trains 8 new candidates; 6 rounds take 288 epochs (the
    paper reports 292 in NAS-Bench-201). r is robust from 0.4 to 0.7 in the paper.

    Args:
        proposals: K, the number of new candidates of a round.
        keep: r: of the K candidates of a round, r · K train to the second level, r² · K to the
            third, and so on, rounded down, but at least 1.
        pool: M, the number of candidates at which the last round ends.
        sampled: Number of genotypes that the predictor ranks to choose a round's proposals.
        propose: Where these come from: ``random``, or ``mutation`` of the best candidates.
        proxy: Training-free proxy of level 0, or ``module:Class``; None for no level 0.
    """

    proposals: Passes = 8
    keep: Share = 0.5
    pool: Passes = 48
    sampled: Passes = 500
    propose: Literal["random", "mutation"] = "random"
    proxy: str | None = "parameters"

    @field_validator("proxy")
    @classmethod
    def _known_proxy(cls, value: str | None) -> str | None:
        return None if value is None else check_part("strategy.nosh.proxy", value)

    @model_validator(mode="after")
    def _rounds_are_possible(self) -> NoshConfig:
        if self.proposals > self.pool:
            raise ValueError(
                f"strategy.nosh.proposals is {self.proposals}, but must be <= {self.pool} "
                "(strategy.nosh.pool)"
            )
        if self.keep * self.proposals < 1:
            raise ValueError(
                f"strategy.nosh.keep is {self.keep:g}, but must be >= {1 / self.proposals:.3g}, so "
                f"that one of {self.proposals} candidates (strategy.nosh.proposals) is kept"
            )
        if self.sampled < self.proposals:
            raise ValueError(
                f"strategy.nosh.sampled is {self.sampled}, but must be >= {self.proposals} "
                "(strategy.nosh.proposals)"
            )
        return self


class StrategyConfig(Section):
    """A black-box search: candidates are proposed, trained for some epochs, and compared.

    Args:
        kind: ``random``, ``evolution``, ``local-search``, ``successive-halving``, ``asha``,
            ``rank-nosh``, or ``module:Class``.
        budget: Total number of training epochs of all candidates.
        levels: Cumulative epochs of a candidate at each level, e(1), e(2), …; strategies that train
            every candidate fully use the last.
        promotion: ``continue`` (a candidate that reaches a level is trained from its checkpoint,
            which costs the additional epochs) or ``restart`` (from scratch, which costs all epochs
            of the level: where the learning rate is annealed to the end of each level, as in the
            tables, shorter trainings cannot be continued).
        evolution: Options of ``evolution``.
        local_search: Options of ``local-search``.
        halving: Options of ``successive-halving`` and ``asha``.
        nosh: Options of ``rank-nosh``.
        predictor: The predictor of ``rank-nosh``.
        options: Keyword arguments of a custom class.
    """

    kind: str = "random"
    budget: Annotated[Passes, _OF_SEARCH | Decides.LENGTH] = 300
    levels: tuple[Epochs, ...] = (12,)
    promotion: Literal["continue", "restart"] = "continue"
    evolution: EvolutionConfig = EvolutionConfig()
    local_search: LocalSearchConfig = LocalSearchConfig()
    halving: HalvingConfig = HalvingConfig()
    nosh: NoshConfig = NoshConfig()
    predictor: PredictorConfig = PredictorConfig()
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_part("strategy.kind", value)

    @field_validator("levels")
    @classmethod
    def _increase(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value:
            raise ValueError("must have at least one level")
        if any(after <= before for before, after in pairwise(value)):
            raise ValueError("must increase from level to level")
        return value

    @model_validator(mode="after")
    def _budget_suffices(self) -> StrategyConfig:
        if self.budget < self.levels[-1]:
            raise ValueError(
                f"strategy.budget is {self.budget}, but must be >= {self.levels[-1]}, the epochs "
                "of one candidate (the last of strategy.levels)"
            )
        return self
