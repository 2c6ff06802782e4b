"""The rows of `tune-nas list genotypes`."""

from __future__ import annotations

from tune_nas.spaces.notation import published_genotypes


def genotype_rows() -> list[dict[str, str]]:
    """Return name, space, paper and source of every published genotype that is known."""
    return [
        {"name": known.name, "space": known.space, "paper": known.paper, "source": known.source}
        for known in published_genotypes()
    ]
