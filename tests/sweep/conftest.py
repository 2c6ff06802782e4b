"""Sweeps with the stand-in, on one Ray for all tests of the folder."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tune_nas.sweep.config import SweepConfig
from tune_nas.sweep.ray.environment import prepare_environment
from tune_nas.sweep.resolve import load_sweep

sys.path.insert(0, str(Path(__file__).parent))

if TYPE_CHECKING:
    from standin import MakeSweep


@pytest.fixture
def make_sweep(tmp_path: Path) -> MakeSweep:
    def make(orders: dict[str, Any] | None = None, **changes: Any) -> SweepConfig:
        from standin import write_sweep

        return load_sweep(write_sweep(tmp_path / "input", orders, **changes))

    return make


@pytest.fixture(scope="session")
def ray_session() -> Iterator[None]:
    prepare_environment(None)
    import ray.cloudpickle
    import standin

    from tune_nas.sweep.ray.cluster import connect

    # Ray's workers cannot import a test's module: send the classes themselves.
    ray.cloudpickle.register_pickle_by_value(standin)
    with connect(None):
        yield


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of a folder on an S3 server of this machine."""
    from s3_server import serving_bucket  # imports boto3 and moto, which few tests need

    with serving_bucket(monkeypatch) as uri:
        yield uri
