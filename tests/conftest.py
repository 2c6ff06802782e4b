"""What all tests share."""

import os
from pathlib import Path

import pytest
import torch

# Ray reads them once, when the first test module imports it; the servers that it starts read them
# too, and must read the same.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

# No table of whoever runs the tests adds to what their searches report.
os.environ["TUNE_NAS_BENCHMARK"] = os.devnull


def shared_data() -> Path | None:
    """Return the folder of real data sets for tests, or None if there is none.

    It is the folder that ``TUNE_NAS_TEST_DATA`` names, else ``shared/data`` beside the checkout.
    """
    named = os.environ.get("TUNE_NAS_TEST_DATA")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "data"
    return folder if folder.is_dir() else None


@pytest.fixture
def shared_data_dir() -> Path:
    """Return `shared_data`, or skip the test."""
    folder = shared_data()
    if folder is None:
        pytest.skip("no real data (set TUNE_NAS_TEST_DATA)")
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)
