"""DARTS's skeleton for ImageNet: three convolutions of stride 2 before the first cell.

Source: quark0/darts ``cnn/model.py``, ``NetworkImageNet``; also used by P-DARTS, PC-DARTS and
MiLeNAS. Reimplemented.
"""

from __future__ import annotations

from torch import Tensor, nn

from tune_nas.spaces.skeletons.thirds import Thirds


class ImageNetStem(nn.Module):
    """Two outputs: of the first two convolutions of stride 2, and of the third after them."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(in_channels, channels // 2, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels // 2),
            nn.ReLU(),
            nn.Conv2d(channels // 2, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )
        self.second = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return (n, channels, h / 4, w / 4) and (n, channels, h / 8, w / 8), rounded up."""
        first = self.first(x)
        return [first, self.second(first)]


class ImageNet(Thirds):
    """The stack of `Thirds` after a stem that reduces 224 pixels to 28."""

    name = "imagenet"
    stem = "three 3 × 3 convolutions of stride 2, as for ImageNet"
    halvings = 3
    images = (224, 1000)
    auxiliary_norm = False  # as in the authors' code, which calls it an omission
    least_channels = 2  # the first convolution of the stem has half of them
    usual_size = (48, 14)

    def make_stem(self, in_channels: int, init_channels: int, multiplier: int) -> nn.Module:
        """Return the stem; its channels are those of the first cell, without multiplier."""
        return ImageNetStem(in_channels, init_channels)

    def stem_states(
        self, init_channels: int, multiplier: int, n_inputs: int
    ) -> list[tuple[int, bool]]:
        """Return the channels of both outputs; a halving leads to the second."""
        return [(init_channels, False), (init_channels, True)][-n_inputs:]

    def run_stem(self, stem: nn.Module, x: Tensor, n_inputs: int) -> list[Tensor]:
        """Return both outputs of the stem; the second alone for cells with one input."""
        outputs: list[Tensor] = stem(x)
        return outputs[-n_inputs:]
