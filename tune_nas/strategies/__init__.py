"""Black-box search strategies: which candidates are trained, for how long, and which is the best.

A strategy trains nothing itself: it asks for training jobs and is told their accuracies, by the
learner that trains candidates for real or by the simulator that reads them from a table.
"""

from tune_nas.strategies.history import History
from tune_nas.strategies.strategy import Request, Standing, Strategy, StrategyInputs
from tune_nas.strategies.strategy_factory import make_strategy

__all__ = ["History", "Request", "Standing", "Strategy", "StrategyInputs", "make_strategy"]
