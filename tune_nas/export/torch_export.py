"""The format ``torch-export``: a program that torch runs without the Python code of the network."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from tune_nas.export.export_format import Exportable, ExportFormat, Run


class TorchExport(ExportFormat):
    """`torch.export`, with a dynamic batch size; metadata are extra files of the archive."""

    suffix = ".pt2"

    def write(self, network: Exportable, path: Path) -> None:
        """Write a network to a file."""
        batch = torch.export.Dim("batch", min=1)
        program = torch.export.export(
            network.network, (network.examples(),), dynamic_shapes=({0: batch},), strict=False
        )
        torch.export.save(program, path, extra_files=dict(network.metadata()))

    def read(self, path: Path, network: Exportable) -> Run:
        """Return a function that runs a written file."""
        module = torch.export.load(path).module()

        def run(images: Tensor) -> Tensor:
            logits: Tensor = module(images)
            return logits

        return run
