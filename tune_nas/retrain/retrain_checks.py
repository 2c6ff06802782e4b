"""Checks of a retraining run before it starts: its size, its batches, and its memory."""

from __future__ import annotations

import math

from tune_nas.config import TrialConfig
from tune_nas.data import DataSource, describe_data
from tune_nas.errors import ConfigError
from tune_nas.memory import check_training
from tune_nas.runtime import resolve_device, resolve_dtype
from tune_nas.spaces import (
    Genotype,
    Space,
    check_cells_occur,
    check_channels,
    estimate_network,
    load_space,
)

SIZE_KEYS = "retrain.init_channels or retrain.cells"


def final_space(trial: TrialConfig) -> Space:
    """Return the space of a trial, in the skeleton of its retraining runs.

    Raises:
        ConfigError: If it cannot be loaded, or its cells do not fit the skeleton.
    """
    return load_space(trial.space.name, trial.final_skeleton)


def check_retrain_size(trial: TrialConfig) -> None:
    """Check that the final network of a trial has every cell type, and enough channels.

    Raises:
        ConfigError: If it does not, or the space cannot be loaded.
    """
    space, recipe = final_space(trial), trial.retrain
    check_channels(space, recipe.init_channels, "retrain.init_channels")
    if recipe.cells is not None:
        check_cells_occur(space, recipe.cells, "retrain.cells")


def check_retrain_memory(trial: TrialConfig, genotype: Genotype | None = None) -> None:
    """Check that a retraining run fits into the memory of its device on this machine.

    Nothing is built, and only one image is read.

    Args:
        trial: The trial.
        genotype: The genotype to train; None if not known yet: its operations are not counted.

    Raises:
        ConfigError: If it does not fit, or the space or the device is not available.
        DataError: If the images cannot be read.
        GenotypeError: If the space does not contain the genotype.
    """
    check_retrain_size(trial)
    space, data, recipe = final_space(trial), describe_data(trial.data), trial.retrain
    if genotype is not None:
        genotype.check(space)
    estimate = estimate_network(
        space,
        genotype,
        n_classes=data.n_classes,
        in_channels=data.in_channels,
        image_size=data.image_size,
        init_channels=recipe.init_channels,
        cells=recipe.cells,
    )
    device = resolve_device(trial.runtime.device)
    # Workers on a CPU share its memory.
    divisors = {
        "retrain.accumulation_steps": recipe.accumulation_steps,
        "runtime.workers": trial.runtime.workers if device.type == "cuda" else 1,
    }
    check_training(
        estimate,
        -(-min(recipe.batch_size, data.n_train) // math.prod(divisors.values())),
        resolve_dtype(trial.runtime.dtype),
        device,
        bfloat16=recipe.autocast,
        batch_key=" / ".join(
            ["retrain.batch_size", *(key for key, parts in divisors.items() if parts > 1)]
        ),
        keys=SIZE_KEYS,
    )


def check_workers(n: int, batch_size: int, parts: int, genotype: Genotype) -> None:
    """Check that the batches of a retraining run can be divided among its workers.

    Args:
        n: Number of workers.
        batch_size: Images of a training batch, at most those that there are.
        parts: Number of parts that a batch is divided into (``accumulation_steps``).
        genotype: The genotype.

    Raises:
        ConfigError: If they cannot.
    """
    images = batch_size // parts
    if images % n:
        legal = max(k for k in range(1, min(n, images) + 1) if images % k == 0)
        batch = "a training batch" if parts == 1 else f"each of {parts} parts of a training batch"
        keys = "retrain.batch_size" + (", retrain.accumulation_steps" if parts > 1 else "")
        raise ConfigError(
            f"runtime.workers is {n}, but must divide the {images} images of {batch} ({keys}); "
            f"try {legal}"
        )
    operations = {edge.operation for cell in genotype.cells.values() for edge in cell.edges}
    if n > 1 and "noise" in operations:
        raise ConfigError(
            f"runtime.workers is {n}, but must be 1 for a genotype with 'noise', which is sampled "
            "for the images of one process"
        )


def check_batch_size(trial: TrialConfig, space: Space, data: DataSource, batch_size: int) -> None:
    """Check that a batch can be divided, and normalized: from more than one value per channel.

    Args:
        trial: The trial.
        space: Its space.
        data: Its images.
        batch_size: Images of a training batch, at most those that there are.

    Raises:
        ConfigError: If it cannot, or would have one value.
    """
    recipe, side = trial.retrain, data.image_size
    parts = recipe.accumulation_steps
    if batch_size % parts:
        raise ConfigError(
            f"retrain.accumulation_steps is {parts}, but must divide a batch of all {batch_size} "
            "training images, fewer than retrain.batch_size"
        )
    cells = space.final_size[1] if recipe.cells is None else recipe.cells
    auxiliary = recipe.auxiliary_weight > 0
    smallest = 2 if auxiliary else space.skeleton.strategy.smallest_batch(cells, side)
    if batch_size // parts >= smallest:
        return
    key, what = (
        ("retrain.batch_size / retrain.accumulation_steps", batch_size // parts)
        if parts > 1
        else ("retrain.batch_size", recipe.batch_size)
        if recipe.batch_size < 2
        else ("data.train_images", data.n_train)
    )
    cause = (
        "the auxiliary head (retrain.auxiliary_weight)"
        if auxiliary
        else f"maps of {side}-pixel images, which shrink to one pixel,"
    )
    raise ConfigError(
        f"{key} is {what}, but must be >= 2: batch normalization of {cause} needs more than "
        "one image"
    )
