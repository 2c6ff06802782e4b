"""An int8 file is as accurate as it says, right without VNNI, and refused if it is not accurate."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from PIL import Image
from torch import Tensor
from trained_runs import NASBENCH201, MakeRun

from tune_nas.config import DataConfig
from tune_nas.data import load_data
from tune_nas.errors import ConfigError, ExportError
from tune_nas.export import TrainedNetwork, export_quantized, load_checkpoint
from tune_nas.export import quantized as module
from tune_nas.export.onnx_quantization import quantize_onnx, sample
from tune_nas.export.processor import Processor, read_cpu_info
from tune_nas.library import with_overrides

DIGITS = {"name": "digits", "train_images": 300}


@pytest.fixture
def trained(make_run: MakeRun) -> TrainedNetwork:
    run, folder = make_run(
        NASBENCH201, data=DIGITS, cells=1, epochs=6, learning_rate=0.1, auxiliary_weight=0
    )
    while not run.done:
        run.run_epoch()
    run.save(Path(folder))
    return load_checkpoint(folder)


def _accuracy(path: Path, images: Tensor, labels: Tensor) -> float:
    """Return the accuracy of a file, one image at a time."""
    session = onnxruntime.InferenceSession(str(path))
    found = [session.run(None, {"images": image[None].numpy()})[0] for image in images]
    hits = [int(each.argmax()) == label for each, label in zip(found, labels.tolist(), strict=True)]
    return 100 * sum(hits) / len(hits)


@pytest.mark.parametrize("normalizes", [False, True])
def test_the_reported_accuracy_is_that_of_the_file(
    trained: TrainedNetwork, tmp_path: Path, normalizes: bool
) -> None:
    path = tmp_path / "net.onnx"
    report = export_quantized(
        trained, path, normalizes=normalizes, run="r/1", max_accuracy_drop=100
    )
    data = load_data(trained.trial.data, seed=0, device=torch.device("cpu"), for_search=False)
    pixels = data.test.images.float() / 255
    mean, std = trained.data.mean[0], trained.data.std[0]
    images = pixels if normalizes else (pixels - mean) / std
    assert report.accuracy == pytest.approx(_accuracy(path, images, data.test.labels), abs=0.6)
    assert report.float_accuracy == pytest.approx(trained.metrics["test_accuracy"], abs=1e-6)
    assert report.float_accuracy > 40 and report.float_accuracy - report.accuracy < 10
    assert (report.test_images, report.calibration_images) == (360, 256)
    assert 0 < report.difference < 3
    found = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert found["run"] == "r/1" and found["quantized_on"] == str(report.processor)
    assert float(found["int8_accuracy"]) == report.accuracy
    assert float(found["float_accuracy"]) == report.float_accuracy
    assert (found["accuracy_images"], found["calibration_images"]) == ("360", "256")
    assert {each.name for each in tmp_path.iterdir()} == {"checkpoint", "net.onnx"}

    constants = [numpy_helper.to_array(each) for each in onnx.load(path).graph.initializer]
    weights = [each for each in constants if each.dtype == np.int8 and each.ndim == 4]
    convolutions = [node for node in onnx.load(path).graph.node if node.op_type == "Conv"]
    assert len(weights) == len(convolutions) > 10
    # the sum of two products of an unsigned and a signed byte fits into 16 bits
    largest = max(int(np.abs(each.astype(int)).max()) for each in weights)
    assert largest > 32 and 2 * 255 * largest <= 2**15 - 1


def test_a_file_that_is_not_accurate_is_refused(
    trained: TrainedNetwork, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def badly(source: Path, target: Path, calibration: Tensor) -> None:
        quantize_onnx(source, target, calibration * 1e-3)  # ranges that clip every value

    monkeypatch.setattr(module, "quantize_onnx", badly)
    with pytest.raises(ExportError, match=r"points below float.*max_accuracy_drop` is 5; nothing"):
        export_quantized(trained, tmp_path / "net.onnx")
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"name": "cifar10", "dir": "absent"}, r"^int8 needs the images .* trained on: .*absent"),
        ({"name": "digits", "resolution": 9}, r"are now \(10, 1, 9\), .* has \(4, 3, 8\)"),
    ],
)
def test_the_images_of_the_run_are_needed(
    make_run: MakeRun, tmp_path: Path, data: dict[str, Any], message: str
) -> None:
    _, folder = make_run(data={"resolution": 8})
    network = load_checkpoint(folder)
    moved = DataConfig.model_validate(data)
    network.trial = network.trial.model_copy(update={"data": moved})
    with pytest.raises(ExportError, match=message):
        export_quantized(network, tmp_path / "net.onnx")
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint"]


def test_streamed_images_give_the_same_file(make_run: MakeRun, tmp_path: Path) -> None:
    for part in ("train", "test"):
        for label in ("a", "b"):
            (tmp_path / "images" / part / label).mkdir(parents=True)
            for number in range(4):
                values = np.random.default_rng((len(part), ord(label), number))
                pixels = values.integers(0, 256, (16, 16, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "images" / part / label / f"{number}.png")
    images = {
        "name": "folder",
        "dir": str(tmp_path / "images"),
        "train_images": None,
        "resolution": 16,
    }
    streaming = {"streaming": True, "workers": 0}
    _, folder = make_run(data={**images, **streaming}, batch_size=4)
    streamed, held = load_checkpoint(folder), load_checkpoint(folder)
    held.trial = with_overrides(held.trial, {"data.streaming": False, "data.workers": 4})
    reports = [
        export_quantized(network, tmp_path / f"{name}.onnx", max_accuracy_drop=100)
        for name, network in (("streamed", streamed), ("held", held))
    ]
    assert reports[0] == reports[1] and reports[0].test_images == 8
    files = [onnx.load(tmp_path / f"{name}.onnx").graph for name in ("streamed", "held")]
    assert files[0].initializer == files[1].initializer


@pytest.mark.parametrize("bound", [-1, 101, float("nan")])
def test_a_bound_that_is_no_percentage_is_refused(
    make_run: MakeRun, tmp_path: Path, bound: float
) -> None:
    _, folder = make_run()
    with pytest.raises(ConfigError, match="must be between 0 and 100"):
        export_quantized(load_checkpoint(folder), tmp_path / "n.onnx", max_accuracy_drop=bound)


def test_a_sample_repeats_no_image_and_depends_on_the_seed() -> None:
    images = torch.arange(50)
    chosen = [sample(images, 20, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert len(set(chosen[0].tolist())) == 20
    assert torch.equal(chosen[0], chosen[1]) and not torch.equal(chosen[0], chosen[2])
    assert sorted(sample(images, 99, torch.Generator()).tolist()) == images.tolist()


@pytest.mark.parametrize(
    ("text", "processor", "title"),
    [
        (
            "processor\t: 0\nmodel name\t: AMD EPYC 9654\nflags\t\t: fpu avx2 avx512_vnni\n",
            Processor("AMD EPYC 9654", ("AVX512-VNNI",)),
            "AMD EPYC 9654 (AVX512-VNNI)",
        ),
        (
            "model name : Core i5\nflags : avx2 avx_vnni\n\nmodel name : other\nflags : avx2\n",
            Processor("Core i5", ("AVX-VNNI",)),
            "Core i5 (AVX-VNNI)",
        ),
        (
            "model name : Xeon\nflags : avx2 avx_vnni_int16\n",
            Processor("Xeon", ()),
            "Xeon (without VNNI)",
        ),
        (
            "model name : ARMv8\nFeatures : asimddp\n",
            Processor("ARMv8", None),
            "ARMv8 (VNNI unknown)",
        ),
    ],
)
def test_the_processor_is_read(text: str, processor: Processor, title: str) -> None:
    assert read_cpu_info(text) == processor
    assert str(processor) == title
