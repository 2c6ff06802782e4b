"""ONNX files in several runtimes: each one that is installed must give torch's logits."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from test_export import Wrong
from torch import Tensor, nn
from trained_runs import DARTS, NASBENCH201, MakeRun

import tune_nas
from tune_nas.errors import ExportError
from tune_nas.export import export_network, load_checkpoint
from tune_nas.export.export import check_file, compare
from tune_nas.export.export_format import Exportable, Run
from tune_nas.export.onnx_file import OnnxFile
from tune_nas.spaces import Genotype

with_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed"
)


class WrongElsewhere(Wrong):
    """A format whose files give other logits in one of two runtimes."""

    def read(self, path: Path, network: Exportable) -> Run:
        """Return a function with the right logits."""
        return network.network

    def other_runtimes(self, path: Path, network: Exportable) -> Mapping[str, Run]:
        """Return a function whose logits are off by 2e-4."""
        return {"Elsewhere": lambda images: network.network(images) + 2e-4}


def test_a_file_with_other_logits_in_another_runtime_is_not_kept(
    make_run: MakeRun, tmp_path: Path
) -> None:
    _, folder = make_run()
    with pytest.raises(ExportError, match=r"Elsewhere: logits .* by 2\.0e-04.*nothing was kept"):
        export_network(
            load_checkpoint(folder), tmp_path / "n.wrong", "test_onnx_runtimes:WrongElsewhere"
        )
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint"]


def test_an_onnx_file_has_no_paths_of_this_machine(make_run: MakeRun, tmp_path: Path) -> None:
    _, folder = make_run(NASBENCH201)
    export_network(load_checkpoint(folder), tmp_path / "net.onnx", "onnx")
    content = (tmp_path / "net.onnx").read_bytes()
    assert str(Path(tune_nas.__file__).parent).encode() not in content
    assert b"stack_trace" not in content


@with_openvino
@pytest.mark.parametrize("genotype", [DARTS, NASBENCH201], ids=["darts", "nasbench201"])
@pytest.mark.parametrize("side", [8, 9, 10])  # 9 → 5 → 3 and 10 → 5: windows that overhang
def test_openvino_gives_the_logits_of_the_network(
    make_run: MakeRun, tmp_path: Path, genotype: Genotype, side: int
) -> None:
    _, folder = make_run(genotype, data={"resolution": side})
    network = Exportable.of(load_checkpoint(folder))
    form, path = OnnxFile(), tmp_path / "net.onnx"
    form.write(network, path)
    assert compare(network, form.other_runtimes(path, network)["OpenVINO"]) < 1e-5


class PaddedCeilPool(nn.Module):
    """Average pooling with windows beyond the padding, which OpenVINO 2026.4 divides otherwise."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, channels, 8, 8) to (n, channels · 25)."""
        return nn.functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True).flatten(1)


@with_openvino
def test_another_average_in_openvino_is_noticed(make_run: MakeRun, tmp_path: Path) -> None:
    _, folder = make_run(data={"resolution": 8})
    pool: nn.Module = PaddedCeilPool()
    network = Exportable(load_checkpoint(folder), pool, False)  # type: ignore[arg-type]
    form, path = OnnxFile(), tmp_path / "net.onnx"
    form.write(network, path)
    images = torch.rand(2, 3, 8, 8)
    assert torch.allclose(form.read(path, network)(images), pool(images), atol=1e-6)
    other = form.other_runtimes(path, network)["OpenVINO"]
    if torch.allclose(other(images), pool(images), atol=1e-4):
        pytest.skip("this version of OpenVINO divides as torch does")
    with pytest.raises(ExportError, match="onnx in OpenVINO: logits of the written file differ"):
        check_file(network, form, path, "onnx")
