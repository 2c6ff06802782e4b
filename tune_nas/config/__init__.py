"""The YAML models, one file per section of a trial.

A key of a trial is written with dots (``update.lambda``); `tune_nas.library` reads the files,
applies overrides and turns validation errors into one line.
"""

from tune_nas.config.analysis_config import AnalysisConfig, split_edge
from tune_nas.config.data_config import AugmentConfig, DataConfig, check_data_keys
from tune_nas.config.earlier import earlier_rules
from tune_nas.config.optimizer_config import AlphasOptimizer, OptimizerConfig, WeightsOptimizer
from tune_nas.config.relaxation_config import RelaxationConfig, SmoothingConfig
from tune_nas.config.retrain_config import RetrainConfig
from tune_nas.config.schedule_config import ScheduleConfig, scaled
from tune_nas.config.section import Cells, Channels, Count, Epochs, Layout, Section, dotted_keys
from tune_nas.config.selection_config import SelectionConfig
from tune_nas.config.trial import BenchmarkConfig, RuntimeConfig, SpaceConfig, TrialConfig
from tune_nas.config.update_config import UpdateConfig, UpdatePhase

__all__ = [
    "AlphasOptimizer",
    "AnalysisConfig",
    "AugmentConfig",
    "BenchmarkConfig",
    "Cells",
    "Channels",
    "Count",
    "DataConfig",
    "Epochs",
    "Layout",
    "OptimizerConfig",
    "RelaxationConfig",
    "RetrainConfig",
    "RuntimeConfig",
    "ScheduleConfig",
    "Section",
    "SelectionConfig",
    "SmoothingConfig",
    "SpaceConfig",
    "TrialConfig",
    "UpdateConfig",
    "UpdatePhase",
    "WeightsOptimizer",
    "check_data_keys",
    "dotted_keys",
    "earlier_rules",
    "scaled",
    "split_edge",
]
