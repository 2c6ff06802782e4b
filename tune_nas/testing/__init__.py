"""Contracts that every part must pass; a test class for a custom part inherits them.

With pytest, in a test file::

    from tune_nas.testing import RelaxationContract

    class TestSharpening(RelaxationContract):
        kind = "own_parts:Sharpening"
        options = {"end": 0.2}

The searches of the contracts take about a second each: a small space, a few synthetic images.
"""

from tune_nas.testing.dataset_contract import DataSetContract
from tune_nas.testing.probe_contract import ProbeContract
from tune_nas.testing.proxy_contract import ProxyContract
from tune_nas.testing.relaxation_contract import RelaxationContract
from tune_nas.testing.report_format_contract import ReportFormatContract
from tune_nas.testing.rule_contract import RuleContract
from tune_nas.testing.search_contract import SMALL_SPACE, SearchContract
from tune_nas.testing.selection_contract import SelectionContract
from tune_nas.testing.states import differences
from tune_nas.testing.strategy_contract import StrategyContract
from tune_nas.testing.task_contract import TaskContract

__all__ = [
    "SMALL_SPACE",
    "DataSetContract",
    "ProbeContract",
    "ProxyContract",
    "RelaxationContract",
    "ReportFormatContract",
    "RuleContract",
    "SearchContract",
    "SelectionContract",
    "StrategyContract",
    "TaskContract",
    "differences",
]
