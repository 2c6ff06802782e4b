"""The retraining runs of the best genotype of each model size, as a table.

As Fig. 3c of He et al., "MiLeNAS", CVPR 2020: test accuracy by number of convolutions.
"""

from __future__ import annotations

from tune_nas.report.columns import TextTable
from tune_nas.report.comparison import Comparison
from tune_nas.report.labels import (
    CONVOLUTIONS,
    RETRAIN,
    SETTING,
    SweptValue,
    axis_label,
    metric_name,
    order_key,
    value_label,
)
from tune_nas.report.results import TrialResult
from tune_nas.report.rows import configuration_of, has_diverged, statistic_of

SIZE_TITLE = "Retraining by model size"


def size_table(comparison: Comparison) -> TextTable | None:
    """Return the test accuracy of each size, the smallest first; None without such runs.

    A line has the swept values of the search that found the genotype, and the runs that ended and
    did not diverge.
    """
    runs = [result for result in comparison.results if CONVOLUTIONS in result.parameters]
    keys = [key for key in (SETTING,) if any(key in run.parameters for run in runs)]
    keys += [CONVOLUTIONS, *comparison.axes]
    groups: dict[tuple[SweptValue, ...], list[TrialResult]] = {}
    for run in runs:
        groups.setdefault(configuration_of(keys, run.parameters), []).append(run)
    name = metric_name(RETRAIN)
    lines = []
    for values, own in sorted(
        groups.items(), key=lambda group: [order_key(value) for value in group[0]]
    ):
        ended = [r for r in own if r.status == "finished" and not has_diverged(r, RETRAIN)]
        accuracy = statistic_of(ended, "test_accuracy")
        cells = ("0", "–") if accuracy is None else (str(accuracy.n), accuracy.text(name))
        lines.append([*map(value_label, values), *cells])
    header = [*map(axis_label, keys), "n", name.title]
    return TextTable(header, lines, len(keys), None, counts_diverged=False) if lines else None
