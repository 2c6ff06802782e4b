"""The content of a report page as plain values for its template."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from tune_nas.report.baseline_text import BASELINE_TITLE, baseline_lines, baseline_table
from tune_nas.report.columns import text_table
from tune_nas.report.comparison import Comparison
from tune_nas.report.front_sentence import aims_text
from tune_nas.report.labels import axis_label
from tune_nas.report.page.page_drawings import Drawing, alpha_drawings, best_cells, plots
from tune_nas.report.page.page_tables import PageTable, as_page_table, trial_table
from tune_nas.report.results import TrialResult
from tune_nas.report.run_details import RunDetails, Session, SettingDifference, TrialDetails
from tune_nas.report.sentence import compose
from tune_nas.report.setting_text import setting_lines, setting_table
from tune_nas.report.size_text import SIZE_TITLE, size_table
from tune_nas.report.statistical_notes import (
    ORDERS_TITLE,
    STATISTICS_TITLE,
    orders_table,
    statistical_notes,
    statistics_table,
)
from tune_nas.text import listed, plural, printable
from tune_nas.version import __version__

_CLOCK = "%Y-%m-%d %H:%M"


@dataclass(frozen=True)
class SessionText:
    """A session as the page shows it.

    Args:
        title: Which one it was, and when.
        facts: Its known properties by name.
    """

    title: str
    facts: Mapping[str, str]


@dataclass(frozen=True)
class PageContent:
    """The content of a page.

    Args:
        title: Its title.
        lead: The conclusion: the first clause of the sentence.
        remarks: The other clauses.
        facts: Numbers of trials, times and the like, each with its name.
        table: The comparison.
        table_note: A sentence about its cells.
        statistics: Further tables, by title: the statistics over seeds, the order of the
            genotypes, and the retraining runs by model size.
        statistical_notes: Lines about how to compute and to read the statistics.
        by_setting: The retraining runs by setting; None for fewer than two settings.
        setting_lines: Lines about the settings.
        runs: Names of the compared runs, if there are several.
        differences: The keys whose values differ between them.
        plots: The plots.
        left_out: Titles of plots that would make the page too large.
        cells: The best genotypes, best first.
        trials: The table of all trials.
        notes: Lines about trials that did not end as planned.
        alphas: α by edge of some trials.
        sessions: The sessions of each run, oldest first.
        files: The configuration of each run as YAML.
        version: Version of the package that made the page.
    """

    title: str
    lead: Markup
    remarks: list[Markup]
    facts: Mapping[str, str]
    table: PageTable
    table_note: str
    statistics: Mapping[str, PageTable]
    statistical_notes: list[str]
    by_setting: PageTable | None
    setting_lines: list[str]
    runs: list[str]
    differences: Sequence[SettingDifference]
    plots: list[Drawing]
    left_out: list[str]
    cells: list[Drawing]
    trials: PageTable
    notes: list[str]
    alphas: list[Drawing]
    sessions: Mapping[str, list[SessionText]]
    files: Mapping[str, str]
    version: str


def page_content(comparison: Comparison, details: RunDetails) -> PageContent:
    """Return the content of the page of a comparison.

    Args:
        comparison: The trials that have ended.
        details: The other data of the run.
    """
    trials = details.trials or tuple(
        TrialDetails(result, result.status) for result in comparison.results
    )
    table, by_setting = text_table(comparison), setting_table(comparison)
    keys = [axis_label(axis) for axis in comparison.axes]
    lead, *remarks = (_kept_together(part) for part in clauses(compose(comparison), keys))
    runs = list(details.files) if len(details.files) > 1 else []
    drawn, left_out = plots(comparison, details)
    note = "Mean ± sample standard deviation over the n trials that ran to their end"
    return PageContent(
        title=comparison.sweep,
        lead=lead,
        remarks=[*map(_kept_together, comparison.remarks), *remarks],
        facts=_facts(comparison, trials, details.sessions),
        table=as_page_table(table),
        table_note=f"{note} and did not diverge." if table.counts_diverged else f"{note}.",
        statistics={
            title: as_page_table(found)
            for title, found in (
                (STATISTICS_TITLE, statistics_table(comparison)),
                (BASELINE_TITLE, baseline_table(comparison)),
                (ORDERS_TITLE, orders_table(comparison)),
                (SIZE_TITLE, size_table(comparison)),
            )
            if found is not None
        },
        statistical_notes=[*statistical_notes(comparison), *baseline_lines(comparison)],
        by_setting=None if by_setting is None else as_page_table(by_setting),
        setting_lines=setting_lines(comparison),
        runs=runs,
        differences=details.differences,
        plots=drawn,
        left_out=left_out,
        cells=best_cells(comparison, details),
        trials=trial_table(comparison, trials),
        notes=comparison.notes(),
        alphas=alpha_drawings(comparison, details),
        sessions={
            name: [_session(session, number) for number, session in enumerate(of_run)]
            for name, of_run in details.sessions.items()
        },
        files=details.files,
        version=__version__,
    )


def clauses(sentence: str, keys: Sequence[str] = ()) -> list[str]:
    """Return the clauses of a sentence, which semicolons outside of parentheses separate.

    Each starts with a capital letter, unless it starts with a swept key (``w learning rate = 1``)
    or with n.

    Args:
        sentence: The sentence.
        keys: The swept keys, as they are written in it.
    """
    parts, depth = [""], 0
    for piece in sentence.removesuffix(".").split("; "):
        if depth:
            parts[-1] += f"; {piece}"
        else:
            parts.append(piece)
        depth = max(depth + piece.count("(") - piece.count(")"), 0)
    first, *others = parts[1:]
    starts = tuple(f"{key} = " for key in ("n", *keys))
    texts = [part if part.startswith(starts) else part[:1].upper() + part[1:] for part in others]
    return [f"{first}.", *(f"{text}." for text in texts)]


def _kept_together(text: str) -> Markup:
    """Return a text as HTML, in which no line ends within ``λ = 1`` or ``91.2 ± 0.3 %``."""
    found = str(escape(printable(text)))
    for sign in (" = ", " ± ", " %"):
        found = found.replace(sign, sign.replace(" ", "&nbsp;"))
    return Markup(found)


def duration(seconds: float) -> str:
    """Return a duration as text: ``48 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _facts(
    comparison: Comparison,
    trials: Sequence[TrialDetails],
    sessions: Mapping[str, Sequence[Session]],
) -> dict[str, str]:
    statuses = [trial.status for trial in trials]
    counts = [f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses)]
    phases = [trial.result.phase for trial in trials]
    by_phase = [f"{phases.count(phase)} {phase}" for phase in dict.fromkeys(phases)]
    facts = {
        "Trials": (f"{len(trials)}: " if len(counts) > 1 else "") + listed(counts or ["none"]),
        "Ranked by": f"the Pareto front of {aims_text(comparison)}"
        if len(comparison.goals) > 1
        else f"{comparison.rank_by.words}, "
        f"the {'largest' if comparison.mode == 'max' else 'smallest'} is best",
    }
    if len(by_phase) > 1:
        facts["Phases"] = listed(by_phase)
    spent = sum(_seconds(trial.result) for trial in trials)
    if spent:
        facts["Time of all trials"] = duration(spent)
    own = [session for of_run in sessions.values() for session in of_run]
    if own and len(sessions) == 1:
        facts["Started"] = _clock(min(session.started for session in own))
        ended = [session.ended for session in own if session.ended is not None]
        if len(ended) == len(own):
            facts["Ended"] = _clock(max(ended))
            took = sum(end - session.started for end, session in zip(ended, own, strict=True))
            over = f" in {plural(len(own), 'session')}" if len(own) > 1 else ""
            facts["Duration"] = f"{duration(took)}{over}"
    return facts


def _seconds(result: TrialResult) -> float:
    return sum(epoch.get("seconds", 0.0) for epoch in result.history)


def _clock(seconds: float) -> str:
    return time.strftime(_CLOCK, time.localtime(seconds))


def _session(session: Session, number: int) -> SessionText:
    """Return a session as text, without the unknown properties."""
    took = "" if session.ended is None else duration(session.ended - session.started)
    changed = ", with changes that are not committed" if session.changed else ""
    facts = {
        "Command": session.command,
        "Folder": session.folder,
        "Environment": " ".join(f"{key}={value}" for key, value in session.environment.items()),
        "Code": f"commit {session.commit}{changed}" if session.commit else "",
        "Versions": ", ".join(f"{name} {number}" for name, number in session.versions.items()),
        "Machine": ", ".join(session.hardware.values()),
        "Ray cluster": session.address,
        "Data": "; ".join(session.data),
        "Duration": took,
        "Ended": session.outcome or ("" if session.ended else "still running, or was killed"),
    }
    what = "Resumed" if session.resumed else "Started"
    title = f"{what} {_clock(session.started)}"
    return SessionText(f"{number + 1}. {title}", {name: v for name, v in facts.items() if v})
