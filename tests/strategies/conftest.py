"""Strategies on small spaces."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tune_nas.config.strategy_config import StrategyConfig
from tune_nas.spaces import load_space
from tune_nas.spaces.architectures import Architectures
from tune_nas.strategies import Strategy, StrategyInputs, make_strategy

# Nine genotypes: no operation is the identity and none commutes with another.
CHAIN = """
cells:
  normal: {inputs: 1, nodes: 2, edges: ["0->1", "1->2"], output: last,
           operations: [avg_pool_3x3, nor_conv_1x1, nor_conv_3x3]}
skeleton: {layout: stages, init_channels: 2, cells: 1}
"""


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the path of a space with nine genotypes: three operations on each of two edges."""
    path = tmp_path_factory.mktemp("spaces") / "chain.yaml"
    path.write_text(CHAIN, encoding="utf-8")
    return str(path)


@pytest.fixture
def build() -> Callable[..., Strategy]:
    """Return a function that builds a strategy from keys of its section."""

    def make(kind: str, space: str = "nasbench201", seed: int = 0, **keys: object) -> Strategy:
        config = StrategyConfig.model_validate({"kind": kind, **keys})
        return make_strategy(StrategyInputs(Architectures(load_space(space)), config, seed))

    return make
