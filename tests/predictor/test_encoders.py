"""The encoders against sums written out, and their invariance."""

from __future__ import annotations

import random

import pytest
import torch
from torch import Tensor

from tune_nas.config.strategy_config import PredictorConfig
from tune_nas.predictor.gin import Gin, GinLayer
from tune_nas.predictor.mlp import Mlp
from tune_nas.spaces import CellGenotype, Genotype, load_space
from tune_nas.spaces.architectures import Architectures

CONFIG = PredictorConfig(width=5, depth=2)


def swapped(genotype: Genotype) -> Genotype:
    """Rename nodes 1 and 2 of a cell of NAS-Bench-201 without an edge between them."""
    names = {0: 0, 1: 2, 2: 1, 3: 3}
    edges = [
        (names[source], names[target], operation) if (source, target) != (1, 2) else edge
        for edge in genotype.cells["normal"].triples()
        for source, target, operation in [edge]
    ]
    return Genotype(genotype.space, {"normal": CellGenotype.of(edges)})


def test_a_layer_on_a_path_of_three_nodes_by_hand() -> None:
    layer = GinLayer(1, 1).double()
    first, _, second = layer.mlp
    for parameter, value in [
        (layer.epsilon, 0.5),
        *((first.weight, 2.0), (first.bias, -10.0)),
        *((second.weight, -1.0), (second.bias, 4.0)),
    ]:
        torch.nn.init.constant_(parameter, value)
    features = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    adjacency = torch.tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=torch.float64)
    # 1.5 h + neighbors: 3.5, 8, 8; 2 x − 10 and ReLU: 0, 6, 6; 4 − x and ReLU: 4, 0, 0
    assert layer(features, adjacency).tolist() == [[4.0], [0.0], [0.0]]
    features[1] = 1.0  # 2.5, 6.5, 7; 0, 3, 4; 4, 1, 0
    assert layer(features, adjacency).tolist() == [[4.0], [1.0], [0.0]]


def test_a_score_is_a_loop_over_the_present_nodes() -> None:
    space = load_space("darts")
    gin = Gin(space, CONFIG).double()
    genotype = Architectures(space).sample(random.Random(0))
    batch = gin.encode([genotype])
    parts = []
    for nodes, adjacency in zip(batch.nodes[0].double(), batch.adjacency[0].double(), strict=True):
        present = [node for node in range(len(nodes)) if nodes[node].any()]
        features: dict[int, Tensor] = {node: nodes[node] for node in present}
        for layer in gin.layers:
            sums = {
                node: (1 + layer.epsilon) * features[node]
                + sum(features[other] for other in present if adjacency[node, other])
                for node in present
            }
            features = {node: layer.mlp(total).relu() for node, total in sums.items()}
        parts.append(torch.stack(list(features.values())).sum(0) / len(nodes))
    score = gin(type(batch)(*(part.double() for part in batch)))
    torch.testing.assert_close(score, gin.head(torch.cat(parts)))


@pytest.mark.parametrize("encoder", [Gin, Mlp])
def test_isomorphic_cells_have_equal_scores(encoder: type[Gin] | type[Mlp]) -> None:
    space, rng = load_space("nasbench201"), random.Random(0)
    torch.manual_seed(1)  # with one draw of the weights in 30, a layer's ReLU lets nothing through
    net = encoder(space, CONFIG)
    found = []
    while len(found) < 20:
        genotype = Architectures(space).sample(rng)
        if ("none", 1, 2) in {(o, s, t) for s, t, o in genotype.cells["normal"].triples()}:
            found.append(genotype)
    renamed = [swapped(genotype) for genotype in found]
    assert sum(str(one) != str(two) for one, two in zip(found, renamed, strict=True)) > 10
    scores = net(net.encode(found))
    torch.testing.assert_close(net(net.encode(renamed)), scores)
    assert len(set(scores.tolist())) > 10


def test_a_score_is_independent_of_the_batch() -> None:
    space, rng = load_space("darts"), random.Random(1)
    genotypes = [Architectures(space).sample(rng) for _ in range(5)]
    for net in (Gin(space, CONFIG), Mlp(space, CONFIG)):
        together = net(net.encode(genotypes))
        alone = torch.cat([net(net.encode([genotype])) for genotype in genotypes])
        torch.testing.assert_close(together, alone)
