"""Continuing a search from the checkpoint of another one that is the same so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from tune_nas.checkpoint import State
from tune_nas.config import TrialConfig
from tune_nas.config.earlier import earlier_rules
from tune_nas.errors import CheckpointError
from tune_nas.learner import ENDED
from tune_nas.library import trial_of_checkpoint
from tune_nas.search.metrics import Metrics
from tune_nas.search.probes.genotype_metrics import GenotypeMetrics
from tune_nas.search.rules import Rule, Stop, rule_names
from tune_nas.search.selection import Selection
from tune_nas.search.so_far.course import Course
from tune_nas.search.so_far.epoch_settings import steps_alphas
from tune_nas.search.so_far.watching import Seen, key_of, seen_in
from tune_nas.spaces import Genotype

Report = dict[str, object]
"""The metrics of an epoch, its remarks, and its genotype as YAML."""

_GENOTYPE, _RATE, _DECAY = "genotype", "learning_rate/alphas", "weight_decay/weights"
_STOP, _EIGENVALUE = "stop", "genotype_epoch"  # a rule; a metric of `eigenvalue`
_OF_GENOTYPE = ("genotype/", "benchmark/", "non_learnable_share")
_AFTER_SELECTION = "entropy/mean"  # the first metric after those of the selection
_MOST_NAMED = 4  # keys in a message


@dataclass(frozen=True)
class Pair:
    """A search that branches, and the one from whose checkpoint it does.

    Args:
        own: The course of the former.
        saved: The course of the latter.
        shared: Number of first epochs in which they are the same.
    """

    own: Course
    saved: Course
    shared: int

    @property
    def to_the_end(self) -> bool:
        """Whether they differ in nothing that decides either."""
        return self.own.whole == self.saved.whole


@dataclass(frozen=True)
class Parts:
    """The parts of a search with which it makes the reports of earlier epochs again.

    Args:
        recall: Takes an epoch (1-based) and sets α, β, the remaining operations and the number of
            epochs to those at its end.
        selection: The selection.
        rules: The rules.
        findings: The records of genotypes, without any yet.
        rate: α's learning rate.
    """

    recall: Callable[[int], None]
    selection: Selection
    rules: Sequence[Rule]
    findings: GenotypeMetrics
    rate: float


def check_branch(own: TrialConfig, state: State) -> Pair:
    """Check that a search may continue from the state of another one.

    Args:
        own: The trial that continues.
        state: The state of a checkpoint.

    Raises:
        CheckpointError: If the searches are not the same up to there; names the keys that differ
            and the epoch from which on they matter.
    """
    known = state.get("choice_history", {"betas": []})["betas"]  # of each epoch
    if earlier_rules(state["trial"]) or len(known) != state["epoch"]:
        raise CheckpointError(
            "the checkpoint is of a search that an earlier version began: none can branch from it"
        )
    saved = trial_of_checkpoint(state["trial"])
    courses = Course(own), Course(saved)
    pair = Pair(*courses, courses[0].shared_with(courses[1], watched=True))
    epoch, stopped = state["epoch"], state["stop"]["epoch"]
    if epoch == 0:
        raise CheckpointError("the checkpoint is of a search that has run no epoch yet")
    if epoch > pair.shared:
        keys = courses[0].differing(courses[1], pair.shared)
        matter = "matters" if len(keys) == 1 else "matter"
        raise CheckpointError(
            f"the checkpoint is of epoch {epoch} of another search, which is the same only for "
            f"{pair.shared} epoch{'' if pair.shared == 1 else 's'}: "
            f"{', '.join(keys[:_MOST_NAMED])} {matter} from epoch {pair.shared + 1} on"
        )
    if stopped is not None and epoch > stopped and not pair.to_the_end:
        raise CheckpointError(
            f"the checkpoint is of epoch {epoch} of another search, which stopped after epoch "
            f"{stopped}: its selection has gone on since"
        )
    return pair


def own_state(parts: Parts, initial: State, pair: Pair, state: State) -> State:
    """Return the state that a search itself would have, but for its history and its findings.

    Args:
        parts: The parts of the search.
        initial: The state in which it starts.
        pair: It and the search of the other state.
        state: The state of the other search.
    """
    trial = pair.own.trial
    own: State = {**state, "trial": trial.to_dict(), "rules": _rules(parts, pair, state)}
    if pair.own.selection_differs(pair.saved):
        own["selection"] = initial["selection"]
    epochs = min(state["epoch"], trial.schedule.epochs)
    if pair.to_the_end or any(steps_alphas(trial, epoch) for epoch in range(epochs)):
        return own
    # α's optimizer has made no step, and may have other settings.
    own["optimisers"] = {**state["optimisers"], "alphas": initial["optimisers"]["alphas"]}
    if "policy" in state:
        own["policy"] = {**state["policy"], "optimizer": initial["policy"]["optimizer"]}
    return own


def make_again(
    own: Parts, pair: Pair, state: State, reports: Sequence[Mapping[str, object]]
) -> list[tuple[Metrics, Report]]:
    """Return the metrics and the report of each epoch of a state, as a search itself has them.

    Everything is that of the other search except the genotypes, what is measured of them, and α's
    learning rate.

    Args:
        own: The parts of the search; its findings are made again.
        pair: It and the search of the state.
        state: The state of the other search.
        reports: The reports of the other search.

    Raises:
        CheckpointError: If the reports are of other epochs, or a genotype cannot be found again.
    """
    if len(reports) != state["epoch"]:
        raise CheckpointError(
            f"the checkpoint has {len(reports)} results, but {state['epoch']} epochs"
        )
    seen = _seen(own, pair, state, reports)
    made = []
    for metrics, report, (text, of_selection) in zip(state["history"], reports, seen, strict=True):
        genotype, epoch = Genotype.from_yaml(text), int(metrics["epoch"])
        found = own.findings.see(genotype, epoch, metrics["valid_accuracy"])
        new = _with_decay(_replaced(metrics, {**found, **of_selection}), pair.own.trial)
        if _RATE in new:
            new[_RATE] = own.rate
        others = (*metrics, ENDED, _GENOTYPE)
        remarks = {key: value for key, value in report.items() if key not in others}
        made.append((new, {**new, **remarks, _GENOTYPE: text}))
    return made


def _replaced(metrics: Metrics, found: Metrics) -> Metrics:
    """Return the metrics of an epoch with others of the genotype, in the order of `run_epoch`."""
    names, (start, end) = list(metrics), _place_of_genotype(metrics)
    return {
        **{name: metrics[name] for name in names[:start]},
        **found,
        **{name: metrics[name] for name in names[end:]},
    }


def _place_of_genotype(metrics: Metrics) -> tuple[int, int]:
    """Return where the metrics of the genotype and of the selection start and end."""
    names = list(metrics)
    start = next(place for place, name in enumerate(names) if name.startswith(_OF_GENOTYPE))
    return start, names.index(_AFTER_SELECTION)


def _seen(
    own: Parts, pair: Pair, state: State, reports: Sequence[Mapping[str, object]]
) -> list[Seen]:
    """Return the genotype and the metrics of the selection of each epoch."""
    if not pair.own.selection_differs(pair.saved):
        return [
            (str(report[_GENOTYPE]), _of_selection(metrics))
            for metrics, report in zip(state["history"], reports, strict=True)
        ]
    if not pair.own.reads_w:
        return _selected_again(own, state)
    seen = seen_in(state["watched"]).get(key_of(pair.own), [])
    if len(seen) != state["epoch"]:
        kind = pair.own.trial.selection.kind
        raise CheckpointError(
            f"the checkpoint is of a search that has not watched for selection.kind '{kind}', "
            "whose genotypes depend on w in each epoch"
        )
    return seen


def _of_selection(metrics: Metrics) -> Metrics:
    start, end = _place_of_genotype(metrics)
    between = list(metrics)[start:end]
    return {name: metrics[name] for name in between if not name.startswith(_OF_GENOTYPE)}


def _selected_again(own: Parts, state: State) -> list[Seen]:
    """Return what a selection gives for the architecture of each epoch."""
    seen = []
    for epoch in range(1, state["epoch"] + 1):
        own.recall(epoch)
        seen.append((own.selection.genotype().to_yaml(), own.selection.metrics()))
    return seen


def _rules(own: Parts, pair: Pair, state: State) -> list[State]:
    """Return the states of a search's rules, in their order.

    Those of ``stop``, which one of the searches may be without, follow from the α of all epochs.
    """
    trial, saved = pair.own.trial, pair.saved.trial
    if trial.schedule.stop == saved.schedule.stop and not pair.own.selection_differs(pair.saved):
        return list(state["rules"])
    place = next((at for at, rule in enumerate(own.rules) if isinstance(rule, Stop)), None)
    states = dict(zip(rule_names(saved.schedule), state["rules"], strict=True))
    if place is not None and trial.schedule.eigenvalue is None:
        for epoch in range(1, state["epoch"] + 1):
            own.recall(epoch)
            own.rules[place].after_epoch({})
        states[_STOP] = own.rules[place].state_dict()
    return [states[name] for name in rule_names(trial.schedule)]


def _with_decay(metrics: Metrics, trial: TrialConfig) -> Metrics:
    """Return metrics with w's weight decay where the rule ``eigenvalue`` reports it."""
    rule = trial.schedule.eigenvalue
    reports = rule is not None and rule.action == "roll-back"
    if _EIGENVALUE not in metrics or (_DECAY in metrics) == reports:
        return metrics
    found: Metrics = {}
    for name, value in metrics.items():
        if name != _DECAY:
            found[name] = value
        if name == _EIGENVALUE and reports:
            found[_DECAY] = trial.optimizer.weights.weight_decay
    return found


def with_ending(reports: list[Report], remarks: Mapping[str, str]) -> list[Report]:
    """Return reports with a remark on an early end in the last one."""
    if not reports:
        return []
    last = dict(reports[-1])
    genotype = last.pop(_GENOTYPE)
    return [*reports[:-1], {**last, **remarks, _GENOTYPE: genotype}]
