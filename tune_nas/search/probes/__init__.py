"""Probes: they observe a search and add metrics and files, without changing its result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePath

from tune_nas.checkpoint import State
from tune_nas.errors import ConfigError
from tune_nas.search.metrics import Metrics, check_kept, make_numbers
from tune_nas.search.plugins import running_own_code
from tune_nas.search.probes.alpha_history import AlphaHistory
from tune_nas.search.probes.choice_history import ChoiceHistory
from tune_nas.search.probes.decisions import Decision, Decisions
from tune_nas.search.probes.entropies import Entropies
from tune_nas.search.probes.genotype_metrics import GenotypeMetrics
from tune_nas.search.probes.probe import Probe
from tune_nas.search.view import SearchView
from tune_nas.user_code import load_class

__all__ = [
    "AlphaHistory",
    "ChoiceHistory",
    "Decision",
    "Decisions",
    "Entropies",
    "GenotypeMetrics",
    "Probe",
    "load_probes",
    "make_probes",
    "observe",
    "probe_files",
]


def make_probes(search: SearchView) -> dict[str, Probe]:
    """Build the probes in ``probes`` of a trial, by name.

    Raises:
        ConfigError: If one does not fit the search, or cannot be imported.
    """
    probes: dict[str, Probe] = {}
    for name in dict.fromkeys(search.trial.probes):
        own: type[Probe] = load_class("probes", name, Probe)
        with running_own_code("probes", name):
            probes[name] = own(search)
    return probes


def observe(search: SearchView, probes: Iterable[Probe], metrics: Metrics) -> None:
    """Let probes observe an epoch and add to its metrics.

    Raises:
        ConfigError: If a metric is not a number, or another part reports one of the same name.
    """
    for probe in probes:
        found = {**metrics, **probe.after_epoch(search)}
        check_kept(metrics, found, probe)
        make_numbers(found, probe)
        metrics.update(found)


def probe_files(probes: Iterable[Probe], taken: Iterable[str] = ()) -> dict[str, str | bytes]:
    """Return the files of probes, by file name.

    Args:
        probes: The probes.
        taken: Names that are already used.

    Raises:
        ConfigError: If two parts write a file of the same name, or a name is not a plain one.
    """
    names, files = set(taken), dict[str, str | bytes]()
    for probe in probes:
        for name, content in probe.artifacts().items():
            kind = f"{type(probe).__module__}:{type(probe).__qualname__}"
            if name in names:
                raise ConfigError(
                    f"{kind} writes '{name}', but another part writes a file of that name"
                )
            if name in ("", ".", "..") or PurePath(name).name != name:
                raise ConfigError(f"{kind} writes '{name}', but must give a plain file name")
            names.add(name)
            files[name] = content
    return files


def load_probes(probes: Mapping[str, Probe], states: Sequence[tuple[str, State]]) -> None:
    """Restore the states of probes by name.

    A probe added since the checkpoint keeps its initial state.
    """
    saved = dict(states)
    for name, probe in probes.items():
        if name in saved:
            probe.load_state_dict(saved[name])
