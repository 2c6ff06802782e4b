"""Rules that look at the genotype: stop early, or let w learn more slowly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from searching import assert_resumes_to_the_bit, small_trial

from tune_nas.errors import ConfigError
from tune_nas.search import Search

_SKIP, _CONVOLUTION = 1, 4


def choose(search: Search, convolutions: dict[str, int]) -> None:
    """Let the genotype have so many convolutions by cell type, and skip connections else."""
    with torch.no_grad():
        for name, alpha in search.alphas.items():
            alpha.zero_()
            # the genotype has the edges 0->2, 1->2, 0->3 and 1->3
            for place, row in enumerate((0, 1, 2, 3)):
                learns = place < convolutions[name]
                alpha[row, _CONVOLUTION if learns else _SKIP] = 5.0


def run(search: Search, *counts: tuple[int, int]) -> list[str | None]:
    """Act as after an epoch for each (normal, reduction); return the reason to stop at each."""
    reasons = []
    for normal, reduction in counts:
        choose(search, {"normal": normal, "reduction": reduction})
        search.epoch += 1
        for rule in search.rules:
            rule.after_epoch({})
        reasons.append(search.stop_reason)
    return reasons


def stopping(tmp_path: Path, **stop: Any) -> Search:
    return Search(small_trial(tmp_path, **{"schedule.epochs": 9, "schedule.stop": stop}))


def test_it_stops_when_every_named_cell_is_small_enough(tmp_path: Path) -> None:
    search = stopping(tmp_path, convolutions={"normal": 3, "reduction": 0})
    assert run(search, (4, 0), (3, 1), (2, 0)) == [
        None,
        None,
        "stopped at epoch 3: 2 convolutions in the normal cell, 0 in the reduction cell",
    ]
    assert search.epochs == search.epoch == 3 and search.done


def test_it_waits_for_as_many_epochs_in_a_row_as_patience_says(tmp_path: Path) -> None:
    search = stopping(tmp_path, convolutions={"reduction": 1}, patience=2)
    assert run(search, (4, 1), (4, 2), (4, 0), (4, 1)) == [
        *[None] * 3,
        "stopped at epoch 4: 1 convolution in the reduction cell, for 2 epochs",
    ]


def test_it_stops_on_collapse_to_skip_connections(tmp_path: Path) -> None:
    search = stopping(tmp_path, skips={"normal": 2})
    reason = "stopped at epoch 2: 2 skip connections in the normal cell"
    assert run(search, (3, 0), (2, 4)) == [None, reason]


def test_null_is_never_and_a_number_is_refused(tmp_path: Path) -> None:
    assert stopping(tmp_path, skips=None).rules == []
    for value in (0, 6):
        with pytest.raises(ConfigError, match=f"skips is {value}, but must be a mapping"):
            stopping(tmp_path, skips=value)


def test_it_does_not_stop_while_alpha_is_as_drawn_nor_after_the_last_epoch(tmp_path: Path) -> None:
    changes = {"schedule.epochs": 3, "schedule.stop.skips": {"normal": 1}, "update.warmup": 2}
    search = Search(small_trial(tmp_path, **changes))
    assert run(search, (0, 0), (0, 0), (0, 0)) == [None, None, None]
    assert search.done


def test_a_search_that_has_stopped_is_over_and_says_so_after_a_resume(tmp_path: Path) -> None:
    changes = {
        "schedule.epochs": 5,
        "schedule.stop": {"convolutions": {"normal": 4}, "patience": 2},
    }
    search = assert_resumes_to_the_bit(small_trial(tmp_path, **changes), tmp_path)
    assert search.epoch == 2 and len(search.history) == 2
    assert search.stop_reason is not None
    assert search.stop_reason.startswith("stopped at epoch 2: ")
    again = Search(small_trial(tmp_path, **changes))
    again.load(tmp_path / "after_2")
    assert again.done and again.stop_reason == search.stop_reason


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schedule.stop.convolutions", {"normals": 6}),
        ("schedule.stop.skips", {"normals": 2}),
        ("selection.max_skips", {"normals": 2}),
    ],
)
def test_a_cell_that_the_space_does_not_have_is_refused(
    key: str, value: dict[str, int], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        Search(small_trial(tmp_path, **{key: value}))
    assert str(caught.value) == (
        f"{key} has the cell 'normals', but the cells of space 'small' are normal, reduction"
    )


def test_the_rate_falls_by_its_factor_after_each_epoch_of_too_few_learnable_operations(
    tmp_path: Path,
) -> None:
    rule = {"share": 0.3, "factor": 0.5, "floor": 0.2}
    search = Search(small_trial(tmp_path, **{"schedule.lr_rule": rule, "schedule.epochs": 9}))
    factors = []
    # of 8 operations 2 (0.25), 3 (0.375), 0, 8 and 8 are without weights
    for counts in ((3, 3), (3, 2), (4, 4), (0, 0), (0, 0)):
        run(search, counts)
        factors.append(search.rate_factor)
    assert factors == [1.0, 0.5, 0.5, 0.25, 0.2]
    rate = search.run_epoch()["learning_rate/weights"]
    plain = Search(small_trial(tmp_path, **{"schedule.epochs": 9}))
    plain.epoch = 5
    assert rate == 0.2 * plain.run_epoch()["learning_rate/weights"]


def test_the_lowered_rate_survives_a_kill(tmp_path: Path) -> None:
    changes = {"schedule.lr_rule": {"share": 0.0}, "schedule.epochs": 3, "update.warmup": 1}
    search = assert_resumes_to_the_bit(small_trial(tmp_path, **changes), tmp_path)
    assert search.rate_factor == 0.25  # lowered in the two epochs in which α has moved
