"""The statistics of a comparison over its seeds: intervals, paired tests, rank stability."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tune_nas.rank_correlation import kendall_tau
from tune_nas.report.bootstrap import bootstrap_interval, first_shares
from tune_nas.report.rows import Row, Statistic
from tune_nas.report.signed_rank import holm, signed_rank_p, smallest_p

ALPHA = 0.05
"""The level of the tests."""

MOST_ROWS = 100
"""Number of rows, best first, of which the statistics are computed."""


_MOST_SEEDS = 20  # whose orders are compared with each other


@dataclass(frozen=True)
class PairedTest:
    """The differences between the best row and another one, at their common seeds.

    Args:
        n: Number of common seeds.
        difference: Mean of best minus other.
        interval: Its 95 % bootstrap interval.
        p: Two-sided p-value of Wilcoxon's signed-rank test.
        corrected: p after Holm's correction over all pairs of rows; None if no test of the
            comparison can be significant.
    """

    n: int
    difference: float
    interval: tuple[float, float]
    p: float
    corrected: float | None

    @property
    def significant(self) -> bool:
        """Whether the corrected p-value is at most 5 %."""
        return self.corrected is not None and self.corrected <= ALPHA


@dataclass(frozen=True)
class RowStatistics:
    """The statistics of a row.

    Args:
        row: The row.
        interval: 95 % bootstrap interval of the mean of the ranked metric; None for one seed.
        first: How often the row is best if the seeds are resampled; None if it takes no part.
        test: Comparison with the best row; None for the best row and with fewer than 2 common
            seeds.
    """

    row: Row
    interval: tuple[float, float] | None
    first: float | None
    test: PairedTest | None


@dataclass(frozen=True)
class SeedStatistics:
    """The statistics of a comparison over seeds, about its ranked metric.

    Only rows without a diverged seed, and that were not dropped from a race over seeds, are tested
    and resampled: the means of the others are not comparable.

    Args:
        rows: The ranked rows, best first, at most 100.
        n_rows: Number of rows that are resampled; 0 if fewer than 2 share at least 2 seeds.
        n_seeds: Number of seeds that all of these have.
        n_tests: Number of pairs of rows with at least 2 common seeds, over which p-values are
            corrected.
        most_pairs: Number of common seeds of the pair of rows that has most of them.
        seed_tau: Mean of Kendall's τ-b between the orders of the rows by each two of these seeds,
            the first 20 at most; None if it is not defined.
        n_seed_pairs: Number of pairs of seeds of that mean.
    """

    rows: tuple[RowStatistics, ...]
    n_rows: int
    n_seeds: int
    n_tests: int
    most_pairs: int
    seed_tau: float | None
    n_seed_pairs: int

    @property
    def tests(self) -> list[PairedTest]:
        """The tests against the best row, in the order of the rows."""
        return [row.test for row in self.rows if row.test is not None]

    @property
    def smallest(self) -> float:
        """The smallest corrected p-value that a test can have."""
        return min(1.0, self.n_tests * smallest_p(self.most_pairs))

    @property
    def can_differ(self) -> bool:
        """Whether any test can have a corrected p-value of at most 5 %."""
        return self.n_tests > 0 and self.smallest <= ALPHA


def seed_statistics(
    ranking: Sequence[Row], comparable: Sequence[Row], metric: str, mode: str
) -> SeedStatistics:
    """Return the statistics of ranked rows over their seeds.

    All pairs of rows count as tests, although only those with the best row are reported: the best
    one was chosen among all by the same values, so each pair could have been tested.

    Args:
        ranking: The rows that have the ranked metric, best first.
        comparable: Those without a diverged seed, and that were not dropped from a race.
        metric: The ranked metric.
        mode: Whether the largest (``max``) or the smallest (``min``) is best.
    """
    ranking, sound = ranking[:MOST_ROWS], comparable[:MOST_ROWS]
    values = [_by_seed(row.statistics[metric]) for row in sound]
    pairs = {
        (one, two): _differences(values[one], values[two])
        for one, two in itertools.combinations(range(len(sound)), 2)
    }
    pairs = {places: found for places, found in pairs.items() if len(found) > 1}
    most = max(map(len, pairs.values()), default=0)
    tests = _tests(pairs, able=len(pairs) * smallest_p(most) <= ALPHA)
    common = sorted(set.intersection(*(set(own) for own in values))) if values else []
    resampled = len(sound) > 1 and len(common) > 1
    table = np.array([[own[seed] for seed in common] for own in values]) if resampled else None
    shares = None if table is None else first_shares(table, mode=mode)
    taus = [] if table is None else _seed_taus(table.T.tolist())
    places = {id(row): place for place, row in enumerate(sound)}

    def of_row(row: Row) -> RowStatistics:
        place = places.get(id(row))
        return RowStatistics(
            row=row,
            interval=bootstrap_interval(row.statistics[metric].values),
            first=None if shares is None or place is None else float(shares[place]),
            test=tests.get((0, place)) if place else None,
        )

    return SeedStatistics(
        rows=tuple(of_row(row) for row in ranking),
        n_rows=len(sound) if resampled else 0,
        n_seeds=len(common),
        n_tests=len(pairs),
        most_pairs=most,
        seed_tau=statistics.fmean(taus) if taus else None,
        n_seed_pairs=len(taus),
    )


def _by_seed(statistic: Statistic) -> dict[int, float]:
    """Return the values by seed; nothing if a seed has several."""
    own = dict(zip(statistic.seeds, statistic.values, strict=True))
    return own if len(own) == statistic.n else {}


def _differences(one: dict[int, float], two: dict[int, float]) -> list[float]:
    return [value - two[seed] for seed, value in one.items() if seed in two]


def _tests(
    pairs: dict[tuple[int, int], list[float]], *, able: bool
) -> dict[tuple[int, int], PairedTest]:
    """Return the tests against the best row, which is at place 0.

    Args:
        pairs: The differences of each pair of rows.
        able: Whether any test can be significant, so that the others are needed too.
    """
    p_values = {
        places: signed_rank_p(found) for places, found in pairs.items() if able or places[0] == 0
    }
    corrected = holm(list(p_values.values())) if able else [None] * len(p_values)
    return {
        places: PairedTest(
            n=len(pairs[places]),
            difference=statistics.fmean(pairs[places]),
            interval=bootstrap_interval(pairs[places]) or (math.nan, math.nan),
            p=p,
            corrected=own,
        )
        for (places, p), own in zip(p_values.items(), corrected, strict=True)
        if places[0] == 0
    }


def _seed_taus(by_seed: Sequence[Sequence[float]]) -> list[float]:
    """Return τ-b between the orders of the rows by each two seeds, where it is defined."""
    pairs = itertools.combinations(by_seed[:_MOST_SEEDS], 2)
    found = (kendall_tau(one, two) for one, two in pairs)
    return [tau for tau in found if tau is not None]
