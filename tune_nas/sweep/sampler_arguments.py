"""Arguments of Optuna's samplers, under Optuna's names.

They are recorded with the sweep, because Optuna's defaults differ between its versions.
"""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, model_validator

from tune_nas.config import Section
from tune_nas.config.section import Count, CountOrNone, Fraction

Population = Annotated[int, Field(ge=2, le=10_000)]


class TpeConfig(Section):
    """Arguments of the TPE sampler.

    Args:
        multivariate: Sample all keys jointly instead of one by one.
        group: Sample jointly the keys that occur together, so that conditional keys (``when``)
            take part. None: true if a key is conditional and ``multivariate`` is true.
        constant_liar: Avoid configurations close to those of running trials.
        n_startup_trials: Number of trials that are sampled at random first.
        n_ei_candidates: Number of candidates from which the most promising one is chosen.
    """

    multivariate: bool = True
    group: bool | None = None
    constant_liar: bool = True
    n_startup_trials: Count = 10
    n_ei_candidates: Count = 24

    @model_validator(mode="after")
    def _joint(self) -> TpeConfig:
        if self.group and not self.multivariate:
            raise ValueError("group is true, but needs multivariate: true; set group: false")
        return self


class GpConfig(Section):
    """Arguments of the Gaussian process sampler.

    Args:
        n_startup_trials: Number of trials that are sampled at random first.
        deterministic_objective: Whether two runs of a configuration give the same value.
    """

    n_startup_trials: Count = 10
    deterministic_objective: bool = False


class CmaEsConfig(Section):
    """Arguments of the CMA-ES sampler.

    Args:
        n_startup_trials: Number of trials that are sampled at random first.
        popsize: Number of trials of a generation. None: 4 + ⌊3 ln d⌋ for d sampled ranges.
        use_separable_cma: Adapt a diagonal covariance matrix only.
        lr_adapt: Adapt the learning rates of mean and covariance.
        consider_pruned_trials: Use the last value of trials that were stopped early.
    """

    n_startup_trials: CountOrNone = 1
    popsize: Annotated[int, Field(ge=4, le=10_000)] | None = None
    use_separable_cma: bool = False
    lr_adapt: bool = False
    consider_pruned_trials: bool = False

    @model_validator(mode="after")
    def _one_variant(self) -> CmaEsConfig:
        if self.lr_adapt and self.use_separable_cma:
            raise ValueError(
                "lr_adapt is true, but must be false with use_separable_cma: true; set one of them"
            )
        return self

    def for_ranges(self, count: int) -> CmaEsConfig:
        """Return the arguments with the size of a generation for a number of ranges."""
        if self.popsize is not None or count == 0:
            return self
        return self.model_copy(update={"popsize": 4 + math.floor(3 * math.log(count))})


class NsgaConfig(Section):
    """Arguments of the NSGA-II sampler.

    Args:
        population_size: Number of trials of a generation; the first is sampled at random.
        mutation_prob: Probability that a key is sampled at random instead of inherited. None:
            1 / number of keys.
        crossover_prob: Probability that a child has two parents instead of one.
        swapping_prob: Probability that a child takes a key from its second parent.
    """

    population_size: Population = 10
    mutation_prob: Fraction | None = None
    crossover_prob: Fraction = 0.9
    swapping_prob: Fraction = 0.5
