"""The YAML models: one for a trial (a search and how its genotype is retrained).

A key of a trial is written with dots (``update.lambda``); `tune_nas.library` reads the files,
applies overrides and turns validation errors into one line.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Pixels = Annotated[int, Field(ge=4)]


class Section(BaseModel):
    """Base of every model: unknown keys are errors, values do not change."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True
    )

    def to_dict(self) -> dict[str, Any]:
        """Return plain containers with the names that YAML uses (``lambda``, not ``lambda_``)."""
        return self.model_dump(mode="python", by_alias=True)


class SpaceConfig(Section):
    """Which cells can be built, and how large the supernet is.

    Args:
        name: A shipped space or the path of a YAML file.
        init_channels: Channels of the first cell; None takes the space's own.
        cells: Number of cells (per stage in spaces with stages); None takes the space's own.
    """

    name: str = "darts"
    init_channels: Count | None = None
    cells: Count | None = None


class AugmentConfig(Section):
    """Random changes to training images, batched on the trial's device.

    Args:
        crop_padding: Pixels of zero padding before the random crop; 0 for no crop.
        flip: Mirror half of the images.
        cutout: Side of the square that is blanked, in pixels; 0 for none.
    """

    crop_padding: Annotated[int, Field(ge=0)] = 4
    flip: bool = True
    cutout: Annotated[int, Field(ge=0)] = 0


class DataConfig(Section):
    """The images, and how the training images are divided.

    Args:
        name: ``digits``, ``cifar10``, ``cifar100``, ``folder`` or ``fake``.
        dir: Where the files lie; not needed by ``digits`` and ``fake``.
        download: Fetch the files if they are absent. Nothing is downloaded otherwise.
        train_images: Use that many training images (a seeded draw); None for all.
        resolution: Resize the images to this side, in pixels, at least 4; None leaves them.
        train_portion: Share of the training images that becomes the train half.
        split: ``seed``: divided by the trial's seed; ``fixed``: the same in every trial.
        single_level: Where single-level search takes its images: the ``train`` half alone
            (as MiLeNAS compares it) or ``all`` of them (as Hou and Jin run it).
        augment: Augmentation in the search.
    """

    name: Literal["digits", "cifar10", "cifar100", "folder", "fake"] = "digits"
    dir: str | None = None
    download: bool = False
    train_images: Count | None = None
    resolution: Pixels | None = None
    train_portion: Annotated[float, Field(gt=0, lt=1)] = 0.5
    split: Literal["seed", "fixed"] = "seed"
    single_level: Literal["train", "all"] = "train"
    augment: AugmentConfig = AugmentConfig()


class RelaxationConfig(Section):
    """How α becomes operation weights.

    Args:
        kind: ``softmax`` or ``sigmoid``.
        init: ``normal``: N(0, init_std); ``uniform-weight``: α₀ = −ln(n − 1), at which
            σ(α₀) = 1/n (Hou and Jin); ``auto``: normal for softmax, uniform-weight for sigmoid.
        init_std: Standard deviation of ``normal``, and of the noise around ``uniform-weight``
            where it is given; the paper has none there.
    """

    kind: Literal["softmax", "sigmoid"] = "softmax"
    init: Literal["auto", "normal", "uniform-weight"] = "auto"
    init_std: Rate | None = None


class UpdateConfig(Section):
    """Whose gradient moves w and α, and in which order.

    Args:
        level: ``single`` (both from the same train batch), ``bilevel`` (α from the valid batch)
            or ``mixed`` (α from both, weighed by λ; MiLeNAS, Eq. 6).
        order: 1, or 2 for the gradient through one unrolled w step (bilevel and mixed).
        sequence: Where the gradients are taken. ``simultaneous``: both at the same (w, α);
            ``weights-first`` (MiLeNAS, Algorithm 1) and ``alphas-first`` (DARTS; the MiLeNAS
            code): the second at the point that the first has moved to.
        lambda_: λ ≥ 0 of the mixed level, gradient ∇L_train + λ ∇L_valid; ``inf`` is bilevel.
        lambda_prime: λ' = λ / (1 + λ) in [0, 1] instead, gradient (1 − λ') ∇L_train + λ' ∇L_valid.
        hessian: The Hessian-vector product of order 2: ``finite-difference`` or ``exact``.
        epsilon: Numerator of the finite difference's step, ε = epsilon / ‖v‖.
        unrolled_momentum: Whether the unrolled step has the optimiser's momentum.
        second_order_form: ``eq6``: λ weighs the validation term; ``printed``: λ weighs the train
            term, as MiLeNAS's own second-order formula has it (Sec. 3.1), against its Eq. 6.
    """

    level: Literal["single", "bilevel", "mixed"] = "bilevel"
    order: Literal[1, 2] = 1
    sequence: Literal["simultaneous", "weights-first", "alphas-first"] = "alphas-first"
    lambda_: float | None = Field(default=None, alias="lambda", ge=0)
    lambda_prime: Fraction | None = None
    hessian: Literal["finite-difference", "exact"] = "finite-difference"
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.01
    unrolled_momentum: bool = True
    second_order_form: Literal["eq6", "printed"] = "eq6"

    @field_validator("order", mode="before")
    @classmethod
    def _order_from_text(cls, value: Any) -> Any:
        return int(value) if isinstance(value, str) and value.isdigit() else value

    @model_validator(mode="after")
    def _consistent(self) -> UpdateConfig:
        given = {"update.lambda": self.lambda_, "update.lambda_prime": self.lambda_prime}
        for key, value in given.items():
            if self.level != "mixed" and value is not None:
                raise ValueError(
                    f"{key} is {value:g}, but belongs to update.level 'mixed', not '{self.level}' "
                    f"(null takes it away)"
                )
        if None not in given.values():
            raise ValueError(
                "update.lambda and update.lambda_prime say the same; give one (null for the other)"
            )
        if self.level == "single" and self.order == 2:
            raise ValueError(
                "update.order is 2, but must be 1 where update.level is 'single' "
                "(order 2 needs 'bilevel' or 'mixed')"
            )
        return self


class WeightsOptimizer(Section):
    """SGD on w, with a cosine learning rate over the epochs.

    Args:
        clip: Largest norm of the w gradient; 0 for no clipping. α is never clipped.
    """

    learning_rate: Rate = 0.025
    learning_rate_min: Rate = 0.001
    momentum: Rate = 0.9
    nesterov: bool = False
    weight_decay: Rate = 3e-4
    clip: Rate = 5.0

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> WeightsOptimizer:
        if self.nesterov and self.momentum == 0:
            raise ValueError(
                "optimizer.weights.nesterov is true, but needs optimizer.weights.momentum > 0"
            )
        return self


class AlphasOptimizer(Section):
    """Adam (or SGD, as in Hou and Jin's Table 1) on α, at a constant learning rate."""

    kind: Literal["adam", "sgd"] = "adam"
    learning_rate: Rate = 3e-4
    betas: tuple[Decay, Decay] = (0.5, 0.999)
    momentum: Rate = 0.9
    weight_decay: Rate = 1e-3


class OptimizerConfig(Section):
    """The two optimisers of a search."""

    weights: WeightsOptimizer = WeightsOptimizer()
    alphas: AlphasOptimizer = AlphasOptimizer()


class ScheduleConfig(Section):
    """How long a search takes.

    Args:
        epochs: Epochs of the search.
        batch_size: Images of a train batch, and of a valid batch.
        steps_per_epoch: w steps of an epoch; None for one pass over the images that w trains on.
    """

    epochs: Count = 50
    batch_size: Count = 64
    steps_per_epoch: Count | None = None


class SelectionConfig(Section):
    """How a genotype is read off the supernet."""

    kind: Literal["magnitude"] = "magnitude"


class RuntimeConfig(Section):
    """Where and how exactly the trial computes.

    Args:
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda``, ``cuda:1``, …
        threads: CPU threads. They change results in the fifth decimal, so they belong here.
        dtype: Floating-point type of w, α and the images.
    """

    device: str = "auto"
    threads: Count = 1
    dtype: Literal["float32", "float64"] = "float32"


class BenchmarkConfig(Section):
    """The NAS-Bench-201 table (``nasbench201.csv.gz``), for true accuracies at each epoch."""

    table: str | None = None


class RetrainConfig(Section):
    """Training a genotype from scratch.

    Args:
        init_channels: Channels of the first cell; None takes the space's usual final size.
        cells: Number of cells (per stage in spaces with stages); None likewise.
        drop_path: Probability p of dropping a path; it grows as p · epoch / epochs from 0.
        auxiliary_weight: Weight of the auxiliary head's loss; 0 for no such head.
        clip: Largest gradient norm; 0 for no clipping.
    """

    epochs: Count = 600
    batch_size: Count = 96
    init_channels: Count | None = None
    cells: Count | None = None
    learning_rate: Rate = 0.025
    learning_rate_min: Rate = 0.0
    momentum: Rate = 0.9
    nesterov: bool = False
    weight_decay: Rate = 3e-4
    clip: Rate = 5.0
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.2
    auxiliary_weight: Rate = 0.4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    augment: AugmentConfig = AugmentConfig(cutout=16)

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

    Raises:
        pydantic.ValidationError: If a key is unknown or a value not legal.
    """

    name: str = "trial"
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    space: SpaceConfig = SpaceConfig()
    data: DataConfig = DataConfig()
    relaxation: RelaxationConfig = RelaxationConfig()
    update: UpdateConfig = UpdateConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    selection: SelectionConfig = SelectionConfig()
    runtime: RuntimeConfig = RuntimeConfig()
    benchmark: BenchmarkConfig = BenchmarkConfig()
    retrain: RetrainConfig = RetrainConfig()

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
