"""The format ``onnx``: a graph for ONNX Runtime and other runtimes, with a dynamic batch size."""

from __future__ import annotations

import importlib
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor

from tune_nas.export.export_format import Exportable, ExportFormat, Run

OPSET = 18
INPUT, OUTPUT = "images", "logits"


class OnnxFile(ExportFormat):
    """`torch.onnx`, read back by ONNX Runtime; metadata are properties of the model."""

    suffix = ".onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")

    def write(self, network: Exportable, path: Path) -> None:
        """Write a network to a file, with its weights inside."""
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network.network,
                (network.examples(),),
                input_names=[INPUT],
                output_names=[OUTPUT],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        assert program is not None
        program.model.metadata_props.update(network.metadata())
        program.save(str(path), external_data=False)

    def read(self, path: Path, network: Exportable) -> Run:
        """Return a function that runs a written file with ONNX Runtime on the CPU."""
        runtime = importlib.import_module("onnxruntime")
        session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])

        def run(images: Tensor) -> Tensor:
            (logits,) = session.run([OUTPUT], {INPUT: images.numpy()})
            return torch.from_numpy(logits)

        return run
