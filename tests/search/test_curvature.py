"""The dominant eigenvalue of ∇²α L_valid: against whole Hessians, and matrices known by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from searching import assert_same_state, finished, small_trial
from torch import Tensor, nn

from tune_nas.config import RelaxationConfig
from tune_nas.errors import ConfigError
from tune_nas.library import with_overrides
from tune_nas.search import Search
from tune_nas.search.curvature import hessian_eigenvalue, hessian_product, largest_eigenvalue
from tune_nas.search.evaluation import unaugmented_batches
from tune_nas.search.measured_analysis import MeasuredAnalysis
from tune_nas.search.objective import Objective
from tune_nas.search.relaxation import make_relaxation
from tune_nas.spaces import MixingWeights, load_space
from tune_nas.testing import ProbeContract

DOUBLE = {"runtime.dtype": "float64", "relaxation.init_std": 0.5}


def whole_hessian(search: Search, batches: int) -> Tensor:
    """Return ∇²α of the mean loss of the first validation images, without the library's passes."""
    images = list(unaugmented_batches(search, search.data.valid, batches))
    sizes = [alpha.numel() for alpha in search.alphas.values()]

    def loss(flat: Tensor) -> Tensor:
        parts = zip(search.alphas.items(), flat.split(sizes), strict=True)
        alphas = {name: part.view_as(alpha) for (name, alpha), part in parts}
        mixing = search.relaxation.weights(alphas, search.betas)
        losses = [
            F.cross_entropy(search.supernet(x, mixing), y, reduction="sum") for x, y in images
        ]
        return torch.stack(losses).sum() / sum(len(y) for _, y in images)

    search.supernet.train()
    flat = torch.cat([alpha.detach().flatten() for alpha in search.alphas.values()])
    hessian = torch.autograd.functional.hessian(loss, flat)
    assert isinstance(hessian, Tensor)
    return hessian


@pytest.mark.parametrize(
    ("relaxation", "changes"),
    [
        ("softmax", {}),
        ("softmax", {"runtime.implementation": "plain"}),
        ("softmax", {"runtime.implementation": "torch", "relaxation.edge_normalization": True}),
        ("sigmoid", {}),
        ("dirichlet", {}),
    ],
)
def test_it_is_the_largest_eigenvalue_of_the_whole_hessian(
    relaxation: str, changes: dict[str, Any], tmp_path: Path
) -> None:
    own = {**DOUBLE, "relaxation.kind": relaxation, **changes, "schedule.steps_per_epoch": 2}
    search = Search(small_trial(tmp_path, **own))
    search.run_epoch()
    found = hessian_eigenvalue(search, batches=2)
    hessian = whole_hessian(search, 2)
    assert hessian.shape == (50, 50)  # 5 edges, 5 operations, 2 cell types: all α jointly
    values = torch.linalg.eigvalsh(hessian)
    assert float(values[-1]) > 0
    assert found == pytest.approx(float(values[-1]), rel=1e-6)


def test_products_are_the_columns_of_the_whole_hessian(tmp_path: Path) -> None:
    search = Search(small_trial(tmp_path, **DOUBLE))
    search.supernet.train()
    product = hessian_product(
        search.objective, list(unaugmented_batches(search, search.data.valid, 1))
    )
    eye = torch.eye(50, dtype=torch.float64)
    columns = torch.stack([product(eye[place]) for place in range(50)], dim=1)
    torch.testing.assert_close(columns, whole_hessian(search, 1), rtol=1e-8, atol=1e-10)
    assert torch.equal(product(eye[3] * 2), columns[:, 3] * 2)


class _Quadratic(nn.Module):
    """Logits (αᵀAα / 2, 0) for one label: L = softplus(−αᵀAα / 2), whose ∇² at 0 is −A / 2."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__()
        self.matrix = matrix

    def forward(self, images: Tensor, mixing: MixingWeights) -> Tensor:
        alpha = torch.cat([cell.operations.flatten() for cell in mixing.values()])
        value = alpha @ self.matrix @ alpha / 2
        return torch.stack([value, torch.zeros_like(value)])[None].expand(len(images), 2)


def test_a_quadratic_by_hand() -> None:
    space = load_space("nasbench201")
    # an identity as relaxation: α is the operation weight
    relaxation = make_relaxation(RelaxationConfig(kind="softmax"), space)
    relaxation.relax = lambda alphas, mask: alphas  # type: ignore[method-assign]
    (name,) = space.cells
    alphas = {name: torch.zeros(6, 5, dtype=torch.float64, requires_grad=True)}
    values = torch.linspace(-3, 2, 30, dtype=torch.float64)
    rotation, _ = torch.linalg.qr(torch.randn(30, 30, dtype=torch.float64))
    matrix = rotation @ values.diag() @ rotation.T
    objective = Objective(_Quadratic(matrix), relaxation, alphas)
    batch = torch.zeros(4, 1, 1, 1), torch.zeros(4, dtype=torch.long)
    product = hessian_product(objective, [batch])
    vector = torch.randn(30, dtype=torch.float64)
    torch.testing.assert_close(product(vector), -matrix @ vector / 2)
    start = torch.randn(30, dtype=torch.float64)
    assert largest_eigenvalue(product, start) == pytest.approx(1.5, rel=1e-6)


@pytest.mark.parametrize(
    ("values", "largest"),
    [
        ([-9.0, -1.0, 0.5, 2.0], 2.0),  # not the largest in magnitude
        ([-9.0, -4.0, -1.0], -1.0),
        ([3.0, 3.0, 3.0], 3.0),
        ([0.0, 0.0], 0.0),
        ([7.0], 7.0),
    ],
)
def test_largest_means_algebraic(values: list[float], largest: float) -> None:
    matrix = torch.tensor(values, dtype=torch.float64).diag()
    start = torch.ones(len(values), dtype=torch.float64)
    assert largest_eigenvalue(lambda vector: matrix @ vector, start) == pytest.approx(largest)


def test_few_products_are_enough_and_more_are_not_made() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(224, 224, dtype=torch.float64, generator=generator)
    matrix = (noise + noise.T) / 40 + 2 * torch.outer(noise[0], noise[0]) / noise[0].norm() ** 2
    products = 0

    def product(vector: Tensor) -> Tensor:
        nonlocal products
        products += 1
        return matrix @ vector

    start = torch.randn(224, dtype=torch.float64, generator=generator)
    expected = float(torch.linalg.eigvalsh(matrix)[-1])
    assert largest_eigenvalue(product, start) == pytest.approx(expected, rel=1e-6)
    assert products < 40
    assert largest_eigenvalue(product, start, tolerance=0.0, iterations=3) < expected
    assert products < 43


def test_decided_edges_have_no_curvature(tmp_path: Path) -> None:
    search = Search(small_trial(tmp_path, **DOUBLE))
    for cell in ("normal", "reduction"):
        for row in range(5):
            search.decide(cell, row, 1)
    assert hessian_eigenvalue(search) == 0.0


def test_a_search_without_alpha_is_refused(tmp_path: Path) -> None:
    own = {"relaxation.kind": "uniform-path", "update.level": "none", "selection.kind": "sampled"}
    search = Search(small_trial(tmp_path, **own))
    with pytest.raises(ConfigError) as caught:
        hessian_eigenvalue(search)
    assert str(caught.value) == (
        "relaxation.kind is 'uniform-path', whose loss does not depend on α, so that it has no "
        "Hessian; take another relaxation, or leave out the eigenvalue (probes, "
        "schedule.eigenvalue)"
    )


def test_computing_it_changes_no_bit_and_is_repeatable(tmp_path: Path) -> None:
    own = {"relaxation.kind": "concrete", "runtime.autocast": True, "relaxation.init_std": 0.5}
    search = Search(small_trial(tmp_path, **own))
    search.run_epoch()
    before, mode = search.state_dict(), search.supernet.training
    random = torch.get_rng_state()
    assert hessian_eigenvalue(search) == hessian_eigenvalue(search)
    assert_same_state(before, search.state_dict())
    assert search.supernet.training == mode
    assert torch.equal(random, torch.get_rng_state())
    assert all(weight.grad is None for weight in search.supernet.parameters())
    assert all(weight.requires_grad for weight in search.supernet.parameters())


class TestHessianProbe(ProbeContract):
    """The probe `hessian`: what every probe must do."""

    probe = "hessian"


def test_the_probe_reports_the_eigenvalue_by_epoch_and_writes_a_table(tmp_path: Path) -> None:
    search = finished(small_trial(tmp_path, probes=["hessian"]))
    values = [metrics["hessian_eigenvalue"] for metrics in search.history]
    assert values[-1] == hessian_eigenvalue(search)
    table = ["epoch,hessian_eigenvalue", *(f"{epoch},{v}" for epoch, v in enumerate(values, 1))]
    assert search.artifacts()["hessian.csv"] == "\n".join(table) + "\n"
    search.save(tmp_path)
    resumed = Search(search.trial)
    resumed.load(tmp_path)
    assert resumed.artifacts()["hessian.csv"] == search.artifacts()["hessian.csv"]


def test_the_probe_can_be_computed_every_few_epochs(tmp_path: Path) -> None:
    search = finished(small_trial(tmp_path, probes=["hessian"], **{"analysis.every": 2}))
    epochs = [m["epoch"] for m in search.history if "hessian_eigenvalue" in m]
    assert epochs == [2, 3]  # and the last one


def test_the_command_gives_the_values_of_the_probe(tmp_path: Path) -> None:
    """Of all its epochs; without the probe, that of the checkpoint with the batches asked for."""
    search = finished(small_trial(tmp_path, probes=["hessian"]))
    search.save(tmp_path / "end")
    for batches, expected in (
        (None, [metrics["hessian_eigenvalue"] for metrics in search.history]),
        (2, [hessian_eigenvalue(search, 2)]),
    ):
        analysis = {"kind": "hessian", "batches": batches}
        own = {"start_from": str(tmp_path / "end"), "analysis": analysis}
        measured = MeasuredAnalysis(with_overrides(search.trial, own))
        measured.run_epoch()
        table = measured.table()
        assert table is not None and table.column("hessian_eigenvalue") == expected
