"""The data set of a run, for the Dataset column of MLflow."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from tune_nas.tracking import mlflow_names as mlflow

_ELSEWHERE = ("dir", "module_dir", "download", "streaming", "workers")
"""Settings that do not change the images: where they are, and how they are read."""


def data_input(data: Mapping[str, object]) -> mlflow.DatasetInput:
    """Return the data set of a trial as an input of its run.

    Args:
        data: The section ``data`` of the trial. The digest is a checksum of those settings that
            choose the images, not of the images.
    """
    chosen = {key: value for key, value in data.items() if key not in _ELSEWHERE}
    text = json.dumps(chosen, sort_keys=True, default=str)
    known = mlflow.Dataset(
        name=str(data.get("name", "data"))[:500],
        digest=hashlib.sha256(text.encode()).hexdigest()[:8],
        source_type="local",
        source=json.dumps({"dir": data.get("dir")}, default=str),
        profile=text,
    )
    return mlflow.DatasetInput(known, [mlflow.InputTag("mlflow.data.context", "search")])
