"""MLflow's UI, as people open it: a sweep's view, its charts and the comparison, in a browser."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from browser import open_browser
from mlflow_server import serving
from selenium.webdriver import Chrome
from standin import TASKS, write_sweep

from tune_nas.report import TrialResult
from tune_nas.sweep import RunOptions, load_sweep, run_sweep
from tune_nas.tracking import Experiment, RunReader
from tune_nas.tracking.shared_view import view_link
from tune_nas.tracking.tracked_run import TrackedRun

T = TypeVar("T")
_CELLS = """return [...document.querySelectorAll('.ag-row')].map(row => [
    row.getAttribute('row-index'), Object.fromEntries([...row.querySelectorAll('[col-id]')].map(
        cell => [cell.getAttribute('col-id'), cell.innerText]))])"""
_HEADERS = """return [...document.querySelectorAll('.ag-header-cell')].map(
    cell => [cell.getBoundingClientRect().left, cell.getAttribute('col-id')])"""
_PLOTS = """return [...document.querySelectorAll('.js-plotly-plot')].flatMap(
    plot => plot.data.map(trace => ({
        type: trace.type, x: trace.x, y: trace.y,
        axes: Object.fromEntries((trace.dimensions || []).map(
            axis => [axis.label, axis.values.map(at => axis.ticktext ? axis.ticktext[at] : at)]))
    })))"""


class Opened:
    """A finished sweep, its server and a browser."""

    def __init__(self, base: str, uri: str, results: list[TrialResult], driver: Chrome) -> None:
        self.base, self.driver, self.results = base, driver, results
        experiment, reader = Experiment(uri), RunReader(uri)
        self.experiment_id = experiment.experiment_id
        (self.sweep,) = reader.sweeps()
        self.trials: list[TrackedRun] = reader.trials(self.sweep.run_id)
        self.view = view_link(base, self.experiment_id, self.sweep.run_id)

    def open(self, link: str) -> None:
        self.driver.get("about:blank")
        self.driver.get(link)

    def wait(self, look: Callable[[], T], ready: Callable[[T], bool]) -> T:
        """Look at the page until it is ready; the last look is asserted by the test."""
        deadline = time.monotonic() + 60
        while not ready(found := look()) and time.monotonic() < deadline:
            time.sleep(0.2)
        return found

    def rows(self) -> list[dict[str, str]]:
        """The cells of each row by column, from the top; the name without the color before it."""
        rows: dict[int, dict[str, str]] = {}
        for index, cells in self.driver.execute_script(_CELLS):
            rows.setdefault(int(index), {}).update(cells)
        name = "attributes.`Run Name`"
        return [
            {**cells, "name": cells.get(name, "").rpartition("\n")[2]}
            for _, cells in sorted(rows.items())
        ]

    def plots(self) -> list[dict[str, Any]]:
        return list(self.driver.execute_script(_PLOTS))


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory, ray_session: None) -> Iterator[Opened]:
    folder = tmp_path_factory.mktemp("ui")
    # skips without Chromium; wide, as the table has only the visible columns
    with open_browser(folder / "profile", width=2600, height=1200) as driver:
        grid = {"update.lambda": {"grid": [0, 1, 3]}}
        file = write_sweep(folder / "input", parameters=grid, seeds=2, retrain=1)
        options = RunOptions(storage=str(folder / "runs"), quiet=True)
        outcome = run_sweep(load_sweep(file), options, "tiny", tasks=TASKS)
        with serving(folder / "runs") as base:
            yield Opened(base, outcome.mlflow_uri, outcome.results, driver)


def test_the_view_shows_what_was_swept_and_what_came_of_it(opened: Opened) -> None:
    opened.open(opened.view)
    rows = opened.wait(
        opened.rows, lambda rows: len(rows) == 7 and all("tags.`genotype`" in row for row in rows)
    )
    by_value = sorted(
        (r for r in opened.results if r.phase == "search"),
        key=lambda r: -r.metrics["valid_accuracy"],
    )
    expected = [f"λ={r.parameters['update.lambda']:g} s{r.seed}" for r in by_value]
    assert [row["name"] for row in rows[:6]] == expected  # ranked
    assert rows[6]["name"] == f"{expected[0]} retrain"
    for row, result in zip(rows, by_value, strict=False):
        assert float(row["params.`update.lambda`"]) == result.parameters["update.lambda"]
        for key in ("valid_accuracy", "gap", "genotype/skips"):
            assert float(row[f"metrics.`{key}`"]) == pytest.approx(result.metrics[key]), key
        assert row["tags.`status`"] == "finished"
        assert row["tags.`genotype`"].startswith("Genotype(normal=[")
    (retrained,) = (r for r in opened.results if r.phase == "retrain")
    shown = float(rows[6]["metrics.`test_accuracy`"])
    assert shown == pytest.approx(retrained.metrics["test_accuracy"])
    columns = [column for _, column in sorted(opened.driver.execute_script(_HEADERS))]
    wanted = ["params.`update.lambda`", *(f"metrics.`{key}`" for key in ("valid_accuracy", "gap"))]
    wanted += ["metrics.`test_accuracy`", "metrics.`genotype/skips`"]
    wanted += ["tags.`status`", "tags.`genotype`"]
    assert [column for column in columns if column in wanted] == wanted
    assert not any("update.order" in column for column in columns)  # none of the other settings


def test_its_charts_show_the_accuracy_by_lambda(opened: Opened) -> None:
    opened.open(f"{opened.view}&compareRunsMode=CHART")
    points = sorted(
        (r.parameters["update.lambda"], r.metrics["valid_accuracy"])
        for r in opened.results
        if r.phase == "search"
    )

    def scattered() -> list[list[float]]:
        traces = [trace for trace in opened.plots() if trace["x"] and len(trace["x"]) >= 6]
        return sorted(
            [float(x), y] for t in traces[:1] for x, y in zip(t["x"], t["y"], strict=True)
        )

    shown = opened.wait(scattered, lambda found: len(found) == 6)
    assert [x for x, _ in shown] == [x for x, _ in points]
    assert [y for _, y in shown] == pytest.approx([y for _, y in points])
    labels = opened.wait(
        lambda: {e.text for e in opened.driver.find_elements("css selector", ".parcoords text")},
        lambda found: "valid_accuracy" in found,
    )
    assert {"update.lambda", "valid_accuracy"} <= labels


def test_the_comparison_opens_on_the_accuracy(opened: Opened) -> None:
    searches = [run for run in opened.trials if run.phase == "search"]
    ids = quote(json.dumps([run.run_id for run in searches]))
    opened.open(
        f"{opened.base}/#/compare-runs?runs={ids}&experiments=[%22{opened.experiment_id}%22]"
    )
    plots = opened.wait(opened.plots, bool)
    axes = plots[0]["axes"]
    assert list(axes) == ["seed", "update.lambda", "valid_accuracy"]
    pairs = sorted(zip(axes["update.lambda"], axes["valid_accuracy"], strict=True))
    expected = sorted(
        (float(run.parameters["update.lambda"]), run.metrics["valid_accuracy"]) for run in searches
    )
    assert [float(value) for value, _ in pairs] == [value for value, _ in expected]
    assert [value for _, value in pairs] == pytest.approx([value for _, value in expected])


def test_the_run_of_the_sweep_says_what_came_of_it(opened: Opened) -> None:
    sweep, searches = opened.sweep, [r for r in opened.results if r.phase == "search"]
    by_value: dict[str, list[float]] = {}
    for result in searches:
        known = by_value.setdefault(f"{result.parameters['update.lambda']:g}", [])
        known.append(result.metrics["valid_accuracy"])
    best = max(by_value, key=lambda value: sum(by_value[value]))
    assert sweep.tags["best"] == f"λ = {best}"
    assert sweep.tags["mlflow.note.content"].startswith(f"λ = {best} best by supernet")
    assert sweep.metrics["valid_accuracy"] == pytest.approx(sum(by_value[best]) / 2)
    assert {"mlflow.user", "mlflow.source.name"} <= set(sweep.tags)
    opened.open(f"{opened.base}/#/experiments/{opened.experiment_id}/runs/{sweep.run_id}")
    text = opened.wait(
        lambda: opened.driver.find_element("tag name", "body").text,
        lambda text: "About this run" in text and "Datasets" in text,
    )
    assert "digits (" in text
    assert sweep.tags["mlflow.user"] in text
