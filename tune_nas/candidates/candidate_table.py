"""The table of a search's candidates: ``candidates.csv``."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence

from tune_nas.strategies import Standing


def candidate_table(
    ranking: Sequence[Standing], spent: Mapping[int, int], levels: Iterable[int]
) -> str:
    """Return the candidates with a result as CSV, the best first.

    The columns are ``rank`` (from 1), ``candidate`` (its number), ``genotype``, ``epochs`` (of
    training), ``valid_accuracy`` (in percent, after them; empty if its training failed),
    ``spent_epochs`` (of all candidates, when this was known), and ``accuracy_E`` for each number of
    epochs E after which some candidate was evaluated.

    Args:
        ranking: The candidates.
        spent: Epochs of the search when the last result of each candidate was known.
        levels: Epochs of the levels, which are among the E.
    """
    at = sorted({*levels, *(epochs for each in ranking for epochs in each.accuracies)})
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    head = ["rank", "candidate", "genotype", "epochs", "valid_accuracy", "spent_epochs"]
    writer.writerow([*head, *(f"accuracy_{epochs}" for epochs in at)])
    for rank, standing in enumerate(ranking, 1):
        writer.writerow(
            [
                rank,
                standing.candidate,
                str(standing.genotype),
                standing.trained,
                _percent(standing.accuracy),
                spent[standing.candidate],
                *(_percent(standing.accuracies.get(epochs, -math.inf)) for epochs in at),
            ]
        )
    return buffer.getvalue()


def _percent(accuracy: float) -> str:
    return f"{accuracy:.4f}" if math.isfinite(accuracy) else ""
