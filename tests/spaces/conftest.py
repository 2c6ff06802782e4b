"""What the tests of spaces share: every space there is, published genotypes, random weights."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from tune_nas.shipped import shipped_names
from tune_nas.spaces import CellWeights, Genotype, Space, Supernet, load_space

sys.path.insert(0, str(Path(__file__).parent))  # for pasted.py

PUBLISHED = {
    "DARTS_V1": "Genotype(normal=[('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('skip_connect', 0), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('skip_connect', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 0), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('avg_pool_3x3', 0)], reduce_concat=[2, 3, 4, 5])",
    "DARTS_V2": "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])",
    "PDARTS": "PDARTS = Genotype(normal=[('skip_connect', 0), ('dil_conv_3x3', 1), "
    "('skip_connect', 0),('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('sep_conv_3x3', 3), "
    "('sep_conv_3x3',0), ('dil_conv_5x5', 4)], normal_concat=range(2, 6), "
    "reduce=[('avg_pool_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('dil_conv_5x5', 2), "
    "('max_pool_3x3', 0), ('dil_conv_3x3', 1), ('dil_conv_3x3', 1), ('dil_conv_5x5', 3)], "
    "reduce_concat=range(2, 6))",
    "NB201": "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+"
    "|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
}

# A user's own: operations by edge, edges left out, other widths; in both layouts.
OWN_THIRDS = """
name: own-thirds
cells:
  normal:
    inputs: 2
    nodes: 2
    edges: [0->2, 1->2, 1->3, 2->3]
    operations:
      0->2: [skip_connect, sep_conv_3x3, none]
      1->2: [max_pool_3x3, dil_conv_3x3]
      1->3: [skip_connect, nor_conv_1x1]
      2->3: [avg_pool_3x3]
    output: concat
    inputs_per_node: 1
    excluded: [none]
  reduction:
    inputs: 2
    nodes: 3
    operations: [skip_connect, max_pool_3x3]
    output: last
    inputs_per_node: 2
skeleton: {layout: thirds, init_channels: 4, cells: 3, stem_multiplier: 2}
supernet: {affine: true, track_running_stats: false, norm_after_pools: false}
"""
OWN_STAGES = """
name: own-stages
cells:
  normal:
    inputs: 1
    nodes: 2
    operations: [none, skip_connect, nor_conv_1x1]
    output: last
skeleton: {layout: stages, init_channels: 4, cells: 1}
"""


def every_space() -> list[Space]:
    own = [Space.from_dict(yaml.safe_load(text)) for text in (OWN_THIRDS, OWN_STAGES)]
    return [load_space(name) for name in shipped_names("space")] + own


@pytest.fixture(params=every_space(), ids=lambda space: space.name)
def space(request: pytest.FixtureRequest) -> Space:
    """Every shipped space, and two that a user could write."""
    return request.param


@pytest.fixture
def own_yaml(tmp_path: Path) -> Path:
    path = tmp_path / "own.yaml"
    path.write_text(OWN_THIRDS)
    return path


@pytest.fixture
def published() -> dict[str, str]:
    return PUBLISHED


Weigh = Callable[..., dict[str, CellWeights]]


@pytest.fixture
def weigh() -> Weigh:
    """Make random mixing weights of a space, NaN where there is no operation."""

    def make(space: Space, seed: int = 0, edges: bool = False) -> dict[str, CellWeights]:
        generator = torch.Generator().manual_seed(seed)
        weights = {}
        for name, cell in space.cells.items():
            shape = (len(cell.edges), cell.n_operations)
            operations = torch.rand(shape, generator=generator, dtype=torch.float64)
            operations[~cell.mask()] = torch.nan
            betas = torch.rand(shape[0], generator=generator, dtype=torch.float64)
            weights[name] = CellWeights(operations, betas if edges else None)
        return weights

    return make


@pytest.fixture
def tiny_supernet() -> Callable[[Space], Supernet]:
    """Build a small float64 supernet of a space, seeded."""

    def make(space: Space) -> Supernet:
        cells = 3 if space.skeleton.layout == "thirds" else 1
        with torch.random.fork_rng():
            torch.manual_seed(0)
            net = Supernet(space, n_classes=3, in_channels=1, init_channels=2, cells=cells)
        return net.double()

    return make


@pytest.fixture
def last_genotype(
    picker: Callable[[Space, Callable[[list, int], list]], Genotype],
) -> Callable[[Space], Genotype]:
    """Return the genotype of a space's last legal operations and last edges: no node is idle."""

    def make(space: Space) -> Genotype:
        return picker(space, lambda options, n: options[-n:])

    return make
