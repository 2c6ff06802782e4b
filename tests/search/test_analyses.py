"""The analyses of the papers, each on cases that are worked out by hand or with other code."""

from __future__ import annotations

import copy
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from searching import DARTS, finished, small_trial, tiny_trial
from torch import Tensor

from tune_nas.errors import ConfigError
from tune_nas.search import Search
from tune_nas.search.analyses.cell_weights import (
    cell_gradients,
    cells_of,
    copies_for_cells,
    separate_weights,
)
from tune_nas.search.analyses.discretization import Discretization, discretized, tuned_accuracy
from tune_nas.search.analyses.edge_shuffle import (
    EdgeShuffle,
    exchangeable,
    random_swaps,
    swapped_edges,
)
from tune_nas.search.analyses.gradient_bias import GradientBias, mean_gradients
from tune_nas.search.analyses.gradient_correlation import (
    GradientCorrelation,
    between_batches,
    between_cells,
    between_halves,
    correlation,
    positions,
)
from tune_nas.search.analyses.probe_batches import probe_passes
from tune_nas.search.analyses.skip_gap import SkipGap, gap_correlation
from tune_nas.testing.states import differences

EXACT: dict[str, Any] = {"runtime.dtype": "float64", "relaxation.init_std": 1.0}
HALVES = {"analysis.batches": 2}


@pytest.fixture(scope="module")
def search() -> Search:
    """A search in float64 whose supernet has three cells of one type."""
    return Search(tiny_trial(**EXACT, **HALVES))


def swapped_by_hand(body: Any, one: int, other: int) -> None:
    edges = list(body.edges)
    edges[one], edges[other] = edges[other], edges[one]
    body.edges = torch.nn.ModuleList(edges)
    body.__dict__.pop("_operations", None)


def test_the_correlation_of_gradients() -> None:
    """Pearson's, over the entries: ±1 for multiples and shifts, 0 for the orthogonal, else nan."""
    one = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
    assert correlation(one, 2 * one + 5) == pytest.approx(1.0)
    assert correlation(one, -0.1 * one) == pytest.approx(-1.0)
    assert correlation(torch.tensor([1.0, -1, 0, 0]), torch.tensor([0.0, 0, 1, -1])) == 0.0
    assert math.isnan(correlation(one, torch.ones(2, 2)))
    # deviations (-1, 0, 1) and (-4/3, -1/3, 5/3): their product is 3
    assert correlation(torch.tensor([1.0, 2, 3]), torch.tensor([0.0, 1, 3])) == pytest.approx(
        3 / math.sqrt(2 * 42 / 9)
    )


def test_correlations_between_cells_batches_and_halves() -> None:
    """Two cells whose gradients agree in the first batch and are opposite in the second."""
    up, down = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([2.0, 1.0, 0.0])
    train = [[up, 3 * up], [up, down]]
    assert between_cells(train, 0, [1]) == pytest.approx(0.0)  # (1 - 1) / 2
    assert between_cells(train[:1], 0, [1]) == pytest.approx(1.0)
    assert between_cells(train[1:], 1, [0]) == pytest.approx(-1.0)
    assert between_batches(train, 0) == pytest.approx(1.0)
    assert between_batches(train, 1) == pytest.approx(-1.0)
    assert between_halves(train, [[down, down]], 0) == pytest.approx(-1.0)
    assert between_halves(train, [[down, down]], 1) == pytest.approx(0.0)
    assert math.isnan(between_cells(train, 0, []))
    assert math.isnan(between_batches(train[:1], 0))


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ("nnn", {0: "first", 1: "middle", 2: "last"}),
        ("nnrnnrnn", {0: "first", 4: "middle", 7: "last"}),
        ("nrn", {0: "first", 2: "last"}),
        ("nrr", {0: "first"}),
    ],
)
def test_positions_are_among_the_cells_of_the_first_type(
    types: str, expected: dict[int, str]
) -> None:
    assert positions(list(types)) == expected


def test_the_gradient_of_a_cell_is_a_central_difference(search: Search) -> None:
    """Only the operation weights of that cell are moved; the sum over cells is the shared one's."""
    found = cell_gradients(search, "valid", 2)
    assert len(found) == 2 and len(found[0]) == 3
    shared = search.expected_weights()
    (first, second) = probe_passes(search, "valid", 2)
    for batch, gradients in ((first, found[0]), (second, found[1])):
        for cell, row, column in ((0, 0, 3), (1, 2, 1), (2, 5, 4)):
            losses = []
            for step in (1e-5, -1e-5):
                own = copies_for_cells(search.supernet, shared)
                with torch.no_grad():
                    own[cell].operations[row, column] += step
                with separate_weights(search.supernet, own), torch.no_grad():
                    losses.append(float(search.objective.loss(batch, mixing=shared)[0]))
            difference = (losses[0] - losses[1]) / 2e-5
            assert float(gradients[cell][row, column]) == pytest.approx(difference, abs=1e-8)
            assert abs(difference) > 1e-6
    of_both = [torch.stack(of_batch).sum(0) for of_batch in found]
    mean = mean_gradients(search, "valid", 2)["normal"]
    torch.testing.assert_close(mean, (of_both[0] + of_both[1]) / 2, rtol=1e-9, atol=1e-12)
    assert bool((mean[:, 0] == 0).all())  # `none` adds nothing


@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("form", ["plain", "torch", "fast"])
def test_cells_run_with_their_own_weights_in_every_form(form: str, beta: float) -> None:
    """With equal copies the logits are the same; the shared weights are not read then."""
    skip = {"relaxation.auxiliary_skip.start": beta}
    own = Search(tiny_trial(**{**EXACT, **skip, "runtime.implementation": form}))
    own.supernet.skip_weight = beta
    weights = own.expected_weights()
    zeros = {name: copy.copy(each) for name, each in weights.items()}
    for each in zeros.values():
        object.__setattr__(each, "operations", torch.zeros_like(each.operations))
    batch = next(iter(probe_passes(own, "valid", 1)))
    images = batch.images
    own.supernet.eval()
    with torch.no_grad():
        expected = own.supernet(images, weights)
        with separate_weights(own.supernet, copies_for_cells(own.supernet, weights)):
            assert torch.equal(own.supernet(images, zeros), expected)
        assert not torch.equal(own.supernet(images, zeros), expected)


def test_the_table_of_the_correlations(search: Search) -> None:
    """Each value is the mean of NumPy's correlation coefficients of the cells' gradients."""
    table = GradientCorrelation(search).measured(search)
    assert [row[:4] for row in table.rows[:3]] == [
        ("train", 0, "normal", "first"),
        ("train", 1, "normal", "middle"),
        ("train", 2, "normal", "last"),
    ]
    found = {half: cell_gradients(search, half, 2) for half in ("train", "valid")}

    def flat(gradient: Tensor) -> Any:
        return gradient[:, 1:].flatten().numpy()  # without `none`

    for row in table.rows:
        half, cell = str(row[0]), int(row[1])
        others = {0, 1, 2} - {cell}
        of_cells = [
            np.corrcoef(flat(batch[cell]), flat(batch[other]))[0, 1]
            for batch in found[half]
            for other in others
        ]
        assert row[4] == pytest.approx(np.mean(of_cells))
        one, other = (flat(batch[cell]) for batch in found[half])
        assert row[5] == pytest.approx(np.corrcoef(one, other)[0, 1])
        pairs = itertools.product(found["train"], found["valid"])
        of_halves = [np.corrcoef(flat(a[cell]), flat(b[cell]))[0, 1] for a, b in pairs]
        assert row[6] == pytest.approx(np.mean(of_halves))
        assert table.metrics[f"gradient_correlation/{half}/{row[3]}"] == row[4]
    assert len(table.metrics) == 6


def test_the_gradient_bias(search: Search) -> None:
    """A row per operation; the metric is mean ∂L/∂p of convolutions minus skips and pools."""
    table = GradientBias(search).measured(search)
    assert len(table.rows) == 2 * 6 * 5
    for half in ("train", "valid"):
        mean = mean_gradients(search, half, 2)["normal"]
        rows = [row for row in table.rows if row[0] == half]
        assert [row[4] for row in rows] == mean.flatten().tolist()
        assert rows[3][1:4] == ("normal", "0->1", "nor_conv_3x3")
        # none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3
        bias = mean[:, 2:4].mean() - mean[:, [1, 4]].mean()
        assert table.metrics[f"gradient_bias/{half}"] == pytest.approx(float(bias))


def test_operations_that_were_removed_have_no_row() -> None:
    own = Search(tiny_trial(**EXACT, **HALVES))
    own.decide("normal", 0, 3)
    rows = GradientBias(own).measured(own).rows
    assert [row[3] for row in rows if row[0] == "train" and row[2] == "0->1"] == ["nor_conv_3x3"]
    assert len(rows) == 2 * (1 + 5 * 5)


@pytest.mark.parametrize("beta", [0.0, 1.0])
@pytest.mark.parametrize("form", ["plain", "torch", "fast"])
def test_two_edges_change_places(form: str, beta: float) -> None:
    """As in a supernet whose modules are exchanged by hand; afterwards all is as it was."""
    skip = {"relaxation.auxiliary_skip.start": beta}
    own = Search(tiny_trial(**{**EXACT, **skip, "runtime.implementation": form}))
    own.run_epoch()
    swaps = [(0, 5), (1, 2), None]
    plain = Search(tiny_trial(**{**EXACT, **skip, "runtime.implementation": "plain"}))
    plain.supernet.skip_weight = own.supernet.skip_weight
    plain.supernet.load_state_dict(own.supernet.state_dict())
    weights = own.expected_weights()
    by_hand = []
    for block, swap in zip(cells_of(plain.supernet), swaps, strict=True):
        order = list(range(6))
        if swap is not None:
            swapped_by_hand(block.body, *swap)
            order[swap[0]], order[swap[1]] = swap[1], swap[0]
        mine = copy.copy(weights["normal"])
        object.__setattr__(mine, "operations", weights["normal"].operations[order])
        by_hand.append(mine)
    before = copy.deepcopy(own.supernet.state_dict())
    images = next(iter(probe_passes(own, "valid", 1))).images
    for supernet in (own.supernet, plain.supernet):
        supernet.eval()
    with torch.no_grad():
        with separate_weights(plain.supernet, by_hand):
            expected = plain.supernet(images, weights)
        with swapped_edges(own.supernet, weights, swaps):
            found = own.supernet(images, weights)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)
        assert float((own.supernet(images, weights) - expected).abs().max()) > 1e-6
    assert differences(before, own.supernet.state_dict()) == []


def test_only_edges_of_equal_stride_change_places() -> None:
    """Of a reduction cell of DARTS, 8 edges have stride 2 and 6 have 1; all 14 of a normal one."""
    own = Search(tiny_trial(space=DARTS))
    counts = {block.cell: len(exchangeable(block.body)) for block in cells_of(own.supernet)}
    assert counts == {"normal": 14 * 13 // 2, "reduction": 8 * 7 // 2 + 6 * 5 // 2}
    assert random_swaps(own.supernet, 1) == random_swaps(own.supernet, 1)
    assert len({tuple(random_swaps(own.supernet, seed)) for seed in range(5)}) == 5


def test_the_accuracies_of_shuffled_supernets() -> None:
    own = finished(tiny_trial(**{"analysis.shuffles": 3}))
    before = copy.deepcopy(own.state_dict())
    table = EdgeShuffle(own).measured(own)
    assert differences(before, own.state_dict()) == []
    assert [row[:2] for row in table.rows] == [(0, "before"), *((n, "after") for n in (1, 2, 3))]
    weights = own.expected_weights()
    assert table.rows[0][2] == own.evaluate(weights)[1]
    assert table.rows[0][3] == own.evaluate(weights, batch_statistics=True)[1]
    after = [float(row[2]) for row in table.rows[1:]]
    assert table.metrics["edge_shuffle/before"] == table.rows[0][2]
    assert table.metrics["edge_shuffle/after"] == pytest.approx(np.mean(after))
    drop = float(table.rows[0][2]) - np.mean(after)
    assert table.metrics["edge_shuffle/drop"] == pytest.approx(drop)


def test_an_edge_that_changes_places_with_its_like_changes_nothing() -> None:
    """Two edges with the same weights: the logits stay, in the supernet as trained."""
    own = Search(tiny_trial(**EXACT))
    weights = own.expected_weights()
    with torch.no_grad():
        for block in cells_of(own.supernet):
            one, other = block.body.edges[1], block.body.edges[2]
            other.load_state_dict(one.state_dict())
        weights["normal"].operations[2] = weights["normal"].operations[1]
        own.supernet.eval()
        images = next(iter(probe_passes(own, "valid", 1))).images
        own.supernet.eval()
        expected = own.supernet(images, weights)
        with swapped_edges(own.supernet, weights, [(1, 2)] * 3):
            assert torch.equal(own.supernet(images, weights), expected)


def test_the_gap_and_the_accuracy_by_epoch() -> None:
    own = Search(tiny_trial(probes=["skip-gap"], **{"optimizer.alphas.learning_rate": 0.1}))
    while not own.done:
        own.run_epoch()
    table = SkipGap(own).table(own)
    assert table is not None
    pairs = [(m["valid_accuracy"], m["skip_advantage"]) for m in own.history]
    assert table.rows == [(epoch, *pair) for epoch, pair in enumerate(pairs, 1)]
    assert own.artifacts()["skip_gap.csv"] == table.to_csv()
    expected = np.corrcoef(*zip(*pairs, strict=True))[0, 1]
    if math.isfinite(expected):
        assert table.metrics["skip_gap/correlation"] == pytest.approx(expected)
    assert gap_correlation([(1.0, 0.1), (2.0, 0.2), (4.0, 0.4)]) == pytest.approx(1.0)
    assert gap_correlation([(1.0, 0.3), (2.0, 0.2), (3.0, 0.1)]) == pytest.approx(-1.0)
    assert math.isnan(gap_correlation([(1.0, 0.3), (1.0, 0.2)]))
    # the mean of three times 0.1 is not 0.1 in floating point
    assert math.isnan(gap_correlation([(1.0, 0.1), (2.0, 0.1), (4.0, 0.1)]))


def test_the_gap_is_that_of_the_weights_where_alpha_is_on_the_simplex() -> None:
    simplex = {"relaxation.kind": "simplex", "optimizer.alphas.kind": "exponentiated"}
    own = Search(tiny_trial(probes=["skip-gap"], **simplex))
    own.run_epoch()
    cell, weights = own.space.cells["normal"], own.expected_weights()["normal"].operations
    operations = list(cell.operations[0])
    skip = weights[:, operations.index("skip_connect")]
    columns = [operations.index(name) for name in ("nor_conv_1x1", "nor_conv_3x3")]
    expected = float((skip - weights[:, columns].mean(dim=1)).mean())
    rows = own.artifacts()["skip_gap.csv"].splitlines()
    assert float(rows[1].split(",")[-1]) == pytest.approx(expected, rel=1e-4)
    assert own.history[0]["skip_advantage"] == pytest.approx(expected, rel=1e-4)


def test_an_operation_alone_on_its_edge_is_tuned() -> None:
    """A copy of the supernet is trained by plain PyTorch code; the search stays as it was."""
    settings = {**EXACT, "analysis.epochs": 2, "schedule.epochs": 1}
    own = finished(tiny_trial(**settings))
    weights = discretized(own.expected_weights(), "normal", 2, 1)
    assert weights["normal"].operations[2].tolist() == [0, 1, 0, 0, 0]
    assert weights["normal"].running()[2] == (False, True, False, False, False)  # type: ignore[index]
    before = copy.deepcopy(own.state_dict())
    found = tuned_accuracy(own, weights)
    assert differences(before, own.state_dict()) == []

    by_hand = copy.deepcopy(own.supernet).train()
    optimizer = torch.optim.SGD(
        by_hand.parameters(), lr=0.1 * 0.025, momentum=0.9, weight_decay=3e-4
    )
    for _ in range(2):
        for images, labels, _ in probe_passes(own, "train", None):
            optimizer.zero_grad()
            F.cross_entropy(by_hand(images, weights), labels).backward()
            optimizer.step()
    right = n = 0
    with torch.no_grad():
        for images, labels, _ in probe_passes(own, "valid", None):
            right += int((by_hand(images, weights).argmax(1) == labels).sum())
            n += len(labels)
    assert found == pytest.approx(100 * right / n)


def test_the_default_edges_are_the_first_of_each_cell_type(tmp_path: Path) -> None:
    own = Search(small_trial(tmp_path, **{"analysis.epochs": 1, "analysis.batches": 1}))
    table = Discretization(own).measured(own)
    assert {row[:2] for row in table.rows} == {("normal", "0->2"), ("reduction", "0->2")}
    alphas = own.alphas["reduction"][0].tolist()
    assert [row[3] for row in table.rows if row[0] == "reduction"] == alphas[1:]
    own.decide("normal", 0, 1)
    rows = Discretization(own).measured(own).rows
    assert {row[0] for row in rows} == {"reduction"}
    with pytest.raises(ConfigError, match="no edge '7->9'"):
        Search(
            small_trial(tmp_path, probes=["discretization"], **{"analysis.edges": ["normal:7->9"]})
        )


def test_a_probe_measures_every_few_epochs_and_the_last() -> None:
    settings = {"schedule.epochs": 5, "analysis.every": 2, **HALVES}
    own = finished(tiny_trial(probes=["gradient-bias"], **settings))
    assert [m["epoch"] for m in own.history if "gradient_bias/train" in m] == [2, 4, 5]
    lines = str(own.artifacts()["gradient_bias.csv"]).splitlines()
    assert lines[0] == "epoch,half,cell,edge,operation,gradient"
    assert len(lines) == 1 + 3 * 60


@pytest.mark.parametrize(
    ("probe", "space", "says"),
    [
        ("skip-gap", "no_skip", "needs an edge with a skip connection and a convolution"),
        ("edge-shuffle", "one_edge", "needs two edges of a cell with the same operations and str"),
    ],
)
def test_an_analysis_that_does_not_fit_the_space(
    tmp_path: Path, probe: str, space: str, says: str
) -> None:
    operations = "[avg_pool_3x3, nor_conv_3x3]"
    nodes = 1 if space == "one_edge" else 2
    (tmp_path / f"{space}.yaml").write_text(
        f"cells: {{normal: {{inputs: 1, nodes: {nodes}, operations: {operations}, "
        "output: last}}\n"
        "skeleton: {layout: stages, init_channels: 4, cells: 1}\n",
        encoding="utf-8",
    )
    changes = {"space": {"name": str(tmp_path / f"{space}.yaml")}, "probes": [probe]}
    with pytest.raises(ConfigError, match=says):
        Search(tiny_trial(**changes))


def test_an_unknown_probe_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'gradient-bias'"):
        tiny_trial(probes=["gradient-bais"])
