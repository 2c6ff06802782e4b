"""The YAML model of a trial: a search and the retraining of its genotype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from tune_nas.config.analysis_config import AnalysisConfig
from tune_nas.config.data_config import DataConfig
from tune_nas.config.decides import Decides
from tune_nas.config.optimizer_config import OptimizerConfig
from tune_nas.config.relaxation_config import RelaxationConfig
from tune_nas.config.retrain_config import RetrainConfig
from tune_nas.config.schedule_config import ScheduleConfig
from tune_nas.config.section import (
    Cells,
    Channels,
    Layout,
    Section,
    Threads,
    check_part,
)
from tune_nas.config.selection_config import SelectionConfig
from tune_nas.config.short_forms import with_long_forms
from tune_nas.config.strategy_config import StrategyConfig
from tune_nas.config.together import check_together
from tune_nas.config.update_config import UpdateConfig

_OF_SEARCH = Decides.SEARCH | Decides.SEARCH_STARTS
_OF_RETRAIN = Decides.RETRAIN | Decides.RETRAIN_STARTS


class SpaceConfig(Section):
    """The search space and the size of the supernet.

    Args:
        name: A built-in space or the path of a YAML file.
        skeleton: Skeleton of the supernet: ``thirds``, ``stages`` or ``imagenet`` (as ``thirds``
            after three convolutions of stride 2); None for that of the space. Retraining runs have
            it too, unless ``retrain.skeleton`` is given.
        init_channels: Channels of the first cell; None for the space's default.
        cells: Number of cells (per stage in spaces with stages); None for the space's default.
    """

    name: Annotated[str, _OF_SEARCH | Decides.LENGTH | _OF_RETRAIN] = "darts"
    skeleton: Annotated[Layout | None, _OF_SEARCH | _OF_RETRAIN] = None
    init_channels: Channels | None = None
    cells: Cells | None = None


class RuntimeConfig(Section):
    """Device, precision and implementation.

    Args:
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, …
        threads: Number of CPU threads. It changes results in the fifth decimal and is thus part of
            the trial.
        dtype: Floating-point type of w, α and the images.
        autocast: Whether the supernet runs in bfloat16 mixed precision (w and α keep their type).
            It changes the gradients by a quarter and thus the search.
        implementation: Implementation of the supernet: ``plain``; ``torch``, reorganized; ``fast``,
            like torch on a GPU, with kernels compiled at first use on a CPU; ``triton``, like fast
            with Triton kernels on a GPU, which are experimental. They are equal up to rounding and
            share checkpoints. With ``fast``, the kernels also run a final network on a CPU.
        compile: Whether a retraining run compiles its network with ``torch.compile``: ``auto``,
            only on a GPU (takes minutes once; slower on a CPU), or ``never``. Equal up to rounding;
            checkpoints are the same.
        graphs: ``always``: on a GPU, the steps of an epoch are replayed as a CUDA graph if they can
            be captured, equal up to rounding, which is experimental; ``never``: no CUDA graphs;
            ``auto``: like never, until they have been measured on a GPU.
        recompute: ``cell``: a search computes the activations of its larger cells again in the
            backward pass instead of keeping them, which takes less memory and more time. The
            results are the same, bit for bit on a CPU; checkpoints too. Steps are then not captured
            as graphs, nor run jointly with other searches. ``never``: it keeps them.
        workers: Number of processes that share every batch of a retraining run, each on its own
            GPU or CPUs. Equal up to rounding; checkpoints are the same. In a black-box search, each
            of them trains another candidate.
    """

    device: str = "auto"
    threads: Threads = 1
    dtype: Annotated[Literal["float32", "float64"], Decides.SEARCH | Decides.RETRAIN] = "float32"
    autocast: Annotated[bool, Decides.SEARCH] = False
    implementation: Literal["plain", "torch", "fast", "triton"] = "fast"
    compile: Literal["auto", "never"] = "auto"
    graphs: Literal["auto", "always", "never"] = "auto"
    recompute: Literal["never", "cell"] = "never"
    workers: Threads = 1

    @model_validator(mode="after")
    def _each_worker_has_a_gpu(self) -> RuntimeConfig:
        if self.workers > 1 and self.device.startswith("cuda:"):
            raise ValueError(
                f"runtime.device is '{self.device}', but must be auto, cpu or cuda with "
                f"runtime.workers {self.workers}: each worker uses another GPU"
            )
        return self


class BenchmarkConfig(Section):
    """The NAS-Bench-201 table, for the true accuracies in each epoch of a search in that space.

    Args:
        table: Path of the CSV file; ``auto``: the one written by ``tune-nas benchmark import``, if
            any; None for no true accuracies.
        simulate: Data set of the table whose accuracies a black-box search takes at once instead of
            training: ``cifar10``, ``cifar100`` or ``imagenet16_120``; None to train.
    """

    renamed_values: ClassVar[Mapping[str, Mapping[str, str]]] = {  # as data.name has it
        "simulate": {"imagenet16-120": "imagenet16_120"}
    }

    table: str | None = "auto"
    simulate: Annotated[
        Literal["cifar10", "cifar100", "imagenet16_120"] | None,
        Decides.SEARCH | Decides.SEARCH_STARTS,
    ] = None


class TrialConfig(Section):
    """A search and the retraining of its genotype: everything that determines a result.

    Args:
        seed: Random seed of everything that is sampled.
        strategy: A black-box search, which trains candidates instead of a supernet; None for a
            differentiable search.
        start_from: Checkpoint folder (a path or a URI) of a finished search of the same trial (its
            selection may differ); this trial's selection continues from there. None for a full
            search.
        probes: Analyses (see `AnalysisConfig.kind`) and custom classes (``module:Class``) that
            observe the search. They add metrics and files without changing the result.

    Raises:
        pydantic.ValidationError: If a key is unknown or a value is invalid.
    """

    name: Annotated[str, Decides.SEARCH_STARTS] = "trial"
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31), Decides.SEARCH | Decides.RETRAIN] = 0
    space: Annotated[SpaceConfig, _OF_SEARCH | Decides.LENGTH] = SpaceConfig()
    data: Annotated[DataConfig, _OF_SEARCH | Decides.RETRAIN_STARTS] = DataConfig()
    relaxation: Annotated[RelaxationConfig, _OF_SEARCH] = RelaxationConfig()
    update: Annotated[UpdateConfig, Decides.SEARCH] = UpdateConfig()
    optimizer: Annotated[OptimizerConfig, Decides.SEARCH] = OptimizerConfig()
    schedule: Annotated[ScheduleConfig, _OF_SEARCH | Decides.LENGTH] = ScheduleConfig()
    selection: Annotated[SelectionConfig, _OF_SEARCH | Decides.LENGTH] = SelectionConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    benchmark: Annotated[BenchmarkConfig, Decides.SEARCH_STARTS] = BenchmarkConfig()
    retrain: Annotated[RetrainConfig, _OF_RETRAIN] = RetrainConfig()
    analysis: Annotated[AnalysisConfig, Decides.ANALYSIS] = AnalysisConfig()
    strategy: Annotated[StrategyConfig | None, _OF_SEARCH] = None
    start_from: Annotated[str | None, Decides.SEARCH_STARTS | Decides.LENGTH] = None
    probes: Annotated[list[str], Decides.SEARCH_STARTS] = Field(default_factory=list)

    @property
    def final_skeleton(self) -> Layout | None:
        """The skeleton of retraining runs; None for that of the space."""
        return self.retrain.skeleton or self.space.skeleton

    def moves_alphas(self, epoch: int) -> bool:
        """Return whether α may move in an epoch (0-based): not in the warm-up of its stage."""
        _, start = self.schedule.stage_of(epoch)
        return epoch - start >= self.update.warmup

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: object) -> object:
        """Accept sections that are written as one word, e.g. ``space: darts``."""
        return with_long_forms(value) if isinstance(value, dict) else value

    @field_validator("probes")
    @classmethod
    def _known_probes(cls, value: list[str]) -> list[str]:
        return [check_part("probes", name) for name in value]

    @model_validator(mode="after")
    def _parts_go_together(self) -> TrialConfig:
        check_together(self)
        return self

    @model_validator(mode="after")
    def _mixed_precision_needs_float32(self) -> TrialConfig:
        if self.retrain.autocast and self.runtime.dtype != "float32":
            raise ValueError(
                f"retrain.autocast is true, but needs runtime.dtype float32, not "
                f"{self.runtime.dtype}"
            )
        return self

    @model_validator(mode="after")
    def _channels_can_be_divided(self) -> TrialConfig:
        channels = self.space.init_channels
        parts = [("relaxation.partial_channels", self.relaxation.partial_channels)]
        parts += [
            (f"schedule.stages.{index}.partial_channels", stage.partial_channels)
            for index, stage in enumerate(self.schedule.stages)
            if stage.partial_channels is not None
        ]
        for key, part in parts:
            if channels is not None and channels % part:
                raise ValueError(
                    f"{key} is {part}, but must divide the channels of the first cell, {channels} "
                    "(space.init_channels)"
                )
        return self
