"""The start of a trial in a session: its record, its folder, and where it continues."""

from __future__ import annotations

from dataclasses import replace

from tune_nas.sweep.jobs import Job
from tune_nas.sweep.runs.records import Records
from tune_nas.sweep.sharing.finished_trials import Reuse
from tune_nas.sweep.sharing.sharing import Sharing
from tune_nas.sweep.trial_epochs import TrialSetup
from tune_nas.tasks import with_workers


def begin_session(
    records: Records,
    job: Job,
    workers: int | None = None,
    sharing: Sharing | None = None,
    reuse: Reuse | None = None,
) -> tuple[str, TrialSetup]:
    """Give a trial a folder for this session in its record, which is created if it is new.

    There is one folder per session: workers of a killed session may still be writing to theirs.

    Args:
        records: Records of the phase.
        job: The trial's job.
        workers: Number of workers instead of those of the trial; None for those.
        sharing: What it takes over from other trials, and they from it; None for nothing.
        reuse: What it takes over from finished trials of other runs; None for nothing.

    Returns:
        The name of the folder in that of the phase, and the config of the trial's epochs.
    """
    record = records.start(job)
    name = f"{job.id}.{len(record.folders)}" if record.folders else job.id
    folder = f"{records.root}/{records.phase}/{name}"
    setup: TrialSetup = {
        "job": replace(job, trial=with_workers(job.trial, workers)).to_dict(),
        "folder": folder,
        "resume_from": list(record.folders),
        "recorded": record.epoch,
    }
    if sharing is not None:
        setup["branches"] = sharing.branches(job)
        setup["keep"], setup["stops"] = sharing.kept(job), sharing.stops
        setup["watched"] = [trial.to_dict() for trial in sharing.watched(job)]
    if reuse is not None:
        record.decided = record.decided or reuse.decided_by(job)
        setup["branches"] = [*setup.get("branches", []), *reuse.branches(record.decided)]
    record.folders.append(folder)
    records.save(record)
    return name, setup
