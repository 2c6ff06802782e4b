"""Wider operations: copies of input channels in, copies of output channels out."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from tune_nas.search.widening import Origin, widen
from tune_nas.spaces import Supernet, load_space
from tune_nas.spaces.mixed_cell import MixedCell


def mixed_cell(channels: int, reduction: bool) -> MixedCell:
    norm = partial(nn.BatchNorm2d, affine=True)
    return MixedCell(
        load_space("darts").cells["normal"], channels, reduction, norm, True, 1
    ).double()


@pytest.mark.parametrize("widths", [(2, 3), (3, 5)])
@pytest.mark.parametrize("reduction", [False, True])
def test_every_operation_maps_copied_channels_to_copied_channels(
    widths: tuple[int, int], reduction: bool
) -> None:
    torch.manual_seed(0)
    old, new = (mixed_cell(width, reduction) for width in widths)
    for parameter in old.parameters():
        nn.init.normal_(parameter)
    images = torch.randn(4, widths[0], 6, 6, dtype=torch.float64)
    old.train()
    for row in range(len(old.edges)):
        for operation in old.operations_of(row):
            operation(images)  # running statistics that are not all alike
    origins = widen(nn.ModuleList([old]), nn.ModuleList([new]), torch.Generator().manual_seed(1))
    checked = set()
    for row in (0, 13):
        for column, name in enumerate(old.cell.operations[row]):
            prefix = f"0.edges.{row}.{column}."
            own = {key: origin for key, origin in origins.items() if key.startswith(prefix)}
            if not own:
                continue
            first = next(iter(own.values()))
            into = first.rows if first.columns is None else first.columns
            out = list(own.values())[-1].rows
            assert into is not None and out is not None
            assert into[: widths[0]].tolist() == list(range(widths[0]))
            narrow, wide = old.operations_of(row)[column], new.operations_of(row)[column]
            for mode in (False, True):
                narrow.train(mode)
                wide.train(mode)
                expected = narrow(images)[:, out]
                torch.testing.assert_close(wide(images[:, into]), expected, rtol=1e-9, atol=1e-9)
            checked.add(name)
    assert checked >= {"max_pool_3x3", "sep_conv_3x3", "dil_conv_5x5"}
    assert ("skip_connect" in checked) == reduction


def test_an_origin_copies_rows_and_columns_and_divides_by_the_number_of_copies() -> None:
    narrow = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    origin = Origin(rows=torch.tensor([0, 1, 0]), columns=torch.tensor([0, 1, 1]))
    assert origin.copied(narrow).tolist() == [[1, 2, 2], [3, 4, 4], [1, 2, 2]]
    assert origin.shared(narrow).tolist() == [[1, 1, 1], [3, 2, 2], [1, 1, 1]]


def test_a_supernet_keeps_all_that_is_not_in_an_operation_and_draws_by_its_generator() -> None:
    space = load_space("darts")
    nets = [
        Supernet(
            space, n_classes=3, in_channels=1, init_channels=6, cells=3, partial_channels=partial
        )
        for partial in (3, 2, 2)
    ]
    for net in nets[1:]:
        origins = widen(nets[0], net, torch.Generator().manual_seed(7))
    narrow, wide, again = (net.state_dict() for net in nets)
    assert all(".edges." in name for name in origins)
    assert any(".edges." in name and name not in origins for name in narrow)
    for name, tensor in wide.items():
        assert torch.equal(tensor, again[name])
        if name not in origins:
            assert torch.equal(tensor, narrow[name])
        else:
            assert tensor.shape != narrow[name].shape
