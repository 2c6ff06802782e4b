"""The ``retrain`` section of a trial: how a genotype is trained from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from tune_nas.config.data_config import PUBLISHED_SIZE, AugmentConfig
from tune_nas.config.recipes import with_recipe
from tune_nas.config.section import (
    BatchSize,
    Cells,
    Channels,
    Count,
    Decay,
    Epochs,
    EpochsOrNone,
    Layout,
    Rate,
    Section,
)


class RetrainConfig(Section):
    """Training a genotype from scratch.

    Args:
        recipe: Settings of a paper, by name, or of a custom ``module:function`` that returns a
            mapping; all other keys get these values unless they are given.
        skeleton: Skeleton of the network: ``thirds``, ``stages`` or ``imagenet`` (as ``thirds``
            after three convolutions of stride 2); None for that of the search.
        init_channels: Channels of the first cell; None for the space's usual final size.
        cells: Number of cells (per stage in spaces with stages); None likewise.
        drop_path: Probability p of dropping a path; it grows as p · epoch / epochs from 0.
        lr_schedule: Learning rate by epoch: ``cosine`` to ``learning_rate_min``; ``linear`` to 0,
            as in P-DARTS; ``exponential``: times ``lr_decay`` after each epoch; ``step``: times
            ``lr_decay`` after every ``lr_step_epochs`` epochs.
        lr_decay: Factor of the learning rate.
        lr_step_epochs: Epochs between two steps.
        warmup_epochs: Number of first epochs n in which the learning rate is multiplied by
            (epoch + 1) / n.
        auxiliary_weight: Weight of the auxiliary head's loss; 0 for no auxiliary head.
        clip: Maximum gradient norm; 0 for no clipping.
        accumulation_steps: Number n of equal parts into which a batch is divided. The parts are run
            one after the other, and the optimizer's step uses the mean of their gradients. Batch
            normalization sees a part at a time, and drop path is sampled for each part.
        ema_decay: Decay d of an exponential moving average of the weights, updated after each step
            of the optimizer; 0 for none. It is tested beside the weights, and is the network that
            is loaded and exported.
        autocast: Whether the forward passes of training steps run in bfloat16 mixed precision (the
            weights, the loss and the evaluation keep their type). Experimental on a GPU.
    """

    recipe: str | None = None
    epochs: Epochs = 600
    batch_size: BatchSize = 96
    skeleton: Layout | None = None
    init_channels: Channels | None = None
    cells: Cells | None = None
    learning_rate: Rate = 0.025
    learning_rate_min: Rate = 0.0
    lr_schedule: Literal["cosine", "linear", "exponential", "step"] = "cosine"
    lr_decay: Annotated[float, Field(gt=0, le=1)] = 0.97
    lr_step_epochs: Epochs = 30
    warmup_epochs: EpochsOrNone = 0
    momentum: Rate = 0.9
    nesterov: bool = False
    weight_decay: Rate = 3e-4
    clip: Rate = 5.0
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.2
    auxiliary_weight: Rate = 0.4
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    accumulation_steps: Count = 1
    ema_decay: Decay = 0.0
    autocast: bool = False
    augment: AugmentConfig = AugmentConfig(cutout=16, reference_size=PUBLISHED_SIZE)

    @model_validator(mode="before")
    @classmethod
    def _of_recipe(cls, content: object) -> object:
        return with_recipe(content, cls.model_fields) if isinstance(content, Mapping) else content

    @model_validator(mode="after")
    def _warmup_ends(self) -> RetrainConfig:
        if self.warmup_epochs > self.epochs:
            raise ValueError(
                f"retrain.warmup_epochs is {self.warmup_epochs}, but must be <= retrain.epochs "
                f"({self.epochs})"
            )
        return self

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> RetrainConfig:
        if self.nesterov and self.momentum == 0:
            raise ValueError("retrain.nesterov is true, but needs retrain.momentum > 0")
        return self

    @model_validator(mode="after")
    def _batch_can_be_divided(self) -> RetrainConfig:
        n = self.accumulation_steps
        if self.batch_size % n:
            raise ValueError(
                f"retrain.accumulation_steps is {n}, but must divide retrain.batch_size "
                f"({self.batch_size})"
            )
        if n > 1 and self.auxiliary_weight > 0 and self.batch_size == n:
            raise ValueError(
                f"retrain.accumulation_steps is {n}, but must leave at least 2 of "
                f"{self.batch_size} images (retrain.batch_size) in each part for the batch "
                "normalization of the auxiliary head; or set retrain.auxiliary_weight to 0"
            )
        return self

    @model_validator(mode="after")
    def _auxiliary_needs_batches(self) -> RetrainConfig:
        if self.auxiliary_weight > 0 and self.batch_size < 2:
            raise ValueError(
                f"retrain.batch_size is {self.batch_size}, but must be >= 2 with an auxiliary head "
                "(its batch normalization); or set retrain.auxiliary_weight to 0"
            )
        return self
