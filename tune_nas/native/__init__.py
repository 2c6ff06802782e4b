"""Kernels of our own for a CPU, compiled at first use; see docs/speed.md.

Nothing outside of this folder knows what they are made of: `mix_chains` and `pool` are used where
`kernels_for` says that they can be.
"""

from tune_nas.native.build import build_kernels, kernels_for
from tune_nas.native.chain import Stage, mix_chains, stages_of
from tune_nas.native.pooling import is_kernels_pool, pool
from tune_nas.native.term import mix_term

__all__ = [
    "Stage",
    "build_kernels",
    "is_kernels_pool",
    "kernels_for",
    "mix_chains",
    "mix_term",
    "pool",
    "stages_of",
]
