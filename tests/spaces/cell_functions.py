"""What cells compute, by running them: the truth with which canonical forms are compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, permutations, product

import torch
from torch import Tensor, nn

from tune_nas.seeds import derive_seed
from tune_nas.spaces import CellGenotype, CellSpace, build_operation, operation_kind

Slot = tuple[str, int, int]  # an operation, its stride, and which of several sets of weights
Output = tuple[int, ...]

CHANNELS = 3


def fill(module: nn.Module, purpose: str) -> None:
    """Set all parameters and statistics of a module to random values that depend on a purpose.

    Normalizations map zeros to positive numbers, so that a ReLU does not make zeros of them.
    """
    for name, tensor in module.state_dict().items():
        generator = torch.Generator().manual_seed(derive_seed(0, f"{purpose}/{name}"))
        if tensor.dim() == 1:
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=generator, dtype=tensor.dtype))
            tensor.mul_(-1 if name.endswith("running_mean") else 1)
        elif tensor.is_floating_point():
            tensor.copy_(torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype))


class CellFunctions:
    """Runs cells in evaluation mode with generic weights, in float64, and compares their outputs.

    Args:
        cell: The cell type.
        reduction: Whether edges from input nodes have stride 2.
        side: Side of the input nodes in pixels. On small maps, several poolings are equal to more.
    """

    def __init__(self, cell: CellSpace, reduction: bool, side: int = 16) -> None:
        self.cell, self.reduction = cell, reduction
        self.values: list[Tensor] = []
        self._found: dict[tuple[torch.Size, int], int] = {}
        self._results: dict[tuple[Slot, int], int] = {}
        self._sums: dict[tuple[int, ...], int] = {}
        self._modules: dict[Slot, nn.Module] = {}
        self._differ: dict[tuple[str, int], bool] = {}  # whether an operation has weights
        generator = torch.Generator().manual_seed(0)
        shape = (cell.n_inputs, 2, CHANNELS, side, side)
        self.inputs = [
            self._intern(x) for x in torch.randn(shape, generator=generator, dtype=torch.float64)
        ]
        side = (side + 1) // 2 if reduction else side
        self.zeros = self._intern(torch.zeros(2, CHANNELS, side, side, dtype=torch.float64))

    def output(self, genotype: CellGenotype) -> tuple[Output, dict[int, Slot], list[int]]:
        """Return what a cell computes, with which weights, and the order of its nodes.

        Operations of one name that reach the output get different sets of weights, in all orders.
        Two cells compute the same for some matching of their weights if the least outputs of all
        orders are equal.

        Returns:
            The values of the output by number; the weights of each edge by its position; and the
            concatenated nodes in the order of their values.
        """
        edges = [(e.source, e.target, e.operation) for e in genotype.edges]
        alive = self._alive(edges)
        kinds: dict[tuple[str, int], list[int]] = {}
        for position in alive:
            source, _, operation = edges[position]
            stride = 1 if operation_kind(operation) == "noise" else self._stride(source)
            kinds.setdefault((operation, stride), []).append(position)
        best: tuple[Output, dict[int, Slot], list[int]] | None = None
        for slots in self._assignments(kinds):
            nodes = self._run(edges, alive, slots)
            if self.cell.output == "last":
                found = (nodes[-1],), slots, [0]
            else:
                outputs = nodes[self.cell.n_inputs :]
                order = sorted(range(len(outputs)), key=outputs.__getitem__)
                found = tuple(sorted(outputs)), slots, order
            if best is None or found[0] < best[0]:
                best = found
        assert best is not None
        return best

    def _assignments(self, kinds: dict[tuple[str, int], list[int]]) -> Iterator[dict[int, Slot]]:
        """Yield a set of weights for each edge, in all orders; 0 for those without weights."""
        orders: list[list[list[tuple[int, Slot]]]] = []
        for kind, positions in kinds.items():
            if kind not in self._differ:
                module = build_operation(kind[0], CHANNELS, kind[1], nn.BatchNorm2d)
                noise = operation_kind(kind[0]) == "noise"
                self._differ[kind] = noise or bool(module.state_dict())
            if self._differ[kind]:
                numbers = permutations(range(len(positions)))
            else:
                numbers = iter([(0,) * len(positions)])
            orders.append(
                [
                    [(p, (*kind, number)) for p, number in zip(positions, order, strict=True)]
                    for order in numbers
                ]
            )
        for combination in product(*orders):
            yield dict(chain.from_iterable(combination))

    def _alive(self, edges: Sequence[tuple[int, int, str]]) -> list[int]:
        last = self.cell.nodes[-1]
        nodes = {last} if self.cell.output == "last" else set(self.cell.nodes)
        alive = []
        for position in reversed(range(len(edges))):
            source, target, operation = edges[position]
            if target in nodes and operation_kind(operation) != "none":
                nodes.add(source)
                alive.append(position)
        return alive[::-1]

    def _stride(self, source: int) -> int:
        return 2 if self.reduction and source < self.cell.n_inputs else 1

    def _run(
        self, edges: Sequence[tuple[int, int, str]], alive: Iterable[int], slots: dict[int, Slot]
    ) -> list[int]:
        terms: dict[int, list[int]] = {node: [] for node in self.cell.nodes}
        nodes = list(self.inputs)
        for position in alive:
            source, target, _ = edges[position]
            while len(nodes) <= source:
                nodes.append(self._sum(terms[len(nodes)]))
            terms[target].append(self._apply(slots[position], nodes[source]))
        while len(nodes) < self.cell.n_inputs + len(terms):
            nodes.append(self._sum(terms[len(nodes)]))
        return nodes

    def _apply(self, slot: Slot, value: int) -> int:
        if (slot, value) not in self._results:
            operation, stride, _ = slot
            if slot not in self._modules:
                module = build_operation(operation, CHANNELS, stride, nn.BatchNorm2d).double()
                fill(module, str(slot))
                self._modules[slot] = module.eval()
            if operation_kind(operation) == "noise":  # fixed instead of sampled
                generator = torch.Generator().manual_seed(derive_seed(0, str(slot)))
                shape = self.values[self.zeros].shape
                out = torch.randn(shape, generator=generator, dtype=torch.float64)
            else:
                with torch.no_grad():
                    out = self._modules[slot](self.values[value])
            self._results[slot, value] = self._intern(out)
        return self._results[slot, value]

    def _sum(self, terms: list[int]) -> int:
        ordered = tuple(sorted(terms))
        if ordered not in self._sums:
            total = sum((self.values[term] for term in ordered), self.values[self.zeros])
            self._sums[ordered] = self._intern(total)
        return self._sums[ordered]

    def _intern(self, value: Tensor) -> int:
        """Return the number of a tensor, equal for equal ones up to rounding."""
        at = torch.arange(1, value.numel() + 1, dtype=torch.float64).sin()
        place = round(float(value.flatten() @ at) * 1e8)
        for near in (place - 1, place, place + 1):
            known = self._found.get((value.shape, near))
            if known is not None:
                torch.testing.assert_close(self.values[known], value, rtol=1e-9, atol=1e-9)
                return known
        self.values.append(value)
        self._found[value.shape, place] = len(self.values) - 1
        return len(self.values) - 1
