"""The dominant eigenvalue of the Hessian of the validation loss with respect to α.

Zela et al., "Understanding and Robustifying Differentiable Architecture Search" (RobustDARTS), ICLR
2020, arXiv:1909.09656, Sec. 4; code: automl/RobustDARTS, ``src/search/analyze.py``. As in the code,
the Hessian is that of the α of all cell types jointly, with batch normalization by batch
statistics, and its dominant eigenvalue is the largest one, not the largest in magnitude.

The code computes all rows of the Hessian and adds the weight decay of α to its diagonal. Here, the
eigenvalue is that of ∇²α L_valid alone, from exact Hessian-vector products.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from tune_nas.errors import ConfigError
from tune_nas.search.evaluation import unaugmented_batches
from tune_nas.search.objective import Batch, Objective, gradients
from tune_nas.search.view import SearchView
from tune_nas.seeds import derive_seed, make_generator

Product = Callable[[Tensor], Tensor]
"""Multiplies a vector (n,) with a symmetric matrix (n, n)."""

_TOLERANCE = 1e-4  # residual of the eigenpair, relative to the largest value found
_ITERATIONS = 200  # at most; the residual is met after a tenth of them


def hessian_eigenvalue(search: SearchView, batches: int = 1) -> float:
    """Return the largest eigenvalue of ∇²α L_valid(w, α) of a search, which stays unchanged.

    L_valid is the mean cross-entropy of the supernet at the expected operation weights, in the
    floating-point type of w (without mixed precision). β is held constant.

    Args:
        search: The search.
        batches: Number of validation batches without augmentation, the same in each call. The
            computation keeps the graphs of all of them in memory.

    Raises:
        ConfigError: If the loss does not depend on α.
    """
    supernet, seed = search.supernet, search.trial.seed
    objective = dataclasses.replace(search.objective, bfloat16=False)
    chosen = list(unaugmented_batches(search, search.data.valid, batches))
    was_training = supernet.training
    supernet.train()
    try:
        # Random operations (noise) give the same samples in every call.
        supernet.seed_draws(derive_seed(seed, "evaluation"))
        with objective.keeping_statistics(), objective.keeping_activations():
            product = hessian_product(objective, chosen)
            like = torch.cat([alpha.detach().flatten() for alpha in objective.alphas.values()])
            start = torch.randn(len(like), generator=make_generator(seed, "Lanczos start"))
            return largest_eigenvalue(product, start.to(like))
    finally:
        supernet.train(was_training)


def hessian_product(objective: Objective, batches: Sequence[Batch]) -> Product:
    """Return v ↦ ∇²α L(w, α) · v for the mean loss of all images of some batches.

    α is the concatenation of the α of all cell types, in the order of ``objective.alphas``. The
    product is exact: it differentiates the gradient, whose graph is computed once.

    Args:
        objective: L(w, α), in the current mode of the supernet.
        batches: Images and labels.

    Raises:
        ConfigError: If the loss does not depend on α.
    """
    alphas = list(objective.alphas.values())
    count = sum(len(labels) for _, labels in batches)
    terms = [objective.loss(batch)[0] * (len(batch[1]) / count) for batch in batches]
    found = gradients(torch.stack(terms).sum(), alphas, create_graph=True)
    if all(gradient is None for gradient in found):
        kind = objective.relaxation.config.kind
        raise ConfigError(
            f"relaxation.kind is '{kind}', whose loss does not depend on α, so that it has no "
            "Hessian; take another relaxation, or leave out the eigenvalue (probes, "
            "schedule.eigenvalue)"
        )
    pairs = [
        (place, gradient)
        for place, gradient in enumerate(found)
        if gradient is not None and gradient.requires_grad
    ]

    def product(vector: Tensor) -> Tensor:
        parts = torch.split(vector, [alpha.numel() for alpha in alphas])
        if not pairs:  # L is linear in α
            return torch.zeros_like(vector)
        rows = torch.autograd.grad(
            [gradient for _, gradient in pairs],
            alphas,
            [parts[place].view_as(alphas[place]) for place, _ in pairs],
            retain_graph=True,
            allow_unused=True,
        )
        return torch.cat(
            [
                torch.zeros_like(part) if row is None else row.flatten()
                for part, row in zip(parts, rows, strict=True)
            ]
        )

    return product


def largest_eigenvalue(
    product: Product,
    start: Tensor,
    *,
    tolerance: float = _TOLERANCE,
    iterations: int = _ITERATIONS,
) -> float:
    """Return the largest (algebraic) eigenvalue of a symmetric matrix by the method of Lanczos.

    The basis is orthogonalized completely, and the small matrices are in double precision. The
    estimate never exceeds the eigenvalue, up to rounding; its error is at most the residual
    ‖A·x − θ·x‖ of the eigenpair (θ, x) with ‖x‖ = 1.

    Args:
        product: Multiplies a vector (n,) with the matrix.
        start: The first vector (n,), not zero; random, so that it has a part in every eigenvector.
        tolerance: Maximum residual relative to the largest magnitude of an eigenvalue found.
        iterations: Maximum number of products; n of them are exact up to rounding.
    """
    vectors = [start.detach() / start.norm()]
    diagonal, beside = list[float](), list[float]()
    value = 0.0
    for _ in range(min(iterations, len(start))):
        last = vectors[-1]
        along = product(last)
        diagonal.append(float(along.double() @ last.double()))
        basis = torch.stack(vectors)
        for _ in range(2):  # once more against what rounding left
            along = along - basis.T @ (basis @ along)
        rest = float(along.double().norm())
        own = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        if beside:
            off = torch.tensor(beside, dtype=torch.float64)
            own = own + torch.diag(off, 1) + torch.diag(off, -1)
        values, combinations = torch.linalg.eigh(own)
        value, scale = float(values[-1]), float(values.abs().max())
        if rest * abs(float(combinations[-1, -1])) <= tolerance * scale:
            break
        beside.append(rest)
        vectors.append(along / rest)
    return value
