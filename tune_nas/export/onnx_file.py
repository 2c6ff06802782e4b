"""The format ``onnx``: a graph for ONNX Runtime and other runtimes, with a dynamic batch size."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from tune_nas.export.export_format import Exportable, ExportFormat, Run

OPSET = 18
INPUT, OUTPUT = "images", "logits"


class OnnxFile(ExportFormat):
    """`torch.onnx`, read back by ONNX Runtime, and by OpenVINO if it is installed.

    Metadata are properties of the model.
    """

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
        for node in program.model.graph.all_nodes():
            node.metadata_props.clear()  # stack traces, with the paths of this machine
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

    def other_runtimes(self, path: Path, network: Exportable) -> Mapping[str, Run]:
        """Return a function that runs a written file with OpenVINO, if it is installed."""
        if importlib.util.find_spec("openvino") is None:
            return {}
        runtime = importlib.import_module("openvino")
        # by default, OpenVINO computes in bfloat16 on a processor that has it
        exact = {"INFERENCE_PRECISION_HINT": "f32"}
        compiled = runtime.Core().compile_model(str(path), "CPU", exact)

        def run(images: Tensor) -> Tensor:
            return torch.from_numpy(compiled(images.numpy())[0])

        return {"OpenVINO": run}
