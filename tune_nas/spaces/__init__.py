"""Architectures: a YAML description becomes a cell space, a supernet, genotypes, final networks."""

from tune_nas.layers.normalization import Norm
from tune_nas.spaces.backbone import check_cells_occur, check_channels
from tune_nas.spaces.counting import (
    ModelSize,
    channels_under,
    count_multiply_adds,
    count_parameters,
    model_size,
)
from tune_nas.spaces.estimate import NetworkEstimate, estimate_network, estimate_supernet
from tune_nas.spaces.genotype import CellGenotype, Genotype, GenotypeEdge
from tune_nas.spaces.network import Network, build_network
from tune_nas.spaces.operation_registry import (
    build_operation,
    operation_kind,
    operation_names,
    register_operation,
)
from tune_nas.spaces.space import CellSpace, Edge, Space, load_space
from tune_nas.spaces.supernet import Supernet
from tune_nas.spaces.weights import CellWeights, MixingWeights

__all__ = [
    "CellGenotype",
    "CellSpace",
    "CellWeights",
    "Edge",
    "Genotype",
    "GenotypeEdge",
    "MixingWeights",
    "ModelSize",
    "Network",
    "NetworkEstimate",
    "Norm",
    "Space",
    "Supernet",
    "build_network",
    "build_operation",
    "channels_under",
    "check_cells_occur",
    "check_channels",
    "count_multiply_adds",
    "count_parameters",
    "estimate_network",
    "estimate_supernet",
    "load_space",
    "model_size",
    "operation_kind",
    "operation_names",
    "register_operation",
]
