"""One operation per edge, sampled from softmax(α).

Its weight is exactly 1. α's gradient is one of:

- ``score``: Hu et al., "DSNAS: Direct Neural Architecture Search without Parameter Retraining",
  CVPR 2020, arXiv:2002.09128; the authors' code is SNAS-Series/SNAS-Series.
- ``full``, ``two``: Cai et al., "ProxylessNAS", ICLR 2019, arXiv:1812.00332, Eq. 4 and Sec. 3.2.1;
  the authors' code is mit-han-lab/proxylessnas.
- ``importance``: Casale et al., "Probabilistic Neural Architecture Search" (PARSEC),
  arXiv:1902.05116; see `tune_nas.search.importance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from tune_nas.config import RelaxationConfig
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.relaxation.gumbel_noise import gumbel_noise
from tune_nas.search.relaxation.relaxation import (
    Alphas,
    AlphaStep,
    Relaxation,
    Sample,
    log_softmax_where,
    masked,
    softmax_where,
)
from tune_nas.seeds import Generators
from tune_nas.spaces import Space


class Sampled(NamedTuple):
    """The sampled operations of a cell type, each (edges, operations), bool.

    Args:
        path: One operation per edge.
        run: The operations that a pass runs: the path, or both of each sampled pair.
    """

    path: Tensor
    run: Tensor


class Categorical(Relaxation):
    """Exact one-hot weights with a gradient that ``relaxation.gradient`` names.

    With g the operations' weights (gates), p = softmax(α) and k the sampled operation:

    - ``score``: ∂L/∂α = ∂L/∂g_k · ∇ log p_k. Only the sampled operation is run.
    - ``full``: ∂L/∂α_i = Σ_j ∂L/∂g_j p_j (δ_ij − p_i) over all operations, which are all run.
    - ``two``: the same formula within two operations, sampled from p without replacement; the path
      is one of them, with probability softmax of their α. Only these two are run.

    With ``full`` and ``two``, passes that do not compute α's gradient run one operation per edge.
    """

    is_drawn = True
    evaluates_draws = True
    runs_everything_if: ClassVar[Mapping[str, str]] = {"gradient": "full"}

    def __init__(
        self, config: RelaxationConfig, space: Space, choices: CandidateMask | None = None
    ) -> None:
        super().__init__(config, space, choices)
        self.adjusts_alphas = config.gradient == "two"
        if config.gradient in ("full", "two"):
            single = config.model_copy(update={"gradient": "score"})
            self.of_weights = Categorical(single, space, self.choices)

    def relax(self, alphas: Tensor, mask: Tensor) -> Tensor:
        """Map α to the probabilities of the operations, softmax(α)."""
        return softmax_where(alphas, mask)

    def sample(self, alphas: Tensor, mask: Tensor, generator: torch.Generator) -> Sample:
        """Sample one-hot weights, with the gradient of ``relaxation.gradient``."""
        path, run = self.sample_path(alphas, mask, generator)
        weights = path.to(alphas.dtype)
        if self.config.gradient in ("full", "two"):
            shares = softmax_where(alphas, run)
            weights = weights + (shares - shares.detach())
        else:
            logs = log_softmax_where(alphas, mask)
            weights = weights * (1.0 + (logs - logs.detach()))
        return Sample(weights, active=None if self.config.gradient == "full" else run.cpu())

    def sample_path(self, alphas: Tensor, mask: Tensor, generator: torch.Generator) -> Sampled:
        """Sample the path of a pass and the operations that it runs."""
        if self.config.gradient != "two":
            path = _largest(alphas, mask, generator)
            return Sampled(path, mask if self.config.gradient == "full" else path)
        # the two largest of the same noisy values are two samples without replacement
        order = _noisy(alphas, mask, generator).argsort(dim=1, descending=True)
        pair = torch.zeros_like(mask).scatter(1, order[:, :2], True) & mask
        return Sampled(_largest(alphas, pair, generator), pair)

    def log_probability(self, alphas: Alphas, seed: int, generators: Generators) -> Tensor:
        """Return the log probability of the path that a pass with this seed runs, ().

        Decided and pruned edges contribute 0.
        """
        total = []
        for name, alpha in alphas.items():
            mask = self.choices.remaining(name, alpha.device)
            generator = generators(seed, name, alpha.device)
            path = self.sample_path(alpha.detach(), mask, generator).path
            total.append((log_softmax_where(alpha, mask) * path).sum())
        return torch.stack(total).sum()

    def adjust_alphas(self, step: AlphaStep) -> None:
        """Shift the α of ``two``'s sampled pairs so that Σ exp(α) over each pair stays.

        The probabilities of the other operations of the edge then stay, if their α did. With
        passes on several batches, the operations of all their pairs are shifted together.
        """
        for name, alpha in step.alphas.items():
            before = step.before[name]
            mask = self.choices.remaining(name, alpha.device)
            moved = torch.zeros_like(mask)
            for seed in step.seeds:
                generator = step.generators(seed, name, alpha.device)
                moved |= self.sample_path(before, mask, generator).run
            moved &= self.choices.undecided(name, alpha.device)
            shift = _log_sum(before, moved) - _log_sum(alpha, moved)
            alpha.add_(torch.where(moved, shift, 0.0))


def _noisy(alphas: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    noise = gumbel_noise(alphas, generator)
    return (alphas.detach() + noise).masked_fill(~mask, float("-inf"))


def _largest(alphas: Tensor, mask: Tensor, generator: torch.Generator) -> Tensor:
    """Return the mask of an operation per edge, sampled from softmax(α) over a mask."""
    sampled = _noisy(alphas, mask, generator).argmax(dim=1, keepdim=True)
    return torch.zeros_like(mask).scatter(1, sampled, True) & mask


def _log_sum(values: Tensor, mask: Tensor) -> Tensor:
    """Return log Σ exp over the entries of a mask in each row, or over all if there are none."""
    return masked(values, mask).logsumexp(dim=1, keepdim=True)
