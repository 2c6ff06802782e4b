"""The options of the relaxations."""

from __future__ import annotations

from typing import Literal

from tune_nas.config.section import Positive, Rate, Section


class TemperatureConfig(Section):
    """τ of gumbel and concrete, linear from the first epoch to the last.

    Args:
        start: τ of epoch 1 (GDAS: 10).
        end: τ of the last epoch (GDAS: 0.1; the MiLeNAS code: 1).
    """

    start: Positive = 10.0
    end: Positive = 0.1

    def in_epoch(self, epoch: int, epochs: int) -> float:
        """Return τ(e) = start + (end − start) · e / (E − 1) for epoch e (0-based) of E."""
        share = epoch / max(epochs - 1, 1)
        return (1 - share) * self.start + share * self.end


class PenaltyConfig(Section):
    """A term added to the cross-entropy in α's loss.

    Args:
        kind: ``kl``: KL(Dir(elu(α) + 1) ‖ Dir(1)) of dirichlet (DrNAS), over the remaining
            operations of undecided edges; ``kl-all``: over all operations of all edges, including
            pruned ones, as in the code of DrNAS; ``zero-one``: −mean (σ(α) − 0.5)² of sigmoid
            (FairDARTS); ``none``.
        weight: Its factor (DrNAS: 1e-3; FairDARTS: 10).
    """

    kind: Literal["none", "kl", "kl-all", "zero-one"] = "none"
    weight: Rate = 1e-3


class ConcreteOptions(Section):
    """Options of ``concrete`` (SNAS).

    Args:
        alphas: What α is: the ``logits`` of the operations of an edge, or their ``probabilities``,
            a point of the simplex, whose logits are log α (GAEA's form of GDAS).
        temperature: τ of the samples.
    """

    alphas: Literal["logits", "probabilities"] = "logits"
    temperature: TemperatureConfig = TemperatureConfig()


class GumbelOptions(ConcreteOptions):
    """Options of ``gumbel`` (GDAS): those of ``concrete``, and one more.

    Args:
        unsampled: How operations that were not sampled enter the sum of their edge: ``left-out``:
            not at all, so that α receives the gradient of the sampled operation only;
            ``as-numbers``: as their weight, a scalar that is 0 and has a gradient; ``auto``: as in
            the authors' cells, left-out if the cell output is ``concat`` (DARTS), as-numbers if it
            is ``last`` (NAS-Bench-201).
    """

    unsampled: Literal["auto", "left-out", "as-numbers"] = "auto"


class PenaltyOptions(Section):
    """Options of ``sigmoid`` and ``dirichlet``.

    Args:
        penalty: An additional term of α's loss.
    """

    penalty: PenaltyConfig = PenaltyConfig()
