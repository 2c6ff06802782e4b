"""The inputs of the proxies of a trial: its final network, and a minibatch of training images."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from tune_nas.config import DataConfig, TrialConfig
from tune_nas.data import describe_data, load_data
from tune_nas.errors import ConfigError
from tune_nas.proxies.proxy import CPU, ProxyInputs
from tune_nas.runtime import resolve_device, resolve_dtype
from tune_nas.seeds import make_generator
from tune_nas.spaces import Space, check_cells_occur, check_channels, load_space

BATCH_SIZE = 64
"""Images of the minibatch, as in zero-cost NAS (arXiv:2101.08134)."""


def proxy_inputs(trial: TrialConfig) -> ProxyInputs:
    """Return the inputs of the proxies of a trial, for the network of its retraining runs.

    Raises:
        ConfigError: If the space cannot be loaded, the size does not fit it, the device is not
            available, or there are too few images.
        DataError: If the images cannot be read.
    """
    space, recipe = load_space(trial.space.name, trial.final_skeleton), trial.retrain
    check_channels(space, recipe.init_channels, "retrain.init_channels")
    if recipe.cells is not None:
        check_cells_occur(space, recipe.cells, "retrain.cells")
    return inputs_for(
        space,
        trial.data,
        init_channels=recipe.init_channels,
        cells=recipe.cells,
        seed=trial.seed,
        dtype=resolve_dtype(trial.runtime.dtype),
        device=resolve_device(trial.runtime.device),
    )


def inputs_for(
    space: Space,
    data: DataConfig,
    *,
    init_channels: int | None = None,
    cells: int | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    device: torch.device = CPU,
    batch_size: int = BATCH_SIZE,
) -> ProxyInputs:
    """Return inputs whose batch is a random sample of the training half of a search.

    The batch is read when it is first needed, and kept. Its images are normalized, not augmented.

    Args:
        space: The space, in the skeleton of the final network.
        data: The data section of a trial.
        init_channels: Channels of the first cell; None for the space's usual final size.
        cells: Number of cells; None likewise.
        seed: Seed of the division of the images, the sample and the initial weights.
        dtype: Floating-point type of the network and the images.
        device: Device of both.
        batch_size: Images of the batch, or all if there are fewer.

    Raises:
        ConfigError: If fewer than 2 images are left for training.
        DataError: If the images cannot be read.
    """
    shape = describe_data(data)
    n_train = round(data.train_portion * shape.n_train)
    if n_train < 2:
        raise ConfigError(
            f"data.train_images is {shape.n_train}, but must leave at least 2 images in the "
            f"training half (data.train_portion {data.train_portion}) for batch normalization"
        )

    @cache
    def batch() -> tuple[Tensor, Tensor]:
        images = load_data(
            data, seed=seed, device=torch.device("cpu"), dtype=dtype, for_search=True
        )
        order = torch.randperm(len(images.train), generator=make_generator(seed, "proxy batch"))
        chosen = images.train.select(order[:batch_size])
        pixels, labels = next(iter(images.evaluation_batches(chosen, batch_size)))
        return pixels.to(device), labels.to(device)

    return ProxyInputs(
        space,
        n_classes=shape.n_classes,
        in_channels=shape.in_channels,
        image_size=shape.image_size,
        batch=batch,
        init_channels=init_channels,
        cells=cells,
        seed=seed,
        dtype=dtype,
        device=device,
        n_images=min(batch_size, n_train),
    )
