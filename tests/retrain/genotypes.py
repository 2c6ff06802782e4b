"""Genotypes that several tests of this folder train."""

from __future__ import annotations

from tune_nas.spaces import CellGenotype, Genotype

_EDGES = [(0, 2), (1, 2), (0, 3), (2, 3), (1, 4), (3, 4), (0, 5), (4, 5)]


def genotype_of(space: str, *operations: str) -> Genotype:
    names = [operations[row % len(operations)] for row in range(len(_EDGES))]
    cell = CellGenotype.of([(*edge, name) for edge, name in zip(_EDGES, names, strict=True)])
    return Genotype(space, {"normal": cell, "reduction": cell})


DARTS = genotype_of("darts", "sep_conv_3x3", "skip_connect", "max_pool_3x3")
NOISY = genotype_of("s4", "sep_conv_3x3", "noise")

ALL_OPERATIONS = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_3x3', 0), "
    "('skip_connect', 2), ('max_pool_3x3', 1), ('skip_connect', 0), ('avg_pool_3x3', 0), "
    "('sep_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('skip_connect', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], "
    "reduce_concat=[2, 3, 4, 5])"
)
