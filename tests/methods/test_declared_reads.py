"""The declared conditions of keys: what a search reads, and what changes no bit of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from other_values import OTHER, Shrink, changed, run
from supernet_trials import SUPERNET_TRIALS

from tune_nas.config import Section, TrialConfig, dotted_keys
from tune_nas.config.conditions import CONDITIONS, value_of
from tune_nas.config.effects import no_effect
from tune_nas.library import load_trial
from tune_nas.testing.states import differences
from tune_nas.user_code import declared_reads

KEYS = list(dotted_keys(TrialConfig))

# Read, with no effect under the trial's conditions; the searches with other values prove it.
READ_IN_VAIN = {
    "space.cells",  # of a first supernet, which that of the first stage replaces
    "relaxation.partial_channels",
    "relaxation.init",  # `uniform-path` has an α that nothing depends on
    "relaxation.init_std",
    "relaxation.weights",  # with `uniform-path` only this one
    "relaxation.edge_normalization",
    "relaxation.flops_weight",  # where α does not decide the weights, or stays
    "relaxation.flops_bound",
    "relaxation.smoothing.kind",
    "relaxation.drop_path",  # 0 in a single epoch
    "relaxation.options",
    "selection.options",
    "update.order",
    "update.alpha_batch",
    "update.second_order_form",  # both forms are the same at λ = 1
    "update.unrolled_momentum",  # a phase sets it for all epochs of second order
    "update.weight_steps",
    "update.warmup",
    "optimizer.weights.learning_rate_min",  # a cosine of one epoch
    "optimizer.weights.unsampled",  # where every operation is sampled
    "selection.rank_by",  # where α is ranked as softmax
    "optimizer.alphas.kind",  # an optimizer that is made and never steps
    "optimizer.alphas.learning_rate",
    "optimizer.alphas.betas",
    "optimizer.alphas.epsilon",
    "optimizer.alphas.weight_decay",
    "optimizer.alphas.step_size",  # where `regret` has put another one in its place
    "schedule.greedy.history",  # kept for criterion 2 alone
}
# Keys of data are those of `check_data_keys`, which knows what each data set uses.
_OF_DATA = {"data.dir", "data.download", "data.layout", "data.fit", "data.background"}
_OF_DATA |= {"data.streaming", "data.workers"}
OF_OTHERS = ("retrain.", "analysis.")  # sections of other tasks
_OF_RETRAINING = {"runtime.compile", "runtime.workers"}
NOT_READ_BY_A_SEARCH = {"name", "description", *_OF_RETRAINING, *_OF_DATA}


def ineffective(trial: TrialConfig) -> list[str]:
    return [key for key in KEYS if no_effect(trial, key, declared_reads)]


def in_absent_section(trial: TrialConfig, key: str) -> bool:
    section = key.rpartition(".")[0]
    return bool(section) and value_of(trial.to_dict(), section) is None


@contextmanager
def recorded_reads(trial: TrialConfig) -> Iterator[set[str]]:
    """Record the dotted keys of a trial that are read as attributes."""
    reads: set[str] = set()
    paths: dict[Any, str] = {}  # by instance, and by class: phases make updates of their own

    def note(model: Section, path: str) -> None:
        paths[id(model)] = paths[type(model)] = path
        for name, field in type(model).model_fields.items():
            value = getattr(model, name)
            if isinstance(value, Section):
                note(value, f"{path}{field.alias or name}.")

    note(trial, "")
    original = Section.__getattribute__

    def recording(model: Section, name: str) -> Any:
        field = type(model).model_fields.get(name)
        path = paths.get(id(model), paths.get(type(model)))
        if field is not None and path is not None:
            reads.add(f"{path}{field.alias or name}")
        return original(model, name)

    Section.__getattribute__ = recording  # type: ignore[method-assign]
    try:
        yield reads
    finally:
        Section.__getattribute__ = original  # type: ignore[method-assign]


def test_every_condition_is_of_a_key_and_has_another_value_here() -> None:
    for key in CONDITIONS:
        inside = [leaf for leaf in KEYS if f"{leaf}.".startswith(f"{key}.")]
        assert inside, key
        assert set(inside) <= OTHER.keys()


@pytest.mark.parametrize("name", SUPERNET_TRIALS)
def test_a_search_reads_the_declared_keys_and_the_others_change_no_bit(
    name: str, shrink: Shrink
) -> None:
    trial = shrink(name)
    without = ineffective(trial)
    with recorded_reads(trial) as reads:
        one = run(trial)
    assert reads & set(without) <= READ_IN_VAIN
    of_search = {key for key in KEYS if not key.startswith(OF_OTHERS)} - NOT_READ_BY_A_SEARCH
    unread = of_search - set(without) - reads
    assert {key for key in unread if not in_absent_section(trial, key)} == set()

    rules = trial.schedule.greedy, trial.schedule.wipe_out
    if trial.selection.kind in ("greedy", "perturbation") or any(rules):
        # Weights of operations that were taken out stay or move on; nothing runs them again.
        without.remove("optimizer.weights.unsampled")
        moved = run(changed(trial, ["optimizer.weights.unsampled"])[0])
        for part in ("history", "alphas", "genotype"):
            assert differences(one[part], moved[part]) == []
    other, taken = changed(trial, [key for key in without if not in_absent_section(trial, key)])
    assert len(taken) >= 8
    two = run(other)
    if trial.relaxation.kind == "uniform-path":  # its α is drawn and stays; nothing depends on it
        for state in (one, two):
            for key in ("alphas", "alpha_history"):
                state.pop(key)
            for metrics in state["history"]:
                metrics.pop("skip_advantage", None)
                metrics.pop("learning_rate/alphas")
            state["optimisers"].pop("alphas")
    assert differences(one, two) == []


def test_an_own_part_reads_what_it_declares_or_else_its_section(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = "from tune_nas.search.relaxation.plain import Softmax\n\n\n"
    own += "class Silent(Softmax):\n    pass\n\n\n"
    own += "class Declared(Softmax):\n    reads = ('relaxation.temperature',)\n"
    (tmp_path / "parts_that_read.py").write_text(own, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    end, steps = "relaxation.temperature.end", "relaxation.smoothing.steps"

    def refused(kind: str, key: str) -> bool:
        trial = load_trial("darts-1st", {"relaxation.kind": f"parts_that_read:{kind}"})
        return no_effect(trial, key, declared_reads) is not None

    assert not refused("Silent", end) and not refused("Silent", steps)
    assert not refused("Declared", end) and refused("Declared", steps)
    assert not refused("Declared", "relaxation.init")  # every relaxation does
