"""The registry of operations: what can stand on an edge, by name."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from typing import Any, Literal, get_args

from torch import nn

from tune_nas.errors import ConfigError
from tune_nas.layers.normalization import Norm as Norm
from tune_nas.text import shown

Kind = Literal["skip", "pool", "convolution", "none", "noise"]
KINDS: tuple[str, ...] = get_args(Kind)

Build = Callable[[int, int, Norm], nn.Module]
"""Makes an operation from channels, stride (1 or 2) and batch normalisation."""

_OWN = re.compile(r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*:[A-Za-z_]\w*")
_BUILDERS: dict[str, Build] = {}
_KINDS: dict[str, str] = {}


def register_operation(name: str, *, kind: Kind) -> Callable[[Build], Build]:
    """Register the decorated function as the operation ``name``.

    The function takes ``(channels, stride, norm)`` and returns a module that maps
    ``(n, channels, h, w)`` to ``(n, channels, ceil(h / stride), ceil(w / stride))``, for n = 0 too:
    sizes are counted without images.

    Args:
        name: Name in YAML files and genotypes.
        kind: ``skip``, ``pool``, ``convolution`` (learnable), ``none`` (always zero) or ``noise``
            (drawn anew in each pass).

    Raises:
        ValueError: If the name is taken or the kind unknown.
    """
    if name in _BUILDERS:
        owner = getattr(_BUILDERS[name], "__module__", "a function")
        raise ValueError(f"operation '{name}' is registered already, by {owner}; choose another")
    if kind not in KINDS:
        raise ValueError(f"kind is '{kind}', but must be one of {', '.join(KINDS)}")

    def register(build: Build) -> Build:
        _BUILDERS[name] = build
        _KINDS[name] = kind
        return build

    return register


def is_own_operation(name: Any) -> bool:
    """Return whether a name is written ``module:function``, as an operation of a user's own."""
    return isinstance(name, str) and _OWN.fullmatch(name) is not None


def register_own(name: str, build: Build, *, learns: bool) -> None:
    """Register a function as the operation ``module:function``.

    Its kind is the one that it is registered with by `register_operation`; one that is not is a
    convolution if it has parameters.

    Args:
        name: ``module:function``.
        build: The function.
        learns: Whether it has parameters at stride 1.

    Raises:
        ConfigError: If its kind is not known.
    """
    kinds = [_KINDS[known] for known, other in _BUILDERS.items() if other is build]
    if not kinds and not learns:
        function = name.partition(":")[2]
        raise ConfigError(
            f"operation '{name}' has no parameters, so its kind must be given: decorate it with "
            f"@register_operation('{function}', kind=…), one of {', '.join(KINDS)}"
        )
    _BUILDERS[name], _KINDS[name] = build, kinds[0] if kinds else "convolution"


def operation_names() -> list[str]:
    """Return the sorted names of all registered operations."""
    return sorted(_BUILDERS)


def operation_kind(name: str) -> str:
    """Return ``skip``, ``pool``, ``convolution``, ``none`` or ``noise``.

    Raises:
        ConfigError: If there is no such operation, or it is one of a user's own whose space has not
            been loaded.
    """
    _check_loaded(name)
    return _KINDS[name]


def build_operation(name: str, channels: int, stride: int, norm: Norm) -> nn.Module:
    """Build an operation for ``channels`` channels.

    Raises:
        ConfigError: If there is no such operation, or it is one of a user's own whose space has not
            been loaded.
        ValueError: If the stride is neither 1 nor 2, or there are no channels.
    """
    _check_loaded(name)
    if channels < 1:
        raise ValueError(f"channels is {channels}, but must be >= 1")
    if stride not in (1, 2):
        raise ValueError(f"stride is {stride}, but must be 1 or 2")
    return _BUILDERS[name](channels, stride, norm)


def check_operation(name: str) -> None:
    """Raise a ConfigError that names the nearest operation if there is none of that name.

    An operation of a user's own may have any module and function: only its space imports it.
    """
    if name in _BUILDERS or is_own_operation(name):
        return
    near = difflib.get_close_matches(str(name), _BUILDERS, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(operation_names())}"
    raise ConfigError(f"unknown operation {shown(name)}{hint}")


def _check_loaded(name: str) -> None:
    check_operation(name)
    if name not in _BUILDERS:
        raise ConfigError(
            f"operation '{name}' is not loaded; give the space that has it (--space FILE)"
        )
