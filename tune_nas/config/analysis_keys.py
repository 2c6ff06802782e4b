"""Which keys of a trial an analysis reads, as a command and among the probes of a search."""

from __future__ import annotations

from collections.abc import Mapping

from tune_nas import manifest
from tune_nas.config.analysis_config import READS_OF_KIND, READS_OF_PROBE
from tune_nas.config.effects import Reads, set_keys
from tune_nas.config.trial import TrialConfig
from tune_nas.errors import ConfigError

_ALWAYS = ("analysis.kind",)
_OF_KINDS = ("analysis.", "selection.perturbation.")


def check_analysis_keys(settings: Mapping[str, object], kind: str, reads: Reads) -> None:
    """Reject settings that an analysis of a kind does not read.

    Args:
        settings: Dotted keys with their values.
        kind: The kind.
        reads: Returns the keys that a custom kind declares; None for all.

    Raises:
        ConfigError: Names the key, the kind and the kinds that read the key.
    """
    known = READS_OF_KIND.get(kind)
    if known is None:
        declared = reads("analysis.kind", kind)
        if declared is None:
            return
        known = tuple(declared)
    for key, _ in set_keys(settings):
        of_kinds = key.startswith(_OF_KINDS)
        if of_kinds and not any(f"{key}.".startswith(f"{read}.") for read in (*_ALWAYS, *known)):
            others = [name for name, keys in READS_OF_KIND.items() if key in keys]
            needs = f"; it needs {' or '.join(others)}" if others else ""
            raise ConfigError(f"{key} is set, but has no effect on the analysis '{kind}'{needs}")


def read_by_probes(trial: TrialConfig, key: str, reads: Reads) -> bool:
    """Return whether a probe of a trial reads a key of the section ``analysis``.

    Args:
        trial: The trial.
        key: The dotted key.
        reads: Returns the keys that a custom probe declares; None for none.
    """
    for name in trial.probes:
        shipped = manifest.is_shipped("probes", name)
        read = READS_OF_PROBE.get(name, ()) if shipped else reads("probes", name) or ()
        if any(f"{key}.".startswith(f"{each}.") for each in read):
            return True
    return False
