"""The report as an HTML page: self-contained, complete, escaped, and small enough."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import made_up_sweep
import pytest
from matplotlib.figure import Figure

from tune_nas.figures import cell_colors, palette
from tune_nas.report import Comparison, TrialResult, find_report_format
from tune_nas.report.page.inline_svg import inline_svg
from tune_nas.report.page.page_colors import dark_colors, light_colors, variable
from tune_nas.report.page.page_content import clauses, duration
from tune_nas.report.page.page_drawings import plots, thinned
from tune_nas.report.page.page_tables import PageCell, leading_number
from tune_nas.report.run_details import RunDetails, Session, SettingDifference, TrialDetails
from tune_nas.report.sentence import compose

Make = Callable[..., TrialResult]
LAMBDA = ["update.lambda"]
HOSTILE = "<script>alert(1)</script>\"'&\x1b[2J</style><img src=x onerror=alert(2)>"


class Page(HTMLParser):
    """What a browser would find in a page: elements with attributes, and the texts of cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.tables: list[list[list[str]]] = []
        self.scripts: list[str] = []
        self._within: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        self._within.append(tag)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        while self._within and self._within.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        last = self._within[-1] if self._within else ""
        if last in ("td", "th"):
            self.tables[-1][-1][-1] += data
        if last == "script":
            self.scripts[-1] += data
        elif last != "style":
            self.text += data


def page_of(comparison: Comparison, details: RunDetails | None = None) -> str:
    return find_report_format("html").render_run(comparison, lambda: details or RunDetails())


@pytest.fixture
def small(make_result: Make) -> Comparison:
    """Two values of λ; one trial each was stopped and failed."""
    trials = [
        make_result(value, accuracy, seed=seed, metrics={"gap": 2.0, "seconds": 3.0})
        for value, seed, accuracy in ((1, 0, 90.0), (1, 1, 92.0), ("inf", 0, 80.0))
    ]
    trials.append(make_result("inf", 70.0, seed=1, status="stopped early", reason="by ASHA"))
    trials.append(make_result(1, seed=2, status="failed", error="ValueError: no"))
    return Comparison("small", LAMBDA, trials, "valid_accuracy")


def made_up_page() -> str:
    """Render twenty made-up trials, a tenth of them with α."""
    trials = made_up_sweep.results(n_seeds=2, epochs=3)
    known = made_up_sweep.details(trials, 3)
    some = replace(
        known, read_alphas=lambda key: known.read_alphas(key) if key[-1] in "67" else None
    )
    return page_of(made_up_sweep.comparison(trials), some)


@pytest.fixture(scope="module")
def made_up() -> str:
    return made_up_page()


def test_plots_of_huge_values_are_left_out_of_a_page(caplog: pytest.LogCaptureFixture) -> None:
    """Differences of values about 1e308 overflow, and no axis can be drawn; the rest is there."""
    values = {0: 1.7e308, 1: -1.7e308, 2: 1.7e308}
    trials = [
        TrialResult(
            f"search-{value}",
            "search",
            {"update.lambda": value, "sweep": str(value)},
            seed=0,
            status="finished",
            metrics={"valid_accuracy": metric},
            history=[{"epoch": 1, "valid_accuracy": metric}],
        )
        for value, metric in values.items()
    ]
    report = Comparison("huge", ["update.lambda", "sweep"], trials, "valid_accuracy")
    drawn, left_out = plots(report, made_up_sweep.details(trials, epochs=2))
    assert left_out == []
    assert "by-value" not in [drawing.key for drawing in drawn]
    assert "is left out" in caplog.text


def test_the_conclusion_is_first_and_whole(small: Comparison) -> None:
    text = " ".join(Page(page_of(small)).text.split())
    parts = clauses(compose(small), ["λ"])
    assert text.index(parts[0]) < min(text.index(part) for part in parts[1:])
    assert text.index(parts[0]) < text.index("Comparison")
    assert ("; ".join(part.removesuffix(".") for part in parts) + ".").lower() == compose(
        small
    ).lower()


def test_clauses_end_outside_of_parentheses() -> None:
    sentence = "w rate = 1 best (2.0; 1.2 times it); the x (n = 2) is near; n = 2 is few; "
    sentence += "w rate = 2 diverged."
    first, *others = ["w rate = 1 best (2.0; 1.2 times it).", "The x (n = 2) is near."]
    others.append("n = 2 is few.")
    assert clauses(sentence, ["w rate"]) == [first, *others, "w rate = 2 diverged."]


def test_the_tables_are_complete(small: Comparison) -> None:
    rows, statistics, *_, trials = Page(page_of(small)).tables
    assert rows[0][:5] == ["λ", "n", "stopped", "failed", "valid %"]
    assert [row[:5] for row in rows[1:]] == [
        ["1", "2", "0", "1", "91.00 ± 1.41"],
        ["inf", "1", "1", "0", "80.00 ± –"],
    ]
    assert statistics[0][:4] == ["λ", "n", "valid %", "95 % interval"]
    assert statistics[1][:3] == ["1", "2", "91.00 ± 1.41"]
    header = ["trial", "phase", "λ", "seed", "status", "epochs", "valid %", "gap"]
    assert trials[0] == [*header, "search s", "remarks"]
    assert [row[0] for row in trials[1:]] == [result.trial_id for result in small.results]
    stopped, failed = trials[4], trials[5]
    assert (stopped[4], stopped[6], stopped[-1]) == ("stopped early", "70.00", "by ASHA")
    assert (failed[4], failed[6], failed[-1]) == ("failed", "–", "ValueError: no")


def test_running_retried_and_resumed_trials_are_told(small: Comparison, make_result: Make) -> None:
    running = make_result(3, 60.0, metrics={"epoch": 4.0}, status="failed")
    details = RunDetails(
        trials=(
            TrialDetails(small.results[0], "finished", retries=2, last_error="OSError: disk"),
            TrialDetails(running, "running", epochs=20, sessions=3),
        )
    )
    *_, trials = Page(page_of(small, details)).tables
    assert trials[1][-1] == "retried 2 times, last after: OSError: disk"
    assert (trials[2][4], trials[2][5], trials[2][-1]) == ("running", "4 of 20", "resumed 2 times")


def test_a_diverged_trial_is_called_so(make_result: Make) -> None:
    results = [make_result(1, 90.0), make_result(2, math.nan)]
    *_, trials = Page(page_of(Comparison("s", LAMBDA, results, "valid_accuracy"))).tables
    assert [(row[4], row[-2]) for row in trials[1:]] == [("finished", "90.00"), ("diverged", "nan")]


def test_nothing_is_fetched_and_only_our_script_runs(made_up: str) -> None:
    found = Page(made_up)
    for _, attributes in found.elements:
        for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            assert attributes.get(name, "#").startswith("#")
        assert not any(name.startswith("on") for name in attributes)
    assert not re.search(r"url\((?!#)|@import", made_up)
    policy = next(a["content"] for t, a in found.elements if t == "meta" and "http-equiv" in a)
    (script,) = found.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'" in policy and f"script-src 'sha256-{digest}'" in policy


def test_ids_are_unique_and_references_have_a_target(made_up: str) -> None:
    elements = Page(made_up).elements
    ids = Counter(attributes["id"] for _, attributes in elements if "id" in attributes)
    assert ids.most_common(1)[0][1] == 1
    wanted = set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", made_up))
    assert len(wanted) > 10
    assert {one or other for one, other in wanted} <= ids.keys()


def test_text_of_a_user_is_text(make_result: Make) -> None:
    results = [
        make_result(HOSTILE, 90.0, seed=0, reason=HOSTILE, genotype=HOSTILE),
        make_result("$\\frac$", 91.0, seed=0),
        make_result("b", seed=0, status="failed", error=HOSTILE),
    ]
    details = RunDetails(
        trials=tuple(TrialDetails(r, r.status, retries=1, last_error=HOSTILE) for r in results),
        sessions={HOSTILE: (Session(0.0, command=HOSTILE, data=[HOSTILE], outcome=HOSTILE),)},
        files={HOSTILE: HOSTILE, "other": "a: 1"},
        differences=(SettingDifference("data.dir", (HOSTILE, "x")),),
    )
    comparison = Comparison(HOSTILE, ["relaxation.kind"], [], "valid_accuracy")
    own = [replace(r, parameters={"relaxation.kind": r.parameters[LAMBDA[0]]}) for r in results]
    for trials in ([], own):
        comparison = Comparison(HOSTILE, ["relaxation.kind"], trials, "valid_accuracy")
        page = page_of(comparison, details)
        tags = Counter(tag for tag, _ in Page(page).elements)
        assert (tags["script"], tags["style"], tags["img"]) == (1, 1, 0)
        assert "\x1b" not in page
        assert page.count("<script>") == 1 and page.count("</style>") == 1
        assert "alert(1)" in Page(page).text


def test_equal_trials_give_equal_pages(made_up: str) -> None:
    assert "alpha-" in made_up
    assert made_up_page() == made_up


def test_forty_trials_with_full_histories_are_under_3_mb() -> None:
    trials = made_up_sweep.results(n_seeds=4, epochs=50)
    page = page_of(made_up_sweep.comparison(trials), made_up_sweep.details(trials))
    assert len(trials) == 40
    assert len(page.encode()) < 3_000_000
    found = Page(page)
    assert len(found.tables[-1]) == 41
    assert 'id="alpha-0' in page or "alpha-0-" in page  # α of the best one at least


def test_provenance_is_in_it(small: Comparison) -> None:
    session = Session(
        started=1.7e9,
        ended=1.7e9 + 3700,
        command="tune-nas sweep lambda",
        commit="abc",
        changed=True,
        versions={"Python": "3.11", "torch": "2.13"},
        hardware={"cpu": "Fast CPU", "cores": "2 cores"},
        data=["digits: 1,437 training images"],
        outcome="finished",
    )
    details = RunDetails(sessions={"small": (session,)}, files={"small": "trial: milenas"})
    text = " ".join(Page(page_of(small, details)).text.split())
    for expected in (
        "Command tune-nas sweep lambda",
        "Code commit abc, with changes that are not committed",
        "Versions Python 3.11, torch 2.13",
        "Machine Fast CPU, 2 cores",
        "Data digits: 1,437 training images",
        "Duration 1 h 1 min",
        "trial: milenas",
    ):
        assert expected in text


def test_every_color_of_a_figure_has_a_dark_one() -> None:
    operations = [color for pair in cell_colors.OPERATIONS.values() for color in pair]
    nodes = (cell_colors.NODE_FILL, cell_colors.NODE_LINE, cell_colors.END_LINE)
    for color in (palette.INK, palette.QUIET, palette.GRID, *palette.PALETTE, *operations, *nodes):
        name = variable(color)
        assert name is not None
        assert light_colors()[name] != dark_colors()[name] or color == "#9aa5b1"
    assert variable("#123456") is None


def test_labels_of_operations_can_be_read_in_both_modes() -> None:
    for colors in (light_colors(), dark_colors()):
        ink = colors[variable(palette.INK) or ""]
        for fill, _ in cell_colors.OPERATIONS.values():
            assert contrast(ink, colors[variable(fill) or ""]) >= 4.5
        quiet = colors[variable(palette.QUIET) or ""]
        assert contrast(quiet, colors[variable(cell_colors.NODE_FILL) or ""]) >= 4.5


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.1 of two colors, ``#rrggbb``."""

    def luminance(color: str) -> float:
        parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_a_figure_is_text_and_variables() -> None:
    figure = Figure(figsize=(3, 2))
    axes = figure.add_subplot(title="a <b> & $c_k$ and $\\frac$ 5")
    axes.plot([1, 2], [3, 4], color=palette.PALETTE[0], label="x")
    axes.set_xlabel("price in $ and $\\frac$")
    svg = inline_svg(figure, "fig", 'a "title"')
    assert svg.startswith("<svg ") and "&#34;title&#34;" in svg
    assert "var(--c0072b2)" in svg and palette.PALETTE[0] not in svg
    assert "price in $ and $\\frac$" in svg and "a &lt;b&gt; &amp;" in svg
    assert "DejaVu" not in svg and "<style" not in svg and "<!--" not in svg
    assert re.search(r'width="288" height="192"', svg)
    assert not re.search(r"\d\.\d{3}", svg)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("91.20 ± 0.31", 91.2),
        ("11,046", 11046),
        ("1.50 M", 1.5e6),
        ("-1.95 ± 2.21", -1.95),
        ("3 repeats", 3),
        ("inf", math.inf),
        ("–", None),
        ("sigmoid", None),
    ],
)
def test_what_a_cell_is_sorted_by(text: str, number: float | None) -> None:
    assert leading_number(text) == number


def test_sort_keys_are_numbers_of_javascript() -> None:
    keys = [PageCell("", number).sort_key for number in (None, 1.5, math.inf, -math.inf, 3)]
    assert keys == ["", "1.5", "Infinity", "-Infinity", "3"]


def test_a_long_history_is_thinned() -> None:
    table = "epoch,weight\n" + "".join(f"{epoch},{epoch / 10}\n" * 2 for epoch in range(1, 101))
    lines = thinned(table.encode(), 10).decode().split()
    assert lines[0] == "epoch,weight"
    epochs = [int(line.split(",")[0]) for line in lines[1::2]]
    assert epochs == [1, 12, 23, 34, 45, 56, 67, 78, 89, 100]
    assert len(lines) == 21
    assert thinned(table.encode(), 100) == table.encode()
    assert thinned(b"nothing", 3) == b"nothing"


def test_durations() -> None:
    assert [duration(s) for s in (0.4, 48, 200, 7500)] == ["0 s", "48 s", "3 min 20 s", "2 h 5 min"]
