"""The combination of swept values that a report compares all others with: ``baseline``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tune_nas.report import TrialResult
from tune_nas.sweep.equal_values import equal, has_mapping
from tune_nas.sweep.parameters import Fixed, Parameter
from tune_nas.text import brief, listed, plain_text


def baseline_of(
    parameters: Mapping[str, Parameter],
    baseline: Mapping[str, object],
    where: str = "baseline",
    *,
    fixed: Fixed | None = None,
) -> dict[str, object]:
    """Return a baseline with its values as the sweep lists them.

    Args:
        parameters: The swept keys.
        baseline: The value of each of them that is swept beside the others.
        where: What gives the baseline, for messages.
        fixed: As for `tune_nas.sweep.parameters.combinations`; None does not check conditions.

    Raises:
        ValueError: If it is not one of the combinations of the sweep, or has a mapping: trials
            report it with the keys that the sweep leaves out.
    """
    found = {}
    for key, value in baseline.items():
        swept = parameters.get(key)
        if swept is None:
            names = f"varies {listed(list(parameters))}" if parameters else "varies nothing"
            raise ValueError(f"{where} has '{key}', but the sweep {names}")
        if swept.is_range or has_mapping(value):
            kind = "a range" if swept.is_range else "a mapping"
            raise ValueError(f"{where} has '{key}', {kind}; it needs listed numbers or texts")
        same = [each for each in swept.values if equal(each, value)]
        if not same:
            values = brief(", ".join(map(plain_text, swept.values)))
            raise ValueError(f"{where}: {key} is {plain_text(value)}, but must be one of {values}")
        found[key] = same[0]
    chosen = found if fixed is None else {**fixed(found), **found}
    missing = []
    for key, swept in parameters.items():
        if swept.when and fixed is None:
            continue
        active = swept.active(chosen)
        if key in found and not active:
            when = ", ".join(f"{other}: {plain_text(value)}" for other, value in swept.when.items())
            raise ValueError(f"{where} has '{key}', which is swept only with (when) {when}")
        if active and key not in found:
            missing.append(key)
    if missing:
        raise ValueError(f"{where} lacks {listed(missing)}; give the value of every swept key")
    return found


def reported_baseline(
    baseline: Mapping[str, object], axes: Iterable[str], results: Iterable[TrialResult]
) -> dict[str, object]:
    """Return a baseline with the values that its trials report; its own while it has none.

    Args:
        baseline: From `baseline_of`.
        axes: The swept keys.
        results: The trials of the sweep.
    """
    own = {axis: baseline.get(axis) for axis in axes}
    for result in results:
        values = {axis: result.parameters.get(axis) for axis in own}
        if all(equal(values[axis], value) for axis, value in own.items()):
            return values
    return own
