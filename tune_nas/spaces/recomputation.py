"""Cells whose activations are computed again in the backward pass, and not kept (checkpointing).

A pass keeps the inputs of such a cell, its mixing weights and the states of the generators that it
drew from; the backward pass runs the cell once more and differentiates that run (Chen et al.,
"Training Deep Nets with Sublinear Memory Cost", arXiv:1604.06174). Both runs are the same
operations on the same values, in the same order, so the gradients are the same bit for bit where
the operations are deterministic.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from tune_nas.seeds import building
from tune_nas.spaces.backbone import BlockPlan
from tune_nas.spaces.weights import CellWeights


def recomputed_blocks(blocks: Sequence[BlockPlan]) -> list[bool]:
    """Return which blocks of a stack are recomputed: all cells but the last ones.

    The memory of a pass is highest while its largest cell is recomputed. The last cells are kept as
    long as together they take no more than that cell: recomputing them would only take time. A cell
    takes memory in proportion to channels · height · width.
    """
    sizes, pixels = list[float](), 1.0
    for block in blocks:
        pixels /= 4 if block.reduction else 1
        sizes.append(0.0 if block.cell is None else block.channels * pixels)
    room, keeps = max(sizes), True
    found = []
    for size in reversed(sizes):
        room -= size
        keeps = keeps and room >= 0
        found.append(size > 0 and not keeps)
    return found[::-1]


def peak_kept(outside: Sequence[float], inside: Sequence[float], again: Sequence[bool]) -> float:
    """Return the most that is kept at any time, given what each block keeps.

    Args:
        outside: What the bridges of each block keep.
        inside: What its cell keeps, if it is not recomputed.
        again: Whether its cell is recomputed.
    """
    kept = [0.0 if one else size for one, size in zip(again, inside, strict=True)]
    after_forward = sum(outside) + sum(kept)
    recomputing = (
        sum(outside[: k + 1]) + sum(kept[:k]) + inside[k] for k, one in enumerate(again) if one
    )
    return max(after_forward, *recomputing, 0.0)


class RecomputedCell:
    """Runs a cell of a supernet whose activations are recomputed.

    Args:
        body: The cell; see `MixedCell.forward`.
    """

    def __init__(self, body: nn.Module) -> None:
        self.body = body

    def __call__(
        self,
        inputs: Sequence[Tensor],
        weights: CellWeights,
        draws: torch.Generator | None,
        skip_dropout: float,
        drop_path: float,
        parts: list[Tensor] | None = None,
    ) -> Tensor:
        """Return what the cell returns for the same arguments; see also `FastCell.forward`."""
        if not (self.body.training and torch.is_grad_enabled()):  # nothing is kept
            in_parts = {} if parts is None else {"parts": parts}
            out: Tensor = self.body(inputs, weights, draws, skip_dropout, drop_path, **in_parts)
            return out
        mixing = weights.tensors()
        fields, how = tuple(mixing), (weights.active, draws, skip_dropout, drop_path)
        run = _CellRun(self, len(inputs), fields, *how, parts is not None)
        tensors = (*inputs, *mixing.values(), *self.parameters)
        recomputed: tuple[Tensor, ...] = _Recomputed.apply(run, *tensors)  # type: ignore[no-untyped-call]
        if parts is not None:
            parts += recomputed
        return recomputed[-1]

    @property
    def parameters(self) -> list[Tensor]:
        """The current parameters, or what `functional_call` replaces them by."""
        return [getattr(module, name) for module, name in self._places]

    @cached_property
    def names(self) -> list[str]:
        """The names of the parameters."""
        return [name for name, _ in self.body.named_parameters()]

    @cached_property
    def norms(self) -> list[nn.BatchNorm2d]:
        """The normalizations that track statistics; these do not change what they return."""
        return [
            module
            for module in self.body.modules()
            if type(module) is nn.BatchNorm2d and module.track_running_stats
        ]

    @cached_property
    def buffers(self) -> list[Tensor]:
        """The other buffers of the cell, on which what it returns may depend."""
        of_norms = {id(buffer) for norm in self.norms for buffer in norm.buffers()}
        return [buffer for buffer in self.body.buffers() if id(buffer) not in of_norms]

    @cached_property
    def _places(self) -> list[tuple[nn.Module, str]]:
        # a lookup by dotted names in each pass would take longer than some operations
        modules = dict(self.body.named_modules())
        parts = [name.rpartition(".") for name in self.names]
        return [(modules[module], name) for module, _, name in parts]


@dataclass(eq=False)
class _CellRun:
    """One run of a cell, and what is needed to repeat it.

    Args:
        cell: The cell.
        n_inputs: Number of input nodes.
        fields: The fields of its mixing weights that are given.
        active: The operations that run; None for all.
        draws: The generator of random operations, in the state that it had.
        skip_dropout: Dropout on identities.
        drop_path: Probability of drop path.
        in_parts: Whether the output is returned in parts; otherwise it is one tensor.
    """

    cell: RecomputedCell
    n_inputs: int
    fields: tuple[str, ...]
    active: Tensor | None
    draws: torch.Generator | None
    skip_dropout: float
    drop_path: float
    in_parts: bool

    def first(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Run the cell and note the states from which a second run returns the same."""
        draws, device = self.draws, tensors[0].device
        if draws is not None:
            self.draws = draws.clone_state()
        self._buffers = [buffer.clone() for buffer in self.cell.buffers]
        self._autocast = (
            torch.autocast(device.type, torch.get_autocast_dtype(device.type))
            if torch.is_autocast_enabled(device.type)
            else nullcontext()
        )
        before = _global_states(device)
        out = self._run(tensors, draws)
        drew = not all(map(torch.equal, before, _global_states(device)))
        self._global = before if drew else None  # a custom operation may draw from these
        return out

    def again(self, tensors: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Repeat the run; running statistics and generators remain as they are.

        Raises:
            RuntimeError: If the cell is not in training mode anymore.
        """
        if not self.cell.body.training:
            raise RuntimeError("a recomputed cell must be in training mode in its backward pass")
        draws = None if self.draws is None else self.draws.clone_state()
        drawing = nullcontext() if self._global is None else _global_generators(self._global)
        with self._keeping_state(), self._autocast, drawing:
            return self._run(tensors, draws)

    def _run(self, tensors: Sequence[Tensor], draws: torch.Generator | None) -> tuple[Tensor, ...]:
        end = self.n_inputs + len(self.fields)
        mixing = dict(zip(self.fields, tensors[self.n_inputs : end], strict=True))
        weights = CellWeights(**mixing, active=self.active)
        given = (list(tensors[: self.n_inputs]), weights, draws, self.skip_dropout, self.drop_path)
        parameters, body, parts = tensors[end:], self.cell.body, list[Tensor]()
        in_parts = {"parts": parts} if self.in_parts else {}
        if all(one is other for one, other in zip(parameters, self.cell.parameters, strict=True)):
            out = body(*given, **in_parts)
        else:
            replaced = dict(zip(self.cell.names, parameters, strict=True))
            out = functional_call(body, replaced, given, in_parts)
        return tuple(parts) if self.in_parts else (out,)

    @contextmanager
    def _keeping_state(self) -> Iterator[None]:
        norms = [norm for norm in self.cell.norms if norm.training]
        buffers = self.cell.buffers
        kept = [buffer.clone() for buffer in buffers]
        _assign(buffers, self._buffers)
        for norm in norms:
            norm.track_running_stats = False
        try:
            yield
        finally:
            for norm in norms:
                norm.track_running_stats = True
            _assign(buffers, kept)


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, run: _CellRun, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.run = run
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors)
        return run.first(tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, ...]:
        run, saved, needed = ctx.run, ctx.saved_tensors, ctx.needs_input_grad[1:]
        differentiable = torch.is_grad_enabled()  # a gradient of this gradient will be requested
        n_mixed = run.n_inputs + len(run.fields)
        tensors = []
        for place, (tensor, wanted) in enumerate(zip(saved, needed, strict=True)):
            if differentiable:  # it may have been computed from another; not part of this function
                tensors.append(tensor.view_as(tensor))
            elif place < n_mixed or not tensor.is_leaf:
                tensors.append(tensor.detach().requires_grad_(wanted))
            else:  # a parameter: replacing all of them would take time
                tensors.append(tensor)
        with torch.enable_grad():
            outputs = run.again(tensors)
        used = [
            (out, gradient)
            for out, gradient in zip(outputs, gradients, strict=True)
            if gradient is not None and out.requires_grad
        ]
        asked = [tensor for tensor, wanted in zip(tensors, needed, strict=True) if wanted]
        found: Iterator[Tensor | None] = iter([None] * len(asked))
        if used:
            roots = [out for out, _ in used], asked, [gradient for _, gradient in used]
            found = iter(
                torch.autograd.grad(*roots, create_graph=differentiable, allow_unused=True)
            )
        return None, *(next(found) if wanted else None for wanted in needed)


def _global_states(device: torch.device) -> list[Tensor]:
    states = [torch.get_rng_state()]
    return states if device.type != "cuda" else [*states, torch.cuda.get_rng_state(device)]


@contextmanager
def _global_generators(states: Sequence[Tensor]) -> Iterator[None]:
    """Let torch's global generators have given states in the block."""
    with building():
        torch.set_rng_state(states[0])
        if len(states) == 1:
            yield
            return
        with torch.random.fork_rng():
            torch.cuda.set_rng_state(states[1])
            yield


def _assign(targets: Sequence[Tensor], values: Sequence[Tensor]) -> None:
    with torch.no_grad():
        for target, value in zip(targets, values, strict=True):
            target.copy_(value)
