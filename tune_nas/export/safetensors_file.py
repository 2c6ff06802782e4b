"""The format ``safetensors``: the weights alone, with metadata; no code is stored or run."""

from __future__ import annotations

import copy
import importlib
from pathlib import Path

from torch import Tensor

from tune_nas.export.export_format import Exportable, ExportFormat, Run


class SafetensorsFile(ExportFormat):
    """Weights by the names of `PlainNetwork`; all metadata are in the header of the file."""

    suffix = ".safetensors"
    packages = ("safetensors",)

    def write(self, network: Exportable, path: Path) -> None:
        """Write the weights to a file."""
        save = importlib.import_module("safetensors.torch").save
        # not `save_file`, whose files only their owner can read
        path.write_bytes(save(weights_of(network), metadata=network.metadata()))

    def read(self, path: Path, network: Exportable) -> Run:
        """Return a function that runs the network with the weights of a written file."""
        weights = importlib.import_module("safetensors.torch").load_file(path)
        module = copy.deepcopy(network.network)
        module.load_state_dict(weights)

        def run(images: Tensor) -> Tensor:
            logits: Tensor = module(images)
            return logits

        return run


def weights_of(network: Exportable) -> dict[str, Tensor]:
    """Return the weights and statistics of a network, contiguous, by name."""
    state = network.network.state_dict()
    return {name: value.detach().contiguous() for name, value in state.items()}
