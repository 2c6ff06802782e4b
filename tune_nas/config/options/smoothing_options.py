"""The options of the smoothings."""

from __future__ import annotations

from tune_nas.config.section import Passes, Rate, Section


class RandomOptions(Section):
    """Options of ``random`` (SDARTS-RS).

    Args:
        start: Radius ε before the first epoch; it grows linearly with the epochs.
        end: Radius after the last epoch and during the tuning of a selection.
    """

    start: Rate = 0.03
    end: Rate = 0.3

    def radius(self, epoch: int, epochs: int) -> float:
        """Return ε(e) = start + (end − start) · e / E for epoch e (0-based) of E."""
        return self.start + (self.end - self.start) * epoch / epochs


class AdversarialOptions(RandomOptions):
    """Options of ``adversarial`` (SDARTS-ADV): those of ``random``, and one more.

    Args:
        steps: Gradient steps, of size 2ε / steps.
    """

    steps: Passes = 7
