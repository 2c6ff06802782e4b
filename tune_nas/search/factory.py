"""Construction of a search from its trial: α and β, the supernet, the streams of batches."""

from __future__ import annotations

import torch
from torch import Tensor

from tune_nas.config import TrialConfig
from tune_nas.data import Batches, SearchData
from tune_nas.errors import ConfigError
from tune_nas.memory import check_weights
from tune_nas.runtime import supernet_form
from tune_nas.search.relaxation import Relaxation
from tune_nas.search.search_memory import SIZE_KEYS
from tune_nas.search.supernet_size import SupernetSize
from tune_nas.seeds import building, derive_seed, make_generator
from tune_nas.spaces import Space, Supernet, estimate_supernet
from tune_nas.spaces.auxiliary_skip import with_skips
from tune_nas.spaces.supernet import check_partial_channels

Tensors = dict[str, Tensor]


def initial_architecture(
    relaxation: Relaxation, seed: int, device: torch.device, dtype: torch.dtype
) -> tuple[Tensors, Tensors]:
    """Initialize α and β by cell type: leaves that require gradients."""
    generator = make_generator(seed, "alphas")
    alphas = relaxation.initial_alphas(generator, dtype)
    betas = relaxation.initial_betas(generator, dtype)
    return _leaves(alphas, device), _leaves(betas, device)


def make_supernet(
    space: Space,
    data: SearchData,
    size: SupernetSize,
    trial: TrialConfig,
    device: torch.device,
    dtype: torch.dtype,
) -> Supernet:
    """Build a supernet with newly initialized weights for the images of a search.

    Raises:
        ConfigError: If its weights do not fit into the memory of the device.
    """
    check_partial_channels(space, size.init_channels, size.partial_channels)
    auxiliary_skip = trial.relaxation.auxiliary_skip.present
    estimate = estimate_supernet(
        with_skips(space) if auxiliary_skip else space,
        n_classes=data.n_classes,
        in_channels=data.in_channels,
        image_size=data.image_size,
        init_channels=size.init_channels,
        cells=size.cells,
        partial_channels=size.partial_channels,
    )
    check_weights(estimate, dtype, device, SIZE_KEYS)
    with building(derive_seed(trial.seed, "weights")):
        supernet = Supernet(
            space,
            n_classes=data.n_classes,
            in_channels=data.in_channels,
            init_channels=size.init_channels,
            cells=size.cells,
            partial_channels=size.partial_channels,
            auxiliary_skip=auxiliary_skip,
            implementation=supernet_form(trial.runtime, device),
            recompute=trial.runtime.recompute == "cell",
        )
    # Equivalent, and faster on a CPU, especially for pooling.
    supernet = supernet.to(device, dtype)
    supernet.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return supernet


def make_streams(trial: TrialConfig, data: SearchData) -> tuple[Batches, Batches]:
    """Return the batches that w is trained on and the separate ones for α."""
    on_all = trial.update.level == "single" and trial.data.single_level == "all"
    images = data.all_train if on_all else data.train
    # With `alpha_batch: separate`, they come from the images that w is trained on.
    for_alphas = images if trial.update.alpha_batch == "separate" else data.valid
    train, valid = (
        data.batches(
            part,
            trial.schedule.batch_size,
            make_generator(trial.seed, purpose),
            trial.data.augment,
            "data.augment",
        )
        for part, purpose in ((images, "train batches"), (for_alphas, "valid batches"))
    )
    return train, valid


def batch_needed(trial: TrialConfig, space: Space, side: int) -> int:
    """Return the batch size needed for batch normalization in all stages of a search.

    Args:
        trial: The trial.
        space: Its space.
        side: Height and width of its images, in pixels.
    """
    skeleton = space.skeleton
    sizes = {trial.space.cells, *(stage.cells for stage in trial.schedule.stages)}
    return max(skeleton.strategy.smallest_batch(cells or skeleton.cells, side) for cells in sizes)


def check_batches(trial: TrialConfig, data: SearchData, streams: tuple[Batches, Batches]) -> None:
    """Reject batches of one image whose map shrinks to one pixel.

    Args:
        trial: The trial.
        data: Its images.
        streams: The batches that w and α are trained on.

    Raises:
        ConfigError: If batch normalization would have one value per channel; names the remedy.
    """
    least = data.smallest_batch
    found = min(*(stream.batch_size for stream in streams), len(data.valid))
    if found >= least:
        return
    given = trial.schedule.batch_size
    what = (
        f"schedule.batch_size is {given}, but must be"
        if given < least
        else f"a half of the training images has {found}, but must have"
    )
    raise ConfigError(
        f"{what} >= {least}: maps of {data.image_size}-pixel images shrink to one pixel, where "
        "batch normalization needs more than one image; or set data.resolution higher"
    )


def _leaves(tensors: Tensors, device: torch.device) -> Tensors:
    return {name: tensor.to(device).requires_grad_() for name, tensor in tensors.items()}
