"""What a result may depend on besides its trial: versions, the device, the processor's kernels."""

from __future__ import annotations

import sys
from functools import cache
from importlib import metadata

from tune_nas.config import TrialConfig
from tune_nas.version import __version__

RESULTS_VERSION = 2
"""To be raised with any change after which a trial may have other results than before."""


def made_with(trial: TrialConfig) -> str:
    """Return what the results of a trial depend on in this process, besides the trial, as text.

    Imports no torch: a process without it only drives others, whose device is not known here, or
    its task needs none. One that drives workers on GPUs has none itself.
    """
    torch = sys.modules.get("torch")
    runtime = trial.runtime
    wants_gpu = runtime.device.startswith("cuda")
    if torch is None or (wants_gpu and not torch.cuda.is_available()):
        where = f"{runtime.device} in another process"
    else:
        on_gpu = wants_gpu or (runtime.device == "auto" and torch.cuda.is_available())
        cpu = torch.backends.cpu.get_cpu_capability()
        where = torch.cuda.get_device_name() if on_gpu else f"{cpu}, {torch.get_num_threads()}"
    return f"{__version__} {RESULTS_VERSION}, torch {_version('torch')}, {where}"


@cache  # it reads and parses a file, and is asked for with every trial
def _version(package: str) -> str:
    return metadata.version(package)
