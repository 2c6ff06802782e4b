"""The genotypes of spaces: all of them, samples, neighbors, and how many compute the same."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import combinations, islice, product
from math import comb
from pathlib import Path
from random import Random
from statistics import mean, pstdev

import pytest
import yaml
from scipy.stats import chisquare

from tune_nas.spaces import Genotype, Space, load_space
from tune_nas.spaces.architectures import Architectures

EXAMPLE = Path(__file__).parents[2] / "examples" / "own-operations.yaml"

# Edges with different numbers of operations; those into node 3 have no operation in common.
UNEVEN = """
name: uneven
cells:
  normal: &cell
    inputs: 2
    nodes: 2
    operations:
      0->2: [skip_connect]
      1->2: [skip_connect, sep_conv_3x3, none]
      0->3: [max_pool_3x3, avg_pool_3x3]
      1->3: [sep_conv_3x3, sep_conv_5x5, none]
      2->3: [skip_connect]
    output: concat
    inputs_per_node: 1
    excluded: [none]
  reduction:
    inputs: 2
    nodes: 1
    operations: [skip_connect]
    output: concat
    inputs_per_node: 1
skeleton: {layout: thirds, init_channels: 4, cells: 3}
"""


@pytest.fixture
def uneven() -> Architectures:
    return Architectures(Space.from_dict(yaml.safe_load(UNEVEN)))


def counted(space: Space) -> int:
    """Return the number of genotypes: all choices of edges, and of operations, one by one."""
    total = 1
    for cell in space.cells.values():
        for node in cell.nodes:
            n = 0
            for rows in combinations(cell.incoming(node), cell.kept_inputs(node)):
                choices = 1
                for row in rows:
                    choices *= len(set(cell.operations[row]) - set(cell.excluded))
                n += choices
            total *= n
    return total


def edges_of(genotype: Genotype) -> set[tuple[str, object]]:
    return {(name, edge) for name, cell in genotype.cells.items() for edge in cell.edges}


def test_the_size_is_that_of_all_choices(space: Space) -> None:
    assert Architectures(space).size == counted(space)


def test_published_sizes() -> None:
    assert Architectures(load_space("nasbench201")).size == 15_625
    # DARTS: the product of k (k + 1) / 2 · 7² for k = 1 … 4, about 10⁹, for each of two cells
    cell = 1
    for k in range(1, 5):
        cell *= k * (k + 1) // 2 * 7**2
    assert cell == 1_037_664_180
    assert Architectures(load_space("darts")).size == cell**2
    # 8 operations on each of 14 edges, for two cells
    assert Architectures(load_space("darts-all-edges")).size == 8**28
    of_cell = 1
    for node in range(2, 6):
        of_cell *= comb(node, 2) * 2**2
    assert Architectures(load_space("s2")).size == of_cell**2


def test_all_genotypes_are_enumerated_once() -> None:
    for space in (load_space("nasbench201"), Space.from_dict(yaml.safe_load(UNEVEN))):
        architectures = Architectures(space)
        found = list(architectures.enumerate())
        assert len(set(found)) == len(found) == architectures.size
        for genotype in islice(found, 0, None, 97):
            genotype.check(space)
        if space.name == "nasbench201":
            texts = {str(genotype) for genotype in found}
    names = ["none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3"]
    form = "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|"
    assert texts == {form.format(*operations) for operations in product(names, repeat=6)}


def test_only_indices_of_the_space_are_legal(uneven: Architectures) -> None:
    for index in (-1, uneven.size):
        with pytest.raises(
            IndexError, match=rf"index is {index}, but must be in \[0, {uneven.size}\)"
        ):
            uneven.at(index)


def test_samples_are_uniform_over_genotypes(uneven: Architectures) -> None:
    """Not over sources first: those with more operations are in more genotypes."""
    rng = Random(0)
    counts = Counter(uneven.sample(rng) for _ in range(200 * uneven.size))
    assert uneven.size == 3 * 5 * 2 == len(counts)
    assert chisquare(list(counts.values())).pvalue > 0.01
    sources = Counter(genotype.cells["normal"].edges[1].source for genotype in uneven.enumerate())
    assert sources == {0: 12, 1: 12, 2: 6}


def test_samples_of_every_space_are_legal(space: Space) -> None:
    architectures, rng = Architectures(space), Random(0)
    for _ in range(20):
        architectures.sample(rng).check(space)


def check_neighbors(space: Space) -> None:
    architectures, rng = Architectures(space), Random(0)
    for _ in range(2):
        genotype = architectures.sample(rng)
        neighbors = list(architectures.neighbors(genotype))
        assert genotype not in neighbors
        assert len(set(neighbors)) == len(neighbors)
        for neighbor in neighbors:
            neighbor.check(space)
            assert len(edges_of(neighbor) - edges_of(genotype)) == 1
            assert len(edges_of(genotype) - edges_of(neighbor)) == 1
        for neighbor in rng.sample(neighbors, min(20, len(neighbors))):
            assert genotype in set(architectures.neighbors(neighbor))


def test_the_neighbors_of_every_space(space: Space) -> None:
    check_neighbors(space)


def test_the_neighbors_with_custom_operations() -> None:
    check_neighbors(load_space(EXAMPLE))


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("nasbench201", 6 * 4),
        ("darts-all-edges", 2 * 14 * 7),
        # operations, and the other sources: 0, 1, 2 and 3 for either edge into a node
        ("darts", 2 * (8 * 6 + 2 * (0 + 1 + 2 + 3))),
        ("s2", 2 * (8 * 1 + 2 * (0 + 1 + 2 + 3))),
        (str(EXAMPLE), 6 * 2),
    ],
)
def test_the_number_of_neighbors(name: str, number: int) -> None:
    architectures = Architectures(load_space(name))
    assert len(list(architectures.neighbors(architectures.at(0)))) == number


def test_neighbors_are_those_of_the_definition(uneven: Architectures) -> None:
    """Compared with a search among all genotypes, by another rule for each pair of edges."""
    operations = {
        (name, *edge): set(names) - {"none"}
        for name, cell in uneven.space.cells.items()
        for edge, names in zip(cell.edges, cell.operations, strict=True)
    }

    def are_neighbors(a: Genotype, b: Genotype) -> bool:
        old, new = edges_of(a) - edges_of(b), edges_of(b) - edges_of(a)
        if len(old) != 1 or len(new) != 1:
            return False
        ((name, before),), ((_, after),) = old, new
        both = [operations[name, edge.source, edge.target] for edge in (before, after)]
        return (
            before.source == after.source
            or before.operation == after.operation
            or not (both[0] & both[1])
        )

    everything = list(uneven.enumerate())
    for genotype in everything:
        expected = {other for other in everything if are_neighbors(genotype, other)}
        assert set(uneven.neighbors(genotype)) == expected


def test_every_genotype_is_reached_by_mutations(uneven: Architectures) -> None:
    reached = {uneven.at(0)}
    frontier = list(reached)
    while frontier:
        frontier = [
            neighbor
            for genotype in frontier
            for neighbor in uneven.neighbors(genotype)
            if neighbor not in reached
        ]
        reached.update(frontier)
    assert len(reached) == uneven.size


@pytest.mark.parametrize("name", ["nasbench201", "s1"])
def test_mutations_are_uniform_over_neighbors(name: str) -> None:
    architectures, rng = Architectures(load_space(name)), Random(0)
    genotype = architectures.sample(rng)
    neighbors = list(architectures.neighbors(genotype))
    counts = Counter(architectures.mutate(genotype, rng) for _ in range(50 * len(neighbors)))
    assert set(counts) == set(neighbors)
    assert chisquare(list(counts.values())).pvalue > 0.01


def test_the_only_genotype_of_a_space_has_no_neighbor() -> None:
    content = {
        "name": "one",
        "cells": {
            "normal": {"inputs": 1, "nodes": 1, "operations": ["skip_connect"], "output": "last"}
        },
        "skeleton": {"layout": "stages", "cells": 1},
    }
    architectures = Architectures(Space.from_dict(content))
    assert architectures.size == 1
    assert list(architectures.neighbors(architectures.at(0))) == []
    with pytest.raises(ValueError, match="space 'one' has one genotype, which has no neighbor"):
        architectures.mutate(architectures.at(0), Random(0))


def test_the_keys_of_nasbench201() -> None:
    """Their number is that of the functions that the cells compute, see test_computation.py."""
    architectures = Architectures(load_space("nasbench201"))
    genotypes = list(architectures.enumerate())
    before = time.process_time()
    keys = {architectures.key(genotype) for genotype in genotypes}
    assert time.process_time() - before < 2
    assert len(keys) == 5554


def strings_of_authors() -> Callable[[Genotype], str]:
    """Return the function that tells cells apart as NAS-Bench-201's authors do."""
    path = Path(__file__).parents[2] / "benchmarks" / "computations.py"
    spec = importlib.util.spec_from_file_location("computations", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.unique_string


def test_the_strings_of_the_authors_of_nasbench201() -> None:
    strings = strings_of_authors()
    architectures = Architectures(load_space("nasbench201"))
    assert len(set(map(strings, architectures.enumerate()))) == 6466  # as published


def test_cells_of_equal_keys_differ_by_the_noise_of_training(shared_data_dir: Path) -> None:
    """In the published table; cells that compute different functions differ by much more."""
    strings, architectures = strings_of_authors(), Architectures(load_space("nasbench201"))
    accuracies: dict[str, list[float]] = defaultdict(list)
    keys: dict[str, set[str]] = defaultdict(set)
    with gzip.open(shared_data_dir / "nasbench201.csv.gz", "rt", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            genotype = Genotype.parse(row["arch"])
            key = architectures.key(genotype)
            accuracies[key].append(float(row["c10_test_200"]))
            keys[strings(genotype)].add(key)
    groups = [group for group in accuracies.values() if len(group) > 1]
    assert len(groups) == 1475
    everything = [accuracy for group in accuracies.values() for accuracy in group]
    assert pstdev(everything) == pytest.approx(12.93, abs=0.01)
    assert mean(map(pstdev, groups)) == pytest.approx(0.134, abs=0.001)
    means = [sorted(mean(accuracies[key]) for key in some) for some in keys.values()]
    assert max(some[-1] - some[0] for some in means) == pytest.approx(2.747, abs=0.001)


def test_a_key_has_all_cells(darts_v2: str) -> None:
    space = load_space("darts")
    genotype = Genotype.parse(darts_v2)
    key = Architectures(space).key(genotype)
    assert key.splitlines() == [
        "normal: y0 = sep_conv_3x3(x0); y1 = sep_conv_3x3(x1); "
        "[dil_conv_3x3(y0+y1)+x0, sep_conv_3x3(x0)+sep_conv_3x3(x1), sep_conv_3x3(x1)+x0, y0+y1]",
        "reduction: y0 = max_pool_3x3(x0); y1 = max_pool_3x3(x1); "
        "[2*y0+y1, 2*y1+y0, 2*y1+y0, y0+y1]",
    ]
