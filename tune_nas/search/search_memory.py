"""Check that a search fits into the memory of this machine."""

from __future__ import annotations

from dataclasses import replace

from tune_nas.config import TrialConfig
from tune_nas.data import describe_data
from tune_nas.memory import check_training
from tune_nas.runtime import resolve_device, resolve_dtype
from tune_nas.search.relaxation import runs_everything
from tune_nas.spaces import check_cells_occur, check_channels, estimate_supernet, load_space
from tune_nas.spaces.auxiliary_skip import with_skips
from tune_nas.spaces.supernet import check_partial_channels

SIZE_KEYS = "space.init_channels or space.cells"


def check_search_memory(trial: TrialConfig) -> None:
    """Check that a search fits into the memory of its device on this machine.

    Nothing is built, and only one image is read.

    Raises:
        ConfigError: If it does not fit in any of its stages, or if a part is not available.
        DataError: If the images cannot be read.
    """
    space, data = load_space(trial.space.name, trial.space.skeleton), describe_data(trial.data)
    device, dtype = resolve_device(trial.runtime.device), resolve_dtype(trial.runtime.dtype)
    check_channels(space, trial.space.init_channels, "space.init_channels")
    if trial.space.cells is not None:
        check_cells_occur(space, trial.space.cells, "space.cells")
    on_all = trial.update.level == "single" and trial.data.single_level == "all"
    images = data.n_train if on_all else round(data.n_train * trial.data.train_portion)
    sizes = [(trial.space.cells, trial.relaxation.partial_channels, False)]
    for index, stage in enumerate(trial.schedule.stages):
        if stage.cells is not None:
            check_cells_occur(space, stage.cells, f"schedule.stages.{index}.cells")
        sizes.append(
            (
                stage.cells or trial.space.cells,
                stage.partial_channels or trial.relaxation.partial_channels,
                any(
                    given is not None
                    for given in (stage.operations, stage.groups, stage.open_groups)
                ),
            )
        )
    for cells, partial_channels, is_pruned in dict.fromkeys(sizes):
        check_partial_channels(space, trial.space.init_channels, partial_channels)
        estimate = estimate_supernet(
            with_skips(space) if trial.relaxation.auxiliary_skip.present else space,
            n_classes=data.n_classes,
            in_channels=data.in_channels,
            image_size=data.image_size,
            init_channels=trial.space.init_channels,
            cells=cells,
            partial_channels=partial_channels,
        )
        if is_pruned or not runs_everything(trial.relaxation):
            estimate = replace(estimate, kept=0)
        check_training(
            estimate,
            min(trial.schedule.batch_size, images),
            dtype,
            device,
            bfloat16=trial.runtime.autocast,
            batch_key="schedule.batch_size",
            keys=SIZE_KEYS,
        )
