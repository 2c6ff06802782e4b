"""The modules that import Optuna, each imported when it is first used: a grid needs none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tune_nas.lazy import lazy_modules

if TYPE_CHECKING:
    from tune_nas.sweep import optuna_source, samplers
else:
    __getattr__ = lazy_modules(__name__, ("optuna_source", "samplers"))

__all__ = ("optuna_source", "samplers")
