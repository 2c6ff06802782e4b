"""The registry of operations: what can stand on an edge, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Literal, get_args

from torch import nn

from tune_nas.errors import ConfigError
from tune_nas.text import shown

Kind = Literal["skip", "pool", "convolution", "none", "noise"]
KINDS: tuple[str, ...] = get_args(Kind)

Norm = Callable[[int], nn.Module]
"""Makes the batch normalisation for a number of channels, as the network at hand has it."""

Build = Callable[[int, int, Norm], nn.Module]
"""Makes an operation from channels, stride (1 or 2) and batch normalisation."""

_BUILDERS: dict[str, Build] = {}
_KINDS: dict[str, str] = {}


def register_operation(name: str, *, kind: Kind) -> Callable[[Build], Build]:
    """Register the decorated function as the operation ``name``.

    The function takes ``(channels, stride, norm)`` and returns a module that maps
    ``(n, channels, h, w)`` to ``(n, channels, ceil(h / stride), ceil(w / stride))``.

    Args:
        name: Name in YAML files and genotypes.
        kind: ``skip``, ``pool``, ``convolution`` (learnable), ``none`` (always zero) or ``noise``
            (drawn anew in each pass).

    Raises:
        ValueError: If the name is taken or the kind unknown.
    """
    if name in _BUILDERS:
        raise ValueError(f"operation '{name}' is registered already")
    if kind not in KINDS:
        raise ValueError(f"kind is '{kind}', but must be one of {', '.join(KINDS)}")

    def register(build: Build) -> Build:
        _BUILDERS[name] = build
        _KINDS[name] = kind
        return build

    return register


def operation_names() -> list[str]:
    """Return the sorted names of all registered operations."""
    return sorted(_BUILDERS)


def operation_kind(name: str) -> str:
    """Return ``skip``, ``pool``, ``convolution``, ``none`` or ``noise``.

    Raises:
        ConfigError: If there is no such operation.
    """
    check_operation(name)
    return _KINDS[name]


def build_operation(name: str, channels: int, stride: int, norm: Norm) -> nn.Module:
    """Build an operation for ``channels`` channels.

    Raises:
        ConfigError: If there is no such operation.
        ValueError: If the stride is neither 1 nor 2, or there are no channels.
    """
    check_operation(name)
    if channels < 1:
        raise ValueError(f"channels is {channels}, but must be >= 1")
    if stride not in (1, 2):
        raise ValueError(f"stride is {stride}, but must be 1 or 2")
    return _BUILDERS[name](channels, stride, norm)


def check_operation(name: str) -> None:
    """Raise a ConfigError that names the nearest operation if there is none of that name."""
    if name in _BUILDERS:
        return
    near = difflib.get_close_matches(str(name), _BUILDERS, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(operation_names())}"
    raise ConfigError(f"unknown operation {shown(name)}{hint}")
