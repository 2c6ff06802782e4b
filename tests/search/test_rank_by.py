"""What selection by magnitude ranks edges by: expected weights, or softmax(α) as DrNAS's code."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from searching import small_trial

from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides
from tune_nas.search import Search

AWAY = -30.0  # neither the mean of the distribution nor softmax gives such an operation any weight


def searched(folder: Path, rank_by: str, rows: dict[int, list[float]]) -> Search:
    """A search of dirichlet with the α of edges, of three of their operations, as they are given.

    The edges 2, 3 and 4 lead into node 3, which keeps two.
    """
    changes = {"relaxation.kind": "dirichlet", "selection.rank_by": rank_by}
    search = Search(small_trial(folder, **changes))
    with torch.no_grad():
        for row, values in rows.items():
            search.alphas["normal"][row] = torch.tensor([AWAY, values[0], AWAY, *values[1:]])
    return search


def kept(search: Search) -> list[str]:
    edges = search.genotype.cells["normal"].edges
    return [f"{edge.source} {edge.operation}" for edge in edges if edge.target == 3]


# Largest weight of edge 2: softmax e³ / (e³ + 2) = 0.909, mean 4 / (4 + 1 + 1) = 0.667;
# of edge 3: softmax e^½ / (e^½ + 2/e) = 0.691, mean 1.5 / (1.5 + 2/e) = 0.671.
ROWS = {2: [3.0, 0.0, 0.0], 3: [-1.0, 0.5, -1.0], 4: [-5.0, -5.0, 5.0]}


@pytest.mark.parametrize(
    ("rank_by", "wanted"),
    [
        ("weights", ["1 nor_conv_1x1", "2 nor_conv_3x3"]),
        ("softmax", ["0 skip_connect", "2 nor_conv_3x3"]),
    ],
)
def test_edges_are_ranked_by_the_mean_or_by_softmax(
    rank_by: str, wanted: list[str], tmp_path: Path
) -> None:
    assert kept(searched(tmp_path, rank_by, ROWS)) == wanted


def test_softmax_is_over_the_operations_that_are_left(tmp_path: Path) -> None:
    """Edge 2 has e / (e + 2) = 0.576, less than 0.691 of edge 3, but e / (e + 1) = 0.731 of two."""
    search = searched(tmp_path, "softmax", {**ROWS, 2: [1.0, 0.0, 0.0]})
    assert kept(search) == ["1 nor_conv_1x1", "2 nor_conv_3x3"]
    left = torch.ones(5, 5, dtype=torch.bool)
    left[2, 4] = False
    search.choices.keep("normal", left)
    assert kept(search) == ["0 skip_connect", "2 nor_conv_3x3"]


def test_it_belongs_to_selection_by_magnitude(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="rank_by is 'softmax', but belongs to"):
        with_overrides(
            small_trial(tmp_path),
            {"selection.rank_by": "softmax", "selection.kind": "perturbation"},
        )
