"""Carry w over to a supernet whose operations have more channels.

Chen, Goodfellow, Shlens, "Net2Net: Accelerating Learning via Knowledge Transfer", ICLR 2016, Sec.
2.2 (Net2WiderNet), as DrNAS (arXiv:2006.10355) uses it when K shrinks: the first channels of an
operation are the previous ones; each further one is a copy of a randomly chosen one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tune_nas.layers.primitives import FactorizedReduce
from tune_nas.spaces.mixed_cell import MixedCell


@dataclass(frozen=True)
class Origin:
    """The origin of the entries of a wider tensor.

    Args:
        rows: For each index along the first dimension, the index in the narrow tensor; None for
            all.
        columns: Likewise along the second dimension.
    """

    rows: Tensor | None = None
    columns: Tensor | None = None

    def copied(self, narrow: Tensor) -> Tensor:
        """Return the wider tensor as copies of the narrow one's entries."""
        for dimension, places in enumerate((self.rows, self.columns)):
            if places is not None:
                narrow = narrow.index_select(dimension, places.to(narrow.device))
        return narrow

    def shared(self, narrow: Tensor) -> Tensor:
        """Return the copies, those of an input channel divided by their number.

        An operation then maps copies of its input channels to copies of its output channels. (The
        published code of DrNAS does not divide.)
        """
        wide = self.copied(narrow)
        if self.columns is None:
            return wide
        counts = self.columns.bincount()[self.columns].to(wide.device, wide.dtype)
        return wide / counts.reshape(1, -1, *[1] * (wide.dim() - 2))


def widen(old: nn.Module, new: nn.Module, generator: torch.Generator) -> dict[str, Origin]:
    """Initialize a wider supernet with the weights and running statistics of a narrow one.

    Args:
        old: The narrow supernet.
        new: The wider one, with the same cells and operations; modified in place.
        generator: CPU generator that chooses the channels to copy.

    Returns:
        For each wider tensor of the new state, the origin of its entries.
    """
    origins: dict[str, Origin] = {}
    for path, module in new.named_modules():
        if isinstance(module, MixedCell):
            for row in range(len(module.edges)):
                for column, operation in enumerate(module.operations_of(row)):
                    name = f"{path}.edges.{row}.{column}"
                    found = _origins(old.get_submodule(name), operation, generator)
                    origins |= {f"{name}.{key}": origin for key, origin in found.items()}
    with torch.no_grad():
        narrow = old.state_dict()
        for name, tensor in new.state_dict().items():
            tensor.copy_(origins[name].shared(narrow[name]) if name in origins else narrow[name])
    return origins


def momenta_of(supernet: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor | None]:
    """Return the momentum of each weight of a supernet; None if it has none yet."""
    return {
        name: optimizer.state[parameter].get("momentum_buffer")
        for name, parameter in supernet.named_parameters()
    }


def widen_momenta(
    momenta: Mapping[str, Tensor | None],
    supernet: nn.Module,
    optimizer: torch.optim.Optimizer,
    origins: Mapping[str, Origin],
) -> None:
    """Initialize the momentum of a widened supernet's optimizer with that of the narrow one.

    Args:
        momenta: The momentum of the narrow supernet, by name.
        supernet: The wider supernet.
        optimizer: The optimizer of its weights.
        origins: As returned by `widen`.
    """
    for name, parameter in supernet.named_parameters():
        momentum = momenta[name]
        if momentum is not None:
            wide = origins[name].copied(momentum) if name in origins else momentum
            optimizer.state[parameter]["momentum_buffer"] = wide.clone()


def _origins(old: nn.Module, new: nn.Module, generator: torch.Generator) -> dict[str, Origin]:
    """Return the origins of one operation's wider tensors: the same for equal widths."""
    drawn: dict[tuple[int, int], Tensor] = {}

    def places(before: int, now: int) -> Tensor | None:
        if before == now:
            return None
        if (before, now) not in drawn:
            further = torch.randint(before, (now - before,), generator=generator)
            drawn[before, now] = torch.cat([torch.arange(before), further])
        return drawn[before, now]

    narrow = old.state_dict()
    origins: dict[str, Origin] = {}
    for name, tensor in new.state_dict().items():
        before, now = narrow[name].shape[:2], tensor.shape[:2]
        if before != now:
            origins[name] = Origin(*(places(*pair) for pair in zip(before, now, strict=True)))
    for path, module in new.named_modules():
        if isinstance(module, FactorizedReduce):
            _join_halves(f"{path}." if path else "", narrow, origins)
    return origins


def _join_halves(prefix: str, narrow: Mapping[str, Tensor], origins: dict[str, Origin]) -> None:
    """Derive the origins of a factorized reduction's normalization from its two convolutions."""
    halves, start = [], 0
    for half in ("straight", "shifted"):
        name = f"{prefix}{half}.weight"
        width = narrow[name].shape[0]
        rows = origins[name].rows if name in origins else None
        halves.append(start + (torch.arange(width) if rows is None else rows))
        start += width
    for name in origins:
        if name.startswith(f"{prefix}norm."):
            origins[name] = Origin(torch.cat(halves))
