"""Doing without torch's compiler, whose import takes longer than an epoch on small images.

torch imports it in every process that switches deterministic algorithms on or steps an optimizer,
although neither needs it: the first sets a flag of the compiler, and an optimizer tells it what not
to compile.
"""

from __future__ import annotations

import inspect
import os
import sys
from typing import TypeVar

import torch

Kind = TypeVar("Kind", bound=type[torch.optim.Optimizer])

_FLAG = "TORCHINDUCTOR_DETERMINISTIC"
_METHODS = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


def set_deterministic(on: bool, *, warn_only: bool) -> None:
    """Switch deterministic algorithms as `torch.use_deterministic_algorithms` does.

    A compiler that is not imported yet reads its flag from the environment when it is.
    """
    if "torch._inductor.config" in sys.modules:
        torch.use_deterministic_algorithms(on, warn_only=warn_only)
    elif on:
        os.environ[_FLAG] = "1"
    else:
        os.environ.pop(_FLAG, None)
    torch.set_deterministic_debug_mode("default" if not on else "warn" if warn_only else "error")


def without_compiler(kind: Kind) -> Kind:
    """Let a class of optimizers compute the same without importing the compiler.

    Its methods become those that torch wraps: they must not be part of a compiled function.
    """
    for name in _METHODS:
        setattr(kind, name, inspect.unwrap(getattr(kind, name)))
    kind.step = torch.no_grad()(inspect.unwrap(kind.step))  # type: ignore[method-assign]
    return kind
