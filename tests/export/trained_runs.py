"""Genotypes whose networks are exported."""

from __future__ import annotations

from collections.abc import Callable

from tune_nas.retrain import Retrain
from tune_nas.spaces import CellGenotype, Genotype

DARTS = Genotype.parse(
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_3x3', 0), "
    "('skip_connect', 2), ('max_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), "
    "('sep_conv_5x5', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('skip_connect', 1), ('dil_conv_5x5', 2), ('sep_conv_3x3', 1), ('avg_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[2, 3, 4, 5])"
)
NASBENCH201 = Genotype.parse(
    "|nor_conv_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|skip_connect~0|none~1|avg_pool_3x3~2|"
)
# no edge into node 1: the convolution after it sees zeros
DEAD_NODE = Genotype.parse(
    "|none~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|nor_conv_3x3~0|none~1|none~2|"
)
_NOISY = [
    *((0, 2, "noise"), (1, 2, "sep_conv_3x3"), (0, 3, "sep_conv_3x3"), (2, 3, "noise")),
    *((1, 4, "sep_conv_3x3"), (3, 4, "sep_conv_3x3"), (0, 5, "noise"), (4, 5, "sep_conv_3x3")),
]
NOISY = Genotype("s4", {name: CellGenotype.of(_NOISY) for name in ("normal", "reduction")})

MakeRun = Callable[..., tuple[Retrain, str]]
