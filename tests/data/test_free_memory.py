"""Images that do not fit in memory are refused before any memory is taken."""

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from tune_nas.config import DataConfig
from tune_nas.data import folder, load_data, loading
from tune_nas.data import free_memory as memory
from tune_nas.data.free_memory import check_fits, free_memory
from tune_nas.errors import DataError

CPU = torch.device("cpu")


def _load(for_search: bool = True, **data: Any) -> None:
    load_data(DataConfig(**data), seed=0, device=CPU, for_search=for_search)


@pytest.fixture
def few_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine have 200,000 bytes left, and make taking them for images an error."""
    monkeypatch.setattr(memory, "free_memory", lambda device: 200_000)


def test_size_and_remedy_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 20 * 2**30)
    with pytest.raises(DataError) as caught:
        check_fits(1_281_167, (3, 224, 224), CPU)
    # 1,281,167 · 3 · 224² bytes = 179.6 GiB; 0.9 · 20 GiB hold sides of up to 70 pixels.
    assert str(caught.value) == (
        "data: 1,281,167 images of 224 × 224 pixels need 179.6 GiB of memory, but 20.0 GiB are "
        "free; set data.resolution to at most 70, or use fewer images (data.train_images)"
    )
    check_fits(1_281_167, (3, 70, 70), CPU)
    with pytest.raises(DataError, match="need 18"):
        check_fits(1_281_167, (3, 71, 71), CPU)


def test_the_gpus_memory_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: 2**30)
    with pytest.raises(DataError, match=r"need 2\.0 GiB of GPU memory, but 1\.0 GiB are free"):
        check_fits(2**21, (1, 32, 32), torch.device("cuda"))


def test_an_unknown_size_is_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda device: None)
    check_fits(10**9, (3, 4096, 4096), CPU)


@pytest.mark.usefixtures("few_bytes")
def test_nothing_is_allocated_for_resized_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "resize", lambda images, side: pytest.fail("allocated"))
    with pytest.raises(DataError, match=r"256 images of 64 × 64 pixels .* to at most 15"):
        _load(name="fake", resolution=64)


@pytest.mark.usefixtures("few_bytes")
@pytest.mark.parametrize("for_search", [True, False])
def test_nothing_is_allocated_for_a_folder(
    for_search: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for number in range(10):
            Image.new("RGB", (64, 64)).save(tmp_path / name / f"{number}.png")
    monkeypatch.setattr(folder.torch, "empty", lambda *shape, dtype: pytest.fail("allocated"))
    with pytest.raises(DataError, match=r"^data: 16 images of 64 × 64 pixels"):
        _load(for_search, name="folder", dir=str(tmp_path))


def test_this_machine_has_some_memory_left() -> None:
    free = free_memory(CPU)
    assert free is not None and 2**20 < free < 2**50


@pytest.mark.parametrize(
    ("limit", "free"), [("1000000\n", 1_000_000 - (700_000 - 300_000)), ("max\n", None)]
)
def test_a_container_has_its_limit_less_what_it_cannot_give_back(
    limit: str, free: int | None, tmp_path: Path
) -> None:
    (tmp_path / "limit").write_text(limit)
    (tmp_path / "usage").write_text("700000\n")
    (tmp_path / "memory.stat").write_text("anon 400000\ninactive_file 300000\n")
    assert memory._of_cgroup(str(tmp_path), "limit", "usage", "inactive_file") == free
    assert memory._of_cgroup(str(tmp_path / "none"), "limit", "usage", "inactive_file") is None


def test_the_least_of_all_limits_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_of_machine", lambda: 500)
    for of_group, expected in ((400, 400), (600, 500), (None, 500)):
        monkeypatch.setattr(memory, "_of_cgroup", lambda *paths, free=of_group: free)
        assert free_memory(CPU) == expected
