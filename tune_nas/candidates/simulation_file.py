"""The file of finished simulations, a line each, by which an interrupted command is continued."""

from __future__ import annotations

import json
from pathlib import Path

from tune_nas.candidates.proxy_of_trial import proxy_name
from tune_nas.candidates.search_curve import SearchCurve
from tune_nas.candidates.simulation_runs import Simulation
from tune_nas.config import TrialConfig
from tune_nas.config.decides import Decides
from tune_nas.config.deciding import decided_by
from tune_nas.errors import ConfigError
from tune_nas.json_text import encode
from tune_nas.text import brief

_READ_BY_PROXIES = (
    *("seed", "data.", "runtime.dtype"),
    *("retrain.skeleton", "retrain.init_channels", "retrain.cells"),
)
"""Keys, or their beginnings, on which the scores of training-free proxies may depend."""


class SimulationFile:
    """A file of JSON lines; each is a finished search with its settings and its curve.

    Args:
        path: The file; created with the first line.
        table: Digest of the benchmark's table (`TrainingTable.digest`).

    Raises:
        ConfigError: If a line of the file is not a finished search.
    """

    def __init__(self, path: Path, table: str) -> None:
        self.path, self.table = path, table
        self._lines: dict[tuple[str, int], tuple[dict[str, object], SearchCurve]] = {}
        if not path.exists():
            return
        content = path.read_bytes()
        complete = content[: content.rfind(b"\n") + 1]
        for number, line in enumerate(complete.splitlines(), 1):
            try:
                found = json.loads(line)
                curve = SearchCurve.from_dict(found["curve"])
                self._lines[found["trial"], found["seed"]] = (dict(found["settings"]), curve)
            except (KeyError, TypeError, ValueError) as error:
                raise ConfigError(
                    f"{path}, line {number}, is not a simulated search; name another file"
                ) from error
        if len(complete) < len(content):  # the last write was cut off
            with path.open("r+b") as stream:
                stream.truncate(len(complete))

    def curve(self, simulation: Simulation) -> SearchCurve | None:
        """Return the curve of a search; None if it has not finished.

        Raises:
            ConfigError: If the file has it with other settings.
        """
        settings, curve = self._lines.get((simulation.label, simulation.seed), ({}, None))
        if curve is None:
            return None
        for key, value in self._settings(simulation).items():
            if settings.get(key) != value:
                raise ConfigError(
                    f"{self.path} has '{brief(simulation.label)}' with {key} "
                    f"{brief(json.dumps(settings.get(key)))}, not {brief(json.dumps(value))}; "
                    "name another file"
                )
        return curve

    def append(self, simulation: Simulation, curve: SearchCurve) -> None:
        """Add a finished search.

        Raises:
            OSError: If it cannot be written.
        """
        line = {
            "trial": simulation.label,
            "seed": simulation.seed,
            "settings": self._settings(simulation),
            "curve": curve.to_dict(),
        }
        with self.path.open("ab") as stream:
            stream.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")

    def _settings(self, simulation: Simulation) -> dict[str, object]:
        trial = simulation.trial.to_dict()
        settings = {
            **_flat("strategy", trial["strategy"]),
            "space.name": simulation.trial.space.name,
            **_of_proxy(simulation.trial),
            "data": simulation.data,
            "workers": simulation.workers,
            "table": self.table,
        }
        return {key: encode(value) for key, value in settings.items()}


def _of_proxy(trial: TrialConfig) -> dict[str, object]:
    """Return the keys on which the scores of a trial's proxy depend: its network and images."""
    if proxy_name(trial) is None:
        return {}
    decided = decided_by(trial, Decides.SEARCH | Decides.RETRAIN)
    return {key: value for key, value in decided.items() if key.startswith(_READ_BY_PROXIES)}


def _flat(prefix: str, content: object) -> dict[str, object]:
    """Return the dotted keys of nested mappings."""
    if not isinstance(content, dict) or not content:
        return {prefix: content}
    return {
        key: value
        for name, entry in content.items()
        for key, value in _flat(f"{prefix}.{name}", entry).items()
    }
