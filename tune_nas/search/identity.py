"""What a checkpoint must have in common with the search that goes on from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tune_nas.checkpoint import check_same_trial
from tune_nas.config import TrialConfig, earlier_rules
from tune_nas.errors import CheckpointError, ConfigError
from tune_nas.library import stored_trial, with_overrides

_IGNORED = ("name", "description", "retrain", "benchmark", "runtime", "start_from", "probes")


def check_same(own: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """Raise a CheckpointError if a checkpoint is of a trial of another result.

    Keys that did not exist when it was made have the values that it was made with.
    """
    try:
        now = stored_trial(saved, "its trial").to_dict()
    except ConfigError as error:
        raise CheckpointError(f"the checkpoint is of another version: {error}") from error
    check_same_trial(_deciding(own), _deciding(now))


def with_rules_of(
    trial: TrialConfig, saved: Mapping[str, Any], leave: str | None = None
) -> TrialConfig:
    """Return a trial with the rules of an earlier version that a checkpoint was made with.

    A rule that the trial sets to another value than the default stays: the checkpoint then is of
    another trial.

    Args:
        trial: The trial that resumes from the checkpoint.
        saved: The checkpoint's trial, as plain containers.
        leave: A section whose rules are the trial's own.
    """
    own, default = trial.to_dict(), TrialConfig().to_dict()
    rules = {
        key: value
        for key, value in earlier_rules(saved).items()
        if _value(own, key) == _value(default, key) and key.partition(".")[0] != leave
    }
    return with_overrides(trial, rules) if rules else trial


def check_same_space(own: Mapping[str, Any], saved: Mapping[str, Any] | None) -> None:
    """Raise a CheckpointError if a space is not as it was; a user may have changed its file.

    Args:
        own: The space's description now.
        saved: That of the checkpoint; None in those from before there was one.
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


def check_origin(folder: str, own: Mapping[str, Any], state: Mapping[str, Any]) -> None:
    """Check that a checkpoint is the end of the same search, whatever its selection was.

    Args:
        folder: The checkpoint's, for the message.
        own: The trial whose selection goes on from it, as plain containers.
        state: The checkpoint's state.

    Raises:
        CheckpointError: If it is of another trial, of an unfinished search, or if its own selection
            has tuned since.
    """
    saved = dict(state["trial"])
    try:
        check_same(own, {**saved, "selection": own["selection"]})
    except CheckpointError as error:
        raise CheckpointError(f"start_from is '{folder}', but {error}") from error
    stopped = state["stop"]["epoch"]
    end = saved["schedule"]["epochs"] if stopped is None else stopped
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


def _value(trial: Mapping[str, Any], key: str) -> Any:
    held: Any = trial
    for part in key.split("."):
        held = held[part]
    return held


def _deciding(trial: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sections that decide a search's result."""
    content = {key: value for key, value in trial.items() if key not in _IGNORED}
    data = {key: value for key, value in trial["data"].items() if key not in ("dir", "download")}
    return {
        **content,
        "data": data,
        "dtype": trial["runtime"]["dtype"],
        "autocast": trial["runtime"]["autocast"],
    }
