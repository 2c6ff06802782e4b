"""Checkpoints: whole or recognized as not, and never a way to run code."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import torch

from tune_nas.checkpoint import load_state, save_state
from tune_nas.errors import CheckpointError

STATE = {"epoch": 3, "alphas": {"normal": torch.arange(6.0).reshape(2, 3)}, "history": [{"x": 1.5}]}


def test_a_state_comes_back_with_its_files(tmp_path: Path) -> None:
    save_state(tmp_path / "c", STATE, name="search.pt", files={"genotype.yaml": "a: ü\n"})
    state = load_state(tmp_path / "c", name="search.pt")
    assert state["epoch"] == 3 and state["history"] == [{"x": 1.5}]
    assert torch.equal(state["alphas"]["normal"], STATE["alphas"]["normal"])
    assert (tmp_path / "c/genotype.yaml").read_text(encoding="utf-8") == "a: ü\n"
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == [
        "genotype.yaml",
        "manifest.json",
        "search.pt",
    ]


@pytest.mark.parametrize("damage", ["truncate", "flip", "no manifest", "no state", "bad manifest"])
def test_damage_is_recognized(damage: str, tmp_path: Path) -> None:
    save_state(tmp_path, STATE, name="search.pt")
    path = tmp_path / "search.pt"
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "no manifest":
        (tmp_path / "manifest.json").unlink()
    elif damage == "bad manifest":
        (tmp_path / "manifest.json").write_text('{"search.pt"')
    else:
        path.unlink()
    with pytest.raises(CheckpointError) as caught:
        load_state(tmp_path, name="search.pt")
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path("executed"),)  # type: ignore[return-value]


def test_a_pickle_with_code_is_refused_and_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save_state(tmp_path / "c", {"epoch": 1}, name="search.pt")
    save_state(tmp_path / "c", {"bad": Payload()}, name="search.pt")
    with pytest.raises(CheckpointError, match="safely"):
        load_state(tmp_path / "c", name="search.pt")
    assert not (tmp_path / "executed").exists()
    (tmp_path / "c/search.pt").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(CheckpointError):
        load_state(tmp_path / "c", name="search.pt")
    assert not (tmp_path / "executed").exists()
