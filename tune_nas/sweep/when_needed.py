"""Modules that import torch or Ray, each imported when it is first used.

The checks before them need neither, so that bad input is rejected at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.lazy import lazy_modules

__all__ = ["local_execution", "on_ray", "preflight", "process_state", "session"]

if TYPE_CHECKING:
    from tune_nas.sweep import local_execution, on_ray, preflight, process_state, session
else:
    __getattr__ = lazy_modules(__name__, __all__)
