"""Each format gives torch's logits when it is read back, and says what it contains."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from trained_runs import DARTS, NASBENCH201, NOISY, MakeRun

from tune_nas import manifest
from tune_nas.errors import ConfigError, ExportError
from tune_nas.export import TrainedNetwork, export_network, load_checkpoint
from tune_nas.export.export import find_format
from tune_nas.export.export_format import Exportable, ExportFormat, Run
from tune_nas.spaces import Genotype

FORMATS = manifest.names("export_formats")


def _pixels(trained: TrainedNetwork, n: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    side = trained.data.image_size
    return torch.rand(n, trained.data.in_channels, side, side, generator=generator)


@pytest.mark.parametrize("to", FORMATS)
@pytest.mark.parametrize("genotype", [DARTS, NASBENCH201], ids=["darts", "nasbench201"])
@pytest.mark.parametrize(("normalizes", "side"), [(False, 8), (True, 9)])
def test_a_written_file_gives_the_logits_of_the_network(
    make_run: MakeRun, tmp_path: Path, to: str, genotype: Genotype, normalizes: bool, side: int
) -> None:
    _, folder = make_run(genotype, data={"resolution": side})
    trained = load_checkpoint(folder)
    form = find_format(to)
    path = tmp_path / f"net{form.suffix}"
    assert export_network(trained, path, to, normalizes=normalizes, run="r/1") <= 1e-4
    pixels = _pixels(trained, 3)  # neither 1 nor the example's 2
    run = form.read(path, Exportable.of(trained, normalizes=normalizes))
    with torch.no_grad():
        expected = trained(trained.normalize(pixels))
        found = run(pixels if normalizes else trained.normalize(pixels))
    assert torch.allclose(found, expected, atol=1e-4, rtol=0)
    left = {each.name for each in tmp_path.iterdir()} - {"checkpoint"}
    assert left == {path.name, *(extra.name for extra in form.extra_files(path))}


def test_metadata_of_an_onnx_file(make_run: MakeRun, tmp_path: Path) -> None:
    import onnx

    _, folder = make_run(data={"name": "digits", "train_images": 100})
    export_network(load_checkpoint(folder), tmp_path / "net.onnx", "onnx", run="lambda/retrain-1")
    model = onnx.load(tmp_path / "net.onnx")
    found = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(found["classes"]) == list("0123456789")
    assert found["run"] == "lambda/retrain-1"
    assert Genotype.from_yaml(found["genotype"]) == DARTS
    (images,) = model.graph.input
    batch, *shape = images.type.tensor_type.shape.dim
    assert batch.dim_param and [each.dim_value for each in shape] == [1, 8, 8]


def test_metadata_of_a_safetensors_file(make_run: MakeRun, tmp_path: Path) -> None:
    from safetensors import safe_open

    _, folder = make_run()
    trained = load_checkpoint(folder)
    export_network(trained, tmp_path / "net.safetensors", "safetensors")
    with safe_open(tmp_path / "net.safetensors", framework="pt") as file:
        metadata, names = file.metadata(), set(file.keys())
    assert json.loads(metadata["mean"]) == list(trained.data.mean)
    assert names == set(trained.network.state_dict())


@pytest.mark.parametrize("normalizes", [False, True])
def test_a_standalone_file_runs_without_this_package(
    make_run: MakeRun, tmp_path: Path, normalizes: bool
) -> None:
    _, folder = make_run(cells=20, init_channels=2)
    trained = load_checkpoint(folder)
    path = tmp_path / "net.py"
    export_network(trained, path, "standalone", normalizes=normalizes)
    assert len(path.read_text().splitlines()) <= 250
    pixels = _pixels(trained, 3)
    images = pixels if normalizes else trained.normalize(pixels)
    torch.save(images, tmp_path / "images.pt")
    code = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('tune_nas', 'safetensors', 'numpy'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "import torch, net\n"
        "with torch.no_grad():\n"
        "    torch.save(net.load()(torch.load('images.pt')), 'logits.pt')\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, check=True)
    with torch.no_grad():
        expected = trained(trained.normalize(pixels))
    assert torch.allclose(torch.load(tmp_path / "logits.pt"), expected, atol=1e-5)


def test_a_standalone_file_is_clean_code(make_run: MakeRun, tmp_path: Path) -> None:
    _, folder = make_run(NASBENCH201)
    export_network(load_checkpoint(folder), tmp_path / "net.py", "standalone")
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "F", "net.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout


class Wrong(ExportFormat):
    """A format whose files give other logits."""

    suffix = ".wrong"

    def write(self, network: Exportable, path: Path) -> None:
        """Write anything."""
        path.write_text("wrong")

    def read(self, path: Path, network: Exportable) -> Run:
        """Return a function whose logits are off by 2e-4."""
        return lambda images: network.network(images) + 2e-4


def test_a_file_with_other_logits_is_not_kept(make_run: MakeRun, tmp_path: Path) -> None:
    _, folder = make_run()
    path = tmp_path / "net.wrong"
    path.write_text("before")
    with pytest.raises(ExportError, match=r"differ from torch's by 2\.0e-04.*nothing was kept"):
        export_network(load_checkpoint(folder), path, "test_export:Wrong")
    assert path.read_text() == "before"
    assert {each.name for each in tmp_path.iterdir()} == {"checkpoint", "net.wrong"}


def test_noise_is_refused(make_run: MakeRun, tmp_path: Path) -> None:
    _, folder = make_run(NOISY)
    with pytest.raises(ExportError, match="'noise', whose output is random"):
        export_network(load_checkpoint(folder), tmp_path / "net.pt2", "torch-export")


@pytest.mark.parametrize(
    ("name", "message"),
    [("onx", "did you mean 'onnx'"), ("json:loads", "a class derived from ExportFormat")],
)
def test_an_unknown_format_is_refused(name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        find_format(name)


def test_a_missing_folder_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    _, folder = make_run()
    with pytest.raises(ExportError, match=r"'.*absent.*' cannot be written: No such file"):
        export_network(load_checkpoint(folder), tmp_path / "absent" / "n.py", "standalone")


def test_a_missing_package_is_named(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, folder = make_run()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ExportError, match=r"onnx, onnxscript, onnxruntime.*tune-nas\[export\]"):
        export_network(load_checkpoint(folder), tmp_path / "net.onnx", "onnx")


class Broken(Wrong):
    """A format that fails."""

    def write(self, network: Exportable, path: Path) -> None:
        """Fail after a part is written."""
        path.write_text("half")
        raise ValueError("boom")


def test_a_format_that_fails_is_told_in_one_line(make_run: MakeRun, tmp_path: Path) -> None:
    _, folder = make_run()
    with pytest.raises(ExportError, match=r"cannot represent this network: ValueError: boom$"):
        export_network(load_checkpoint(folder), tmp_path / "net.wrong", "test_export:Broken")
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize("name", ["a\\b.py", 'a"b.py', "ü n.py"])
def test_a_standalone_file_finds_its_weights_whatever_its_name(
    make_run: MakeRun, tmp_path: Path, name: str
) -> None:
    _, folder = make_run(NASBENCH201)
    export_network(load_checkpoint(folder), tmp_path / name, "standalone")
    code = f"import runpy; runpy.run_path({name!r})['load']()"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=tmp_path, check=True)
    modes = {each.stat().st_mode for each in tmp_path.iterdir() if each.is_file()}
    assert len(modes) == 1, "one of the files can be read by others, the other not"
