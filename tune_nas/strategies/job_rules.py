"""The rules of the jobs that a strategy proposes."""

from __future__ import annotations

from tune_nas.config.strategy_config import StrategyConfig
from tune_nas.errors import GenotypeError
from tune_nas.spaces import Genotype
from tune_nas.strategies.candidate_pool import CandidatePool
from tune_nas.strategies.training_job import Request, Standing
from tune_nas.text import shown


def fault_of(
    wanted: object, number: int, candidates: CandidatePool, config: StrategyConfig
) -> str | None:
    """Return which rule a proposed job breaks; None if it breaks none.

    Args:
        wanted: The job.
        number: The number that it must have.
        candidates: The candidates so far.
        config: The section ``strategy`` of the trial.
    """
    if not isinstance(wanted, Request):
        return f"propose() must return a job or None, but returns {shown(wanted)}"
    standings = candidates.standings
    if wanted.number != number or not 0 <= wanted.candidate <= len(standings):
        return f"{wanted} must come from new() or promotion(), just before"
    if wanted.epochs not in config.levels:
        return f"{wanted.epochs} epochs are not among strategy.levels"
    if wanted.candidate == len(standings):
        return _fault_of_new(wanted, candidates)
    return _fault_of_promotion(wanted, standings[wanted.candidate], config)


def _fault_of_new(wanted: Request, candidates: CandidatePool) -> str | None:
    if wanted.start != 0:
        return f"{wanted} must come from new() or promotion(), just before"
    genotype: object = wanted.genotype  # of custom code
    if not isinstance(genotype, Genotype):
        return f"a new candidate must be a genotype, but is {shown(genotype)}"
    try:
        genotype.check(candidates.architectures.space)
    except GenotypeError as error:
        return str(error)
    if not candidates.is_new(genotype):
        return f"an earlier candidate computes the same as {genotype}"
    return None


def _fault_of_promotion(wanted: Request, standing: Standing, config: StrategyConfig) -> str | None:
    if standing.trained != standing.epochs or wanted.epochs <= standing.epochs:
        return (
            f"candidate {wanted.candidate} cannot be trained to {wanted.epochs} epochs: it has "
            f"a result after {standing.trained}, and {standing.epochs} were requested"
        )
    start = standing.epochs if config.promotion == "continue" else 0
    if (wanted.start, wanted.genotype) != (start, standing.genotype):
        return f"{wanted} must come from new() or promotion(), just before"
    return None
