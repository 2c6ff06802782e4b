"""What all tests share."""

import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tune_nas.spaces import CellGenotype, Genotype, Space

sys.path.append(str(Path(__file__).parent))  # for gloo_processes.py, counted_calls.py

# Ray reads them once, when the first test module imports it; the servers that it starts read them
# too, and must read the same.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")

# No table of whoever runs the tests adds to what their searches report.
os.environ["TUNE_NAS_BENCHMARK"] = os.devnull


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each process of ``-n 2`` whole files, and one of them all files that start Ray.

    Two Ray sessions at a time take each other's time on a small machine. The marks of
    ``--dist loadgroup`` have no effect with pytest 9.2 and pytest-xdist 3.8.
    """
    from xdist.scheduler import LoadScopeScheduling

    texts = {path: path.read_text("utf-8") for path in Path(__file__).parent.rglob("test_*.py")}
    on_ray = {
        path.relative_to(config.rootpath).as_posix()
        for path, text in texts.items()
        if "mark.sweep" in text or "ray_session" in text
    }

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "ray" if file in on_ray else file

    return ByFile(config, log)


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


def pick_genotype(space: Space, pick: Callable[[list, int], list]) -> Genotype:
    """Build a genotype, asking ``pick(options, n)`` for edges of a node and for operations."""
    cells = {}
    for name, cell in space.cells.items():
        edges = []
        for node in cell.nodes:
            for row in pick(list(cell.incoming(node)), cell.kept_inputs(node)):
                legal = [o for o in cell.operations[row] if o not in cell.excluded]
                edges.append((*cell.edges[row], pick(legal, 1)[0]))
        cells[name] = CellGenotype.of(edges)
    return Genotype(space.name, cells)


@pytest.fixture(scope="session")
def picker() -> Callable[[Space, Callable[[list, int], list]], Genotype]:
    return pick_genotype


DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
NB201 = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|avg_pool_3x3~0|nor_conv_1x1~1|nor_conv_3x3~2|"


@pytest.fixture
def darts_v2() -> str:
    return DARTS_V2


@pytest.fixture
def nb201() -> str:
    return NB201


@pytest.fixture(scope="session")
def architecture() -> Any:
    """The script that measures the package."""
    folder = str(Path(__file__).parents[1] / "benchmarks")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("architecture")
    finally:
        sys.path.remove(folder)
