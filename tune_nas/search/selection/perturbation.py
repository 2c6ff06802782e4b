"""Selection by perturbation: what the supernet would miss most."""

from __future__ import annotations

from tune_nas.search.influence import perturbed_choice

__all__ = ["perturbed_choice"]
