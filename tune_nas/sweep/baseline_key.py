"""The combination of swept values that a report compares all others with: ``baseline``."""

from __future__ import annotations

from collections.abc import Mapping

from tune_nas.sweep.equal_values import equal
from tune_nas.sweep.parameters import Parameter
from tune_nas.text import listed, plain_text


def baseline_of(
    parameters: Mapping[str, Parameter], baseline: Mapping[str, object], where: str = "baseline"
) -> dict[str, object]:
    """Return a baseline with its values as the sweep lists them.

    Args:
        parameters: The swept keys.
        baseline: The value of each of them; only a key with conditions may be absent.
        where: What gives the baseline, for messages.

    Raises:
        ValueError: If it is not one of the combinations of the sweep, or has a mapping: the values
            in a report then have keys that the sweep does not list.
    """
    found = {}
    for key, value in baseline.items():
        swept = parameters.get(key)
        if swept is None:
            names = f"varies {listed(list(parameters))}" if parameters else "varies nothing"
            raise ValueError(f"{where} has '{key}', but the sweep {names}")
        if swept.is_range:
            raise ValueError(f"{where} has '{key}', which is a range; it needs listed values")
        same = [each for each in swept.values if equal(each, value)]
        if not same or isinstance(value, Mapping):
            values = [plain_text(each) for each in swept.values if not isinstance(each, Mapping)]
            raise ValueError(
                f"{where}: {key} is {plain_text(value)}, but must be one of {', '.join(values)}"
            )
        found[key] = same[0]
    missing = [key for key, swept in parameters.items() if key not in found and not swept.when]
    if missing:
        raise ValueError(f"{where} lacks {listed(missing)}; give the value of every swept key")
    return found
