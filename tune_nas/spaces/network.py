"""The final network: one genotype, trained from scratch.

Sources: quark0/darts ``cnn/model.py`` (cells, drop path, auxiliary head). Reimplemented.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tune_nas.layers.primitives import add, run_operation, zeros_after
from tune_nas.spaces.backbone import Backbone, Block, join
from tune_nas.spaces.genotype import CellGenotype, Genotype
from tune_nas.spaces.operation_registry import build_operation, operation_kind
from tune_nas.spaces.space import CellSpace, Space


class FinalCell(nn.Module):
    """A discrete cell; edges with ``none`` are omitted."""

    def __init__(
        self, cell: CellSpace, genotype: CellGenotype, channels: int, reduction: bool
    ) -> None:
        super().__init__()
        self.cell = cell
        self.edges = genotype.edges
        self.strides = [2 if reduction and e.source < cell.n_inputs else 1 for e in self.edges]
        self.operations = nn.ModuleList(
            build_operation(edge.operation, channels, stride, nn.BatchNorm2d)
            for edge, stride in zip(self.edges, self.strides, strict=True)
        )
        self.n_paths = sum(self.is_path(row) for row in range(len(self.edges)))

    def is_path(self, row: int) -> bool:
        """Return whether drop path may drop an edge's output: neither ``none`` nor an identity."""
        left_out = operation_kind(self.edges[row].operation) == "none"
        return not (left_out or isinstance(self.operations[row], nn.Identity))

    def forward(
        self,
        inputs: Sequence[Tensor],
        kept: Iterator[Tensor] | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        """Map the input nodes (n, channels, h, w) to the cell's output.

        Args:
            inputs: The input nodes.
            kept: Yields the factors (n, 1, 1, 1) of each path; None to drop nothing.
            generator: Generator of noise; None for torch's global one.
        """
        nodes = list(inputs)
        for node in self.cell.nodes:
            into = []
            for row, edge in enumerate(self.edges):
                if edge.target != node:
                    continue
                source, stride = nodes[edge.source], self.strides[row]
                if operation_kind(edge.operation) != "none":
                    term = run_operation(self.operations[row], source, generator)
                    if kept is not None and self.is_path(row):
                        term = term * next(kept)
                    into.append(term)
            nodes.append(add(into) if into else zeros_after(source, stride))
        return join(nodes, self.cell)


class AuxiliaryHead(nn.Module):
    """DARTS's second classifier, on the features at 2/3 of the network.

    It pools the map to 2×2: for sides of 6 to 10 pixels as published, with two windows of 5 pixels
    at either end (8 pixels: DARTS's CIFAR head, stride 3; 7 pixels: its ImageNet head, stride 2).
    For other sides, e.g. the 2×2 map of an 8×8 image, by adaptive pooling.
    """

    def __init__(self, channels: int, n_classes: int, last_norm: bool = True) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, 128, 1, bias=False),
            nn.BatchNorm2d(128),
            nn.ReLU(),
            nn.Conv2d(128, 768, 2, bias=False),
            nn.BatchNorm2d(768) if last_norm else nn.Identity(),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(768, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (n, n_classes) of features (n, channels, h, w)."""
        x = F.relu(x)
        height, width = x.shape[2:]
        if 6 <= height <= 10 and 6 <= width <= 10:
            x = F.avg_pool2d(x, 5, stride=(height - 5, width - 5), count_include_pad=False)
        else:
            x = F.adaptive_avg_pool2d(x, 2)
        logits: Tensor = self.classifier(self.features(x[:, :, :2, :2]).flatten(1))
        return logits


class Network(nn.Module):
    """A final network; created by `build_network`.

    Attributes:
        genotype: Its genotype.
        n_paths: Number of outputs of operations that drop path may drop.
        drop_path_probability: Probability of dropping a path in training mode; set it by epoch.
        generator: Generator of dropped paths and noise; None for torch's global generator.
        auxiliary: The auxiliary head, or None.
    """

    def __init__(
        self, genotype: Genotype, backbone: Backbone, auxiliary: AuxiliaryHead | None
    ) -> None:
        super().__init__()
        self.genotype = genotype
        self.backbone = backbone
        self.auxiliary = auxiliary
        self.drop_path_probability = 0.0
        self.generator: torch.Generator | None = None
        cells = (module for module in backbone.modules() if isinstance(module, FinalCell))
        self.n_paths = sum(cell.n_paths for cell in cells)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """Return the logits (n, n_classes) of images (n, in_channels, h, w).

        With an auxiliary head and in training mode: (logits, logits of the auxiliary head).
        """
        return self.run(x, self.draw_kept(x))

    def draw_kept(self, x: Tensor, part: int = 0, parts: int = 1) -> Tensor | None:
        """Sample the examples that drop path keeps: factors for the outputs of all paths of a pass.

        Args:
            x: Images (n, …) that define the number, type and device of the factors.
            part: Position of these images in a batch, in parts of n images.
            parts: Number of parts of the batch. It is sampled for all of them.

        Returns:
            (n_paths, n, 1, 1, 1): 0 for a dropped example, else 1 / (1 - probability), which keeps
            the mean. None if nothing is dropped, e.g. in evaluation mode.
        """
        probability = self.drop_path_probability
        if not self.training or probability == 0:
            return None
        device = x.device if self.generator is None else self.generator.device
        n = x.shape[0]
        shape = (self.n_paths, parts * n, 1, 1, 1)
        draws = torch.rand(shape, generator=self.generator, device=device)
        draws = draws[:, part * n : (part + 1) * n]
        return (draws >= probability).to(x.device, x.dtype).div_(1 - probability)

    def run(self, x: Tensor, kept: Tensor | None) -> Tensor | tuple[Tensor, Tensor]:
        """Run the network with given drop path factors: nothing here changes between steps.

        Args:
            x: Images (n, in_channels, h, w).
            kept: What `draw_kept` returned, (n_paths, n, 1, 1, 1); None to drop nothing.
        """
        factors = None if kept is None else iter(kept.unbind())

        def run(block: Block, inputs: list[Tensor]) -> Tensor:
            out: Tensor = block.body(inputs, factors, self.generator)
            return out

        features, tapped = self.backbone.features(x, run)
        logits = self.backbone.classify(features)
        if self.auxiliary is not None and self.training:
            return logits, self.auxiliary(tapped)
        return logits


def build_network(
    genotype: Genotype,
    space: Space,
    *,
    n_classes: int,
    in_channels: int = 3,
    init_channels: int | None = None,
    cells: int | None = None,
    auxiliary: bool = False,
) -> Network:
    """Build the final network of a genotype: affine batch normalization, none after pooling.

    Weights are initialized with torch's global generator.

    Args:
        genotype: The architecture.
        space: Its space.
        n_classes: Number of classes.
        in_channels: Channels of the images.
        init_channels: Channels of the first cell; None for the space's usual final size.
        cells: Number of cells (per stage in the layout ``stages``); None likewise.
        auxiliary: Add the auxiliary head after 2/3 of the network.

    Raises:
        GenotypeError: If the space does not contain the genotype.
        ValueError: If a number is below 1.
    """
    genotype.check(space)
    usual_channels, usual_cells = space.final_size

    def make_cell(name: str, channels: int, reduction: bool) -> nn.Module:
        return FinalCell(space.cells[name], genotype.cells[name], channels, reduction)

    backbone = Backbone(
        space,
        make_cell,
        nn.BatchNorm2d,
        n_classes=n_classes,
        in_channels=in_channels,
        init_channels=usual_channels if init_channels is None else init_channels,
        cells=usual_cells if cells is None else cells,
    )
    last_norm = space.skeleton.strategy.auxiliary_norm
    head = AuxiliaryHead(backbone.tap_channels, n_classes, last_norm) if auxiliary else None
    return Network(genotype, backbone, head)
