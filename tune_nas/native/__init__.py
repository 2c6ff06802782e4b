"""Custom CPU kernels, compiled at first use; see docs/speed.md.

Their implementation is private to this folder: `mix`, `pool`, `normed_pool`, `split_node` and
`shuffled_node` are used if `kernels_for` returns that they are available.
"""

from tune_nas.native.backend import TOLERANCE
from tune_nas.native.bridges import Bridge, bridge_of, bridges
from tune_nas.native.build import build_kernels, kernels_for
from tune_nas.native.chain import Stage, stages_of
from tune_nas.native.mix import Chain, Term, mix
from tune_nas.native.partial_channels import shuffled_node, split_node
from tune_nas.native.pooling import is_kernels_pool, normed_pool, pool

__all__ = [
    "TOLERANCE",
    "Bridge",
    "Chain",
    "Stage",
    "Term",
    "bridge_of",
    "bridges",
    "build_kernels",
    "is_kernels_pool",
    "kernels_for",
    "mix",
    "normed_pool",
    "pool",
    "shuffled_node",
    "split_node",
    "stages_of",
]
