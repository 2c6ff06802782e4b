from __future__ import annotations

from pathlib import Path

import pytest

# DARTS_V2, as published in quark0/darts cnn/genotypes.py
DARTS_V2 = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), "
    "('sep_conv_3x3', 1), ('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), "
    "('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, 5], reduce=[('max_pool_3x3', 0), "
    "('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', 0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])"
)
SIZE = ("--init-channels", "36", "--cells", "20")
CELL_201 = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|"


def test_the_published_network(command_line) -> None:
    facts = command_line.json("inspect", DARTS_V2, *SIZE)
    assert facts["parameters"] == 3_349_342
    assert facts["convolutions"] == 6
    assert facts["skips"] == 5
    assert facts["pools"] == 5
    assert facts["by_cell"]["normal"] == {"convolutions": 6, "skips": 2, "pools": 0}
    assert facts["in_network"] == {"convolutions": 18 * 6, "skips": 18 * 2 + 2 * 3, "pools": 10}
    assert (facts["init_channels"], facts["cells"]) == (36, 20)
    # The paper's mobile setting is given in multiply-adds; CIFAR's is 528 M for this network.
    assert facts["multiply_adds"] == pytest.approx(528e6, rel=0.01)


def test_noise_is_counted_where_a_space_has_it(command_line) -> None:
    noisy = DARTS_V2.replace("dil_conv_3x3", "noise").replace("max_pool_3x3", "sep_conv_3x3")
    noisy = noisy.replace("skip_connect", "noise")
    facts = command_line.json("inspect", noisy, "--space", "s4", *SIZE)
    assert facts["noises"] == 6
    assert facts["by_cell"]["normal"]["noises"] == 3


def test_the_table_draws_each_edge(command_line) -> None:
    out = command_line.ok("inspect", DARTS_V2, *SIZE)
    assert "parameters     3,349,342" in out
    assert "  c_{k-2} ── sep_conv_3x3 ─▶ node 2" in out
    assert "   node 2 ── dil_conv_3x3 ─▶ node 5" in out
    assert out.count("─▶ node") == 16
    assert "node 2 + node 3 + node 4 + node 5 ─▶ c_{k}" in out


def test_a_cell_of_nasbench201(command_line) -> None:
    facts = command_line.json("inspect", CELL_201)
    assert facts["space"] == "nasbench201"
    assert (facts["init_channels"], facts["cells"]) == (16, 5)
    assert facts["convolutions"] == 2
    assert facts["in_network"]["convolutions"] == 2 * 15
    out = command_line.ok("inspect", CELL_201, "--cells", "1")
    assert "16 channels, 1 cell in each of 3 stages" in out
    assert "node 3 ─▶ c_{k}" in out


def test_sizes_change_what_they_should(command_line) -> None:
    small = command_line.json("inspect", CELL_201, "--image-size", "8", "--classes", "10")
    large = command_line.json("inspect", CELL_201, "--image-size", "16", "--classes", "10")
    many = command_line.json("inspect", CELL_201, "--image-size", "8", "--classes", "100")
    assert small["parameters"] == large["parameters"]
    assert large["multiply_adds"] > 3.9 * (small["multiply_adds"] - 650)
    assert many["parameters"] - small["parameters"] == 90 * (64 + 1)


def test_files_in_every_form(command_line) -> None:
    from tune_nas.spaces import Genotype

    wanted = command_line.json("inspect", DARTS_V2)
    Path("a.yaml").write_text(Genotype.parse(DARTS_V2).to_yaml(), encoding="utf-8")
    Path("b.txt").write_text(f"DARTS_V2 = {DARTS_V2}\n", encoding="utf-8")
    assert command_line.json("inspect", "a.yaml") == wanted
    assert command_line.json("inspect", "b.txt") == wanted


def test_a_run(command_line) -> None:
    from tune_nas.spaces import Genotype, load_space
    from tune_nas.tracking import Tracker

    tracker = Tracker(f"sqlite:///{command_line.folder}/runs/mlflow.db")
    sweep = tracker.sweep_run("lambda", {})
    trial = tracker.trial_run(sweep, "t1", stage="search", parameters={})
    tracker.log_genotype(trial, Genotype.parse(CELL_201), load_space("nasbench201"))
    assert command_line.json("inspect", trial) == command_line.json("inspect", CELL_201)
    assert "has no artifact 'genotype.yaml'" in command_line.refused("inspect", sweep)


def test_a_search_by_the_name_that_it_has_in_the_storage(command_line) -> None:
    from tune_nas.library import load_trial
    from tune_nas.spaces import Genotype
    from tune_nas.sweep.records import Job, Records
    from tune_nas.sweep.storage import Storage

    records = Records(Storage("runs/mine"), "search")
    found = {"search-00000": CELL_201, "search-00001": None}
    for name, cell in found.items():
        records.start(Job(name, "search", {}, 0, load_trial("milenas").to_dict()))
        if cell is not None:
            text = Genotype.parse(cell).to_yaml()
            records.add(name, {"epoch": 1, "genotype": text})
    assert command_line.json("inspect", "mine/search-00000") == command_line.json(
        "inspect", CELL_201
    )
    assert "has no genotype yet" in command_line.refused("inspect", "mine/search-00001")
    assert "'mine' has 2 searches; name one" in command_line.refused("inspect", "mine")


@pytest.mark.parametrize("name", ["cells.svg", "cells.png"])
def test_drawings(command_line, name: str) -> None:
    command_line.ok("inspect", DARTS_V2, "--draw", name)
    start = Path(name).read_bytes()[:8]
    assert start.startswith(b"<?xml" if name.endswith("svg") else b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "'nothing' is neither a genotype nor a file, and there are no runs yet"),
        (["|foo~0|+|none~0|none~1|+|none~0|none~1|none~2|"], "'foo'"),
        (["Genotype(normal=__import__('os'))"], "does not parse"),
        ([DARTS_V2, "--space", "nasbench201"], "space 'nasbench201' has the cells normal"),
        ([DARTS_V2, "--space", "dart"], "did you mean 'darts'?"),
        ([DARTS_V2, "--draw", "cells.pdf"], "must end in .svg or .png"),
        ([DARTS_V2, "--draw", "absent/cells.svg"], "absent/cells.svg: No such file or directory"),
        ([DARTS_V2, "--cells", "0"], "must be >= 1"),
    ],
)
def test_bad_input(command_line, arguments: list[str], message: str) -> None:
    assert message in command_line.refused("inspect", *arguments)
