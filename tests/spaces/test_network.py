"""Final networks: equal to the supernet's path, drop path, the auxiliary head."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tune_nas.errors import GenotypeError
from tune_nas.seeds import derive_seed
from tune_nas.spaces import CellWeights, Genotype, Space, build_network, load_space
from tune_nas.spaces.network import AuxiliaryHead

X = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def build(genotype, space, **options):
    cells = 3 if space.skeleton.layout == "thirds" else 1
    sizes = {"n_classes": 3, "in_channels": 1, "init_channels": 2, "cells": cells}
    return build_network(genotype, space, **{**sizes, **options}).double()


def path_weights(space, genotype):
    weights = {}
    for name, cell in space.cells.items():
        active = torch.zeros(len(cell.edges), cell.n_operations, dtype=torch.bool)
        for edge in genotype.cells[name].edges:
            row = cell.edges.index((edge.source, edge.target))
            active[row, cell.operations[row].index(edge.operation)] = True
        weights[name] = CellWeights(active.double(), active=active)
    return weights


def copy_path(net, network, space, genotype):
    """Copy the supernet's weights of the genotype's path into the final network."""
    for source, target in zip(net.backbone.blocks, network.backbone.blocks, strict=True):
        if not hasattr(source, "body"):
            target.load_state_dict(source.state_dict())
            continue
        target.preprocess.load_state_dict(source.preprocess.state_dict(), strict=False)
        cell = space.cells[source.cell]
        edges = genotype.cells[source.cell].edges
        for edge, operation in zip(edges, target.body.operations, strict=True):
            row = cell.edges.index((edge.source, edge.target))
            column = cell.operations[row].index(edge.operation)
            operation.load_state_dict(source.body.edges[row][column].state_dict(), strict=False)
    for name in ("stem", "last", "classifier"):
        state = getattr(net.backbone, name).state_dict()
        getattr(network.backbone, name).load_state_dict(state)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_network_equals_the_supernets_path(space, picker, tiny_supernet, seed):
    generator = torch.Generator().manual_seed(seed)

    def pick(options, n):
        return [options[i] for i in torch.randperm(len(options), generator=generator)[:n]]

    genotype = picker(space, pick)
    content = space.to_dict()  # the final network has no batch normalization after pools
    content["supernet"]["norm_after_pools"] = False
    net, network = tiny_supernet(Space.from_dict(content)), build(genotype, space)
    copy_path(net, network, space, genotype)
    net.seed_draws(5)  # what runs draws its noise in the same order
    network.generator = torch.Generator().manual_seed(derive_seed(5, "operations"))
    expected = net.train()(X, path_weights(space, genotype))
    torch.testing.assert_close(network.train()(X), expected, rtol=1e-10, atol=1e-10)


def test_every_space_builds_a_network_that_learns(space, last_genotype):
    network = build(last_genotype(space), space, auxiliary=True)
    logits, auxiliary = network.train()(X)
    (logits.square().sum() + auxiliary.square().sum()).backward()
    assert logits.shape == auxiliary.shape == (4, 3)
    for name, parameter in network.named_parameters():
        if "preprocess" not in name:  # the last edges may leave an input aside
            assert parameter.grad.isfinite().all() and parameter.grad.any(), name
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(norm.affine and norm.track_running_stats for norm in norms)
    evaluated = network.eval()(X)
    assert isinstance(evaluated, torch.Tensor) and evaluated.shape == (4, 3)


def test_all_none_is_a_constant_not_an_error():
    space = load_space("nasbench201")
    text = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
    out = build(Genotype.parse(text), space).eval()(X)
    assert torch.equal(out, out[:1].expand(4, 3))


def test_drop_path_drops_whole_samples_of_a_path_and_keeps_the_mean(published):
    network = build(Genotype.parse(published["DARTS_V2"]), load_space("darts")).train()
    # All five leave a node of the cell or are in a normal one: stride 1, so identities.
    skips = {"normal": 2, "reduction": 3}
    cells = [block.cell for block in network.backbone.blocks]
    assert network.n_paths == sum(8 - skips[cell] for cell in cells)
    network.drop_path_probability = 0.25
    x = X.repeat(500, 1, 1, 1)
    kept = []
    for _ in range(2):
        network.generator = torch.Generator().manual_seed(0)
        kept.append(network.draw_kept(x))
    assert torch.equal(*kept) and kept[0].shape == (network.n_paths, 2000, 1, 1, 1)
    values = kept[0].unique()
    torch.testing.assert_close(values, torch.tensor([0.0, 1 / 0.75], dtype=torch.float64))
    assert (kept[0].mean(1).flatten() - 1).abs().max() < 4.5 * (0.25 / 0.75 / 2000) ** 0.5
    assert network.eval().draw_kept(x) is None


def test_each_path_is_scaled_by_its_own_factors():
    """Two convolutions in a row of nodes, written out."""
    space = load_space("nasbench201")
    text = "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|none~1|avg_pool_3x3~2|"
    network = build(Genotype.parse(text), space).train()
    assert network.n_paths == 3 * len([b for b in network.backbone.blocks if hasattr(b, "body")])
    cell = next(block.body for block in network.backbone.blocks if hasattr(block, "body"))
    x = torch.randn(4, 2, 8, 8, dtype=torch.float64)
    kept = torch.rand(3, 4, 1, 1, 1, dtype=torch.float64)
    by_edge = {
        (edge.source, edge.target): operation
        for edge, operation in zip(cell.edges, cell.operations, strict=True)
    }
    one = by_edge[0, 1](x) * kept[0]
    two = x + by_edge[1, 2](one) * kept[1]
    expected = by_edge[2, 3](two) * kept[2]
    torch.testing.assert_close(cell([x], iter(kept.unbind()), None), expected)


def test_drop_path_comes_from_its_generator_and_only_in_training(published):
    space = load_space("darts")
    network = build(Genotype.parse(published["DARTS_V2"]), space)
    plain = network.train()(X)
    network.drop_path_probability = 0.5
    outputs = []
    for _ in range(2):
        network.generator = torch.Generator().manual_seed(3)
        torch.rand(7)  # the global generator plays no part
        outputs.append(network(X))
    assert torch.equal(outputs[0], outputs[1]) and not torch.equal(outputs[0], plain)
    state = network.generator.get_state()
    network.eval()(X)
    assert torch.equal(network.generator.get_state(), state)


def test_drop_path_spares_the_identity():
    space = load_space("nasbench201")
    skip = "|skip_connect~0|+|skip_connect~0|none~1|+|none~0|skip_connect~1|none~2|"
    network = build(Genotype.parse(skip), space).train()
    plain = network(X)
    network.drop_path_probability = 0.9
    assert torch.equal(network(X), plain)


def test_auxiliary_head_pools_as_published_and_takes_any_size():
    head = AuxiliaryHead(4, 3).double().eval()
    for size in (1, 2, 3, 5, 6, 7, 8, 10, 11, 16):
        x = torch.randn(2, 4, size, size, dtype=torch.float64)
        assert head(x).shape == (2, 3)
    for size, stride in ((8, 3), (7, 2)):  # DARTS's heads for CIFAR and ImageNet
        x = torch.randn(2, 4, size, size, dtype=torch.float64)
        pooled = F.avg_pool2d(F.relu(x), 5, stride=stride)
        assert pooled.shape[2:] == (2, 2)
        torch.testing.assert_close(head(x), head.classifier(head.features(pooled).flatten(1)))


def test_auxiliary_head_sits_after_two_thirds(published):
    darts = build(Genotype.parse(published["DARTS_V1"]), load_space("darts"), cells=20)
    assert darts.backbone.tap == 13 and darts.backbone.tap_channels == 2 * 4 * 4
    stages = build(Genotype.parse(published["NB201"]), load_space("nasbench201"), cells=5)
    assert stages.backbone.tap == 11, "the second reduction"


@pytest.mark.parametrize("cells", [3, 4, 5])
@pytest.mark.parametrize("size", [1, 5, 8])
def test_small_stacks_and_images_work(published, cells, size):
    space = load_space("darts")
    network = build(Genotype.parse(published["DARTS_V1"]), space, cells=cells, auxiliary=True)
    logits, auxiliary = network.train()(X[:, :, :size, :size])
    assert logits.shape == auxiliary.shape == (4, 3)


def test_build_checks_the_genotype(published):
    with pytest.raises(GenotypeError, match="space 'darts' has the cells normal, reduction, but"):
        build(Genotype.parse(published["NB201"]), load_space("darts"))
