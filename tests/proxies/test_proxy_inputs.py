"""What proxies are computed from: the final network of a trial, and training images."""

from __future__ import annotations

import sys
from pathlib import Path
from threading import Thread

import pytest
import torch

from tune_nas.data import load_data
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.proxies import NetworkProxy, make_proxy, proxy_inputs
from tune_nas.spaces import (
    Genotype,
    Network,
    build_network,
    count_parameters,
    load_space,
    model_size,
)

SMALL = {"data.name": "digits", "retrain.init_channels": 4, "retrain.cells": 3}


def test_the_network_is_that_of_retraining_runs(darts_v2: str) -> None:
    trial = load_trial("darts-1st", {**SMALL, "space.cells": 8, "seed": 5})
    inputs = proxy_inputs(trial)
    assert (inputs.n_classes, inputs.in_channels, inputs.image_size) == (10, 1, 8)
    assert (inputs.init_channels, inputs.cells, inputs.seed) == (4, 3, 5)
    genotype = Genotype.parse(darts_v2)
    network = build_network(
        genotype, load_space("darts"), n_classes=10, in_channels=1, init_channels=4, cells=3
    )
    assert make_proxy("parameters", inputs).score(genotype) == count_parameters(network)
    other = proxy_inputs(load_trial("darts-1st", {**SMALL, "retrain.skeleton": "imagenet"}))
    assert other.space.skeleton.layout == "imagenet"


def test_the_batch_is_of_the_training_half(darts_v2: str) -> None:
    trial = load_trial("darts-1st", {**SMALL, "seed": 3})
    inputs = proxy_inputs(trial)
    images, labels = inputs.batch()
    assert images.shape == (64, 1, 8, 8) and labels.shape == (64,)
    data = load_data(trial.data, seed=3, device=torch.device("cpu"), for_search=True)
    known = {
        (row.tobytes(), int(label))
        for pixels, classes in data.evaluation_batches(data.train, 2000)
        for row, label in zip(pixels.numpy(), classes, strict=True)
    }
    batch = [(row.tobytes(), int(c)) for row, c in zip(images.numpy(), labels, strict=True)]
    assert known.issuperset(batch)
    valid = {
        row.tobytes()
        for pixels, _ in data.evaluation_batches(data.valid, 2000)
        for row in pixels.numpy()
    }
    assert valid.isdisjoint(row for row, _ in batch)
    assert inputs.batch()[0] is images  # read once
    assert torch.equal(proxy_inputs(trial).batch()[0], images)
    other = proxy_inputs(trial.model_copy(update={"seed": 4})).batch()[0]
    assert not torch.equal(other, images)


def test_the_seed_decides_the_weights(nb201: str) -> None:
    genotype = Genotype.parse(nb201)
    trial = load_trial("darts-1st", {**SMALL, "space": "nasbench201", "data.split": "fixed"})
    for name in ("synflow", "naswot", "grad-norm"):
        scores = {
            make_proxy(name, proxy_inputs(trial.model_copy(update={"seed": seed}))).score(genotype)
            for seed in (0, 1, 2, 0)
        }
        assert len(scores) == 3, name


class Density(NetworkProxy):
    """Multiply-adds per parameter: builds the network again while it is measured."""

    def measure(self, network: Network) -> float:
        size = model_size(network.genotype, self.inputs.space, image_size=8, n_classes=10)
        return size.multiply_adds / size.parameters


def test_a_proxy_may_build_further_networks(nb201: str) -> None:
    proxy = Density(proxy_inputs(load_trial("darts-1st", {**SMALL, "space": "nasbench201"})))
    scores: list[float] = []
    thread = Thread(target=lambda: scores.append(proxy.score(Genotype.parse(nb201))), daemon=True)
    thread.start()
    thread.join(timeout=60)
    assert scores and scores[0] > 1, "it waits for the lock that it holds"


def test_float64_agrees(nb201: str) -> None:
    genotype = Genotype.parse(nb201)
    settings = {**SMALL, "space": "nasbench201"}
    pair = [load_trial("darts-1st", {**settings, "runtime.dtype": f"float{n}"}) for n in (32, 64)]
    for trial in pair:
        assert proxy_inputs(trial).batch()[0].dtype == getattr(torch, trial.runtime.dtype)
    scores = [make_proxy("grad-norm", proxy_inputs(trial)).score(genotype) for trial in pair]
    assert scores[0] == pytest.approx(scores[1], rel=1e-4) and scores[0] != scores[1]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"data.train_images": 2}, "data.train_images is 2, but must leave at least 2 images"),
        ({"retrain.cells": 1}, "retrain.cells is 1, but must be >= "),
        ({"retrain.init_channels": 1, "retrain.skeleton": "imagenet"}, "retrain.init_channels is"),
    ],
)
def test_sizes_that_cannot_be_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        proxy_inputs(load_trial("darts-1st", {**SMALL, **settings}))


def test_a_proxy_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, darts_v2: str
) -> None:
    (tmp_path / "own_proxies.py").write_text(
        "from tune_nas.proxies import Proxy\n"
        "class Skips(Proxy):\n"
        "    def score(self, genotype):\n"
        "        return -float(genotype.count('skip', 'normal'))\n"
        "class Other: ...\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    inputs = proxy_inputs(load_trial("darts-1st", SMALL))
    assert make_proxy("own_proxies:Skips", inputs).score(Genotype.parse(darts_v2)) == -2
    for name in ("own_proxies:Other", "own_proxies:Absent"):
        with pytest.raises(ConfigError, match=f"'{name}', but must be a class derived from Proxy"):
            make_proxy(name, inputs)
    with pytest.raises(ConfigError, match="'no_such_module:A', but importing it fails: No module"):
        make_proxy("no_such_module:A", inputs)
    sys.modules.pop("own_proxies", None)
