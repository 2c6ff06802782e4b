"""A graph isomorphism network (Xu et al., arXiv:1810.00826) on the cells of a genotype."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from tune_nas.config.strategy_config import PredictorConfig
from tune_nas.predictor.encoder import Encoder, make_mlp
from tune_nas.predictor.encoding import GraphEncoding, Graphs
from tune_nas.spaces import Genotype, Space


class GinLayer(nn.Module):
    """One layer: h'(v) = MLP((1 + ε) h(v) + Σ h(u) over the neighbors u of v), with ε learned.

    Args:
        inputs: Features of a node before the layer.
        width: Features after it, and of the MLP's hidden layer.
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.epsilon = nn.Parameter(torch.zeros(()))
        self.mlp = make_mlp([inputs, width, width])

    def forward(self, features: Tensor, adjacency: Tensor) -> Tensor:
        """Return new features of the nodes.

        Args:
            features: (..., nodes, inputs).
            adjacency: (..., nodes, nodes).
        """
        mixed: Tensor = self.mlp((1 + self.epsilon) * features + adjacency @ features)
        return mixed.relu()


class Gin(Encoder):
    """A GIN on each cell, a sum over its nodes, and an MLP on the sums of all cell types.

    The authors' code of RANK-NOSH is not public; these are our choices: neighbors in both
    directions, one network for all cell types, sums of the last layer (divided by the number of
    nodes of the largest graph, so that they are of order 1), no batch normalization, so that a
    score is independent of the batch.
    """

    def __init__(self, space: Space, config: PredictorConfig) -> None:
        super().__init__(space, config)
        self.encoding = GraphEncoding(space)
        width = config.width
        sizes = [self.encoding.n_types, *[width] * config.depth]
        self.layers = nn.ModuleList(GinLayer(before, after) for before, after in pairwise(sizes))
        self.head = make_mlp([width * self.encoding.n_cells, width, 1])

    def encode(self, genotypes: Sequence[Genotype]) -> Graphs:
        """Return the graphs of n genotypes."""
        return self.encoding.encode(genotypes)

    def forward(self, batch: Graphs) -> Tensor:
        """Return the scores, (n,)."""
        present = batch.nodes.sum(dim=-1, keepdim=True)  # absent nodes would add MLP(0)
        features = batch.nodes
        for layer in self.layers:
            features = layer(features, batch.adjacency)
        sums = (features * present).sum(dim=2) / features.shape[2]
        scores: Tensor = self.head(sums.flatten(1)).squeeze(1)
        return scores
