"""Check that a retraining run fits into the memory of this machine."""

from __future__ import annotations

from tune_nas.config import TrialConfig
from tune_nas.data import describe_data
from tune_nas.memory import check_training
from tune_nas.runtime import resolve_device, resolve_dtype
from tune_nas.spaces import Genotype, check_cells_occur, estimate_network, load_space

SIZE_KEYS = "retrain.init_channels or retrain.cells"


def check_retrain_size(trial: TrialConfig) -> None:
    """Check that every cell type occurs in the final network of a trial.

    Raises:
        ConfigError: If one does not, or the space cannot be loaded.
    """
    if trial.retrain.cells is not None:
        check_cells_occur(load_space(trial.space.name), trial.retrain.cells, "retrain.cells")


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
    space, data, recipe = load_space(trial.space.name), describe_data(trial.data), trial.retrain
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
    check_training(
        estimate,
        min(recipe.batch_size, data.n_train),
        resolve_dtype(trial.runtime.dtype),
        resolve_device(trial.runtime.device),
        batch_key="retrain.batch_size",
        keys=SIZE_KEYS,
    )
