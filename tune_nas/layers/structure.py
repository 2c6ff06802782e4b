"""The structure of an operation, used by faster implementations of a cell to share and fuse work.

The builders of `primitives` return modules that declare it. Other modules are opaque. Only a custom
``nn.Sequential`` is read layer by layer, once, when a cell is created.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import Tensor, nn

from tune_nas.layers.normalization import is_plain_norm

Pool = nn.MaxPool2d | nn.AvgPool2d


@dataclass(frozen=True)
class Stage:
    """ReLU, a depthwise convolution if there is one, a dense one, batch normalization."""

    depthwise: nn.Conv2d | None
    dense: nn.Conv2d
    norm: nn.BatchNorm2d

    @property
    def weights(self) -> list[Tensor]:
        """The learned weights: those of the convolutions, then gain and bias."""
        return [*self.convolutions, *self.gain_and_bias]

    @property
    def convolutions(self) -> list[Tensor]:
        """The weights of the convolutions."""
        return [c.weight for c in (self.depthwise, self.dense) if c is not None]

    @property
    def gain_and_bias(self) -> list[Tensor]:
        """Gain and bias of the normalization, if it learns them."""
        return [self.norm.weight, self.norm.bias] if self.norm.affine else []

    @cached_property
    def shape(self) -> tuple[bool, int, int]:
        """Whether it has a depthwise convolution, its dilation, and the stride."""
        if self.depthwise is None:
            return False, 1, 1
        return True, self.depthwise.dilation[0], self.depthwise.stride[0]

    @cached_property
    def momentum_and_eps(self) -> tuple[float, float]:
        """Momentum and ε of the normalization."""
        return self.norm.momentum or 0.0, self.norm.eps

    @property
    def by_batch(self) -> bool:
        """Whether batch statistics are used."""
        return self.norm.training or not self.norm.track_running_stats

    def layers(self) -> Iterator[nn.Module]:
        """Yield its layers after the ReLU, in order."""
        if self.depthwise is not None:
            yield self.depthwise
        yield self.dense
        yield self.norm


@dataclass(frozen=True)
class Convolutions:
    """ReLU, some layers, and the batch normalization that ends them.

    Args:
        body: The layers between the ReLU and the normalization.
        norm: The normalization.
        stages: All of it as stages; empty if it has other layers.
    """

    body: tuple[nn.Module, ...]
    norm: nn.BatchNorm2d
    stages: tuple[Stage, ...] = ()

    def before_norm(self, x: Tensor) -> Tensor:
        """Return the output of the layers before the normalization for x after ReLU."""
        for layer in self.body:
            x = layer(x)
        return x


@dataclass(frozen=True)
class Pooling:
    """A pooling, and the batch normalization after it; None for none."""

    pool: Pool
    norm: nn.BatchNorm2d | None = None


class ConvolutionStages(nn.Sequential):
    """Stages one after the other, each beginning with a ReLU.

    Args:
        stages: At least one. The normalizations may be of any kind; see `structure_of`.
    """

    def __init__(self, *stages: Stage) -> None:
        super().__init__(*(layer for s in stages for layer in (nn.ReLU(), *s.layers())))
        self._separable = [stage.depthwise is not None for stage in stages]

    def after_relu(self, x: Tensor) -> Tensor:
        """Return the output for an input to which ReLU was already applied."""
        layers = iter(self)
        next(layers)
        for layer in layers:
            x = layer(x)
        return x

    @property
    def stages(self) -> list[Stage]:
        """Its stages, built from its current modules."""
        layers: Iterator[Any] = iter(self)
        found = []
        for separable in self._separable:
            next(layers)
            depthwise = next(layers) if separable else None
            found.append(Stage(depthwise, next(layers), next(layers)))
        return found

    @property
    def structure(self) -> Convolutions | None:
        """Its structure; None if its last normalization is not a plain one."""
        return _convolutions(list(self), self.stages)


class NormedOperation(nn.Sequential):
    """An operation and the normalization that a supernet puts after it.

    Args:
        operation: The operation.
        norm: The normalization.
    """

    def __init__(self, operation: nn.Module, norm: nn.Module) -> None:
        super().__init__(operation, norm)

    @property
    def structure(self) -> Pooling | None:
        """Its structure; None if it is opaque."""
        return _pooling(*self)


Structure = Convolutions | Pooling


def structure_of(operation: nn.Module) -> Structure | None:
    """Return the structure of an operation; None if it is opaque."""
    if isinstance(operation, ConvolutionStages | NormedOperation):
        return operation.structure
    if isinstance(operation, nn.MaxPool2d | nn.AvgPool2d):
        return Pooling(operation)
    if isinstance(operation, nn.Sequential):
        return _structure_of_layers(list(operation))
    return None


def _structure_of_layers(layers: Sequence[nn.Module]) -> Structure | None:
    """Return the structure of the layers of a custom ``nn.Sequential``."""
    if len(layers) == 2:
        return _pooling(*layers)
    if len(layers) < 3 or not isinstance(layers[0], nn.ReLU):
        return None
    return _convolutions(layers, _stages(layers))


def _convolutions(layers: Sequence[nn.Module], stages: Sequence[Stage]) -> Convolutions | None:
    _, *body, norm = layers
    if not isinstance(norm, nn.BatchNorm2d) or not is_plain_norm(norm):
        return None
    return Convolutions(tuple(body), norm, tuple(stages))


def _pooling(pool: nn.Module, norm: nn.Module) -> Pooling | None:
    if not isinstance(pool, nn.MaxPool2d | nn.AvgPool2d) or not is_plain_norm(norm):
        return None
    assert isinstance(norm, nn.BatchNorm2d)
    return Pooling(pool, norm)


def _stages(layers: Sequence[nn.Module]) -> list[Stage]:
    """Return layers as stages: ReLU, one convolution or two, normalization; empty if not."""
    stages: list[Stage] = []
    rest = list(layers)
    while rest:
        ends = [place for place, layer in enumerate(rest) if isinstance(layer, nn.BatchNorm2d)]
        if not ends:
            return []
        relu, *convolutions = rest[: ends[0]]
        norm = rest[ends[0]]
        assert isinstance(norm, nn.BatchNorm2d)
        rest = rest[ends[0] + 1 :]
        found = [layer for layer in convolutions if isinstance(layer, nn.Conv2d)]
        if not isinstance(relu, nn.ReLU) or found != convolutions or len(found) not in (1, 2):
            return []
        stages.append(Stage(found[0] if len(found) == 2 else None, found[-1], norm))
    return stages
