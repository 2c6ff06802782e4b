"""A network that was loaded from a checkpoint gives the results of the one that was trained."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn
from trained_runs import DARTS, DEAD_NODE, NASBENCH201, MakeRun

from tune_nas.checkpoint import load_state, save_state
from tune_nas.errors import CheckpointError, DataError, TuneNasError
from tune_nas.export import load_checkpoint
from tune_nas.retrain import STATE_FILE
from tune_nas.spaces import Genotype


@pytest.mark.parametrize("genotype", [DARTS, NASBENCH201, DEAD_NODE], ids=str)
@pytest.mark.parametrize("side", [8, 9, 11])
def test_logits_are_those_of_the_trained_network(
    make_run: MakeRun, genotype: Genotype, side: int
) -> None:
    run, folder = make_run(genotype, data={"resolution": side}, auxiliary_weight=0.4)
    loaded = load_checkpoint(folder).double()
    run.network.double().eval()
    images = torch.randn(3, 3, side, side, dtype=torch.float64)
    with torch.no_grad():
        difference = loaded(images) - run.network(images)
    assert float(difference.abs().max()) < 1e-12
    assert not loaded.training


@pytest.mark.parametrize("side", [32, 41])
def test_a_network_with_the_stem_for_imagenet_is_loaded(make_run: MakeRun, side: int) -> None:
    run, folder = make_run(
        data={"resolution": side, "train_images": 16}, skeleton="imagenet", init_channels=4
    )
    assert run.network.backbone.strategy.halvings == 3
    loaded = load_checkpoint(folder).double()
    run.network.double().eval()
    images = torch.randn(3, 3, side, side, dtype=torch.float64)
    with torch.no_grad():
        difference = loaded(images) - run.network(images)
    assert float(difference.abs().max()) < 1e-12


def test_facts_of_the_data_are_attached(make_run: MakeRun) -> None:
    run, folder = make_run(data={"name": "digits", "train_images": 100})
    loaded = load_checkpoint(folder)
    assert loaded.data.classes == tuple("0123456789")
    assert (loaded.data.in_channels, loaded.data.image_size) == (1, 8)
    assert loaded.data.mean == run.data.mean and loaded.data.std == run.data.std
    assert loaded.metrics["test_accuracy"] == run.history[-1]["test_accuracy"]
    assert loaded.genotype == DARTS


def test_a_checkpoint_of_an_earlier_version_is_read_with_its_images(make_run: MakeRun) -> None:
    run, folder = make_run()
    state = load_state(Path(folder), name=STATE_FILE)
    del state["data"]
    save_state(Path(folder), state, name=STATE_FILE)
    assert load_checkpoint(folder).data.mean == run.data.mean


def test_layers_are_torch_s_own_classes(make_run: MakeRun) -> None:
    _, folder = make_run()
    leaves = [m for m in load_checkpoint(folder).modules() if not list(m.children())]
    assert {type(leaf).__module__.partition(".")[0] for leaf in leaves} == {"torch"}
    convolutions = [leaf for leaf in leaves if isinstance(leaf, nn.Conv2d)]
    assert convolutions and all(type(leaf) is nn.Conv2d for leaf in convolutions)


def test_test_accuracy_is_reproduced_from_image_files(make_run: MakeRun, tmp_path: Path) -> None:
    run, folder = make_run()
    loaded = load_checkpoint(folder)
    paths = []
    for number, image in enumerate(run.data.test.images):
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(paths[-1])
    found = list(loaded.predict(paths, top=2, batch_size=7))
    labels = run.data.test.labels.tolist()
    right = sum(p.classes[0] == str(label) for p, label in zip(found, labels, strict=True))
    assert 100 * right / len(labels) == pytest.approx(loaded.metrics["test_accuracy"])
    assert all(len(p.classes) == 2 and p.probabilities[0] >= p.probabilities[1] for p in found)
    assert [p.image for p in found] == [str(path) for path in paths]


def test_a_gray_network_reads_color_files(make_run: MakeRun, tmp_path: Path) -> None:
    _, folder = make_run(data={"name": "digits", "train_images": 100})
    loaded = load_checkpoint(folder)
    Image.new("RGB", (20, 30), (255, 0, 0)).save(tmp_path / "red.png")
    images = loaded.read_images([tmp_path / "red.png"])
    gray = torch.tensor(round(0.299 * 255) / 255)
    expected = (gray - loaded.data.mean[0]) / loaded.data.std[0]
    assert images.shape == (1, 1, 8, 8)
    assert torch.allclose(images, expected.expand_as(images))


def test_a_file_that_is_no_image_is_named(make_run: MakeRun, tmp_path: Path) -> None:
    _, folder = make_run()
    (tmp_path / "note.png").write_text("no image")
    with pytest.raises(DataError, match=r"^'.*note\.png' is not a readable image"):
        list(load_checkpoint(folder).predict([tmp_path / "note.png"]))


def test_a_checkpoint_without_a_network_is_refused(make_run: MakeRun) -> None:
    _, folder = make_run()
    (Path(folder) / STATE_FILE).write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(folder)


@pytest.mark.parametrize(
    "damage",
    [
        {"mean": []},
        {"std": [0.0, 1.0, 1.0]},
        {"std": [float("nan"), 1.0, 1.0]},
        {"image_size": 0},
        {"image_size": True},
        {"classes": "abcd"},
    ],
    ids=str,
)
def test_a_summary_that_cannot_be_is_refused(make_run: MakeRun, damage: dict[str, object]) -> None:
    _, folder = make_run()
    state = load_state(Path(folder), name=STATE_FILE)
    state["data"] = {**state["data"], **damage}
    save_state(Path(folder), state, name=STATE_FILE)
    with pytest.raises(CheckpointError):
        load_checkpoint(folder)


def test_outputs_that_are_not_finite_are_no_prediction(make_run: MakeRun, tmp_path: Path) -> None:
    _, folder = make_run()
    loaded = load_checkpoint(folder)
    with torch.no_grad():
        loaded.network.classifier.weight.fill_(float("nan"))
    Image.new("RGB", (8, 8)).save(tmp_path / "black.png")
    with pytest.raises(TuneNasError, match="not finite"):
        list(loaded.predict([tmp_path / "black.png"]))
