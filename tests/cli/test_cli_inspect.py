from __future__ import annotations

from pathlib import Path
from typing import Any

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
    from tune_nas.tracking import MlflowTracker

    tracker = MlflowTracker(f"sqlite:///{command_line.folder}/runs/mlflow.db")
    sweep = tracker.sweep_run("lambda", {})
    trial = tracker.trial_run(sweep, "t1", phase="search", parameters={})
    tracker.log_genotype(trial, Genotype.parse(CELL_201), load_space("nasbench201"))
    assert command_line.json("inspect", trial) == command_line.json("inspect", CELL_201)
    assert "has no artifact 'genotype.yaml'" in command_line.refused("inspect", sweep)


def test_a_search_by_the_name_that_it_has_in_the_storage(command_line) -> None:
    from tune_nas.library import load_trial
    from tune_nas.spaces import Genotype
    from tune_nas.sweep.jobs import Job
    from tune_nas.sweep.runs.records import Records
    from tune_nas.sweep.runs.storage import Storage

    records = Records(Storage("runs/mine"), "search")
    found = {"search-00000": CELL_201, "search-00001": None}
    for name, cell in found.items():
        records.start(Job(name, "search", "search", load_trial("milenas")))
        if cell is not None:
            text = Genotype.parse(cell).to_yaml()
            records.add(name, {"epoch": 1, "genotype": text})
    assert command_line.json("inspect", "mine/search-00000") == command_line.json(
        "inspect", CELL_201
    )
    assert "has no genotype yet" in command_line.refused("inspect", "mine/search-00001")
    assert "'mine' has 2 searches; name one" in command_line.refused("inspect", "mine")


def test_the_skeleton_that_is_counted_is_named(command_line) -> None:
    size = ("--init-channels", "48", "--cells", "14", "--classes", "1000")
    small = command_line.ok("inspect", "DARTS_V2", *size)
    large = command_line.ok("inspect", "DARTS_V2", *size, "--image-size", "224")
    row = (
        "skeleton       one 3 × 3 convolution of stride 1, as for CIFAR-10; reduction cells at 1/3"
    )
    assert row in small and row in large
    # The published network has 574 M: its stem halves the images three times.
    assert "multiply-adds  31,113,100,264" in large
    assert "Published ImageNet figures are not of this skeleton" in large
    assert "ImageNet" not in small
    facts = command_line.json("inspect", "42")
    assert facts["skeleton"] == "stages"
    assert facts["stem"] == "one 3 × 3 convolution of stride 1, as for CIFAR-10"


def test_a_published_name_and_a_number_of_the_benchmark(command_line) -> None:
    assert command_line.json("inspect", "DARTS_V2") == command_line.json("inspect", DARTS_V2)
    cell = "|avg_pool_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
    assert command_line.json("inspect", "9") == command_line.json("inspect", cell)
    assert command_line.json("inspect", "nasbench201:9") == command_line.json("inspect", cell)


def test_a_run_and_a_published_genotype_of_one_name(command_line) -> None:
    add_search("DARTS_V2", CELL_201)
    add_search("42", CELL_201)
    add_search("NASNet", CELL_201)
    wanted = command_line.json("inspect", CELL_201)
    line = command_line.refused("inspect", "DARTS_V2")
    assert line == (
        "'DARTS_V2' is a run in runs and a published genotype; write published:DARTS_V2, or name "
        "the run's search, e.g. DARTS_V2/search-00000"
    )
    assert "write nasbench201:42, or" in command_line.refused("inspect", "42")
    for run in ("DARTS_V2/search-00000", "42/search-00000", "NASNet"):
        assert command_line.json("inspect", run) == wanted
    assert command_line.json("inspect", "published:DARTS_V2")["space"] == "darts"


def add_search(name: str, cell: str, **changes: Any) -> None:
    from tune_nas.library import load_trial
    from tune_nas.spaces import Genotype
    from tune_nas.sweep.jobs import Job
    from tune_nas.sweep.runs.records import Records
    from tune_nas.sweep.runs.storage import Storage

    records = Records(Storage(f"runs/{name}"), "search")
    trial = load_trial("milenas", changes)
    records.start(Job("search-00000", "search", "search", trial))
    genotype = cell if "space:" in cell else Genotype.parse(cell).to_yaml()
    records.add("search-00000", {"epoch": 1, "genotype": genotype})


def test_one_genotype_of_a_file(command_line) -> None:
    from tune_nas.spaces import Genotype

    first = Genotype.parse("PDARTS").to_darts()
    Path("genotypes.py").write_text(f"first = {first}\nsecond = {DARTS_V2}\n", encoding="utf-8")
    assert command_line.json("inspect", "genotypes.py:second") == command_line.json(
        "inspect", DARTS_V2
    )
    assert command_line.json("inspect", "genotypes.py:1") == command_line.json("inspect", "PDARTS")
    assert command_line.refused("inspect", "genotypes.py") == (
        "genotypes.py: has 2 genotypes; name one, e.g. FILE:second: first, second"
    )
    line = command_line.refused("inspect", "genotypes.py:third")
    assert line == "genotypes.py: has no genotype 'third'; it has first, second"
    uri = f"file://{Path.cwd()}/genotypes.py"
    assert command_line.json("inspect", f"{uri}:second") == command_line.json("inspect", DARTS_V2)
    assert "absent.py: there is no such file" in command_line.refused(
        "inspect", f"file://{Path.cwd()}/absent.py"
    )


def test_a_file_whose_name_looks_like_a_genotype(command_line) -> None:
    for name in ("(a copy).txt", "0->2.txt", "[draft]"):
        Path(name).write_text(DARTS_V2, encoding="utf-8")
        assert command_line.json("inspect", name) == command_line.json("inspect", DARTS_V2)


def test_what_inspect_prints_can_be_inspected(command_line) -> None:
    for genotype in ("DARTS_V2", "9", "FairDARTS_b"):
        printed = command_line.ok("inspect", genotype, "--format", "json")
        Path("facts.json").write_text(printed, encoding="utf-8")
        assert command_line.ok("inspect", "facts.json", "--format", "json") == printed
        assert command_line.ok("inspect", printed, "--format", "json") == printed


OWN = """\
name: shallow
cells:
  normal: &cell
    inputs: 2
    nodes: 2
    operations: [skip_connect, sep_conv_3x3]
    output: concat
    inputs_per_node: 1
  reduction: *cell
skeleton: {layout: thirds, init_channels: 4, cells: 3}
"""
OF_OWN = """\
space: shallow
cells:
  normal: {0->2: sep_conv_3x3, 2->3: skip_connect}
  reduction: {1->2: skip_connect, 1->3: sep_conv_3x3}
"""


def test_a_genotype_of_a_space_of_ones_own(command_line) -> None:
    Path("own.yaml").write_text(OWN, encoding="utf-8")
    Path("best.yaml").write_text(OF_OWN, encoding="utf-8")
    message = (
        "the genotype is of space 'shallow', which is not a shipped one; "
        "name the file that describes it: --space FILE"
    )
    assert command_line.refused("inspect", "best.yaml") == message
    assert command_line.refused("retrain", "best.yaml") == message
    facts = command_line.json("inspect", "best.yaml", "--space", "own.yaml")
    assert (facts["space"], facts["cells"]) == ("shallow", 3)
    add_search("mine", OF_OWN, **{"space.name": str(Path("own.yaml").resolve())})
    assert command_line.json("inspect", "mine") == facts  # a run knows the file of its space


def test_a_space_that_calls_itself_as_a_shipped_one_is_refused(command_line) -> None:
    Path("own.yaml").write_text(OWN.replace("shallow", "darts"), encoding="utf-8")
    line = command_line.refused("show", "own.yaml")
    assert line == (
        "space 'own.yaml': its name is 'darts', but that is a shipped space, with which its "
        "genotypes would be read; give it another, as name: my-darts"
    )
    for arguments in (("inspect", "DARTS_V2"), ("retrain", "DARTS_V2"), ("search", "milenas")):
        assert line.partition(": ")[2] in command_line.refused(*arguments, "--space", "own.yaml")
    # A copy of the shipped one changes nothing.
    Path("own.yaml").write_text(command_line.ok("show", "darts"), encoding="utf-8")
    assert command_line.json("inspect", "DARTS_V2", "--space", "own.yaml")["space"] == "darts"


def test_a_space_that_is_assumed_is_told_with_those_that_fit(command_line) -> None:
    noisy = DARTS_V2.replace("dil_conv_3x3", "noise").replace("max_pool_3x3", "sep_conv_3x3")
    noisy = noisy.replace("skip_connect", "noise")
    line = command_line.refused("inspect", noisy)
    assert line == (
        "normal cell, edge 0->4: 'noise' is not one of max_pool_3x3, avg_pool_3x3, skip_connect, "
        "sep_conv_3x3, sep_conv_5x5, dil_conv_3x3, dil_conv_5x5, the operations of space 'darts' "
        "there; its text names no space, so 'darts' is assumed; give --space s4"
    )
    assert command_line.refused("retrain", noisy) == line
    fair = (
        "Genotype(normal=[('sep_conv_3x3', 2, 0), ('sep_conv_3x3', 2, 1), ('sep_conv_3x3', 3, 1), "
        "('dil_conv_3x3', 4, 0), ('sep_conv_5x5', 4, 1), ('dil_conv_5x5', 5, 1)], "
        "normal_concat=range(2, 6), reduce=[('skip_connect', 2, 0), ('dil_conv_3x3', 2, 1), "
        "('skip_connect', 3, 0), ('dil_conv_3x3', 3, 1), ('max_pool_3x3', 4, 0), "
        "('sep_conv_3x3', 4, 1), ('skip_connect', 5, 2), ('max_pool_3x3', 5, 0)], "
        "reduce_concat=range(2, 6))"
    )
    assert "assumed; give --space darts-all-edges" in command_line.refused("inspect", fair)
    facts = command_line.json("inspect", fair, "--space", "darts-all-edges")
    assert facts == command_line.json("inspect", "FairDARTS_b")


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
        (["Genotype(normal=__import__('os'))"], "but this has normal"),
        (
            ["NASNet"],
            "NASNet (Zoph et al., arXiv:1707.07012) is a cell that no space holds: it has",
        ),
        (["PC_DARTS_cifr"], "there are no runs yet; did you mean the published 'PC_DARTS_cifar'?"),
        (["15625"], "'15625' is no cell: NAS-Bench-201 numbers its cells from 0 to 15624"),
        ([DARTS_V2, "--space", "nasbench201"], "space 'nasbench201' has the cells normal"),
        ([DARTS_V2, "--space", "dart"], "did you mean 'darts'?"),
        ([DARTS_V2, "--draw", "cells.pdf"], "must end in .svg or .png"),
        ([DARTS_V2, "--draw", "absent/cells.svg"], "absent/cells.svg: No such file or directory"),
        ([DARTS_V2, "--cells", "0"], "must be >= 1"),
    ],
)
def test_bad_input(command_line, arguments: list[str], message: str) -> None:
    assert message in command_line.refused("inspect", *arguments)


def test_the_skeleton_for_imagenet_is_counted(command_line) -> None:
    facts = command_line.json("inspect", "DARTS_V2", "--skeleton", "imagenet")
    assert (facts["parameters"], facts["image_size"], facts["classes"]) == (4_718_752, 224, 1000)
    assert (facts["init_channels"], facts["cells"], facts["skeleton"]) == (48, 14, "imagenet")
    assert "three 3 × 3 convolutions of stride 2" in facts["stem"]
    out = command_line.ok("inspect", "DARTS_V2", "--skeleton", "imagenet")
    assert "skeleton       three 3 × 3 convolutions of stride 2, as for ImageNet; reduction" in out
    assert "Published ImageNet figures are not" not in out


def test_channels_are_chosen_by_multiply_adds(command_line) -> None:
    arguments = ("inspect", "DARTS_V2", "--skeleton", "imagenet", "--max-madds", "600M")
    facts = command_line.json(*arguments)
    assert facts["init_channels"] == 50 and facts["multiply_adds"] <= 600_000_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--skeleton", "imagenett"), "skeleton.layout is 'imagenett'"),
        (("--max-madds", "many"), "--max-madds is 'many', but must be a number >= 1, e.g. 600M"),
        (("--max-madds", "1M", "--init-channels", "4"), "both set the channels; give one"),
        (("--max-madds", "1"), "multiply-adds with 2 channels, but must have at most 1"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    command_line, arguments: tuple[str, ...], message: str
) -> None:
    assert message in command_line.refused("inspect", "DARTS_V2", *arguments)
