"""States of paused candidates: in folders and under URIs, and what a damaged one does."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_searches import HALVING, images_of, small_trial

from tune_nas.candidates.candidate_search import CandidateSearch
from tune_nas.candidates.candidate_states import CandidateStates
from tune_nas.candidates.candidate_trial import candidate_trial
from tune_nas.errors import StorageError
from tune_nas.retrain import Retrain
from tune_nas.testing.states import differences


@pytest.fixture(scope="module")
def search() -> CandidateSearch:
    search = CandidateSearch(small_trial(HALVING))
    search.run_epoch()
    return search


def build(search: CandidateSearch) -> Retrain:
    genotype = search.jobs.strategy.standings[0].genotype
    return Retrain(candidate_trial(search.trial, genotype), genotype, data=images_of(search))


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_the_newest_intact_state_is_loaded(
    scheme: str, search: CandidateSearch, tmp_path: Path
) -> None:
    folders = [f"{scheme}{tmp_path}/{name}" for name in ("first", "second")]
    training = build(search)
    training.run_epoch()
    CandidateStates(folders[:1]).save(3, training)
    both = CandidateStates(folders)
    both.save(3, training)
    for name in ("second", "first"):
        found = both.load(3, 1, lambda: build(search))
        assert found is not None
        assert differences(found.state_dict(), training.state_dict()) == []
        (state,) = (tmp_path / name / "candidates/00003-1").glob("*.pt")
        state.write_bytes(state.read_bytes()[:-9])
    assert both.load(3, 1, lambda: build(search)) is None  # both are damaged
    assert both.load(3, 2, lambda: build(search)) is None  # never written
    both.remove(3, 1)
    assert not list(tmp_path.glob("*/candidates/*"))
    both.clear()
    assert not list(tmp_path.glob("*/candidates"))


def test_a_folder_that_cannot_be_written_is_named(search: CandidateSearch, tmp_path: Path) -> None:
    (tmp_path / "candidates").write_text("a file")
    with pytest.raises(StorageError, match=r"candidates/00000-0: cannot be written: "):
        CandidateStates([str(tmp_path)]).save(0, build(search))
