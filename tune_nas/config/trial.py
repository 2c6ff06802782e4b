"""The YAML model of a trial: a search, and how its genotype is retrained."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from tune_nas.config.data import PUBLISHED_SIZE, AugmentConfig, DataConfig
from tune_nas.config.decides import Decides
from tune_nas.config.relaxation import RelaxationConfig
from tune_nas.config.schedule import ScheduleConfig
from tune_nas.config.section import (
    BatchSize,
    Cells,
    Channels,
    Decay,
    Epochs,
    Rate,
    Section,
    Threads,
    check_part,
)
from tune_nas.config.selection import SelectionConfig
from tune_nas.config.together import check_together
from tune_nas.config.update import UpdateConfig

_OF_SEARCH = Decides.SEARCH | Decides.SEARCH_STARTS
_OF_RETRAIN = Decides.RETRAIN | Decides.RETRAIN_STARTS


class SpaceConfig(Section):
    """Which cells can be built, and how large the supernet is.

    Args:
        name: A shipped space or the path of a YAML file.
        init_channels: Channels of the first cell; None takes the space's own.
        cells: Number of cells (per stage in spaces with stages); None takes the space's own.
    """

    name: Annotated[str, _OF_SEARCH | Decides.LENGTH | _OF_RETRAIN] = "darts"
    init_channels: Channels | None = None
    cells: Cells | None = None


class WeightsOptimizer(Section):
    """SGD on w, with a cosine learning rate over the epochs.

    Args:
        clip: Largest norm of the w gradient; 0 for no clipping. α is never clipped.
        unsampled: What a step does to weights without a gradient, those of operations that its pass
            did not run: ``keep``: nothing; ``update``: momentum and weight decay move them, from
            the first step on in which they had a gradient (as PyTorch did before version 2.0, whose
            ``zero_grad`` left gradients of 0).
    """

    learning_rate: Rate = 0.025
    learning_rate_min: Rate = 0.001
    momentum: Rate = 0.9
    nesterov: bool = False
    weight_decay: Rate = 3e-4
    clip: Rate = 5.0
    unsampled: Literal["keep", "update"] = "keep"

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> WeightsOptimizer:
        if self.nesterov and self.momentum == 0:
            raise ValueError(
                "optimizer.weights.nesterov is true, but needs optimizer.weights.momentum > 0"
            )
        return self


class AlphasOptimizer(Section):
    """The optimizer of α, at a constant learning rate.

    Args:
        kind: ``adam``; ``sgd`` (Hou and Jin's Table 1); or ``module:function`` of your own.
    """

    kind: str = "adam"
    learning_rate: Rate = 3e-4
    betas: tuple[Decay, Decay] = (0.5, 0.999)
    momentum: Rate = 0.9
    weight_decay: Rate = 1e-3

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        return check_part("optimizer.alphas.kind", value, "module:function")


class OptimizerConfig(Section):
    """The two optimisers of a search."""

    weights: WeightsOptimizer = WeightsOptimizer()
    alphas: AlphasOptimizer = AlphasOptimizer()


class RuntimeConfig(Section):
    """Where and how exactly the trial computes.

    Args:
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, …
        threads: CPU threads. They change results in the fifth decimal, so they belong here.
        dtype: Floating-point type of w, α and the images.
        autocast: Whether the supernet runs in mixed precision, bfloat16 (w and α keep their type).
            It changes the gradients by a quarter: not the same search.
        implementation: Form of the supernet: ``plain``; ``torch``, reorganised; ``fast``, that with
            kernels compiled at first use. They are equal but for rounding, and their checkpoints
            are the same.
        compile: Whether a retraining compiles its network by ``torch.compile``: ``auto``, on a GPU
            alone (minutes once, and a CPU is slower with it), or ``never``. Equal but for rounding,
            and checkpoints are the same.
        graphs: ``auto``: on a GPU the steps of an epoch are replayed as a CUDA graph where they can
            be captured, equal but for rounding; ``never``: not.
    """

    device: str = "auto"
    threads: Threads = 1
    dtype: Annotated[Literal["float32", "float64"], Decides.SEARCH | Decides.RETRAIN] = "float32"
    autocast: Annotated[bool, Decides.SEARCH] = False
    implementation: Literal["plain", "torch", "fast"] = "fast"
    compile: Literal["auto", "never"] = "auto"
    graphs: Literal["auto", "never"] = "auto"


class BenchmarkConfig(Section):
    """The NAS-Bench-201 table, for true accuracies at each epoch of a search in that space.

    Args:
        table: Path of the CSV file; ``auto``: the one that ``tune-nas benchmark import`` wrote, if
            there is one; None for no true accuracies.
    """

    table: str | None = "auto"


class RetrainConfig(Section):
    """Training a genotype from scratch.

    Args:
        init_channels: Channels of the first cell; None takes the space's usual final size.
        cells: Number of cells (per stage in spaces with stages); None likewise.
        drop_path: Probability p of dropping a path; it grows as p · epoch / epochs from 0.
        auxiliary_weight: Weight of the auxiliary head's loss; 0 for no such head.
        clip: Largest gradient norm; 0 for no clipping.
    """

    epochs: Epochs = 600
    batch_size: BatchSize = 96
    init_channels: Channels | None = None
    cells: Cells | None = None
    learning_rate: Rate = 0.025
    learning_rate_min: Rate = 0.0
    momentum: Rate = 0.9
    nesterov: bool = False
    weight_decay: Rate = 3e-4
    clip: Rate = 5.0
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.2
    auxiliary_weight: Rate = 0.4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augment: AugmentConfig = AugmentConfig(cutout=16, reference_size=PUBLISHED_SIZE)

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> RetrainConfig:
        if self.nesterov and self.momentum == 0:
            raise ValueError("retrain.nesterov is true, but needs retrain.momentum > 0")
        return self

    @model_validator(mode="after")
    def _auxiliary_needs_batches(self) -> RetrainConfig:
        if self.auxiliary_weight > 0 and self.batch_size < 2:
            raise ValueError(
                f"retrain.batch_size is {self.batch_size}, but must be >= 2 with an auxiliary head "
                "(its batch normalisation); or set retrain.auxiliary_weight to 0"
            )
        return self


class TrialConfig(Section):
    """One search, and how its genotype is retrained: everything that decides a result.

    Args:
        seed: Decides everything that is drawn.
        start_from: Checkpoint folder (a path or a URI) of a finished search of the same trial,
            whatever its selection was; this trial's own selection then goes on from there. None
            for a whole search.
        probes: Classes of your own that observe the search, ``module:Class`` each. They add
            metrics and files and do not change its result.

    Raises:
        pydantic.ValidationError: If a key is unknown or a value not legal.
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
    start_from: Annotated[str | None, Decides.SEARCH_STARTS | Decides.LENGTH] = None
    probes: Annotated[list[str], Decides.SEARCH_STARTS] = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """Take ``space: darts`` for ``space: {name: darts}``, and so for data."""
        short = ("space", "data")
        if isinstance(value, dict):
            value = {
                key: {"name": entry} if key in short and isinstance(entry, str) else entry
                for key, entry in value.items()
            }
        return value

    @model_validator(mode="after")
    def _parts_go_together(self) -> TrialConfig:
        check_together(self)
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
