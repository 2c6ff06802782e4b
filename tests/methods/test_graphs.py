"""Steps as graphs: a stand-in repeats the operations of one step; searches must end the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from recording import Recorder, Recording, Refuser
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from tune_nas.config import RuntimeConfig
from tune_nas.data import Images
from tune_nas.library import with_overrides
from tune_nas.search import Search, Update
from tune_nas.search.capture import CudaCapture, capture_for
from tune_nas.search.graphs import GraphedSteps
from tune_nas.search.optimizers import Optimizers
from tune_nas.search.relaxation.tempered import Tempered
from tune_nas.search.stepping import Step, Steps
from tune_nas.testing.states import differences

SIMULTANEOUS = {"update.sequence": "simultaneous"}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "darts": ("darts-1st", {}),
    "darts, exact second order": ("darts-2nd", {"update.hessian": "exact"}),
    "milenas, simultaneous": ("milenas", SIMULTANEOUS),
    "milenas, weights first": ("milenas", {"update.sequence": "weights-first"}),
    "milenas, second order": ("milenas-2nd", {}),
    "two w steps": ("milenas", {"update.weight_steps": 2}),
    "single level": ("single-level", SIMULTANEOUS),
    "α by SGD, w by Nesterov": (
        "darts-1st",
        {"optimizer.alphas.kind": "sgd", "optimizer.weights.nesterov": True},
    ),
    "drnas": ("drnas", {"relaxation.penalty.kind": "kl", "relaxation.penalty.weight": 0.1}),
    "snas": ("snas", {}),
    "fairdarts": ("fairdarts", {}),
    "darts-": ("darts-minus", {}),
    "drop path": ("darts-1st", {"relaxation.drop_path": 0.5}),
    # with a single channel left, torch could not tell layouts, and so orders of sums, apart
    "pc-darts": ("pc-darts", {"space.init_channels": 8}),
    "gaea": ("gaea-erm", {"optimizer.alphas.weight_decay": 0.01}),
    "gaea pc-darts": ("gaea-pc-darts", {"space.init_channels": 8}),
    "xnas, wipe-out": ("xnas", {}),
    "snas on the simplex": (
        "snas",
        {"relaxation.alphas": "probabilities", "optimizer.alphas.kind": "exponentiated"},
    ),
    "sdarts-rs": ("sdarts-rs", {}),
    "sdarts-adv": ("sdarts-adv", {"relaxation.smoothing.steps": 1}),
    "sgas": ("sgas", {}),
    "phases": ("bilevel-then-milenas", {}),
    "stages, noisy skips": ("p-darts", {}),
    "stages, wider": ("drnas-progressive", {}),
    "tuning": ("darts-pt", {}),
}
ALWAYS = {"schedule.steps_per_epoch": 4, "runtime.implementation": "torch"}


def capturing(monkeypatch: pytest.MonkeyPatch, capture: Any) -> Any:
    """Let searches on this machine capture their steps."""
    monkeypatch.setattr("tune_nas.search.graphs.capture_for", lambda runtime, device: capture)
    return capture


def steps_of(recorder: Recorder) -> list[Recording]:
    """Return what was captured of steps, without the passes of evaluations."""
    return [recording for recording in recorder.recordings if recording.is_step]


def run(search: Search, folder: Path | None = None) -> dict[str, Any]:
    while not search.done:
        search.run_epoch()
        if folder is not None:
            search.save(folder / f"after_{search.epoch}")
    return search.state_dict()


@pytest.mark.parametrize("case", CASES)
def test_graphs_end_on_the_bits_of_steps_as_written_and_resume_on_them(
    case: str,
    shrink: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    name, changes = CASES[case]
    trial = shrink(name, **{**ALWAYS, **changes})
    capturing(monkeypatch, Refuser())
    written = run(Search(trial))
    caplog.clear()
    recorder = capturing(monkeypatch, Recorder())
    graphed = run(Search(trial), tmp_path)
    assert differences(written, graphed) == []
    assert not caplog.records  # nothing fell back
    assert recorder.recordings and all(each.replays > 0 for each in recorder.recordings)
    middle = Search(trial)
    middle.load(tmp_path / f"after_{max(1, middle.epochs // 2)}")
    assert differences(written, run(middle)) == []


def test_a_graph_is_captured_once_for_each_kind_of_step_and_anew_where_steps_change(
    shrink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = capturing(monkeypatch, Recorder())
    search = Search(shrink("milenas", **{**ALWAYS, "update.weight_steps": 2}))
    counts = []
    while not search.done:
        search.run_epoch()
        counts.append(len(steps_of(recorder)))
    # w alone and both, in the first epoch; w's learning rate falls, the graphs stay
    assert counts == [0, 2, 2]
    assert len({metrics["learning_rate/weights"] for metrics in search.history}) == 3
    replays = sum(each.replays for each in steps_of(recorder))
    assert replays == 3 * 4 - 2 * 2  # all steps but two of each kind

    recorder = capturing(monkeypatch, Recorder())
    search = Search(shrink("sdarts-rs", **ALWAYS))
    run(search)
    assert len(steps_of(recorder)) == search.epoch  # the radius grows in each epoch


def test_what_is_not_told_to_be_constant_shows(
    shrink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison above fails where a graph goes on with a temperature that has fallen."""
    trial = shrink("snas", **ALWAYS)
    capturing(monkeypatch, Refuser())
    written = run(Search(trial))
    capturing(monkeypatch, Recorder())
    monkeypatch.setattr(Tempered, "constants", lambda self: {})
    assert "state.alphas.normal" in differences(written, run(Search(trial)))


@pytest.mark.parametrize("name", ["milenas", "darts-pt", "drnas-progressive", "snas"])
def test_the_passes_of_an_evaluation_are_captured(
    name: str, shrink: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = shrink(name, **ALWAYS)
    capturing(monkeypatch, Recorder())
    with monkeypatch.context() as as_written:
        as_written.setattr(GraphedSteps, "predict", Steps.predict)
        written = run(Search(trial))
    recorder = capturing(monkeypatch, Recorder())
    assert differences(written, run(Search(trial))) == []
    evaluations = [recording for recording in recorder.recordings if not recording.is_step]
    assert sum(each.replays for each in evaluations) > 1


@pytest.mark.parametrize("name", ["gdas", "dropnas", "rsps", "setn"])
def test_a_search_that_draws_what_runs_is_as_without_graphs(
    name: str, shrink: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trial = shrink(name, **ALWAYS)
    usual = run(Search(trial))
    recorder = capturing(monkeypatch, Recorder())
    assert differences(usual, run(Search(trial))) == []
    assert not recorder.recordings
    (record,) = caplog.records
    assert "\n" not in record.getMessage() and "draws what runs" in record.getMessage()


def test_what_cannot_be_captured_runs_as_written_and_one_line_says_why(
    shrink: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    trial = shrink("snas", **ALWAYS)
    capturing(monkeypatch, Refuser())
    written = run(Search(trial))
    caplog.clear()
    draw = Tempered.soft_choice

    def reading(self: Any, alphas: Any, mask: Any, generator: Any) -> Any:
        assert float(alphas.detach().sum()) < 1e9
        return draw(self, alphas, mask, generator)

    monkeypatch.setattr(Tempered, "soft_choice", reading)
    capturing(monkeypatch, Recorder())
    assert differences(written, run(Search(trial))) == []
    (record,) = caplog.records
    assert "\n" not in record.getMessage()
    assert "not permitted when stream is capturing" in record.getMessage()


def test_steps_are_captured_on_a_gpu_alone_and_where_they_may_be() -> None:
    gpu = torch.device("cuda", 0)
    asked = RuntimeConfig(graphs="always")
    assert isinstance(capture_for(asked, gpu), CudaCapture)
    assert capture_for(asked, torch.device("cpu")) is None
    for graphs in ("auto", "never"):  # not yet measured on a GPU: not by default
        assert capture_for(RuntimeConfig(graphs=graphs), gpu) is None


def test_a_refusal_is_asked_for_once(shrink: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    refuser = capturing(monkeypatch, Refuser())
    run(Search(shrink("darts-1st", **ALWAYS)))
    assert refuser.asked == 2  # once for its steps, once for its evaluations


@pytest.mark.parametrize("name", ["milenas-2nd", "sgas"])
def test_graphs_are_the_usual_search_but_for_rounding_and_share_checkpoints(
    name: str, shrink: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trial = shrink(name, **{**ALWAYS, "runtime.dtype": "float64"})
    usual = Search(trial)
    run(usual, tmp_path / "usual")
    capturing(monkeypatch, Recorder())
    graphed = Search(trial)
    run(graphed, tmp_path / "graphed")
    assert graphed.genotype == usual.genotype
    for cell, alpha in usual.alphas.items():
        torch.testing.assert_close(graphed.alphas[cell], alpha, rtol=1e-9, atol=1e-12)
    # each goes on from the other's checkpoint
    graphed = Search(trial)
    graphed.load(tmp_path / "usual" / "after_1")
    run(graphed)
    monkeypatch.undo()
    other = Search(with_overrides(trial, {"runtime.graphs": "never"}))
    other.load(tmp_path / "graphed" / "after_1")
    run(other)
    for search in (graphed, other):
        for cell, alpha in usual.alphas.items():
            torch.testing.assert_close(search.alphas[cell], alpha, rtol=1e-9, atol=1e-12)


class OnDevice(TorchDispatchMode):
    """Fails where an operation has to do with a tensor on the host."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for value in tree_flatten((args, kwargs, out))[0]:
            assert not isinstance(value, torch.Tensor) or value.is_meta, f"{func} on the host"
        return out


def moved_to_meta(search: Search) -> Step:
    """Put a search on a device apart from the host; it has shapes alone, and draws nothing."""
    search.supernet.to("meta")
    for held in (search.alphas, search.betas):
        for name, tensor in held.items():
            held[name] = tensor.detach().to("meta").requires_grad_()
    search.optimizers = Optimizers(
        search.trial.optimizer,
        search.supernet,
        search.alphas,
        search.betas,
        search.choices,
        capturable=True,
    )
    search._connect()
    draws = search.objective.draws
    draws.seed = lambda: 3  # type: ignore[method-assign]
    draws.generator = lambda *_: None  # type: ignore[method-assign, assignment, return-value]
    for stream in (search._train, search._valid):
        stream._images = Images(stream._images.images.to("meta"), stream._images.labels.to("meta"))
        stream._mean, stream._std = stream._mean.to("meta"), stream._std.to("meta")
    search.supernet.train()
    update = Update(search.trial.update, search.objective, search.smoothing)
    return Step(update, search.optimizers, search._train, search._valid, True)


# Gamma variables have no shapes alone: without dirichlet.
@pytest.mark.parametrize(
    ("case", "decided"),
    [
        ("darts", False),
        ("milenas, second order", True),
        ("snas", True),
        ("fairdarts", True),
        ("darts-", True),
        ("pc-darts", True),
        ("sdarts-adv", True),
    ],
)
def test_a_step_touches_nothing_on_the_host(case: str, decided: bool, shrink: Any) -> None:
    name, changes = CASES[case]
    search = Search(shrink(name, **{**ALWAYS, **changes, "data.augment.cutout": 2}))
    if decided:
        search.choices.decide("normal", 0, 2)
        search.choices.prune("normal", 1)
    if search.smoothing is not None:
        search.smoothing.radius = 0.1
    step = moved_to_meta(search)
    search.supernet.skip_dropout, search.supernet.drop_path = 0.2, 0.3
    for moves_alphas in (True, False):
        step.run(step.pick(moves_alphas))  # fills caches
        picks = step.pick(moves_alphas)
        with OnDevice():
            seen = step.run(picks)
        assert seen.loss.is_meta


needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
ON_GPU = {
    **ALWAYS,
    "runtime.device": "cuda",
    "runtime.dtype": "float64",
    "runtime.graphs": "always",
}


def fallbacks(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged except that a feature is experimental."""
    return [each.getMessage() for each in caplog.records if each.name != "tune_nas.stability"]


@needs_gpu
@pytest.mark.parametrize("case", CASES)
def test_on_a_gpu_graphs_are_steps_as_written_but_for_rounding(
    case: str, shrink: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """In float64: there a wrong draw, rate or batch stands out from rounding."""
    name, changes = CASES[case]
    trial = shrink(name, **{**ON_GPU, **changes})
    graphed = Search(trial)
    run(graphed)
    assert not fallbacks(caplog)
    written = Search(with_overrides(trial, {"runtime.graphs": "never"}))
    run(written)
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32
    for cell, alpha in written.alphas.items():
        torch.testing.assert_close(graphed.alphas[cell], alpha, rtol=1e-6, atol=1e-9)
    for one, other in zip(graphed.history, written.history, strict=True):
        assert one["train_loss"] == pytest.approx(other["train_loss"], rel=1e-6)


@needs_gpu
@pytest.mark.parametrize("case", ["darts", "milenas, simultaneous", "snas", "sgas", "pc-darts"])
def test_on_a_gpu_tritons_kernels_are_captured_and_search_as_the_readable_form(
    case: str, shrink: Any, caplog: pytest.LogCaptureFixture
) -> None:
    name, changes = CASES[case]
    changes = {**ON_GPU, **changes, "space.init_channels": 8}
    fast = Search(shrink(name, **{**changes, "runtime.implementation": "triton"}))
    run(fast)
    assert not fallbacks(caplog)
    assert isinstance(fast._steps, GraphedSteps) and fast._steps.n_captured > 0
    plain = Search(shrink(name, **{**changes, "runtime.implementation": "plain"}))
    run(plain)
    for cell, alpha in plain.alphas.items():
        torch.testing.assert_close(fast.alphas[cell], alpha, rtol=1e-6, atol=1e-9)


@needs_gpu
@pytest.mark.parametrize("case", ["darts", "drnas", "snas", "sgas", "stages, noisy skips"])
def test_on_a_gpu_a_resumed_search_goes_on_as_it_would_have(
    case: str, shrink: Any, tmp_path: Path
) -> None:
    name, changes = CASES[case]
    trial = shrink(name, **{**ON_GPU, **changes})
    straight = Search(trial)
    run(straight, tmp_path)
    resumed = Search(trial)
    resumed.load(tmp_path / "after_1")
    run(resumed)
    for cell, alpha in straight.alphas.items():
        torch.testing.assert_close(resumed.alphas[cell], alpha, rtol=1e-6, atol=1e-9)


@needs_gpu
def test_on_a_gpu_no_step_waits_for_the_device(shrink: Any) -> None:
    trial = shrink("milenas", **{**ALWAYS, "runtime.device": "cuda"})
    search = Search(trial)
    search.run_epoch()
    search.supernet.train()
    step = Step(search.update, search.optimizers, search._train, search._valid, True)
    step.run(step.pick(True))
    picks = step.pick(True)  # order and draws are sent once for each pass over the images
    torch.cuda.set_sync_debug_mode("error")
    try:
        step.run(picks)
    finally:
        torch.cuda.set_sync_debug_mode("default")
