"""Compatibility of a checkpoint with the search that resumes from it."""

from __future__ import annotations

from collections.abc import Mapping

from tune_nas.checkpoint import State, check_same_trial
from tune_nas.config import TrialConfig, earlier_rules
from tune_nas.config.conditions import value_of
from tune_nas.config.decides import Decides
from tune_nas.config.deciding import decided_by
from tune_nas.errors import CheckpointError
from tune_nas.library import trial_of_checkpoint, with_overrides


def check_same(own: TrialConfig, saved: Mapping[str, object]) -> None:
    """Raise a CheckpointError if a checkpoint is of a trial with a different result.

    Keys that did not exist when it was written get the values it was written with.

    Args:
        own: The trial that resumes from the checkpoint.
        saved: The checkpoint's trial, as plain containers.
    """
    now = trial_of_checkpoint(saved)
    check_same_trial(decided_by(own, Decides.SEARCH), decided_by(now, Decides.SEARCH))


def with_rules_of(
    trial: TrialConfig, saved: Mapping[str, object], leave: str | None = None
) -> TrialConfig:
    """Return a trial with the behavior of an earlier version that a checkpoint was written with.

    A key that the trial sets to a value other than the default is kept: the checkpoint is then of
    another trial.

    Args:
        trial: The trial that resumes from the checkpoint.
        saved: The checkpoint's trial, as plain containers.
        leave: A section that keeps the trial's values.
    """
    own, default = trial.to_dict(), TrialConfig().to_dict()
    rules = {
        key: value
        for key, value in earlier_rules(saved).items()
        if value_of(own, key) == value_of(default, key) and key.partition(".")[0] != leave
    }
    return with_overrides(trial, rules) if rules else trial


def check_same_space(own: Mapping[str, object], saved: Mapping[str, object] | None) -> None:
    """Raise a CheckpointError if a space has changed; a user may have edited its file.

    Args:
        own: The current description of the space.
        saved: That of the checkpoint; None in older ones, which have none.
    """
    if saved is None:
        return
    told_apart = [key for key in own if key not in ("name", "description")]
    differing = [key for key in told_apart if own[key] != saved.get(key)]
    if differing:
        raise CheckpointError(
            f"space '{own['name']}' is not as it was at the checkpoint: {', '.join(differing)} "
            "differ; put its file back, or start anew"
        )


def check_origin(folder: str, own: TrialConfig, state: State) -> None:
    """Check that a checkpoint is the end of the same search, with any selection.

    Args:
        folder: The folder of the checkpoint, for the message.
        own: The trial whose selection continues from it.
        state: The checkpoint's state.

    Raises:
        CheckpointError: If it is of another trial, of an unfinished search, or if its selection has
            already tuned.
    """
    saved = dict(state["trial"])
    try:
        check_same(own, {**saved, "selection": own.selection.to_dict()})
    except CheckpointError as error:
        raise CheckpointError(f"start_from is '{folder}', but {error}") from error
    stopped = state["stop"]["epoch"]
    whole = saved["schedule"]["epochs"] + state.get("repeated", 0)  # missing in older checkpoints
    end = whole if stopped is None else stopped
    if state["epoch"] < end:
        raise CheckpointError(
            f"start_from is '{folder}', but that search is not finished: {state['epoch']} of "
            f"{end} epochs are run"
        )
    if state["epoch"] > end:
        raise CheckpointError(
            f"start_from is '{folder}', but its own selection, '{saved['selection']['kind']}', has "
            f"gone on since the search ended with epoch {end}; take the checkpoint of that epoch"
        )
