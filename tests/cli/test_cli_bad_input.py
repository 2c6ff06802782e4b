"""Bad input: one line, status 2, nothing written."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

# A sweep that would take a second if it were not rejected.
TINY = ("lambda", "--epochs", "1", "--set", "schedule.steps_per_epoch=1", "--quiet")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nope"], "no such command 'nope'"),
        (["sweep"], "missing argument 'NAME|FILE'"),
        (["sweep", "lambda", "--lr", "1"], "no such option: --lr"),
        (["sweep", "lambda", "--concurrency", "0"], "'--concurrency': must be >= 1"),
        (["sweep", "lambda", "--epochs", "ten"], "'--epochs': must be an integer"),
        (["list", "cats"], "'cats' is not one of 'trials', 'spaces'"),
        (["sweep", "lambda", "--format", "xml"], "'xml' is not one of 'table', 'json'"),
    ],
)
def test_usage(command_line, arguments: list[str], message: str) -> None:
    assert message in command_line.refused(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "update.lamda=1"], "unknown key 'update.lamda'; did you mean 'update.lambda'?"),
        (["--set", "update.lambda"], "'update.lambda' is not an assignment; write KEY=VALUE"),
        (["--set", "update.lambda_prime=-1"], "update.lambda_prime is -1, but must be >= 0"),
        (["--set", "update.level=tri"], "must be 'single', 'bilevel', 'mixed', 'policy' or 'none'"),
        (["--set", "update.level=bilevel"], "belongs to update.level 'mixed', not 'bilevel'"),
        (["--epochs", "0"], "epochs is 0, but must be >= 1"),
        (["--seed", "-1"], "seed is -1, but must be >= 0"),
        (["--data", "cifar"], "cifar10"),
        (["--space", "dart"], "space 'dart' is neither a file nor a shipped space; did you mean"),
        (["--set", "relaxation.kind=softmx"], "softmax"),
        (["--set", "selection.kind=magic"], "magnitude"),
        (["--name", "a/b"], "name is 'a/b', but must be fit for a folder"),
        (["--set", "space.cells=2"], "space.cells is 2, but must be >= 3: with 2 the network of"),
        (["--set", "space.cells=100000"], "space.cells is 100000, but must be <= 1000"),
        (["--set", "space.cells=1000"], "would have 112,000 operations in 1,000 cells"),
        (["--set", "space.init_channels=200000"], "init_channels is 200000, but must be <= 65536"),
        (["--set", "space.init_channels=65536"], "lower space.init_channels or space.cells"),
        (["--set", "schedule.batch_size=1000000000"], "batch_size is 1000000000, but must be <="),
        (["--epochs", "1000000000"], "epochs is 1000000000, but must be <= 100000"),
    ],
)
@pytest.mark.parametrize("command", [["sweep", "lambda"], ["search", "milenas"]])
def test_a_bad_value(command_line, command: list[str], arguments: list[str], message: str) -> None:
    assert message in command_line.refused(*command, *arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--searches-per-process", "0"], "--searches-per-process is 0, but must be >= 1"),
        (["--together", "8", "--gpus-per-trial", "1"], "their product must be at most 1"),
        (["--seeds", "two"], "--seeds is 'two', but must be a number of seeds, or the seeds"),
        (
            ["--seeds", "1,,"],
            "--seeds is '1,,', but must be a number of seeds, or the seeds as 0,1,5",
        ),
        (["--seeds", ","], "--seeds is ',', but must be a number of seeds, or the seeds"),
        (["--seeds", "1,1"], "must not name a seed twice"),
        (["--seeds", "0"], "seeds"),
        (["--searcher", "grit"], "searcher is 'grit', but must be one of grid, random, tpe, gp,"),
        (["--scheduler", "hyperband"], "scheduler is 'hyperband', but must be 'none' or 'asha'"),
        (
            ["--retrain", "all"],
            "--retrain is 'all', but must be each, frontier, model-sizes, a number of genotypes, "
            "or 0",
        ),
        (["--trials", "3"], "trials is 3, but searcher 'grid' runs every combination"),
    ],
)
def test_a_bad_value_of_a_sweep(command_line, arguments: list[str], message: str) -> None:
    assert message in command_line.refused("sweep", "lambda", *arguments)


@pytest.mark.parametrize("command", [["sweep", "lambda"], ["search", "milenas"]])
def test_a_key_without_effect(command_line, command: list[str]) -> None:
    message = command_line.refused(*command, "--set", "relaxation.temperature.end=1")
    assert "has no effect where relaxation.kind is 'softmax'; it needs relaxation.kind" in message


def test_a_key_without_effect_on_a_retraining(command_line) -> None:
    cell = "|skip_connect~0|+|none~0|skip_connect~1|+|none~0|none~1|skip_connect~2|"
    message = command_line.refused("retrain", cell, "--set", "schedule.epochs=3")
    assert message == (
        "schedule.epochs is set, but has no effect on a retraining; did you mean 'retrain.epochs'?"
    )
    message = command_line.refused("retrain", cell, "--set", "update={level: single}")
    assert message == "update.level is set, but has no effect on a retraining"


def test_a_lambda_below_zero(command_line) -> None:
    rule = "update.lambda is -1, but must be >= 0"
    assert rule in command_line.refused("search", "milenas", "--set", "update.lambda=-1")
    assert rule in command_line.refused("sweep", "order", "--set", "update.lambda=-1")


@pytest.mark.parametrize(
    ("kind", "message"),
    [("sweep", "did you mean 'lambda'?"), ("search", "did you mean 'milenas'?")],
)
def test_an_unknown_name(command_line, kind: str, message: str) -> None:
    name = {"sweep": "lamda", "search": "milena"}[kind]
    assert message in command_line.refused(kind, name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("trial: milenas\nparameters: {update.lamda: {grid: [1]}}", "unknown key 'update.lamda'"),
        ("trial: milenas\nparameters: {update.lambda: {gird: [1]}}", "gird"),
        ("trial: milenas\nparameters: {update.lambda: {grid: [1, -2]}}", "must be >= 0"),
        ("trial: milenaz\nparameters: {update.lambda: {grid: [1]}}", "did you mean 'milenas'?"),
        ("parameters: {update.lambda: {grid: [1]}}", "key 'trial' is missing"),
        ("trial: [", "not valid YAML, line 1"),
    ],
)
def test_a_bad_sweep_file(command_line, text: str, message: str) -> None:
    Path("mine.yaml").write_text(text, encoding="utf-8")
    assert message in command_line.refused("sweep", "mine.yaml")
    assert message in command_line.refused("show", "mine.yaml")


def test_an_unknown_operation(command_line) -> None:
    text = command_line.ok("show", "darts").replace("sep_conv_3x3", "sep_conv_3x4")
    Path("mine.yaml").write_text(text, encoding="utf-8")
    message = command_line.refused("search", "milenas", "--space", "mine.yaml")
    assert "sep_conv_3x4" in message
    assert "sep_conv_3x3" in message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing_there:f", "data.name is 'nothing_there:f', but importing it fails: No module na"),
        ("digts", "or a custom module:function; did you mean 'digits'?"),
    ],
)
def test_an_unknown_data_set(command_line, name: str, message: str) -> None:
    for command in (("search", "milenas"), ("sweep", "lambda")):
        assert message in command_line.refused(*command, "--data", name)


def test_an_unreadable_data_directory(command_line) -> None:
    message = command_line.refused(
        "search", "milenas", "--data", "cifar10", "--data-dir", "absent/place"
    )
    assert str(command_line.folder / "absent/place") in message
    Path("damaged/cifar-10-batches-py").mkdir(parents=True)
    Path("damaged/cifar-10-batches-py/data_batch_1").write_bytes(b"\x80\x04garbage")
    message = command_line.refused("sweep", "lambda", "--data", "cifar10", "--data-dir", "damaged")
    assert "damaged" in message


CELL = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--data-dir", "images"],
            "images', but data set 'digits' does not use it; choose one that does "
            "(--data cifar10, cifar100, svhn, imagenet16-120, folder, imagenet), or set data.dir "
            "to null",
        ),
        (["--set", "data.dir=images"], "data.dir is 'images', but data set 'digits' does not use"),
        (["--data", "fake", "--data-dir", "images"], "data set 'fake' does not use it"),
        (
            ["--set", "data.download=true"],
            "data.download is true, but data set 'digits' does not use it; choose one that does "
            "(--data cifar10, cifar100, svhn), or set data.download to false",
        ),
        (
            ["--data", "folder", "--data-dir", "images", "--set", "data.download=true"],
            "data.download is true, but data set 'folder' does not use it",
        ),
        (["--set", "data.fit=pad"], "data.fit is 'pad', but data set 'digits' does not use it"),
        (["--set", "data.background=black"], "data.background is 'black', but data set 'digits'"),
        (["--set", "data.layout=classes"], "data.layout is 'classes', but data set 'digits'"),
        (
            ["--data", "folder", "--data-dir", "images", "--set", "data.fit=stretch"],
            "data.fit is 'stretch', but has no effect without data.resolution",
        ),
        (
            ["--data", "folder", "--data-dir", "images", "--set", "data.workers=2"],
            "data.workers is 2, but has no effect without data.streaming",
        ),
    ],
)
@pytest.mark.parametrize(
    "command",
    [
        ["sweep", "lambda"],
        ["sweep", "lambda", "--dry-run"],
        ["search", "milenas"],
        ["retrain", CELL],
    ],
    ids=["sweep", "dry-run", "search", "retrain"],
)
def test_a_key_that_the_data_set_does_not_use(
    command_line, command: list[str], arguments: list[str], message: str
) -> None:
    Path("images").mkdir()
    assert message in command_line.refused(*command, *arguments)


def test_augmentation_that_blanks_whole_images(command_line) -> None:
    keys = ["--set", "retrain.augment.reference_size=null", "--set", "retrain.augment.cutout=6"]
    message = command_line.refused("retrain", CELL, *keys)
    assert "retrain.augment can blank whole images: crop_padding 4 and cutout 6" in message
    message = command_line.refused("search", "milenas", "--set", "data.augment.cutout=28")
    assert "data.augment can blank whole images: crop_padding 1 and cutout 7" in message


def test_a_storage_that_cannot_be_written(command_line) -> None:
    Path("taken").write_text("a file\n", encoding="utf-8")
    message = command_line.refused("sweep", *TINY, "--storage", "taken/runs")
    assert "taken" in message

    for command in (["sweep", *TINY], ["resume"], ["list", "runs"]):
        message = command_line.refused(*command, "--storage", "taken")
        assert "taken is a file, but must be a folder" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cpus-per-trial", "0"], "--cpus-per-trial is 0, but must be finite and >= 0.01"),
        (["--cpus-per-trial", "nan"], "--cpus-per-trial is nan, but must be finite and >= 0.01"),
        (
            ["--gpus-per-trial", "-1"],
            "--gpus-per-trial is -1, but must be finite, and 0 or >= 0.01",
        ),
    ],
)
def test_resources_out_of_range(command_line, arguments: list[str], message: str) -> None:
    assert message in command_line.refused("sweep", *TINY, *arguments)
    assert message in command_line.refused("search", "milenas", *arguments)
    assert message in command_line.refused("resume", *arguments)


def test_an_unreachable_mlflow_server(command_line) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    assert uri in command_line.refused("sweep", *TINY, "--mlflow", uri)


def test_an_unreachable_cluster(command_line) -> None:
    address = f"127.0.0.1:{free_port()}"
    assert address in command_line.refused("sweep", *TINY, "--address", address)


def test_the_variables_are_honored(command_line, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"http://127.0.0.1:{free_port()}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert uri in command_line.refused("sweep", *TINY)
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    address = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    assert address in command_line.refused("sweep", *TINY)
    monkeypatch.delenv("RAY_ADDRESS")
    Path("taken").write_text("a file\n", encoding="utf-8")
    monkeypatch.setenv("TUNE_NAS_STORAGE", "taken/runs")
    assert "taken" in command_line.refused("sweep", *TINY)


def test_a_name_that_exists(command_line) -> None:
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/state.json").write_text("{}", encoding="utf-8")
    message = command_line.refused("sweep", *TINY, "--name", "mine")
    assert "'mine' exists" in message
    assert message.endswith("tune-nas resume mine")
    message = command_line.refused("sweep", *TINY, "--name", "mine", "--storage", "./runs")
    assert message.endswith("tune-nas resume mine --storage ./runs")
    Path("runs/mine/state.json").write_text('{"status": "finished"}', encoding="utf-8")
    message = command_line.refused("sweep", *TINY, "--name", "mine")
    assert message.endswith("choose another --name")


def test_nothing_to_resume(command_line) -> None:
    assert "nothing to resume" in command_line.refused("resume")
    assert "'mine' is not a run in" in command_line.refused("resume", "mine")


@pytest.mark.parametrize("arguments", [["nothing"], ["|foo~0|"], ["Genotype(normal=[])"]])
def test_nothing_to_retrain(command_line, arguments: list[str]) -> None:
    assert command_line.refused("retrain", *arguments)


def test_a_genotype_of_another_space(command_line) -> None:
    cell = "|nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|"
    assert "darts" in command_line.refused("retrain", cell, "--space", "darts")


@pytest.mark.parametrize("command", ["inspect", "retrain"])
def test_an_operation_that_the_assumed_space_lacks(command_line, command: str) -> None:
    """The published notation does not name its space: the message does, and how to name another."""
    nodes = "[('nor_conv_3x3', 0), ('skip_connect', 1), ('skip_connect', 0), ('skip_connect', 1)]"
    cell = f"Genotype(normal={nodes}, normal_concat=[2, 3], reduce={nodes}, reduce_concat=[2, 3])"
    message = command_line.refused(command, cell)
    assert "edge 0->2: 'nor_conv_3x3' is not one of max_pool_3x3, avg_pool_3x3" in message
    assert "the operations of space 'darts' there" in message
    assert message.endswith("'darts' is assumed; give --space FILE")
    message = command_line.refused(command, cell, "--space", "s1")
    assert "space 's1'" in message


def test_a_gpu_that_is_not_there(command_line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    message = command_line.refused("search", "milenas", "--set", "runtime.device=cuda")
    assert "0 usable GPUs" in message


def test_no_runs_name_their_store(command_line) -> None:
    uri = f"sqlite:///{command_line.folder / 'nope.db'}"
    assert command_line.ok("list", "runs", "--mlflow", uri) == f"no runs in {uri} yet\n"


def test_nothing_to_look_at(command_line) -> None:
    assert "there is no MLflow store at" in command_line.refused("ui")


def free_port() -> int:
    """Return an unused port of this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_final_network_without_normal_cells_or_beyond_the_memory(command_line) -> None:
    pairs = ", ".join(["('skip_connect', 0), ('skip_connect', 1)"] * 4)
    genotype = (
        f"Genotype(normal=[{pairs}], normal_concat=[2, 3, 4, 5], "
        f"reduce=[{pairs}], reduce_concat=[2, 3, 4, 5])"
    )
    absent = "is 2, but must be >= 3: with 2 the network of space 'darts' has no normal cell"
    assert f"--cells {absent}" in command_line.refused("inspect", genotype, "--cells", "2")
    message = command_line.refused("retrain", genotype, "--set", "retrain.cells=2")
    assert f"retrain.cells {absent}" in message
    message = command_line.refused("retrain", genotype, "--set", "retrain.init_channels=65536")
    assert "lower retrain.init_channels or retrain.cells" in message
    # a search whose winner could not be retrained is refused too
    message = command_line.refused("sweep", *TINY, "--set", "retrain.cells=2")
    assert f"retrain.cells {absent}" in message


def test_a_network_larger_than_the_memory_can_be_counted(command_line) -> None:
    pairs = ", ".join(["('sep_conv_5x5', 0), ('sep_conv_5x5', 1)"] * 4)
    genotype = (
        f"Genotype(normal=[{pairs}], normal_concat=[2, 3, 4, 5], "
        f"reduce=[{pairs}], reduce_concat=[2, 3, 4, 5])"
    )
    facts = command_line.json("inspect", genotype, "--init-channels", "4096")
    assert facts["parameters"] > 10**10
