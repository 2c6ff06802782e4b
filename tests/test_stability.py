"""Marks of experimental features, and the page that lists them."""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tune_nas
from tune_nas import stability
from tune_nas.stability import ExperimentalFeature, experimental, experimental_features

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let marks made by a test be forgotten with it."""
    monkeypatch.setattr(stability, "_FEATURES", dict(stability._FEATURES))
    monkeypatch.setattr(stability, "_ANNOUNCED", set())


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.name == stability.__name__]


def test_the_page_lists_exactly_what_is_marked() -> None:
    for module in pkgutil.walk_packages(tune_nas.__path__, "tune_nas."):
        if not module.name.startswith("tune_nas.native.gpu.") and "__main__" not in module.name:
            importlib.import_module(module.name)
    page = (ROOT / stability.PAGE).read_text(encoding="utf-8")
    listed = re.findall(r"^\| ([^|]+) \| `([\w.]+:\w+)` \|", page, re.MULTILINE)
    assert listed == [(feature.name, feature.marked) for feature in experimental_features()]
    assert len(listed) == 5


def test_the_kernels_of_a_gpu_mark_nothing_else() -> None:
    """Importing them needs triton, so they are read instead."""
    for path in (ROOT / "tune_nas" / "native" / "gpu").rglob("*.py"):
        assert "experimental" not in path.read_text(encoding="utf-8"), path


def test_what_the_page_says_is_off_by_default_and_exists() -> None:
    from tune_nas.config import RuntimeConfig

    page = (ROOT / stability.PAGE).read_text(encoding="utf-8")
    keys = re.findall(r"^\|.*\| `runtime\.(\w+): (\w+)` \|$", page, re.MULTILINE)
    assert keys == [("graphs", "always"), ("implementation", "triton")]
    for key, value in keys:
        assert getattr(RuntimeConfig.model_validate({key: value}), key) == value
        assert getattr(RuntimeConfig(), key) != value


def test_a_class_is_announced_once_when_it_is_used(caplog: pytest.LogCaptureFixture) -> None:
    @experimental("Glue", "not yet tried on wood")
    class Glue:
        """Join parts.

        Args:
            strength: Its strength.
        """

        def __init__(self, strength: int, *, name: str = "g") -> None:
            self.strength = strength

    class Stronger(Glue):
        """A subclass is the same feature."""

    assert lines(caplog) == []  # not at import
    made = [Glue(1), Stronger(2, name="s"), Glue(strength=3)]
    assert lines(caplog) == [
        "Glue: experimental, not yet tried on wood; see docs/stability.md",
    ]
    assert caplog.records[0].levelno == logging.WARNING
    assert [each.strength for each in made] == [1, 2, 3]
    assert isinstance(Glue, type) and type(made[0]) is Glue
    assert str(inspect.signature(Glue)) == "(strength: 'int', *, name: 'str' = 'g') -> 'None'"
    assert inspect.getdoc(Glue) == (
        "Join parts.\n\nArgs:\n    strength: Its strength.\n\n"
        "Experimental: not yet tried on wood; see docs/stability.md."
    )
    (feature,) = (each for each in experimental_features() if each.name == "Glue")
    assert feature.reason == "not yet tried on wood" and feature.marked.endswith("<locals>.Glue")


def test_a_function_is_announced_once_when_it_is_called(caplog: pytest.LogCaptureFixture) -> None:
    @experimental("Doubling", "not yet run twice")
    def double(value: int, times: int = 2) -> int:
        """Return a multiple."""
        return value * times

    assert lines(caplog) == []
    assert (double(2), double(2, times=3)) == (4, 6)
    assert lines(caplog) == ["Doubling: experimental, not yet run twice; see docs/stability.md"]
    assert double.__name__ == "double"
    assert str(inspect.signature(double)) == "(value: 'int', times: 'int' = 2) -> 'int'"
    assert double.__doc__ == (
        "Return a multiple.\n\nExperimental: not yet run twice; see docs/stability.md."
    )


def test_features_are_announced_each_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    for name in ("A", "B"):
        experimental(name, "new")(lambda: None)()
    assert [line.partition(":")[0] for line in lines(caplog)] == ["A", "B"]
    assert experimental_features() == tuple(sorted(experimental_features()))
    assert ExperimentalFeature("A", "new", f"{__name__}:{_where('<lambda>')}") in (
        experimental_features()
    )


def _where(name: str) -> str:
    return f"{test_features_are_announced_each_by_itself.__name__}.<locals>.{name}"


def test_importing_a_search_says_nothing() -> None:
    code = "import tune_nas.search, tune_nas.native, tune_nas.sweep"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert (done.stdout, done.stderr) == ("", "")
