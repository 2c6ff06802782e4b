"""The layout of a cell's nodes and operations: a small layered layout, left to right.

The steps are those of Sugiyama, Tagawa and Toda (IEEE Trans. SMC 11, 1981): layers by longest
path, bends where an edge passes a layer, fewest crossings by barycenters, then positions. Every
operation has its own position in the layer before its target, so that labels do not overlap.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

NODE, OPERATION, BEND, OUTPUT = "node", "operation", "bend", "output"

Vertex = tuple[str, int, int]
"""Kind, number of the node or route, layer."""

_HEIGHT = {NODE: 0.42, OUTPUT: 0.42, OPERATION: 0.36, BEND: 0.16}
_GAP = 0.16
_PULL = 3.0
_STARTS, _SWEEPS, _RELAXATIONS = 12, 8, 120


@dataclass(frozen=True)
class CellLayout:
    """The layout of a cell as numbers.

    Args:
        layers: The vertices of each layer, in order from the bottom up or the top down.
        y: Height of each vertex.
        routes: For each edge, its vertices from source to target; then the routes from the
            intermediate nodes to the output, if it has one.
    """

    layers: tuple[tuple[Vertex, ...], ...]
    y: Mapping[Vertex, float]
    routes: tuple[tuple[Vertex, ...], ...]


def lay_out(
    edges: Sequence[tuple[int, int]], n_inputs: int, nodes: Sequence[int], *, output: bool
) -> CellLayout:
    """Place the nodes, operations and bends of a cell.

    Args:
        edges: Source and target of each edge.
        n_inputs: The nodes 0 … n_inputs − 1 are inputs.
        nodes: The intermediate nodes, each after the nodes that lead to it.
        output: Whether all intermediate nodes lead to an output node.
    """
    return _lay_out(tuple(edges), n_inputs, tuple(nodes), output)


@lru_cache(maxsize=512)  # many cells of a sweep have the same edges, with other operations
def _lay_out(
    edges: tuple[tuple[int, int], ...], n_inputs: int, nodes: tuple[int, ...], output: bool
) -> CellLayout:
    layer_of = dict.fromkeys(range(n_inputs), 0)
    for node in nodes:
        layer_of[node] = max((layer_of[s] + 2 for s, t in edges if t == node), default=2)
    routes = [_route(layer_of, number, *edge) for number, edge in enumerate(edges)]
    if output:
        last = max(layer_of.values()) + 1
        for number, node in enumerate(nodes, start=len(edges)):
            bends = [(BEND, number, layer) for layer in range(layer_of[node] + 1, last)]
            routes.append([(NODE, node, layer_of[node]), *bends, (OUTPUT, 0, last)])
    vertices = [(NODE, node, layer) for node, layer in layer_of.items()]
    vertices = list(dict.fromkeys([*vertices, *itertools.chain.from_iterable(routes)]))
    layers = _fewest_crossings(vertices, routes)
    return CellLayout(
        tuple(tuple(layer) for layer in layers),
        _heights(layers, routes),
        tuple(tuple(route) for route in routes),
    )


def count_crossings(layers: Sequence[Sequence[Vertex]], routes: Sequence[Sequence[Vertex]]) -> int:
    """Return the number of crossings of routes between neighboring layers."""
    place = {vertex: number for layer in layers for number, vertex in enumerate(layer)}
    segments: dict[int, list[tuple[int, int]]] = {}  # by the layer of their left end
    for route in routes:
        for left, right in itertools.pairwise(route):
            segments.setdefault(left[2], []).append((place[left], place[right]))
    return sum(
        (a - c) * (b - d) < 0
        for between in segments.values()
        for (a, b), (c, d) in itertools.combinations(between, 2)
    )


def _route(layer_of: Mapping[int, int], number: int, source: int, target: int) -> list[Vertex]:
    start, end = layer_of[source], layer_of[target]
    bends = [(BEND, number, layer) for layer in range(start + 1, end - 1)]
    return [(NODE, source, start), *bends, (OPERATION, number, end - 1), (NODE, target, end)]


def _neighbors(routes: Sequence[Sequence[Vertex]]) -> dict[Vertex, list[Vertex]]:
    found: dict[Vertex, list[Vertex]] = {}
    for route in routes:
        for left, right in itertools.pairwise(route):
            found.setdefault(left, []).append(right)
            found.setdefault(right, []).append(left)
    return found


def _fewest_crossings(
    vertices: Sequence[Vertex], routes: Sequence[Sequence[Vertex]]
) -> list[list[Vertex]]:
    neighbors = _neighbors(routes)
    layers: list[list[Vertex]] = [[] for _ in range(max(vertex[2] for vertex in vertices) + 1)]
    for vertex in vertices:
        layers[vertex[2]].append(vertex)
    best, fewest = layers, count_crossings(layers, routes)
    generator = random.Random(0)
    for start in range(_STARTS):
        if not fewest:
            break
        tried = [list(layer) for layer in layers]
        if start:
            for layer in tried:
                generator.shuffle(layer)
        for sweep in range(_SWEEPS):
            step = 1 if sweep % 2 == 0 else -1
            _sweep(tried, neighbors, step)
            crossings = count_crossings(tried, routes)
            if crossings < fewest:
                best, fewest = [list(layer) for layer in tried], crossings
    return best


def _sweep(layers: list[list[Vertex]], neighbors: Mapping[Vertex, list[Vertex]], step: int) -> None:
    """Order each layer by the mean position of its neighbors in the layer before it."""
    place: dict[Vertex, float] = {}

    def note(layer: Sequence[Vertex]) -> None:
        last = max(len(layer) - 1, 1)
        place.update({vertex: number / last for number, vertex in enumerate(layer)})

    def barycenter(vertex: Vertex) -> float:
        near = [place[v] for v in neighbors.get(vertex, []) if (vertex[2] - v[2]) * step > 0]
        return sum(near) / len(near) if near else place[vertex]

    for layer in layers:
        note(layer)
    for layer in layers[::step]:
        if len(layer) > 1:
            layer.sort(key=barycenter)
            note(layer)


def _heights(
    layers: Sequence[Sequence[Vertex]], routes: Sequence[Sequence[Vertex]]
) -> dict[Vertex, float]:
    """Pull every vertex towards its neighbors, keeping order and distances in its layer."""
    neighbors = _neighbors(routes)
    y: dict[Vertex, float] = {}
    for layer in layers:
        offsets = _offsets(layer)
        for vertex, offset in zip(layer, offsets, strict=True):
            y[vertex] = offset - offsets[-1] / 2
    known = [(layer, _offsets(layer), [_pulls(v, neighbors) for v in layer]) for layer in layers]
    for _ in range(_RELAXATIONS):
        for layer, offsets, pulls in known:
            wanted = [_pull(v, near, y) for v, near in zip(layer, pulls, strict=True)]
            level = _increasing([w - o for w, o in zip(wanted, offsets, strict=True)])
            y.update({v: base + o for v, base, o in zip(layer, level, offsets, strict=True)})
    middle = (max(y.values()) + min(y.values())) / 2
    inputs = sorted(layers[0], key=lambda vertex: vertex[1])
    up = 1.0 if y[inputs[0]] >= y[inputs[-1]] else -1.0  # the first input on top
    return {vertex: up * (height - middle) for vertex, height in y.items()}


def _pulls(
    vertex: Vertex, neighbors: Mapping[Vertex, Sequence[Vertex]]
) -> list[tuple[float, Vertex]]:
    """Return the neighbors of a vertex and their weights; bends keep long edges straight."""
    near = neighbors.get(vertex, ())
    return [(_PULL ** ((vertex[0] == BEND) + (other[0] == BEND)), other) for other in near]


def _pull(vertex: Vertex, near: Sequence[tuple[float, Vertex]], y: Mapping[Vertex, float]) -> float:
    """Return the target height of a vertex."""
    # A term for its own position damps oscillation, and its pull to the middle draws loose ends in.
    heights = sum([weight * y[other] for weight, other in near], 0.0) + 0.3 * (y[vertex] * 0.9)
    return heights / (sum([weight for weight, _ in near], 0.0) + 0.3)


def _offsets(layer: Sequence[Vertex]) -> list[float]:
    """Return the heights of a layer's vertices above its first, with minimum distances."""
    offsets = [0.0]
    for below, above in itertools.pairwise(layer):
        offsets.append(offsets[-1] + (_HEIGHT[below[0]] + _HEIGHT[above[0]]) / 2 + _GAP)
    return offsets


def _increasing(values: Sequence[float]) -> list[float]:
    """Return the nearest non-decreasing values (pool adjacent violators)."""
    pools: list[tuple[float, int]] = []
    for value in values:
        total, count = value, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before = pools.pop()
            total, count = total + before[0], count + before[1]
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]
