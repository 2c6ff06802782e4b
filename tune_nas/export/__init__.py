"""Trained networks for use elsewhere: loading, prediction, and export to other formats."""

from __future__ import annotations

from tune_nas.export.export import export_network
from tune_nas.export.quantized import Quantization, export_quantized
from tune_nas.export.trained_network import Prediction, TrainedNetwork, load_checkpoint

__all__ = [
    "Prediction",
    "Quantization",
    "TrainedNetwork",
    "export_network",
    "export_quantized",
    "load_checkpoint",
]
