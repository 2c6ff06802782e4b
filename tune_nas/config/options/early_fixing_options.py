"""The options of the rule ``early_fixing``."""

from __future__ import annotations

from tune_nas.config.section import Fraction, Section


class EarlyFixingOptions(Section):
    """Options of ``early_fixing``: edges are decided once their α is clear (DSNAS).

    Args:
        gap: Smallest difference between the two largest probabilities of an edge at which it is
            decided.
    """

    gap: Fraction = 0.3
