"""Separate mixing weights for each cell of a supernet, for passes of an analysis.

Cells of a type share their weights. An analysis that tells them apart gives each a copy, which
forward hooks put in place of the shared ones; the supernet and its training are unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from torch import Tensor, nn

from tune_nas.search.analyses.probe_batches import probe_passes
from tune_nas.search.objective import gradients
from tune_nas.search.view import SearchView
from tune_nas.spaces import CellWeights, MixingWeights, Supernet
from tune_nas.spaces.backbone import Block


def cells_of(supernet: Supernet) -> list[Block]:
    """Return the cells of a supernet in order, without residual reduction blocks."""
    return [block for block in supernet.backbone.blocks if isinstance(block, Block)]


def copies_for_cells(supernet: Supernet, weights: MixingWeights) -> list[CellWeights]:
    """Return the weights of each cell; their operation weights are leaves with gradients."""
    return [
        replace(
            weights[block.cell],
            operations=weights[block.cell].operations.detach().clone().requires_grad_(),
        )
        for block in cells_of(supernet)
    ]


@contextmanager
def separate_weights(supernet: Supernet, weights: Sequence[CellWeights]) -> Iterator[None]:
    """Run each cell with its own mixing weights in the block, whatever a pass is given.

    Args:
        supernet: The supernet.
        weights: Weights of each cell, in the order of `cells_of`.
    """

    def hook_of(own: CellWeights) -> object:
        def replaced(module: nn.Module, inputs: tuple[object, ...]) -> tuple[object, ...]:
            return (inputs[0], own, *inputs[2:])  # the states come first, then the weights

        return replaced

    with ExitStack() as hooks:
        for block, own in zip(cells_of(supernet), weights, strict=True):
            hook = hook_of(supernet.beside_skips(block.cell, own))
            hooks.enter_context(block.body.register_forward_pre_hook(hook))  # type: ignore[arg-type]
        yield


def cell_gradients(search: SearchView, half: str, batches: int) -> list[list[Tensor]]:
    """Return ∂L/∂p of each cell by batch, each (edges, operations).

    p are the expected operation weights, a separate copy in each cell: the sum over the cells of a
    type is the gradient of the shared ones. Batch normalization uses batch statistics, as in steps
    of the search; operations that are not run have the gradient 0.

    Args:
        search: The search.
        half: ``train`` or ``valid``: the images of the batches.
        batches: Number of batches.
    """
    supernet = search.supernet
    shared = search.expected_weights()
    found = []
    for batch in probe_passes(search, half, batches):
        own = copies_for_cells(supernet, shared)
        with separate_weights(supernet, own):
            loss, _ = search.objective.loss(batch, mixing=shared)
        leaves = [each.operations for each in own]
        each_cell = zip(leaves, gradients(loss, leaves), strict=True)
        found.append([leaf.new_zeros(leaf.shape) if g is None else g for leaf, g in each_cell])
    return found
