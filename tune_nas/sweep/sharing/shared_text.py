"""What the trials of a sweep share, as sentences: before it starts, and in its report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from tune_nas.sweep.runs.record import Record
from tune_nas.text import listed, plural


def planned_line(taken: Sequence[int], epochs: int) -> str:
    """Return what the searches of a sweep would share; empty for nothing.

    Args:
        taken: Number of epochs of each search that another one runs for it.
        epochs: Number of epochs of all searches, with those.
    """
    counts = Counter(number for number in taken if number)
    if not counts:
        return ""
    of_each = [
        f"{count} {'search starts' if count == 1 else 'searches start'} from epoch {number} of "
        "another one"
        for number, count in sorted(counts.items())
    ]
    run = epochs - sum(taken)
    return f"shared: {run} of {epochs} search epochs run; {listed(of_each)}"


def shared_remarks(records: Iterable[Record]) -> list[str]:
    """Return a sentence on the epochs that trials took over from others; none for no epochs."""
    known = list(records)
    reported = sum(len(record.history) for record in known)
    run = sum(record.epochs_run for record in known)
    if run == reported:
        return []
    others = sum(record.taken > 0 for record in known)
    return [
        f"shared: {run} of {reported} epochs were run; {plural(others, 'trial')} took over the "
        "others from trials that were the same so far"
    ]
