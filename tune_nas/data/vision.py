"""Import of torchvision and its transforms, even if its compiled operators cannot be loaded."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

import torch

from tune_nas.errors import DataError


def import_torchvision() -> ModuleType:
    """Import torchvision with its ``datasets`` and return it.

    The wheels on PyPI are compiled against CUDA. With a torch without CUDA, their C++ operators do
    not load, and the import fails when it registers shapes for two operators that do not exist. We
    use neither: declaring them is enough.

    Raises:
        DataError: If torchvision is not installed.
    """
    try:
        return _imported()
    except ImportError as error:
        raise DataError("this data set needs torchvision, which is not installed") from error
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
        for name in ("nms", "qnms"):
            torch.library.define(
                f"torchvision::{name}",
                "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
            )
        return _imported()


def import_transforms() -> ModuleType:
    """Import torchvision's functions that transform images and return their module.

    Raises:
        DataError: If torchvision is not installed.
    """
    name = "torchvision.transforms.v2.functional"
    if name not in sys.modules:
        import_torchvision()
        importlib.import_module(name)
    return sys.modules[name]


def _imported() -> ModuleType:
    importlib.import_module("torchvision.datasets")
    return sys.modules["torchvision"]
