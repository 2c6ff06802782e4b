"""Which operations the kernels can run: chains of convolutions and normalizations."""

from __future__ import annotations

from torch import nn

from tune_nas.layers.normalization import is_plain_norm
from tune_nas.layers.structure import Convolutions, Stage, structure_of

__all__ = ["Stage", "stages_of"]


def stages_of(operation: nn.Module) -> list[Stage] | None:
    """Return an operation as a chain of stages that the kernels run; None if it is not one."""
    structure = structure_of(operation)
    if not isinstance(structure, Convolutions) or not structure.stages:
        return None
    return list(structure.stages) if all(map(_is_run, structure.stages)) else None


def _is_run(stage: Stage) -> bool:
    if stage.dense.in_channels != stage.dense.out_channels:
        return False
    if not is_plain_norm(stage.norm) or not _is_dense(stage.dense):
        return False
    if stage.depthwise is None:
        return True
    return _is_depthwise(stage.depthwise) and stage.dense.kernel_size == (1, 1)


def _is_depthwise(layer: nn.Conv2d) -> bool:
    return (
        layer.groups == layer.in_channels == layer.out_channels > 1
        and layer.kernel_size in ((3, 3), (5, 5))
        and layer.stride in ((1, 1), (2, 2))
        and layer.dilation in ((1, 1), (2, 2))
        and _keeps_size(layer)
    )


def _is_dense(layer: nn.Conv2d) -> bool:
    return (
        layer.groups == 1
        and layer.kernel_size in ((1, 1), (3, 3), (5, 5))
        and (layer.stride, layer.dilation, getattr(layer, "step", 1)) == ((1, 1), (1, 1), 1)
        and _keeps_size(layer)
    )


def _keeps_size(layer: nn.Conv2d) -> bool:
    border = layer.dilation[0] * (layer.kernel_size[0] // 2)
    return (
        layer.bias is None and layer.padding == (border, border) and layer.padding_mode == "zeros"
    )
