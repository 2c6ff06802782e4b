"""Static quantization of an ONNX file to int8, by ONNX Runtime.

Activations are unsigned 8-bit integers whose ranges are the smallest and largest values of a
calibration sample. Weights are signed, per output channel, and use 7 of their 8 bits: without VNNI,
a processor adds the products of two unsigned and two signed bytes in 16 bits, which 2 · 255 · 64
fits into and 2 · 255 · 127 does not. So the file is right on processors with and without VNNI,
whatever the options of the session.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from tune_nas.export.onnx_file import INPUT

SCHEME = "uint8 activations, int8 weights per channel with 7 bits, QDQ, calibrated by min and max"
_BATCH_SIZE = 32


class _Reader:
    """A calibration sample as ONNX Runtime reads it (`CalibrationDataReader`)."""

    def __init__(self, images: Tensor) -> None:
        self._batches: Iterator[Tensor] = iter(torch.split(images, _BATCH_SIZE))

    def get_next(self) -> dict[str, object] | None:
        """Return the inputs of the next batch; None after the last one."""
        images = next(self._batches, None)
        return None if images is None else {INPUT: images.numpy()}


def quantize_onnx(source: Path, target: Path, calibration: Tensor) -> None:
    """Write an ONNX file with 8-bit weights and activations.

    Args:
        source: The float file.
        target: The new file.
        calibration: Images in the form of the file's input, (n, in_channels, h, w).
    """
    prepared = target.with_suffix(".prepared.onnx")
    with _quiet():
        shapes = importlib.import_module("onnxruntime.quantization.shape_inference")
        # symbolic shapes need sympy, and no shape of these networks depends on a value
        shapes.quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        quantization = importlib.import_module("onnxruntime.quantization")
        quantization.quantize_static(
            str(prepared),
            str(target),
            _Reader(calibration),
            quant_format=quantization.QuantFormat.QDQ,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            calibrate_method=quantization.CalibrationMethod.MinMax,
            nodes_to_exclude=_normalizations(prepared),
        )
    prepared.unlink()


def _normalizations(path: Path) -> list[str]:
    """Return the names of the batch normalizations that are not part of a convolution.

    ONNX Runtime has no int8 operation for them: rounding their parameters would save nothing.
    """
    onnx = importlib.import_module("onnx")
    nodes = onnx.load(str(path)).graph.node
    return [node.name for node in nodes if node.op_type == "BatchNormalization"]


@contextmanager
def _quiet() -> Iterator[None]:
    """Do not log warnings in the block; ONNX Runtime's are for its own developers."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def add_metadata(path: Path, metadata: Mapping[str, str]) -> None:
    """Set the metadata of an ONNX file."""
    onnx = importlib.import_module("onnx")
    model = onnx.load(str(path))
    onnx.helper.set_model_props(model, dict(metadata))
    onnx.save(model, str(path))


def sample(images: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Return n random images without repetition; all of them if there are fewer.

    Args:
        images: (m, ...).
        n: Number of images.
        generator: Source of the randomness.
    """
    return images[torch.randperm(len(images), generator=generator)[:n]]
