"""The memory of a search: a lower bound, which must fit this machine, and an estimate of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from tune_nas.config import TrialConfig
from tune_nas.data import DataShape, describe_data
from tune_nas.memory import check_training
from tune_nas.runtime import resolve_device, resolve_dtype, supernet_form
from tune_nas.search.relaxation import runs_everything
from tune_nas.spaces import (
    NetworkEstimate,
    Space,
    check_cells_occur,
    check_channels,
    estimate_supernet,
    load_space,
)
from tune_nas.spaces.auxiliary_skip import with_skips
from tune_nas.spaces.supernet import check_partial_channels
from tune_nas.spaces.supernet_memory import estimate_kept

SIZE_KEYS = "space.init_channels or space.cells"
# On a CPU, besides what is alive: libraries that the first pass loads, and freed memory that the C
# library cannot use again. Measured, see docs/speed.md.
_LIBRARIES = 80 * 2**20
_HELD = {"never": 1.1, "cell": 2.0}
_COPIES_OF_WEIGHTS = 4  # w, its gradient and momentum, and what a step computes from them


class _Size(NamedTuple):
    """The supernet of a stage.

    Args:
        cells: Number of its cells; None for the space's default.
        partial_channels: K.
        pruned: Whether operations are left out.
        operations: Operations of an edge, if the stage says how many.
    """

    cells: int | None
    partial_channels: int
    pruned: bool = False
    operations: int | None = None


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
    for index, stage in enumerate(trial.schedule.stages):
        if stage.cells is not None:
            check_cells_occur(space, stage.cells, f"schedule.stages.{index}.cells")
    for size in dict.fromkeys(_sizes(trial)):
        check_partial_channels(space, trial.space.init_channels, size.partial_channels)
        estimate = _estimate(trial, _with_skips(trial, space), data, size)
        if size.pruned or not runs_everything(trial.relaxation):
            estimate = replace(estimate, kept=0)
        check_training(
            estimate,
            _batch_size(trial, data),
            dtype,
            device,
            bfloat16=trial.runtime.autocast,
            batch_key="schedule.batch_size",
            keys=SIZE_KEYS,
        )


def estimate_search_memory(trial: TrialConfig) -> int:
    """Return about how many bytes a search takes at most, besides its process.

    These are the activations that a pass keeps, the weights and what a step computes from them, and
    the images; on a CPU also what the C library holds of freed memory.

    Raises:
        TuneNasError: If the space or the images are not available.
    """
    data, device = describe_data(trial.data), resolve_device(trial.runtime.device)
    space = _with_skips(trial, load_space(trial.space.name, trial.space.skeleton))
    itemsize = resolve_dtype(trial.runtime.dtype).itemsize
    form = supernet_form(trial.runtime, device)
    if trial.runtime.autocast and form == "fast":  # no kernels in bfloat16
        form = "torch"
    activation: float = 2 if trial.runtime.autocast else itemsize
    if device.type == "cpu":
        activation *= _HELD[trial.runtime.recompute]
    most = 0.0
    for size in dict.fromkeys(_sizes(trial)):
        weights = _estimate(trial, space, data, size).parameters
        kept = estimate_kept(
            space,
            implementation=form,
            in_channels=data.in_channels,
            image_size=data.image_size,
            init_channels=trial.space.init_channels,
            cells=size.cells,
            partial_channels=size.partial_channels,
            share=_share(trial, space, size),
            recompute=trial.runtime.recompute == "cell",
        )
        passes = _batch_size(trial, data) * kept * activation
        most = max(most, passes + _COPIES_OF_WEIGHTS * weights * itemsize)
    pixels = 0 if data.streams else data.n_train * data.in_channels * data.image_size**2
    return round(most) + pixels + (_LIBRARIES if device.type == "cpu" else 0)


def _estimate(trial: TrialConfig, space: Space, data: DataShape, size: _Size) -> NetworkEstimate:
    """Return the lower bound of a stage's supernet, given the space with its auxiliary skips."""
    return estimate_supernet(
        space,
        n_classes=data.n_classes,
        in_channels=data.in_channels,
        image_size=data.image_size,
        init_channels=trial.space.init_channels,
        cells=size.cells,
        partial_channels=size.partial_channels,
        recompute=trial.runtime.recompute == "cell",
    )


def _sizes(trial: TrialConfig) -> Iterator[_Size]:
    """Yield the supernets of a search, one for each stage."""
    cells, partial_channels = trial.space.cells, trial.relaxation.partial_channels
    stages = trial.schedule.stages
    yield _Size(cells, partial_channels)
    for stage in stages:
        pruned = any(
            given is not None for given in (stage.operations, stage.groups, stage.open_groups)
        )
        yield _Size(
            stage.cells or cells,
            stage.partial_channels or partial_channels,
            pruned,
            stage.operations,
        )


def _share(trial: TrialConfig, space: Space, size: _Size) -> float:
    """Return the share of an edge's operations that run in the pass that keeps most."""
    most = max(cell.n_operations for cell in space.cells.values())
    if not runs_everything(trial.relaxation):
        return 1 / most
    return 1.0 if size.operations is None else min(1.0, size.operations / most)


def _with_skips(trial: TrialConfig, space: Space) -> Space:
    return with_skips(space) if trial.relaxation.auxiliary_skip.present else space


def _batch_size(trial: TrialConfig, data: DataShape) -> int:
    on_all = trial.update.level == "single" and trial.data.single_level == "all"
    images = data.n_train if on_all else round(data.n_train * trial.data.train_portion)
    return min(trial.schedule.batch_size, images)
