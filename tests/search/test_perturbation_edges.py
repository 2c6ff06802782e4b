"""How perturbation compares the edges of a node, on made-up accuracies whose answer is known."""

from __future__ import annotations

import csv
import io
import random
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from searching import small_trial, tiny_trial

from tune_nas.checkpoint import save_state
from tune_nas.errors import CheckpointError
from tune_nas.library import stored_trial, with_overrides
from tune_nas.search import Search
from tune_nas.spaces import MixingWeights

Absent = Mapping[str, frozenset[int]]
"""Rows of the edges that do not run, by cell type."""
Accuracy = Callable[[Absent], float]

# Rows of the edges into the nodes of the space of DARTS.
INTO = {2: (0, 1), 3: (2, 3, 4), 4: (5, 6, 7, 8), 5: (9, 10, 11, 12, 13)}
CELLS = ("normal", "reduction")


def search_of(accuracy: Accuracy, loss: Accuracy = lambda absent: 1.0, **changes: Any) -> Search:
    """A search whose operations are decided, and whose evaluations are made up."""
    trial = tiny_trial(
        **{
            "space": {"name": "darts-no-none", "init_channels": 2, "cells": 3},
            "selection.kind": "perturbation",
            "selection.perturbation.order": "fixed",
            "selection.perturbation.interval": 1,
            **changes,
        }
    )
    search = Search(trial)
    pretend(search, accuracy, loss)
    decide_operations(search)
    return search


def pretend(search: Search, accuracy: Accuracy, loss: Accuracy = lambda absent: 1.0) -> None:
    def evaluate(weights: MixingWeights, *_: Any, **__: Any) -> tuple[float, float]:
        absent = {
            name: frozenset((~cell.active.any(dim=1)).nonzero().flatten().tolist())  # type: ignore[union-attr]
            for name, cell in weights.items()
        }
        return loss(absent), accuracy(absent)

    search.evaluate = evaluate  # type: ignore[method-assign, assignment]


def decide_operations(search: Search) -> None:
    for name, cell in search.space.cells.items():
        for row in range(len(cell.edges)):
            search.choices.decide(name, row, 0)


def decide_edges(search: Search) -> dict[str, set[int]]:
    """Make one decision for each node with surplus edges, and return the rows that stay."""
    for epoch in range(3):
        search.selection.decide(epoch)  # type: ignore[attr-defined]
    return {
        name: set((~search.choices.pruned(name)).nonzero().flatten().tolist()) for name in CELLS
    }


def harms(absent: Absent) -> float:
    """The edges 5, 6, 7, 8 cost 1, 2, 3, 4 alone; 8 costs nothing once 5 is gone."""
    gone = absent["normal"]
    costs = {5: 1.0, 6: 2.0, 7: 3.0, 8: 0.0 if 5 in gone else 4.0}
    return 90.0 - sum(costs.get(row, 0.0) for row in gone)


@pytest.mark.parametrize(("edges", "kept"), [("alone", {7, 8}), ("one-by-one", {6, 7})])
def test_the_last_edge_stays_alone_though_it_is_harmless_once_another_is_gone(
    edges: str, kept: set[int]
) -> None:
    search = search_of(harms, **{"selection.perturbation.edges": edges})
    found = decide_edges(search)["normal"]
    assert found & set(INTO[4]) == kept
    assert found & set(INTO[2]) == {0, 1}
    rows = list(csv.DictReader(io.StringIO(search.selection.files()["perturbation.csv"])))
    own = [row for row in rows if row["cell"] == "normal" and row["edge"].endswith("->4")]
    alone = [("0->4", 89.0), ("1->4", 88.0), ("2->4", 87.0), ("3->4", 86.0)]
    assert [(row["edge"], float(row["accuracy"])) for row in own[:4]] == alone
    # without 5 and one more of 6, 7, 8
    again = [] if edges == "alone" else [("1->4", 87.0), ("2->4", 86.0), ("3->4", 89.0)]
    assert [(row["edge"], float(row["accuracy"])) for row in own[4:]] == again
    removed = [row["edge"] for row in own if row["chosen"] == "1"]
    assert removed == (["0->4", "1->4"] if edges == "alone" else ["0->4", "3->4"])


def test_one_comparison_removes_several_edges_and_of_equal_ones_the_last() -> None:
    def accuracy(absent: Absent) -> float:
        """Of the edges into node 5, 10 matters; 9, 11, 12, 13 are equally harmless."""
        return 50.0 if 10 in absent["normal"] else 90.0

    found = decide_edges(search_of(accuracy))
    assert found["normal"] == {0, 1, 2, 3, 5, 6, 9, 10}
    assert found["reduction"] == {0, 1, 2, 3, 5, 6, 9, 10}


def test_by_loss_the_edges_without_which_the_loss_is_highest_stay() -> None:
    def loss(absent: Absent) -> float:
        return 1.0 + sum(row in (9, 13, 2, 4, 6, 7) for row in absent["normal"])

    criterion = {"selection.perturbation.criterion": "loss"}
    found = decide_edges(search_of(lambda absent: 50.0, loss, **criterion))
    assert found["normal"] == {0, 1, 2, 4, 6, 7, 9, 13}


def published(accuracy: Accuracy) -> dict[str, set[int]]:
    """Return the edges that the authors' loop keeps, node by node, both cells in turn.

    As `projection.py` does it: while more than two edges of a node are candidates, each candidate
    is set to 0 by itself, all other edges of the node being there, and the candidate with the
    highest accuracy (the last of equal ones) is no candidate any more. Then the others are removed.
    """
    gone: dict[str, frozenset[int]] = {name: frozenset() for name in CELLS}
    for node, name in product((3, 4, 5), CELLS):
        candidates = list(INTO[node])
        while len(candidates) > 2:
            best, worst_edge = -1.0, -1
            for row in candidates:
                found = accuracy({**gone, name: gone[name] | {row}})
                if found >= best:
                    best, worst_edge = found, row
            candidates.remove(worst_edge)
        gone[name] |= set(INTO[node]) - set(candidates)
    return {name: set(range(14)) - gone[name] for name in CELLS}


def made_up(case: int, values: int) -> Accuracy:
    """An accuracy of so many values for each set of absent edges, drawn by the case."""

    def accuracy(absent: Absent) -> float:
        key = f"{case} {sorted(absent['normal'])} {sorted(absent['reduction'])}"
        return float(random.Random(key).randrange(values))

    return accuracy


def test_whole_selections_are_those_of_the_published_loop_on_made_up_accuracies() -> None:
    """Also where many accuracies are equal; removing one by one ends otherwise in most cases."""
    search = search_of(harms)
    untouched = Search(search.trial).choices.state_dict()
    others = 0
    for case, values in product(range(50), (4, 1000)):
        accuracy = made_up(case, values)
        wanted = published(accuracy)
        pretend(search, accuracy)
        found = {}
        for edges in ("alone", "one-by-one"):
            search.trial = with_overrides(search.trial, {"selection.perturbation.edges": edges})
            search.choices.load_state_dict(untouched)
            decide_operations(search)
            found[edges] = decide_edges(search)
        assert found["alone"] == wanted
        others += found["one-by-one"] != wanted
    assert others > 50


def test_a_node_takes_one_evaluation_for_each_edge() -> None:
    counts = {}
    for edges in ("alone", "one-by-one"):
        calls: list[Absent] = []

        def accuracy(absent: Absent, calls: list[Absent] = calls) -> float:
            calls.append(absent)
            return 1.0

        decide_edges(search_of(accuracy, **{"selection.perturbation.edges": edges}))
        counts[edges] = len(calls)
    assert counts == {"alone": 2 * (3 + 4 + 5), "one-by-one": 2 * (3 + 7 + 12)}


# Checkpoints of versions that had no such key, and removed edges one by one.


def without_key(state: dict[str, Any], section: str, key: str) -> dict[str, Any]:
    content = state["trial"]
    for part in section.split("."):
        content = content[part]
    del content[key]
    return state


def test_a_selection_that_began_before_the_key_was_there_keeps_its_rule(tmp_path: Path) -> None:
    """Node 3 was decided by the earlier version, nodes 4 and 5 are decided after it."""
    earlier = search_of(harms, **{"selection.perturbation.edges": "one-by-one"})
    earlier.selection.decide(0)  # type: ignore[attr-defined]
    state = without_key(earlier.state_dict(), "selection.perturbation", "edges")
    save_state(tmp_path, state, name="search.pt")
    resumed = search_of(harms)
    assert resumed.trial.selection.perturbation.edges == "alone"
    resumed.load(tmp_path)
    for epoch in (1, 2):
        resumed.selection.decide(epoch)  # type: ignore[attr-defined]
    kept = (~resumed.choices.pruned("normal")).nonzero().flatten().tolist()
    assert set(kept) & set(INTO[4]) == {6, 7}
    # and says so wherever its trial is read
    saved = resumed.state_dict()["trial"]
    assert saved["selection"]["perturbation"]["edges"] == "one-by-one"


def test_checkpoints_that_have_the_key_do_not_go_with_the_other_rule(tmp_path: Path) -> None:
    search_of(harms).save(tmp_path)
    other = search_of(harms, **{"selection.perturbation.edges": "one-by-one"})
    with pytest.raises(CheckpointError, match="selection"):
        other.load(tmp_path)
    assert other.trial.selection.perturbation.edges == "one-by-one"


def test_a_new_selection_of_an_old_search_compares_edges_alone(tmp_path: Path) -> None:
    trial = small_trial(tmp_path, **{"schedule.epochs": 1})
    search = Search(trial)
    search.run_epoch()
    state = without_key(search.state_dict(), "selection.perturbation", "edges")
    save_state(tmp_path / "old", state, name="search.pt")
    origin = stored_trial(state["trial"], "its trial")
    selecting = {"selection.kind": "perturbation", "start_from": str(tmp_path / "old")}
    selection = Search(with_overrides(origin, selecting))
    assert selection.trial.selection.perturbation.edges == "alone"
    selection.run_epoch()


def test_a_gumbel_search_from_before_the_key_keeps_its_gradient(tmp_path: Path) -> None:
    """Earlier versions had as-numbers in every space; in this one the default is left-out."""
    changes = {"relaxation.kind": "gumbel", "schedule.epochs": 4}
    trial = small_trial(tmp_path, **changes)
    earlier = Search(small_trial(tmp_path, **changes, **{"relaxation.unsampled": "as-numbers"}))
    fresh = Search(trial)
    for search in (earlier, fresh):
        search.run_epoch()
    different = [not earlier.alphas[name].equal(fresh.alphas[name]) for name in earlier.alphas]
    assert any(different)
    state = without_key(earlier.state_dict(), "relaxation", "unsampled")
    save_state(tmp_path / "old", state, name="search.pt")
    resumed = Search(trial)
    resumed.load(tmp_path / "old")
    for search in (earlier, resumed):
        while not search.done:
            search.run_epoch()
    for name, alpha in earlier.alphas.items():
        assert alpha.equal(resumed.alphas[name])
    assert resumed.state_dict()["trial"]["relaxation"]["unsampled"] == "as-numbers"
    explicit = Search(with_overrides(trial, {"relaxation.unsampled": "left-out"}))
    with pytest.raises(CheckpointError, match="relaxation"):
        explicit.load(tmp_path / "old")
