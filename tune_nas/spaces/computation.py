"""The canonical form of a genotype: a text that is equal for genotypes that compute the same.

Two genotypes compute the same if there is a one-to-one matching between the operations with weights
that reach the output, each with one of the same name, such that networks with matching weights have
equal outputs for all inputs, up to rounding. A node is a sum, i.e. a multiset of terms:

- ``none`` has no terms. Operations that do not reach the output are omitted.
- An identity of a sum adds the terms of the sum; x + x remains 2·x.
- Two convolutions of the same sum are two terms, since they have different weights. A convolution
  that occurs in several sums gets a number, so that its copies differ from other convolutions.
- Pooling has no weights: two poolings of the same sum are one term twice. The average of a sum is
  the sum of the averages; the maximum of 2·x is twice that of x.
- A convolution block (ReLU, convolution, batch normalization) of zeros is a term and not zero: the
  normalization maps zeros to its learned shift, in training and in evaluation mode. The shift is 0
  at first, but it is trained. It is the same at all pixels, so pooling does not change it.
- ``noise`` ignores its input, and is sampled for each edge.
- In a reduction cell, edges from input nodes have stride 2. There, a ``skip_connect`` is not an
  identity but a factorized reduction, which has weights.
- If nodes are concatenated, all are in the output, so none is omitted, and equal ones occur twice.
  Their order does not matter: the operations on the output of a cell begin with a dense 1×1
  convolution or are linear, so another order of channels is another order of their weights.

Equalities with different weights are not considered (e.g. a learned shift beside a convolution,
which has a shift too), nor is drop path, which drops the poolings of different edges separately.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum, auto
from itertools import chain, groupby, islice, permutations, product
from math import gcd
from typing import NamedTuple

from torch import nn

from tune_nas.layers.primitives import Noise
from tune_nas.layers.structure import ConvolutionStages
from tune_nas.seeds import building
from tune_nas.spaces.genotype import CellGenotype, Genotype
from tune_nas.spaces.operation_registry import build_operation, operation_kind
from tune_nas.spaces.space import CellSpace, Space

_CHANNELS = 16  # of a built operation, as when custom ones are checked
_MOST_ORDERS = 720  # a symmetric cell with more: equal ones may have different texts

Sum = tuple[tuple[int, int], ...]
"""Pairs of a term, by number, and how often it occurs, in the order of the terms."""


class Role(Enum):
    """What an operation does to a sum."""

    ZERO = auto()
    IDENTITY = auto()
    MEAN = auto()  # linear; maps a constant map to itself
    MAXIMUM = auto()  # f(k·x + c) = k·f(x) + c for whole numbers k and constant maps c
    FIXED = auto()  # any other without weights
    NOISE = auto()
    CONVOLUTION = auto()  # with weights; maps zeros to a constant map
    WEIGHTED = auto()  # any other with weights


_ROLES: Mapping[type[nn.Module], Role] = {
    nn.Identity: Role.IDENTITY,
    nn.MaxPool2d: Role.MAXIMUM,
    Noise: Role.NOISE,
}


class _Term(NamedTuple):
    """An input node, or an operation of a sum of earlier terms.

    Args:
        operation: The operation, or the input node.
        given: The sum.
        height: Length of the longest path to it.
        constant: Whether each of its channels has the same value at all pixels.
    """

    operation: str
    given: Sum
    height: int
    constant: bool


def role_of(operation: str, stride: int) -> Role:
    """Return the role of an operation at a stride, also of a custom one.

    Raises:
        ConfigError: If the operation is unknown, or a custom one whose space has not been loaded.
    """
    kind = operation_kind(operation)
    if kind == "none":
        return Role.ZERO
    with building(0):
        module = build_operation(operation, _CHANNELS, stride, nn.BatchNorm2d)
    if type(module) in _ROLES:
        return _ROLES[type(module)]
    if type(module) is nn.AvgPool2d and _is_mean(module):
        return Role.MEAN
    if type(module) is ConvolutionStages and len(module.stages) == 1:
        return Role.CONVOLUTION
    fixed = kind in ("skip", "pool") and not module.state_dict()
    return Role.FIXED if fixed else Role.WEIGHTED


def _is_mean(pool: nn.AvgPool2d) -> bool:
    """Return whether the average is that of the pixels inside the map."""
    padded = pool.padding not in (0, (0, 0))
    return pool.divisor_override is None and not (padded and pool.count_include_pad)


class Computation:
    """The computations of the genotypes of a space.

    Args:
        space: The space.
    """

    def __init__(self, space: Space) -> None:
        positions = space.skeleton.strategy.plan(1, space.skeleton.cells)
        reductions = {position.cell for position in positions if position.reduction}
        self._cells = {
            name: CellComputation(cell, name in reductions) for name, cell in space.cells.items()
        }

    def text(self, genotype: Genotype) -> str:
        """Return the canonical form of a genotype of the space, one line per cell type."""
        cells = self._cells.items()
        return "\n".join(f"{name}: {cell.text(genotype.cells[name])}" for name, cell in cells)


class CellComputation:
    """The computations of the cells of one type.

    Args:
        cell: The cell type.
        reduction: Whether edges from input nodes have stride 2.
    """

    def __init__(self, cell: CellSpace, reduction: bool) -> None:
        self.cell = cell
        self.strides = [2 if reduction else 1] * cell.n_inputs + [1] * len(cell.nodes)
        self._roles = {
            (operation, stride): role_of(operation, stride)
            for operation in sorted(set(chain.from_iterable(cell.operations)))
            for stride in sorted(set(self.strides))
        }

    def text(self, genotype: CellGenotype) -> str:
        """Return the canonical form of a cell.

        It contains the input nodes x0, x1, …, terms that occur in several sums as y0, y1, …, and
        the output, e.g. ``y0 = nor_conv_3x3(x0); 2*x0+nor_conv_1x1(y0)+y0``.
        """
        terms = _Terms(self.cell.n_inputs)
        nodes: list[Sum] = [((number, 1),) for number in range(self.cell.n_inputs)]
        into: dict[int, dict[int, int]] = {node: {} for node in self.cell.nodes}
        for edge in genotype.edges:
            while len(nodes) <= edge.source:
                nodes.append(_sum_of(into[len(nodes)]))
            role = self._roles[edge.operation, self.strides[edge.source]]
            total = into[edge.target]
            for term, count in terms.apply(role, edge.operation, nodes[edge.source]):
                total[term] = total.get(term, 0) + count
        nodes += [_sum_of(into[node]) for node in range(len(nodes), len(into) + self.cell.n_inputs)]
        if self.cell.output == "last":
            return _Writer(terms.terms, nodes[-1:], self.cell.n_inputs).text("{}")
        outputs = nodes[self.cell.n_inputs :]
        return _Writer(terms.terms, outputs, self.cell.n_inputs).text("[{}]")


def _sum_of(terms: dict[int, int]) -> Sum:
    return tuple(sorted(terms.items()))


class _Terms:
    """The terms of a cell by number: those without weights once, a term after those inside it."""

    def __init__(self, n_inputs: int) -> None:
        self.terms = [_Term(f"x{number}", (), 0, False) for number in range(n_inputs)]
        self._numbers: dict[tuple[str, Sum], int] = {}

    def apply(self, role: Role, operation: str, given: Sum) -> Sum:
        """Return an operation of a sum as a sum."""
        if role is Role.CONVOLUTION or role is Role.WEIGHTED:
            return ((self._add(operation, given, role is Role.CONVOLUTION and not given), 1),)
        if role is Role.IDENTITY:
            return given
        if role is Role.ZERO:
            return ()
        if role is Role.NOISE:
            return ((self._add(operation, ()), 1),)
        if role is Role.FIXED:
            return ((self._once(operation, given), 1),)
        constant = tuple(pair for pair in given if self.terms[pair[0]].constant)
        rest = tuple(pair for pair in given if not self.terms[pair[0]].constant)
        if role is Role.MEAN:
            pooled = [(self._once(operation, ((term, 1),)), count) for term, count in rest]
            return (*constant, *pooled)
        common = gcd(*(count for _, count in rest))
        reduced = tuple((term, count // common) for term, count in rest)
        return (*constant, (self._once(operation, reduced), common)) if rest else constant

    def _once(self, operation: str, given: Sum) -> int:
        number = self._numbers.get((operation, given))
        if number is None:
            number = self._numbers[operation, given] = self._add(operation, given)
        return number

    def _add(self, operation: str, given: Sum, constant: bool = False) -> int:
        height = 1 + max((self.terms[term].height for term, _ in given), default=0)
        self.terms.append(_Term(operation, given, height, constant))
        return len(self.terms) - 1


class _Writer:
    """Writes the outputs of a cell as a text that does not depend on the order of its nodes.

    Terms that occur in several sums get names, in the order of their heights, then of their texts.
    Two of equal text are different convolutions of the same sum: of all orders of such terms, that
    of the least text is taken.
    """

    def __init__(self, terms: list[_Term], outputs: Sequence[Sum], n_inputs: int) -> None:
        self.terms, self.outputs = terms, outputs
        self.names = {number: terms[number].operation for number in range(n_inputs)}
        uses = [0] * len(terms)
        for term, _ in chain.from_iterable(outputs):
            uses[term] += 1
        for number in range(len(terms) - 1, n_inputs - 1, -1):
            if uses[number]:
                for term, _ in terms[number].given:
                    uses[term] += 1
        self.shared = [number for number in range(n_inputs, len(terms)) if uses[number] > 1]

    def text(self, form: str) -> str:
        """Return the canonical form, with the outputs in a form with ``{}``."""
        if not self.shared:
            return form.format(self._outputs())
        levels = groupby(sorted(self.shared, key=self._height), key=self._height)
        texts = self._texts([list(level) for _, level in levels], [])
        *definitions, outputs = min(islice(texts, _MOST_ORDERS))
        return "; ".join([*definitions, form.format(outputs)])

    def _texts(self, levels: list[list[int]], written: list[str]) -> Iterator[list[str]]:
        """Yield the definitions and the outputs for each order of equal terms."""
        if not levels:
            yield [*written, self._outputs()]
            return
        texts = {number: self._term(number) for number in levels[0]}
        ordered = sorted(levels[0], key=texts.__getitem__)
        equal = [list(group) for _, group in groupby(ordered, key=texts.__getitem__)]
        for groups in product(*(permutations(group) for group in equal)):
            added = list(chain.from_iterable(groups))
            names = {number: f"y{len(written) + place}" for place, number in enumerate(added)}
            self.names.update(names)
            lines = [f"{names[number]} = {texts[number]}" for number in added]
            yield from self._texts(levels[1:], [*written, *lines])
            for number in added:
                del self.names[number]

    def _height(self, number: int) -> int:
        return self.terms[number].height

    def _outputs(self) -> str:
        return ", ".join(sorted(map(self._sum, self.outputs)))

    def _term(self, number: int) -> str:
        name = self.names.get(number)
        if name is not None:
            return name
        term = self.terms[number]
        return f"{term.operation}({self._sum(term.given)})"

    def _sum(self, terms: Sum) -> str:
        texts = [f"{count}*{self._term(n)}" if count > 1 else self._term(n) for n, count in terms]
        return "+".join(sorted(texts)) if texts else "0"
