"""The numbers of a stage, in Python and in the header of the compiled kernels."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

import tune_nas.native
from tune_nas.native import Chain, mix, stages_of
from tune_nas.native.mix_layout import Layout, MixTensors, StageNumber

HEADER = Path(tune_nas.native.__file__).parent / "kernels" / "stage.h"


def test_the_enum_is_that_of_the_header() -> None:
    (body,) = re.findall(r"enum StageNumber : int64_t \{(.*?)\};", HEADER.read_text(), re.DOTALL)
    names = re.findall(r"^\s*k(\w+),", body, flags=re.MULTILINE)
    assert names.pop() == "Numbers"
    assert [name.lower() for name in names] == [
        number.name.lower().replace("_", "") for number in StageNumber
    ]
    assert [int(number) for number in StageNumber] == list(range(len(names)))


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("tracks", [False, True])
def test_each_number_is_in_its_place(affine: bool, tracks: bool) -> None:
    def norm() -> nn.BatchNorm2d:
        return nn.BatchNorm2d(4, affine=affine, track_running_stats=tracks)

    depthwise = nn.Conv2d(4, 4, 3, stride=2, padding=2, dilation=2, groups=4, bias=False)
    operation = nn.Sequential(
        *(nn.ReLU(), depthwise, nn.Conv2d(4, 4, 1, bias=False), norm()),
        *(nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1, bias=False), norm()),
    ).eval()
    chain = Chain(torch.zeros(1, 4, 4, 4), stages_of(operation) or [], torch.ones(()))
    seen: list[Layout] = []

    class Noting:
        def mix_forward(self, total, tensors: MixTensors):  # type: ignore[no-untyped-def]
            seen.append(tensors.layout)
            return torch.zeros(1, 4, 2, 2), [], None

    mix(None, [], [chain], Noting())  # type: ignore[arg-type]
    numbers = torch.tensor(seen[0].numbers_of_stages()).reshape(2, len(StageNumber))
    found = {number.name: numbers[:, number].tolist() for number in StageNumber}
    assert found == {
        "START": [0, -1],
        "DEPTHWISE": [1, 0],
        "DILATION": [2, 1],
        "STRIDE": [2, 1],
        "AFFINE": [affine] * 2,
        "BY_BATCH": [not tracks] * 2,
        "TRACKS": [tracks] * 2,
    }
