"""The skeleton for ImageNet against the networks of the authors' code."""

from __future__ import annotations

import pytest
import torch

from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.retrain.retrain_checks import check_retrain_memory
from tune_nas.search.search_memory import check_search_memory
from tune_nas.spaces import (
    Genotype,
    Supernet,
    build_network,
    channels_under,
    estimate_network,
    load_space,
    model_size,
)

# Parameters without auxiliary head and multiply-adds of convolutions and linear layers, of the
# authors' NetworkImageNet(48, 1000, 14) on 224 pixels.
COUNTED = {
    "DARTS_V2": (4_718_752, 529.9),
    "PDARTS": (4_944_352, 542.8),
    "PC_DARTS_image": (5_342_464, 581.6),
}


@pytest.mark.parametrize("name", COUNTED)
def test_sizes_are_those_of_the_authors_networks(name: str) -> None:
    genotype = Genotype.parse(name)
    space = load_space(genotype.space).with_skeleton("imagenet")
    assert space.final_size == (48, 14)
    size = model_size(genotype, space, image_size=224, n_classes=1000)
    parameters, millions = COUNTED[name]
    assert size.parameters == parameters
    assert size.multiply_adds / 1e6 == pytest.approx(millions, abs=0.05)
    estimate = estimate_network(space, genotype, n_classes=1000, in_channels=3, image_size=224)
    assert estimate.parameters == parameters


def test_the_maps_are_those_of_the_authors_networks() -> None:
    genotype = Genotype.parse("DARTS_V2")
    space = load_space("darts").with_skeleton("imagenet")
    network = build_network(
        genotype, space, n_classes=7, init_channels=4, cells=3, auxiliary=True
    ).train()
    sides = []
    for block in network.backbone.blocks:
        block.body.register_forward_hook(lambda _, __, out: sides.append(tuple(out.shape[1:])))
    logits, auxiliary = network(torch.randn(2, 3, 224, 224))
    assert sides == [(16, 28, 28), (32, 14, 14), (64, 7, 7)]
    assert logits.shape == auxiliary.shape == (2, 7)
    # the authors' head has no normalization after its last convolution
    names = [type(layer).__name__ for layer in network.auxiliary.features]
    assert names == ["Conv2d", "BatchNorm2d", "ReLU", "Conv2d", "Identity", "ReLU"]


def test_the_first_cell_reads_both_outputs_of_the_stem() -> None:
    space = load_space("darts").with_skeleton("imagenet")
    network = build_network(
        Genotype.parse("DARTS_V2"), space, n_classes=3, init_channels=4, cells=3
    ).double()
    x = torch.randn(1, 3, 64, 64, dtype=torch.float64)
    first, second = network.backbone.stem(x)
    assert first.shape[2:] == (16, 16) and second.shape[2:] == (8, 8)
    block = network.backbone.blocks[0]
    seen = []
    block.body.register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    network(x)
    assert torch.equal(seen[0][0], block.preprocess[0](first))
    assert torch.equal(seen[0][1], block.preprocess[1](second))


def test_a_supernet_runs_in_the_skeleton() -> None:
    space = load_space("darts").with_skeleton("imagenet")
    for implementation in ("plain", "torch", "fast"):
        torch.manual_seed(0)
        supernet = Supernet(
            space,
            n_classes=3,
            in_channels=3,
            init_channels=4,
            cells=3,
            implementation=implementation,
        )
        assert supernet.smallest_batch(32) == 2  # 32 pixels become 4, and then 1


@pytest.mark.parametrize(("bound", "channels"), [(600_000_000, 50), (530_000_000, 48)])
def test_channels_are_the_most_under_a_bound(bound: int, channels: int) -> None:
    genotype = Genotype.parse("DARTS_V2")
    space = load_space("darts").with_skeleton("imagenet")
    sizes = {"image_size": 224, "n_classes": 1000}
    found = channels_under(genotype, space, bound, **sizes)
    assert found == channels
    assert model_size(genotype, space, init_channels=found, **sizes).multiply_adds <= bound
    assert model_size(genotype, space, init_channels=found + 2, **sizes).multiply_adds > bound


def test_a_bound_that_no_network_meets_is_refused() -> None:
    space = load_space("darts").with_skeleton("imagenet")
    with pytest.raises(ConfigError, match=r"with 2 channels, but must have at most 9;"):
        channels_under(Genotype.parse("DARTS_V2"), space, 9, image_size=224, n_classes=10)


def test_cells_that_do_not_fit_a_skeleton_are_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"layout 'imagenet' has the cells normal, reduction.*; it fits stages"
    ):
        load_space("nasbench201").with_skeleton("imagenet")
    with pytest.raises(ConfigError, match=r"'stages'.*; it fits thirds and imagenet$"):
        load_space("darts", "stages")
    with pytest.raises(ConfigError, match=r"skeleton\.layout is 'imagenett'"):
        load_space("darts").with_skeleton("imagenett")
    assert load_space("darts").with_skeleton("thirds") == load_space("darts")


def test_a_bound_above_every_network_is_refused() -> None:
    space = load_space("nasbench201")
    genotype = Genotype.parse("|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|")
    with pytest.raises(ConfigError, match="fewer with 4,096 channels, the largest number"):
        channels_under(genotype, space, 10**30, image_size=4, n_classes=2, cells=1)


def test_one_channel_is_too_few_for_the_stem() -> None:
    space = load_space("darts", "imagenet")
    with pytest.raises(ConfigError, match=r"init_channels is 1, but must be >= 2 .*'imagenet'"):
        build_network(Genotype.parse("DARTS_V2"), space, n_classes=2, init_channels=1, cells=3)
    for key, trial_of_size in (
        ("retrain", {"retrain.skeleton": "imagenet", "retrain.init_channels": 1}),
        ("space", {"space.skeleton": "imagenet", "space.init_channels": 1}),
    ):
        trial = load_trial("darts-1st", trial_of_size)
        check = check_retrain_memory if key == "retrain" else check_search_memory
        with pytest.raises(ConfigError, match=rf"^{key}\.init_channels is 1, but must be >= 2"):
            check(trial)
