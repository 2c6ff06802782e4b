"""The operations of edges by name: those of the manifest and custom ones."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Literal, NamedTuple, get_args

from torch import nn

from tune_nas import manifest
from tune_nas.errors import ConfigError
from tune_nas.layers.normalization import Norm as Norm
from tune_nas.text import shown
from tune_nas.user_code import load_named

Kind = Literal["skip", "pool", "convolution", "none", "noise"]
KINDS: tuple[str, ...] = get_args(Kind)

Build = Callable[[int, int, Norm], nn.Module]
"""Creates an operation, given channels, stride (1 or 2) and batch normalization."""


class Operation(NamedTuple):
    """An operation.

    Args:
        build: Creates it.
        kind: Its kind in metrics.
    """

    build: Build
    kind: Kind


_loaded: dict[str, Operation] = {}
_kinds: dict[Build, Kind] = {}  # of the built-in operations, by function


def of_kind(kind: Kind) -> Callable[[Build], Build]:
    """Return a decorator that sets the kind of a built-in operation; the manifest has its name."""

    def mark(build: Build) -> Build:
        _kinds[build] = kind
        return build

    return mark


def register_operation(name: str, *, kind: Kind) -> Callable[[Build], Build]:
    """Register the decorated function as the operation ``name`` in this process.

    The function takes ``(channels, stride, norm)`` and returns a module that maps
    ``(n, channels, h, w)`` to ``(n, channels, ceil(h / stride), ceil(w / stride))``, also for
    n = 0: sizes are counted without images.

    Args:
        name: Name in YAML files and genotypes.
        kind: ``skip``, ``pool``, ``convolution`` (learnable), ``none`` (always zero) or ``noise``
            (sampled again in each pass).

    Raises:
        ValueError: If the kind is unknown or another function has the name. The same function, by
            module and qualified name, replaces its earlier registration.
    """
    _check_free(name)
    if kind not in KINDS:
        raise ValueError(f"kind is '{kind}', but must be one of {', '.join(KINDS)}")

    def register(build: Build) -> Build:
        _check_free(name, build)
        manifest.register("operations", name, build)
        _loaded[name] = Operation(build, kind)
        return build

    return register


def is_own_operation(name: object) -> bool:
    """Return whether a name has the form ``module:function`` of a custom operation."""
    return manifest.is_reference(name)


def add_loaded(name: str, build: Build, *, learns: bool) -> None:
    """Register an imported function as an operation.

    Its kind is the one registered with `register_operation`; if unregistered, it is a convolution
    if it has parameters.

    Args:
        name: ``module:function``, or a name added by an installed package.
        build: The function.
        learns: Whether it has parameters at stride 1.

    Raises:
        ConfigError: If its kind is unknown.
    """
    kinds = [other.kind for other in _loaded.values() if other.build is build]
    if not kinds and not learns:
        function = name.partition(":")[2]
        raise ConfigError(
            f"operation '{name}' has no parameters, so its kind must be given: decorate it with "
            f"@register_operation('{function}', kind=…), one of {', '.join(KINDS)}"
        )
    _loaded[name] = Operation(build, kinds[0] if kinds else "convolution")


def is_loaded(name: str) -> bool:
    """Return whether an operation needs no import of custom code."""
    return name in _loaded or manifest.is_shipped("operations", name)


def operation_names() -> list[str]:
    """Return the sorted names of all operations, including loaded custom ones."""
    return sorted({*manifest.names("operations"), *_loaded})


def operation_kind(name: str) -> str:
    """Return ``skip``, ``pool``, ``convolution``, ``none`` or ``noise``.

    Raises:
        ConfigError: If no operation has this name, or it is a custom one whose space has not been
            loaded.
    """
    return _operation(name).kind


def build_operation(name: str, channels: int, stride: int, norm: Norm) -> nn.Module:
    """Build an operation for ``channels`` channels.

    Raises:
        ConfigError: If no operation has this name, or it is a custom one whose space has not been
            loaded.
        ValueError: If the stride is neither 1 nor 2, or there are no channels.
    """
    operation = _operation(name)
    if channels < 1:
        raise ValueError(f"channels is {channels}, but must be >= 1")
    if stride not in (1, 2):
        raise ValueError(f"stride is {stride}, but must be 1 or 2")
    return operation.build(channels, stride, norm)


def check_operation(name: str) -> None:
    """Raise a ConfigError that names the nearest operation if there is none of this name.

    A custom operation may have any module and function: only its space imports it.
    """
    if is_own_operation(name) or (isinstance(name, str) and manifest.is_known("operations", name)):
        return
    known = operation_names()
    near = difflib.get_close_matches(str(name), known, n=1)
    hint = f"; did you mean '{near[0]}'?" if near else f"; known: {', '.join(known)}"
    raise ConfigError(f"unknown operation {shown(name)}{hint}")


def _operation(name: str) -> Operation:
    if name in _loaded:
        return _loaded[name]
    check_operation(name)
    if not is_loaded(name):
        raise ConfigError(
            f"operation '{name}' is not loaded; give the space that has it (`space.name` FILE)"
        )
    build: Build = load_named("operations", name)
    return _loaded.setdefault(name, Operation(build, _kinds[build]))


def _check_free(name: str, build: Build | None = None) -> None:
    owner = manifest.owner("operations", name, build)
    if owner is not None:
        raise ValueError(f"operation '{name}' is registered already, by {owner}; choose another")
