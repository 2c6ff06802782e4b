"""What results depend on besides the trial."""

from __future__ import annotations

import pytest
import torch

from tune_nas.config import TrialConfig
from tune_nas.library import with_overrides
from tune_nas.sweep.made_with import made_with


def on(device: str) -> str:
    return made_with(with_overrides(TrialConfig(), {"runtime.device": device}))


def test_a_process_without_a_gpu_that_drives_workers_on_gpus(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ray hides all GPUs from it; asking for the name of one would be an error."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert on("cuda").endswith(", cuda in another process")


def test_a_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    assert on("cuda").endswith(", Some GPU")
    assert on("auto").endswith(", Some GPU")
    assert "GPU" not in on("cpu") and on("cpu").endswith(f", {torch.get_num_threads()}")
