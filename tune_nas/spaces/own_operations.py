"""Custom operations, named ``module:function`` in a space's file."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import nn

from tune_nas import manifest
from tune_nas.errors import ConfigError
from tune_nas.seeds import building
from tune_nas.spaces.operation_registry import Build, add_loaded, is_loaded, is_own_operation
from tune_nas.user_code import load_named, said

_KEY = "operations"
_IMAGES = (2, 0)  # an empty batch is used to count multiply-adds
_PROBE = (16, 7, 5)  # channels, height, width; odd sides test the rounding of stride 2


def load_operations(content: Mapping[str, object], folder: Path) -> None:
    """Import every custom operation in the content of a space's file.

    Genotypes also name operations but import none, since they may be untrusted.

    Args:
        content: The content of the file, not yet validated.
        folder: The file's folder, searched first for modules.

    Raises:
        ConfigError: If one cannot be imported, or is not an operation.
    """
    cells = content.get("cells")
    for cell in cells.values() if isinstance(cells, Mapping) else ():
        if isinstance(cell, Mapping):
            for name in dict.fromkeys(_names(cell.get(_KEY))):
                load_operation(name, [folder])


def load_operation(name: str, folders: Sequence[Path] = ()) -> None:
    """Import an operation named ``module:function`` or added by an installed package.

    Args:
        name: The name; a known one is not added again.
        folders: Folders searched first for the module.

    Raises:
        ConfigError: If it cannot be imported, or violates the requirements of `register_operation`.
    """
    if is_loaded(name) and not is_own_operation(name):
        return
    build = load_named(_KEY, name, folders)
    if is_loaded(name):
        return
    if not callable(build):
        raise ConfigError(f"{_KEY} has '{name}', but it must be a function that returns a module")
    learns = _probe(name, build)
    add_loaded(name, build, learns=learns)


def _probe(name: str, build: Build) -> bool:
    """Build an operation, check its shapes, and return whether it has parameters at stride 1."""
    channels, height, width = _PROBE
    learns = False
    for images, stride in itertools.product(_IMAGES, (1, 2)):
        given = (images, *_PROBE)
        at = f"{_KEY} has '{name}', which at stride {stride}"
        try:
            with building(0), torch.no_grad():
                module = build(channels, stride, nn.BatchNorm2d).eval()
                shape = tuple(module(torch.zeros(given)).shape)
        except (Exception, SystemExit) as error:
            raise ConfigError(f"{at} fails for a tensor of shape {given}: {said(error)}") from error
        expected = (images, channels, -(-height // stride), -(-width // stride))
        if shape != expected:
            raise ConfigError(f"{at} maps shape {given} to {shape}, but must map it to {expected}")
        if stride == 1:
            learns = any(True for _ in module.parameters())
    return learns


def _names(operations: object) -> Iterator[str]:
    """Yield the custom operations in a list, or in the lists of a mapping from edges."""
    if isinstance(operations, Mapping):
        for names in operations.values():
            yield from _names(names)
    elif isinstance(operations, list):
        yield from (name for name in operations if is_imported(name))


def is_imported(name: object) -> bool:
    """Return whether an operation must be imported: a custom one or one added by a package."""
    own = is_own_operation(name)
    return own or (isinstance(name, str) and manifest.is_added("operations", name))
