"""Partial channels by the kernels, against torch: values, gradients, second derivatives."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from tune_nas.native import build_kernels, shuffled_node, split_node

pytestmark = pytest.mark.skipif(not build_kernels(), reason="no compiler")


def split(whole: Tensor, width: int, native: bool) -> Sequence[Tensor]:
    if native:
        return split_node(whole, width)
    return torch.split(whole, [width, whole.shape[1] - width], dim=1)


def node(through: Tensor, around: Tensor, groups: int, native: bool) -> Sequence[Tensor]:
    if native:
        return shuffled_node(through, around, groups, True)
    whole = torch.channel_shuffle(torch.cat([through, around], dim=1), groups)
    return [whole, *split(whole, through.shape[1], native)]


def leaves(*channels: int, size: tuple[int, int]) -> list[Tensor]:
    torch.manual_seed(0)
    tensors = [torch.randn(3, c, *size, dtype=torch.float64) for c in channels]
    return [x.contiguous(memory_format=torch.channels_last).requires_grad_() for x in tensors]


@pytest.mark.parametrize("size", [(5, 7), (8, 8), (1, 1)])
@pytest.mark.parametrize("width", [4, 8, 12])
@pytest.mark.parametrize("groups", [2, 3, 4])
def test_a_node_and_its_halves_are_those_of_torch(
    groups: int, width: int, size: tuple[int, int]
) -> None:
    found = []
    for native in (True, False):
        through, around = leaves(width, width * (groups - 1), size=size)
        made = node(through, around, groups, native)
        values = [*made, *split(made[0], width, native)]
        # one use of the whole is a slice of a concatenation, as in the output of a cell
        joined = torch.cat([values[0] * 2, values[0]], dim=1)
        loss = joined.pow(3).sum()
        for k, x in enumerate(values):
            loss = loss + (k + 2) * x.pow(2).sum()
        first = torch.autograd.grad(loss, [through, around], create_graph=True)
        squares = torch.stack([g.pow(2).sum() for g in first]).sum()
        second = torch.autograd.grad(squares, [through, around])
        (plain,) = torch.autograd.grad(node(through, around, groups, native)[1].sum(), through)
        found.append([*values, *first, *second, plain])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_gradients_without_a_graph_are_those_of_torch() -> None:
    for used in ([0], [1], [2], [0, 1], [0, 1, 2]):
        found = []
        for native in (True, False):
            through, around = leaves(4, 12, size=(6, 5))
            made = node(through, around, 4, native)
            loss = torch.stack([(made[k] * (k + 1)).pow(2).sum() for k in used]).sum()
            given = torch.autograd.grad(loss, [through, around])
            (x,) = leaves(16, size=(6, 5))
            part, rest = split(x, 4, native)
            found.append([*given, *torch.autograd.grad(part.pow(2).sum() - rest.exp().sum(), x)])
        for mine, theirs in zip(*found, strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)
