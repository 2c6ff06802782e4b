"""Two custom operations, used by the space own-operations.yaml.

cd examples && tune-nas search milenas --space own-operations.yaml
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from tune_nas.spaces import Norm, register_operation


def conv_5x5(channels: int, stride: int, norm: Norm) -> nn.Module:
    """Return ReLU, 5×5 convolution, batch normalization; with parameters, hence a convolution."""
    conv = nn.Conv2d(channels, channels, 5, stride, padding=2, bias=False)
    return nn.Sequential(nn.ReLU(), conv, norm(channels))


@register_operation("median_3x3", kind="pool")  # without parameters, so the kind is required
def median_3x3(channels: int, stride: int, norm: Norm) -> nn.Module:
    """Return the median over 3×3 pixels."""
    return Median(stride)


class Median(nn.Module):
    """Median over 3×3 pixels.

    Args:
        stride: 1 or 2.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, h, w) to (n, channels, ⌈h / stride⌉, ⌈w / stride⌉), zero-padded."""
        n, channels, height, width = x.shape
        rows, columns = -(-height // self.stride), -(-width // self.stride)
        windows = functional.unfold(x, 3, padding=1, stride=self.stride)
        medians = windows.view(n, channels, 9, rows * columns).median(dim=2).values
        return medians.view(n, channels, rows, columns)
