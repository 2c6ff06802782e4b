"""Data of a report beyond the comparison: trials in progress, retries, sessions, α."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tune_nas.report.results import TrialResult


@dataclass(frozen=True)
class TrialDetails:
    """A trial of a stored run, ended or not.

    Args:
        result: Its result; of a trial that is running, the results so far.
        status: Its status; ``running`` if it has not ended.
        epochs: Number of epochs of a trial that runs to its end; None if unknown.
        retries: Number of times that it failed and was retried.
        last_error: The last such failure, in one line.
        sessions: Number of sessions in which it ran; more than one if it was resumed.
        space: Name or file of its space; empty if unknown.
        taken: Number of first epochs that another trial ran for it.
        taken_from: That trial.
    """

    result: TrialResult
    status: str
    epochs: int | None = None
    retries: int = 0
    last_error: str = ""
    sessions: int = 1
    space: str = ""
    taken: int = 0
    taken_from: str = ""


@dataclass(frozen=True)
class Session:
    """One session of a run: from its start, or from a resume, to its end.

    Args:
        started: When it started, in seconds since 1970.
        resumed: Whether an earlier session began the run.
        command: The command line, without passwords.
        folder: Working directory.
        ended: When it ended, in seconds since 1970; None if it is running or was killed.
        outcome: ``finished``, or why it ended; empty if it is running or was killed.
        environment: Environment variables that affect a run, without passwords.
        commit: Git commit of the package if it is a checkout; empty if not.
        changed: Whether that checkout has changes that are not committed.
        versions: Versions of Python and of the libraries, by name.
        hardware: The machine of the driver, by property.
        address: Address of the Ray cluster; empty for this machine.
        data: A line for each data set.
    """

    started: float
    resumed: bool = False
    command: str = ""
    folder: str = ""
    ended: float | None = None
    outcome: str = ""
    environment: dict[str, str] = field(default_factory=dict)
    commit: str = ""
    changed: bool = False
    versions: dict[str, str] = field(default_factory=dict)
    hardware: dict[str, str] = field(default_factory=dict)
    address: str = ""
    data: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class SettingDifference:
    """A key of the trials whose values differ between compared runs.

    Args:
        key: The dotted key.
        values: For each run, in order, its values as text.
    """

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class RunDetails:
    """The stored data of a run, or of several that are compared.

    Args:
        trials: Every trial, including those that are running.
        sessions: The sessions of each run by its name, oldest first.
        files: The configuration of each run as YAML, by name.
        read_alphas: Takes the id of a trial and returns its α history ``alphas.csv``; None if
            there is none.
        differences: The keys whose values differ between the compared runs.
        plotted: Whether to draw plots; False for runs with different swept keys.
    """

    trials: tuple[TrialDetails, ...] = ()
    sessions: Mapping[str, tuple[Session, ...]] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    read_alphas: Callable[[str], bytes | None] = lambda _: None
    differences: tuple[SettingDifference, ...] = ()
    plotted: bool = True
