"""What all tests share."""

import os
from pathlib import Path

import pytest
import torch


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
