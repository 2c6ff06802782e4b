"""The trial of the search that the tests of analyses measure."""

from __future__ import annotations

from typing import Any

TINY: dict[str, Any] = {
    "name": "tiny",
    "space": {"name": "nasbench201", "init_channels": 2, "cells": 1},
    "data": {"name": "fake", "train_images": 32, "resolution": 8},
    "schedule": {"epochs": 1, "batch_size": 16},
    "retrain": {"init_channels": 4, "cells": 1},
}
