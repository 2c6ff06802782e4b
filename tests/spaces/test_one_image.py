"""Batches of one image whose map shrinks to one pixel: refused in the same way by every form."""

from typing import Literal

import pytest
import torch

from tune_nas.spaces import CellWeights, MixingWeights, Space, Supernet, load_space

Form = Literal["plain", "torch", "fast"]
FORMS: tuple[Form, ...] = ("plain", "torch", "fast")


def _supernet(space: Space, form: Form, cells: int, partial_channels: int = 1) -> Supernet:
    torch.manual_seed(0)
    return Supernet(
        space,
        n_classes=3,
        in_channels=1,
        init_channels=4 * partial_channels,
        cells=cells,
        partial_channels=partial_channels,
        implementation=form,
    ).double()


def _weights(space: Space) -> MixingWeights:
    torch.manual_seed(1)
    return {
        name: CellWeights(torch.rand(len(cell.edges), cell.n_operations, dtype=torch.float64))
        for name, cell in space.cells.items()
    }


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 8, 9])
@pytest.mark.parametrize(
    ("name", "cells"), [("darts", 3), ("darts", 4), ("darts", 8), ("nasbench201", 1)]
)
def test_two_images_are_needed_where_the_map_has_one_pixel(
    name: str, cells: int, side: int
) -> None:
    space = load_space(name)
    net = _supernet(space, "plain", cells).eval()
    weights = _weights(space)
    maps: list[torch.Size] = []
    net.backbone.pool.register_forward_hook(
        lambda module, inputs, out: maps.append(inputs[0].shape)
    )
    net(torch.zeros(2, 1, side, side, dtype=torch.float64), weights)
    assert space.skeleton.strategy.smallest_batch(cells, side) == (2 if maps[0][2] == 1 else 1)


@pytest.mark.parametrize("partial_channels", [1, 2])
@pytest.mark.parametrize("name", ["darts", "nasbench201", "s4"])
def test_one_image_is_refused_and_two_are_equal_in_all_forms(
    name: str, partial_channels: int
) -> None:
    space = load_space(name)
    cells = 1 if space.skeleton.layout == "stages" else 3
    weights = _weights(space)
    tracked = space.supernet.track_running_stats
    outputs = []
    for form in FORMS:
        net = _supernet(space, form, cells, partial_channels)
        before = {key: value.clone() for key, value in net.state_dict().items()}
        for side in (2, 3, 4):
            images = torch.randn(1, 1, side, side, dtype=torch.float64)
            with pytest.raises(ValueError, match=r"x has 1 image, but must have >= 2: its map"):
                net.train()(images, weights)
            if tracked:
                assert net.eval()(images, weights).isfinite().all()
            else:
                with pytest.raises(ValueError, match="x has 1 image"):
                    net.eval()(images, weights)
        assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
        torch.manual_seed(2)
        net.train().seed_draws(3)
        outputs.append(net(torch.randn(2, 1, 4, 4, dtype=torch.float64), weights))
        assert net(torch.randn(1, 1, 5, 5, dtype=torch.float64), weights).isfinite().all()
        assert all(buffer.isfinite().all() for buffer in net.buffers())
    for output in outputs[1:]:
        torch.testing.assert_close(output, outputs[0], rtol=1e-10, atol=1e-10)
