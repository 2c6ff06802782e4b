"""Networks that do not fit into memory: the estimate, and the line that refuses them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks

from tune_nas.data import DataShape, describe_data, load_data
from tune_nas.errors import ConfigError, GenotypeError
from tune_nas.library import load_trial, with_overrides
from tune_nas.proxies import make_proxy, proxy_inputs
from tune_nas.retrain.retrain_checks import check_retrain_memory
from tune_nas.search import Search
from tune_nas.search.search_memory import check_search_memory
from tune_nas.shipped import shipped_names
from tune_nas.spaces import (
    CellWeights,
    Genotype,
    Supernet,
    build_network,
    count_parameters,
    estimate_network,
    estimate_supernet,
    load_space,
)
from tune_nas.spaces.recomputation import peak_kept
from tune_nas.spaces.supernet_memory import estimate_kept

CIFAR = DataShape(n_classes=10, in_channels=3, image_size=32, n_train=50_000)
GIB = 2**30
SMALL = {"n_classes": 10, "in_channels": 3}


def with_memory(monkeypatch: pytest.MonkeyPatch, gib: float, data: DataShape | None = None) -> None:
    """Let the machine have so much memory and, if they are given, every trial these images."""
    monkeypatch.setattr("tune_nas.memory.memory_bytes", lambda device: int(gib * GIB))
    if data is not None:
        for module in ("search.search_memory", "retrain.retrain_checks"):
            monkeypatch.setattr(f"tune_nas.{module}.describe_data", lambda config: data)


@pytest.mark.parametrize("name", shipped_names("space"))
@pytest.mark.parametrize("sizes", [{}, {"init_channels": 12, "cells": 5, "partial_channels": 4}])
def test_the_parameters_of_a_supernet_are_those_that_it_has(name: str, sizes: dict) -> None:
    space = load_space(name)
    estimate = estimate_supernet(space, image_size=32, **SMALL, **sizes)
    assert estimate.parameters == count_parameters(Supernet(space, **SMALL, **sizes))


@pytest.mark.parametrize("name", ["darts", "nasbench201", "s1"])
def test_the_parameters_of_a_network_are_those_that_it_has(name: str, picker: Any) -> None:
    space = load_space(name)
    genotype = picker(space, lambda options, n: options[-n:])
    estimate = estimate_network(space, genotype, image_size=32, **SMALL)
    assert estimate.parameters == count_parameters(build_network(genotype, space, **SMALL))
    unknown = estimate_network(space, None, image_size=32, **SMALL)
    assert 0 < unknown.parameters <= estimate.parameters


def test_normalization_with_scales_counts_those_after_pools_too() -> None:
    content = load_space("darts").to_dict()
    content["supernet"] = {"affine": True, "norm_after_pools": True}
    space = type(load_space("darts")).from_dict(content)
    estimate = estimate_supernet(space, image_size=8, **SMALL)
    assert estimate.parameters == count_parameters(Supernet(space, **SMALL))


def test_what_is_kept_is_the_output_of_every_convolution_that_is_not_depthwise() -> None:
    space = load_space("darts")
    estimate = estimate_supernet(space, image_size=13, init_channels=4, cells=5, **SMALL)
    net = Supernet(space, init_channels=4, cells=5, **SMALL).eval()
    kept = 0

    def count(module: nn.Conv2d, inputs: object, output: torch.Tensor) -> None:
        nonlocal kept
        kept += output[0].numel() if module.groups == 1 else 0

    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    search = Search(with_overrides(load_trial("darts-1st"), {"space.init_channels": 4}))
    with torch.no_grad():
        net(torch.zeros(1, 3, 13, 13), search.expected_weights())
    assert estimate.kept == kept


@pytest.mark.parametrize("name", shipped_names("trial"))
def test_every_shipped_trial_fits_into_24_gib(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_memory(monkeypatch, 24, CIFAR)
    trial = load_trial(name, {"data.name": "cifar10", "runtime.device": "cpu"})
    check_search_memory(trial)
    check_retrain_memory(trial)


def test_published_networks_fit_into_24_gib(monkeypatch: pytest.MonkeyPatch, picker: Any) -> None:
    with_memory(monkeypatch, 24, CIFAR)
    trial = load_trial("darts-1st", {"data.name": "cifar10", "runtime.device": "cpu"})
    largest = picker(
        load_space("darts"), lambda options, n: [o for o in options if o != "none"][:n]
    )
    check_retrain_memory(trial, largest)  # 36 channels, 20 cells, 96 images
    separable = picker(
        load_space("darts"),
        lambda options, n: ["sep_conv_5x5"] if "sep_conv_5x5" in options else options[:n],
    )
    check_retrain_memory(trial, separable)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"space.init_channels": 60_000},
            "training the network takes at least 154,085.2 GiB, with 20,669,328,420,010 parameters,"
            " but cpu has 24.0 GiB; lower space.init_channels or space.cells",
        ),
        ({"space.cells": 1000}, "the supernet of space 'darts' would have 112,000 operations in 1"),
        (
            {"schedule.batch_size": 10_000},
            "GiB, but cpu has 24.0 GiB: schedule.batch_size must be <= 1036; or lower",
        ),
        ({"data.resolution": 512}, "schedule.batch_size must be <= "),
    ],
)
def test_a_search_that_does_not_fit_is_refused(
    changes: dict, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    side = changes.get("data.resolution", CIFAR.image_size)
    with_memory(monkeypatch, 24, DataShape(10, 3, side, 50_000))
    trial = load_trial("milenas", {"runtime.device": "cpu", **changes})
    with pytest.raises(ConfigError) as error:
        check_search_memory(trial)
    assert message in str(error.value)


def test_the_batch_size_that_is_named_fits_and_one_more_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_memory(monkeypatch, 24, CIFAR)
    sizes = {"runtime.device": "cpu", "schedule.batch_size": 1036}
    check_search_memory(load_trial("milenas", sizes))
    with pytest.raises(ConfigError, match="must be <= 1036"):
        check_search_memory(load_trial("milenas", {**sizes, "schedule.batch_size": 1037}))


def test_a_batch_is_never_larger_than_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    with_memory(monkeypatch, 24, DataShape(10, 3, 32, 1000))
    check_search_memory(load_trial("milenas", {"schedule.batch_size": 10**6}))


def test_a_stage_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with_memory(monkeypatch, 24, CIFAR)
    stages = [{"epochs": 10}, {"epochs": 10, "cells": 500}]
    changes = {"schedule.epochs": 20, "schedule.stages": stages, "schedule.carry_over": "none"}
    with pytest.raises(ConfigError, match=r"schedule\.batch_size must be <= "):
        check_search_memory(load_trial("milenas", changes))


def test_relaxations_that_run_one_operation_are_refused_for_their_weights_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with_memory(monkeypatch, 24, CIFAR)
    check_search_memory(load_trial("gdas", {"schedule.batch_size": 10_000}))
    with pytest.raises(ConfigError, match="training the network takes at least"):
        check_search_memory(load_trial("gdas", {"space.init_channels": 60_000}))


def test_a_retraining_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with_memory(monkeypatch, 24, CIFAR)
    with pytest.raises(ConfigError, match=r"lower retrain\.init_channels or retrain\.cells"):
        check_retrain_memory(load_trial("milenas", {"retrain.init_channels": 60_000}))
    with pytest.raises(ConfigError, match=r"retrain\.batch_size must be <= "):
        check_retrain_memory(load_trial("milenas", {"retrain.batch_size": 10_000}))


def test_weights_that_do_not_fit_are_not_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("the network was built")

    monkeypatch.setattr("tune_nas.search.factory.Supernet", never)
    monkeypatch.setattr("tune_nas.retrain.retrain.build_network", never)
    with_memory(monkeypatch, 1 / 1024)  # a MiB
    with pytest.raises(ConfigError, match="the network has 1,929,754 parameters, which take"):
        Search(load_trial("milenas"))


def test_the_shape_of_the_data_is_that_of_the_loaded_data() -> None:
    for changes in ({}, {"data.train_images": 100, "data.resolution": 16}, {"data.name": "fake"}):
        config = load_trial("milenas", changes).data
        data = load_data(config, seed=0, device=torch.device("cpu"), for_search=False)
        assert describe_data(config) == DataShape(
            data.n_classes, data.in_channels, data.image_size, len(data.train), data.mirrors
        )


def test_no_memory_is_known_where_the_system_does_not_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tune_nas.memory.memory_bytes", lambda device: None)
    check_search_memory(load_trial("milenas", {"space.init_channels": 60_000}))


def test_a_genotype_of_another_space_is_refused() -> None:
    genotype = Genotype.parse("|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    with pytest.raises(GenotypeError, match="space 'darts' has the cells normal, reduction"):
        check_retrain_memory(load_trial("milenas"), genotype)


@pytest.mark.parametrize(
    ("name", "images", "size"), [("grad-norm", 64, 4), ("synflow", 1, 8), ("naswot", 0, 4)]
)
def test_a_proxy_that_does_not_fit_is_refused(
    monkeypatch: pytest.MonkeyPatch, darts_v2: str, name: str, images: int, size: int
) -> None:
    """Weights, their gradients if there are any, and the values of the images: in bytes."""
    inputs = proxy_inputs(load_trial("darts-1st", {"retrain.init_channels": 4, "retrain.cells": 3}))
    genotype, space = Genotype.parse(darts_v2), load_space("darts")
    facts = {"n_classes": 10, "in_channels": 1, "image_size": 8, "init_channels": 4, "cells": 3}
    estimate = estimate_network(space, genotype, **facts)
    copies = 2 if images else 1
    passing = 64 * estimate.passing if name == "naswot" else 0  # a minibatch, forward alone
    needed = (copies * estimate.parameters + images * estimate.kept + passing) * size
    with_memory(monkeypatch, (needed - 1) / GIB)
    with pytest.raises(ConfigError, match=f"proxy '{name}' takes at least .* but cpu has"):
        make_proxy(name, inputs).score(genotype)
    with_memory(monkeypatch, (needed + 1) / GIB)
    make_proxy(name, inputs).score(genotype)


def test_values_that_pass_forward_are_an_output_and_what_it_reads() -> None:
    """Of 3 cells with 4 channels: the last reads maps of 4² and 2² pixels and returns 2² pixels."""
    facts = {"n_classes": 10, "in_channels": 1, "image_size": 8, "init_channels": 4, "cells": 3}
    estimate = estimate_network(load_space("darts"), None, **facts)
    # the first, of 4 channels and 4 nodes, reads two stems of 12 channels, all of 8² pixels
    of_first = (12 + 12 + 16) * 8**2
    # the second, of 8 channels and 4 nodes, halves the map
    of_second = (12 + 16) * 8**2 + 32 * 4**2
    assert estimate.passing == max(of_first, of_second)


def kept_values(net: Supernet, images: torch.Tensor) -> int:
    """Return the number of values per image that a pass keeps, without weights."""
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.shape[:1] == images.shape[:1]:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    weights = {
        name: CellWeights(torch.rand(len(cell.edges), cell.n_operations, requires_grad=True))
        for name, cell in net.space.cells.items()
    }
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        net(images, weights)
    return sum(kept.values()) // images.element_size() // len(images)


@pytest.mark.parametrize("implementation", ["plain", "torch", "fast"])
@pytest.mark.parametrize(("name", "parts"), [("darts", 1), ("darts", 4), ("nasbench201", 1)])
def test_the_estimate_of_what_is_kept_is_close(name: str, parts: int, implementation: str) -> None:
    space, sizes = (
        load_space(name),
        {"init_channels": 16, "cells": 1 if name == "nasbench201" else 3},
    )
    facts = {**sizes, "partial_channels": parts}
    net = Supernet(space, **SMALL, **facts, implementation=implementation)  # type: ignore[arg-type]
    net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    images = torch.randn(7, 3, 16, 16).contiguous(memory_format=torch.channels_last)
    estimate = estimate_kept(
        space, implementation=implementation, in_channels=3, image_size=16, **facts
    )
    assert estimate == pytest.approx(kept_values(net, images), rel=0.12)
    lower = estimate_supernet(space, image_size=16, **SMALL, **facts)
    assert lower.kept <= estimate


@pytest.mark.parametrize("name", ["darts", "nasbench201", "s4"])
def test_recomputing_lowers_the_bound_and_the_estimate(name: str) -> None:
    space, facts = load_space(name), {"in_channels": 3, "image_size": 32}
    bounds, estimates = [], []
    for recompute in (False, True):
        bound = estimate_supernet(space, n_classes=10, **facts, recompute=recompute)
        bounds.append(bound.kept)
        estimates.append(estimate_kept(space, implementation="fast", **facts, recompute=recompute))
    assert bounds[1] < 0.5 * bounds[0] and estimates[1] < 0.5 * estimates[0]
    assert bounds[1] <= estimates[1]


def test_the_most_that_is_kept_by_hand() -> None:
    """The last cell is kept: 1 + 1 + 1 + 3 after the forward pass, 1 + 1 + 8 in the backward."""
    assert peak_kept([1, 1, 1], [5, 8, 3], [False, False, False]) == 3 + 16
    assert peak_kept([1, 1, 1], [5, 8, 3], [True, True, False]) == 1 + 1 + 8
    assert peak_kept([1, 1, 9], [5, 8, 3], [True, True, False]) == 11 + 3


def test_a_recomputed_search_may_have_larger_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    with_memory(monkeypatch, 24, CIFAR)
    sizes = {"data.name": "cifar10", "schedule.batch_size": 1500, "runtime.device": "cpu"}
    with pytest.raises(ConfigError, match=r"schedule\.batch_size must be <= "):
        check_search_memory(load_trial("darts-1st", sizes))
    check_search_memory(load_trial("darts-1st", {**sizes, "runtime.recompute": "cell"}))
