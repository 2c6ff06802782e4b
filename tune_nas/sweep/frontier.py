"""The genotypes of all searches that are worth retraining: the Pareto front, the best of each size.

The best of each size: He et al., "MiLeNAS", CVPR 2020, Sec. 4.3, the model-size frontier.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tune_nas.pareto import pareto_front
from tune_nas.report.labels import CONVOLUTIONS
from tune_nas.report.objectives import meets_all
from tune_nas.report.rows import has_diverged
from tune_nas.status import Status
from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.objective_values import is_feasible, values_of
from tune_nas.sweep.runs.checkpoints import newest_artifacts
from tune_nas.sweep.runs.record import Record
from tune_nas.sweep.sweep_objectives import constraints_of, frontier_objectives
from tune_nas.yaml_text import parse_yaml

BEST_BY_SIZE = "best_by_size.yaml"


@dataclass(frozen=True)
class Winner:
    """A genotype to be retrained.

    Args:
        record: The search that found it.
        genotype: The genotype as text.
        parameters: Values that distinguish its retraining run, in addition to those of the search.
    """

    record: Record
    genotype: str
    parameters: Mapping[str, object] = field(default_factory=dict)

    @classmethod
    def of(cls, record: Record) -> Winner:
        """Return the last genotype of a search, which has one."""
        assert record.genotype is not None  # others are not chosen
        return cls(record, record.genotype)


def frontier(sweep: SweepConfig, records: Iterable[Record]) -> list[Record]:
    """Return the non-dominated ones of the searches that ran to their end, the best one first.

    The objectives are those of the sweep; if it has one, the number of parameters is the second.
    Searches that diverged or violate a constraint are left out, and so are all but the first of
    those that found the same genotype with the same values.
    """
    objectives = frontier_objectives(sweep)
    points: dict[tuple[str | None, tuple[float, ...]], Record] = {}
    for record in records:
        point = values_of(objectives, record)
        if point is not None and record.genotype is not None and _counts(sweep, record):
            points.setdefault((record.genotype, point), record)
    found = list(points.items())
    modes = [objective.mode for objective in objectives]
    front = [found[index] for index in pareto_front([point for (_, point), _ in found], modes)]
    front.sort(key=lambda entry: entry[0][1][0], reverse=modes[0] == "max")
    return [record for _, record in front]


def _counts(sweep: SweepConfig, record: Record) -> bool:
    """Return whether a search ran to its end, did not diverge and meets the constraints."""
    if record.status is not Status.FINISHED or has_diverged(record.result(), sweep.search_metric):
        return False
    return is_feasible(sweep, record)


def best_of_sizes(sweep: SweepConfig, records: Iterable[Record]) -> list[Winner]:
    """Return, for each number of convolutions, the best genotype of all epochs of all searches.

    Best means the highest validation accuracy of the supernet in that epoch; equal ones are in the
    order of the records. Searches that were stopped early count too; those that failed or diverged
    do not, nor do genotypes that violate a constraint in their epoch.
    """
    best: dict[int, tuple[float, Record, Mapping[str, Any]]] = {}
    for record in records:
        ended = record.status in (Status.FINISHED, Status.STOPPED)
        if not ended or has_diverged(record.result(), sweep.search_metric):
            continue
        for size, entry in _entries(record):
            accuracy = float(entry["valid_accuracy"])
            known = best[size][0] if size in best else -math.inf
            if accuracy > known and _was_feasible(sweep, record, int(entry["epoch"])):
                best[size] = (accuracy, record, entry)
    return [
        Winner(record, _as_yaml(entry), {CONVOLUTIONS: size})
        for size, (_, record, entry) in sorted(best.items())
    ]


def _entries(record: Record) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield the best genotype of each size of a search, from its newest checkpoint."""
    content = newest_artifacts(record.folders).get(BEST_BY_SIZE)
    if content is None:
        return
    for size, entry in parse_yaml(content.decode("utf-8")).items():
        yield int(size), entry


def _was_feasible(sweep: SweepConfig, record: Record, epoch: int) -> bool:
    """Return whether the genotype of an epoch meets the constraints."""
    by_epoch = {int(metrics["epoch"]): metrics for metrics in record.history}
    return meets_all(constraints_of(sweep), by_epoch.get(epoch, {}).get)


def _as_yaml(entry: Mapping[str, Any]) -> str:
    """Return the genotype of an entry with its space, which its short notation does not name."""
    from tune_nas.spaces import Genotype  # needs torch, which no other sweep does here

    return Genotype.parse(entry["genotype"], space=entry["space"]).to_yaml()
