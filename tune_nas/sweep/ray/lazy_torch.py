"""The modules that import torch, each imported when it is first used.

The process of a trial whose task needs no torch starts in about half the time without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.lazy import lazy_modules

if TYPE_CHECKING:
    from tune_nas.sweep.ray import process_group
else:
    __getattr__ = lazy_modules(__name__, ("process_group",))

__all__ = ("process_group",)
