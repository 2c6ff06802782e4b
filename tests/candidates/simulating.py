"""What the tests of simulated searches share."""

from __future__ import annotations

import os
from collections.abc import Sequence

from tune_nas.benchmark import DATA, CellTraining, TrainingTable
from tune_nas.config.strategy_config import StrategyConfig
from tune_nas.spaces import Genotype, load_space
from tune_nas.spaces.architectures import Architectures
from tune_nas.strategies import Request, Strategy, StrategyInputs, make_strategy

OPERATIONS = ("nor_conv_3x3", "nor_conv_1x1", "skip_connect", "avg_pool_3x3")


def cell(number: int) -> str:
    """Return a cell that differs from others in the operations of its first and last edge."""
    first, last = OPERATIONS[number % 4], OPERATIONS[number // 4 % 4]
    return f"|{first}~0|+|nor_conv_3x3~0|skip_connect~1|+|nor_conv_3x3~0|nor_conv_1x1~1|{last}~2|"


def small_table(rows: Sequence[tuple[float, float, float]]) -> TrainingTable:
    """Return a table of cells 0, 1, …: accuracy after 12 and after 200 epochs, seconds of 200.

    The test accuracy is the validation accuracy after 200 epochs minus 1, 30 and 50 points.
    """
    return TrainingTable(
        {
            cell(number): {
                data: CellTraining({12: short, 200: full}, {200: full - gap}, {}, seconds)
                for data, gap in zip(DATA, (1, 30, 50), strict=True)
            }
            for number, (short, full, seconds) in enumerate(rows)
        }
    )


class Listed(Strategy):
    """Trains cells 0, 1, … to the first level, then the best of them to the last one."""

    def propose(self) -> Request | None:
        """Return the next job."""
        number, levels = len(self.standings), self.config.levels
        if number < self.config.halving.candidates:
            return self.new(Genotype.parse(cell(number)), levels[0])
        best = self.ranking()[0] if not self.pending else None
        return self.promotion(best, 200) if best is not None and best.epochs < 200 else None


class Ending(Strategy):
    """Ends its process, as a machine without memory does."""

    def propose(self) -> Request | None:
        """Return nothing, ever."""
        os._exit(1)


def config(**changes: object) -> StrategyConfig:
    return StrategyConfig.model_validate({"levels": (200,), "budget": 10_000, **changes})


def listed(cells: int, **changes: object) -> Listed:
    return Listed(inputs(config(halving={"candidates": cells}, **changes)))


def inputs(of: StrategyConfig, seed: int = 0) -> StrategyInputs:
    return StrategyInputs(Architectures(load_space("nasbench201")), of, seed)


def strategy(kind: str, seed: int = 0, **changes: object) -> Strategy:
    return make_strategy(inputs(config(kind=kind, **changes), seed))
