"""The form of a search's supernet follows its key and its device."""

from __future__ import annotations

import pytest
import torch
from searching import tiny_trial

from tune_nas.config import RuntimeConfig
from tune_nas.search import Search, factory
from tune_nas.spaces.fast import FastCell
from tune_nas.spaces.native_cell import NativeCell


@pytest.mark.parametrize(
    ("implementation", "cell"), [("torch", FastCell), ("fast", NativeCell), ("triton", NativeCell)]
)
def test_on_a_cpu(implementation: str, cell: type) -> None:
    changes = {"runtime.implementation": implementation, "runtime.device": "cpu"}
    modules = Search(tiny_trial(**changes)).supernet.modules()
    assert {type(each) for each in modules if isinstance(each, FastCell)} == {cell}


def test_the_device_of_the_search_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU is not needed to see that its form is asked for."""
    form = factory.supernet_form

    def on_a_gpu(config: RuntimeConfig, device: torch.device) -> str:
        assert device == torch.device("cpu")  # that of the search
        return form(config, torch.device("cuda", 0))

    monkeypatch.setattr(factory, "supernet_form", on_a_gpu)
    search = Search(tiny_trial(**{"runtime.implementation": "fast", "runtime.device": "cpu"}))
    assert not any(isinstance(each, NativeCell) for each in search.supernet.modules())
