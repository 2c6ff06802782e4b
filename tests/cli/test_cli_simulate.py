"""`tune-nas benchmark simulate`: its tables, files and figure, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tune_nas.benchmark import DATA, CellTraining, TrainingTable
from tune_nas.benchmark.importing import all_cells
from tune_nas.benchmark.training_table import save_trainings

SIMULATE = ("benchmark", "simulate")
FAST = ("--processes", "1", "--seeds", "3", "--workers", "2")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A table by hand: every cell 50 to 92 %, 7 points a 3×3 convolution, 1000 s a training."""
    path = tmp_path_factory.mktemp("table") / "table.csv.gz"
    rows = {}
    for name in all_cells():
        valid = 50.0 + 7 * name.count("nor_conv_3x3~")
        training = CellTraining({12: valid - 20, 200: valid}, {200: valid - 1}, {}, 1000)
        rows[name] = dict.fromkeys(DATA, training)
    save_trainings(TrainingTable(rows), path)
    return str(path)


@pytest.fixture(autouse=True)
def _trials(command_line) -> None:
    for kind in ("random", "asha"):
        Path(f"{kind}.yaml").write_text(
            "space: nasbench201\ndata: cifar100\n"
            f"strategy: {{kind: {kind}, levels: [12, 200], promotion: restart, budget: 1000}}\n",
            encoding="utf-8",
        )


def test_means_of_searches_at_budgets(command_line, table: str) -> None:
    """Random search trains 200 epochs: 1 job after 399 of them, 5 after 1000, two at a time."""
    command = (*SIMULATE, "random.yaml", "--table", table, *FAST, "--budget", "100,399,1000")
    first, second, third = command_line.json(*command)
    assert (first["n"], first["cifar10_test"], first["gpu_hours"]) == (0, None, None)
    assert (second["n"], second["evaluations"], second["epochs"]) == (3, 1, 200)
    assert (third["trial"], third["data"], third["workers"]) == ("random", "cifar100", 2)
    assert (third["n"], third["evaluations"], third["epochs"]) == (3, 5, 1000)
    assert third["gpu_hours"] == round(5000 / 3600, 4)
    assert third["hours"] == round(3000 / 3600, 4)
    # The best cell has six 3×3 convolutions.
    assert third["regret"] == pytest.approx(50 + 42 - 1 - third["cifar100_test"], abs=1e-3)
    assert third["regret_low"] <= third["regret"] <= third["regret_high"]
    text = command_line.ok(*command)
    assert f"{third['cifar10_test']:.2f} [" in text
    assert "1.39" in text and "–" in text and "searches on cifar100, 2 trainings at a time" in text


def test_a_table_as_csv(command_line, table: str) -> None:
    command = (*SIMULATE, "random.yaml", "asha.yaml", "--table", table, *FAST)
    rows = list(csv.DictReader(io.StringIO(command_line.ok(*command, "--format", "csv"))))
    assert [(row["trial"], row["budget"]) for row in rows] == [("random", "1000"), ("asha", "1000")]
    for row, known in zip(rows, command_line.json(*command), strict=True):
        assert {**known, **row} == {key: str(value) for key, value in known.items()}


def test_values_of_a_key_are_compared(command_line, table: str) -> None:
    command = (*SIMULATE, "asha.yaml", "--table", table, *FAST, "--data", "imagenet16-120")
    found = command_line.json(*command, "--vary", "strategy.halving.reduction_factor=2,4.0")
    assert [row["trial"] for row in found] == [
        "asha reduction_factor=2",
        "asha reduction_factor=4.0",
    ]
    assert found[0]["evaluations"] < found[1]["evaluations"]  # fewer are promoted
    assert {row["data"] for row in found} == {"imagenet16_120"}
    levels = command_line.json(*command, "--vary", "strategy.levels=[12],[12, 200]")
    assert [row["trial"] for row in levels] == ["asha levels=[12]", "asha levels=[12, 200]"]


def test_a_key_is_set_in_the_trials_that_read_it(command_line, table: str) -> None:
    command = (*SIMULATE, "random.yaml", "asha.yaml", "--table", table, *FAST)
    key = "strategy.halving.reduction_factor"
    found = command_line.json(*command, "--set", f"{key}=4", "--set", "strategy.levels=[200]")
    assert [row["trial"] for row in found] == ["random", "asha"]
    levels = ("--set", "strategy.levels=[12, 200]", "--set", "strategy.promotion=restart")
    shipped = ("random-search", "asha-genotypes", "--table", table, *FAST, "--budget", "1000")
    assert len(command_line.json(*SIMULATE, *shipped, *levels)) == 2
    found = command_line.json(*command, "--vary", f"{key}=2,4")
    assert [row["trial"] for row in found] == [
        "random",
        "asha reduction_factor=2",
        "asha reduction_factor=4",
    ]
    message = command_line.refused(*command, "--set", "strategy.nosh.pool=9")
    assert "strategy.nosh.pool is 9, but has no effect where strategy.kind is 'random'" in message


def test_finished_searches_are_not_simulated_again(command_line, table: str) -> None:
    command = (*SIMULATE, "random.yaml", "--table", table, *FAST, "--output", "kept.jsonl")
    first = command_line.json(*command)
    content = Path("kept.jsonl").read_text(encoding="utf-8")
    assert [json.loads(line)["seed"] for line in content.splitlines()] == [0, 1, 2]
    # A change of what is kept is seen in the result: it is read, not simulated.
    Path("kept.jsonl").write_text(content.replace('"epochs": [200,', '"epochs": [150,'), "utf-8")
    assert command_line.json(*command, "--budget", "150,1000")[0]["epochs"] == 150
    assert command_line.json(*command) == first
    refused = command_line.refused(*command, "--set", "strategy.levels=[200]")
    assert refused.startswith("kept.jsonl has 'random' with strategy.levels [12, 200], not [200]")


def test_the_figure_has_a_line_for_each_trial(command_line, table: str) -> None:
    command = (*SIMULATE, "random.yaml", "asha.yaml", "--table", table, *FAST)
    command_line.ok(*command, "--plot", "regret.svg")
    content = Path("regret.svg").read_text(encoding="utf-8")
    assert content.count("<!-- random -->") == content.count("<!-- asha -->") == 1
    assert "<!-- simulated GPU hours -->" in content
    command_line.ok(*command, "--plot", "regret.png")
    assert Path("regret.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["milenas"], "trial 'milenas' has no strategy, so it cannot be simulated"),
        (["absent"], "trial 'absent' is neither a file nor a shipped trial"),
        (["random.yaml", "random.yaml"], "'random' is there twice"),
        (["random.yaml", "--budget", "5,3"], "--budget is '5,3', but must be ascending numbers"),
        (
            ["random.yaml", "--budget", "400", "--set", "strategy.budget=600"],
            "--budget and strategy.budget both set the budget; give one",
        ),
        (["random.yaml", "--budget", "100"], "strategy.budget is 100, but must be >= 200"),
        (["random.yaml", "--data", "imagenet16"], "did you mean 'imagenet16-120'?"),
        (["random.yaml", "--set", "space.name=darts"], "'nasbench201', not 'darts'"),
        (["random.yaml", "--set", "strategy.levels=[6]"], "has 6, but the benchmark knows"),
        (["asha.yaml", "--set", "strategy.promotion=continue"], "but must be restart"),
        (["asha.yaml", "--vary", "strategy.nope=1"], "--vary: unknown key 'strategy.nope'"),
        (["asha.yaml", "--vary", "strategy.budget"], "must be KEY=A,B,…, each A as in YAML"),
        (["asha.yaml", "--plot", "a.pdf"], "--plot is 'a.pdf', but must end with .svg or .png"),
        (["asha.yaml", "--output", "no/a.jsonl"], "there is no folder 'no'"),
        (["asha.yaml", "--output", "asha.yaml"], "asha.yaml, line 1, is not a simulated search"),
        (["asha.yaml", "--table", "absent.csv"], "'absent.csv' cannot be read"),
        (["asha.yaml", "--seeds", "0"], "'--seeds': must be >= 1"),
    ],
)
def test_bad_input_of_a_simulation(
    command_line, table: str, arguments: list[str], message: str
) -> None:
    assert message in command_line.refused(*SIMULATE, "--table", table, *arguments)


def test_a_table_without_12_epochs_must_be_imported_again(command_line) -> None:
    stems, splits = ("c10", "c100", "in16"), ("valid", "test")
    columns = [f"{stem}_{split}_200" for stem in stems for split in splits]
    Path("old.csv").write_text(f"arch,{','.join(columns)}\nx,{','.join(['50'] * 6)}\n", "utf-8")
    message = command_line.refused(*SIMULATE, "asha.yaml", "--table", "old.csv")
    assert "no accuracies after 12 epochs" in message
    assert message.endswith("import the published file again: tune-nas benchmark import FILE")


def test_an_interrupted_command_keeps_what_is_finished(command_line, table: str) -> None:
    arguments = ["random.yaml", "--table", table, "--budget", "30000", "--output", "kept.jsonl"]
    command = [str(Path(sys.executable).with_name("tune-nas")), *SIMULATE, *arguments]
    running = subprocess.Popen(
        [*command, "--seeds", "5000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    kept = Path("kept.jsonl")
    until = time.monotonic() + 120
    while not kept.exists() or kept.read_bytes().count(b"\n") < 2:
        assert time.monotonic() < until and running.poll() is None
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    lines = kept.read_text(encoding="utf-8").splitlines()
    assert (running.returncode, out) == (130, "")
    assert err == (
        f"tune-nas: interrupted; {len(lines)} of 5000 searches are in kept.jsonl; run it again\n"
    )
    done = {json.loads(line)["seed"] for line in lines}
    assert len(done) == len(lines) >= 2
    command_line.ok(*SIMULATE, *arguments, "--seeds", "1")
