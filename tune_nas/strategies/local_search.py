"""Local search: all neighbors of the best candidate are trained, and the best of them follows."""

from __future__ import annotations

from tune_nas.spaces import Genotype
from tune_nas.strategies.strategy import Request, Standing, Strategy, StrategyInputs


class LocalSearch(Strategy):
    """Local search (White et al. 2021, arXiv:2005.02960, Algorithm 1), with restarts.

    The search starts at the best of ``start`` random candidates. All neighbors (one edge changes
    its operation or its source) are trained, in random order, and the search moves to the best of
    them, until no neighbor is more accurate. While budget is left, it then starts again from new
    random candidates, as in the authors' code.

    The authors' code can also move to the first better neighbor (``query_full_nbhd``, off by
    default); this is the algorithm of the paper. A neighbor that an earlier candidate computes is
    not trained again: its known accuracy counts (in the authors' code it is left out). Ties go to
    the earlier candidate.
    """

    order_free = True

    def __init__(self, inputs: StrategyInputs) -> None:
        super().__init__(inputs)
        self._first = 0  # number of the first of the random candidates of this start
        self._center: Standing | None = None  # None while these are trained
        self._neighbors: list[Genotype] = []
        self._next = 0  # position of the next neighbor

    def propose(self) -> Request | None:
        """Return the job of a random candidate, or of a neighbor of the best one."""
        if self._center is None:
            request = self._start()
            if request is not None or self._center is None:
                return request
        while (request := self._neighbor()) is None and not self.pending:
            found = [self.find(neighbor) for neighbor in self._neighbors]
            nearest = _best([standing for standing in found if standing is not None])
            if nearest is None or nearest.accuracy <= self._center.accuracy:
                self._center, self._first = None, len(self.standings)
                return self.propose()
            self._move(nearest)
        return request

    def _start(self) -> Request | None:
        """Return the job of the next random candidate; None if all are asked for."""
        if len(self.standings) - self._first < self.config.local_search.start:
            genotype = self.sample_new(self.rng(f"candidate {len(self.standings)}"))
            if genotype is not None:
                return self.new(genotype, self.config.levels[-1])
        if self.pending or self._first == len(self.standings):
            return None
        found = _best(self.standings[self._first :])
        if found is None:
            self._first = len(self.standings)
            return self._start()
        self._move(found)
        return None

    def _move(self, center: Standing) -> None:
        self._center, self._next = center, 0
        self._neighbors = list(self.architectures.neighbors(center.genotype))
        self.rng(f"neighbors of candidate {center.candidate}").shuffle(self._neighbors)

    def _neighbor(self) -> Request | None:
        """Return the job of the next new neighbor; None if all are asked for."""
        while self._next < len(self._neighbors):
            neighbor = self._neighbors[self._next]
            self._next += 1
            if self.is_new(neighbor):
                return self.new(neighbor, self.config.levels[-1])
        return None


def _best(standings: list[Standing]) -> Standing | None:
    """Return the most accurate candidate whose training did not fail."""
    trained = [standing for standing in standings if not standing.failed]
    return min(trained, key=lambda s: (-s.accuracy, s.candidate), default=None)
