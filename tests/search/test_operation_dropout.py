"""Operation dropout (DropNAS): frequencies, groups, the softmax of a pass, α after a step."""

from __future__ import annotations

import math
from itertools import product
from pathlib import Path

import pytest
import torch
from relaxing import X, alphas_of, relaxation_of, tiny
from searching import assert_resumes_to_the_bit, finished, small_trial
from torch import Tensor

from tune_nas.search import Search
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.relaxation import Relaxation
from tune_nas.search.relaxation.relaxation import AlphaStep
from tune_nas.seeds import new_generator
from tune_nas.spaces import CellWeights, load_space

# nor_conv_3x3 and nor_conv_1x1; none, skip_connect and avg_pool_3x3
LEARNED = [3, 2]
FREE = [0, 1, 4]
RATE = 0.2
PASSES = 2000


def nb201_dropout(groups: str, rate: float = RATE) -> Relaxation:
    space = load_space("nasbench201")
    names = space.cells["normal"].operations[0]
    assert [names[column] for column in (*LEARNED, *FREE)] == [
        *("nor_conv_3x3", "nor_conv_1x1"),
        *("none", "skip_connect", "avg_pool_3x3"),
    ]
    return relaxation_of("dropout", space, dropout={"rate": rate, "groups": groups})


def masks(relaxation: Relaxation, n: int = PASSES) -> Tensor:
    """(n · edges, operations): the operations that passes keep on edges."""
    alphas = alphas_of(relaxation)
    found = [relaxation.weights(alphas, seed=seed)["normal"].active for seed in range(n)]
    return torch.cat([mask for mask in found if mask is not None])


def probabilities(n: int, rate: float) -> dict[tuple[bool, ...], float]:
    """Return the probability of each mask of a group, conditioned on one operation being kept."""
    p = rate ** (1 / n)
    return {
        mask: math.prod(1 - p if kept else p for kept in mask) / (1 - p**n)
        for mask in product((False, True), repeat=n)
        if any(mask)
    }


@pytest.mark.parametrize("groups", ["parameters", "none"])
def test_masks_of_a_group_have_their_conditional_probabilities(groups: str) -> None:
    table = masks(nb201_dropout(groups))
    assert len(table) == 6 * PASSES
    for group in [LEARNED, FREE] if groups == "parameters" else [LEARNED + FREE]:
        own = table[:, group]
        assert own.any(dim=1).all()  # at least one of each group
        for mask, probability in probabilities(len(group), RATE).items():
            frequency = float((own == torch.tensor(mask)).all(dim=1).double().mean())
            deviation = math.sqrt(probability * (1 - probability) / len(table))
            assert abs(frequency - probability) < 5 * deviation
    if groups == "none":  # without groups, all operations with parameters can be missing
        assert not table[:, LEARNED].any(dim=1).all()


def test_dropnas_drops_each_of_four_operations_with_probability_0074() -> None:
    space = load_space("darts")
    relaxation = relaxation_of("dropout", space)
    table = masks(relaxation, 1000).double()  # 14 edges
    names = space.cells["normal"].operations[0]
    assert len(names) == 8 and sum("conv" in name for name in names) == 4
    assert (1 - table.mean(dim=0)).tolist() == pytest.approx([0.074] * 8, abs=0.012)


def test_a_group_of_one_is_never_dropped_and_removed_operations_do_not_count() -> None:
    space = load_space("nasbench201")
    choices = CandidateMask(space)
    left = torch.zeros(6, 5, dtype=torch.bool)
    left[:, [0, 1, 3]] = True  # none and skip; one convolution
    choices.keep("normal", left)
    choices.decide("normal", 0, 1)
    config = {"rate": RATE, "groups": "parameters"}
    relaxation = relaxation_of("dropout", space, choices, dropout=config)
    table = masks(relaxation).reshape(-1, 6, 5)
    assert (table[:, 0] == torch.tensor([False, True, False, False, False])).all()
    assert table[:, 1:, 3].all() and not table[:, :, [2, 4]].any()
    for column in (0, 1):  # p / (1 + p) of a pair: p (1 − p) / (1 − p²)
        p = math.sqrt(RATE)
        dropped = 1 - float(table[:, 1:, column].double().mean())
        assert dropped == pytest.approx(p / (1 + p), abs=0.02)


@pytest.mark.parametrize("implementation", ["plain", "torch", "fast"])
def test_a_pass_is_the_softmax_over_what_it_keeps(implementation: str) -> None:
    """Weights and ∂L/∂α_j = Σ_k w_k (δ_kj − w_j) G_k over the kept k, in float64."""
    space = load_space("darts")
    relaxation = relaxation_of("dropout", space, dropout={"rate": 0.3, "groups": "parameters"})
    net, plain = tiny(space, implementation), tiny(space)
    alphas = alphas_of(relaxation)
    weights = relaxation.weights(alphas, seed=3)
    loss = net(X, weights).square().sum()
    found = dict(zip(alphas, torch.autograd.grad(loss, list(alphas.values())), strict=True))
    leaves, by_hand = {}, {}
    for name, own in weights.items():
        assert own.active is not None and not own.active.all()
        exponents = alphas[name].detach().exp() * own.active
        shares = exponents / exponents.sum(dim=1, keepdim=True)
        torch.testing.assert_close(own.operations, shares, rtol=1e-12, atol=0.0)
        leaves[name] = shares.requires_grad_()
        by_hand[name] = CellWeights(leaves[name])  # everything runs; dropped ones weigh 0
    again = plain(X, by_hand).square().sum()
    gradients = dict(zip(leaves, torch.autograd.grad(again, list(leaves.values())), strict=True))
    for name, share in leaves.items():
        kept, w = weights[name].active, share.detach()
        assert kept is not None
        g = gradients[name] * kept
        truth = w * (g - (w * g).sum(dim=1, keepdim=True))
        torch.testing.assert_close(found[name], truth, rtol=1e-9, atol=1e-11)
        assert not found[name][~kept].any()


def test_expected_weights_are_the_softmax() -> None:
    relaxation = nb201_dropout("parameters")
    alphas = alphas_of(relaxation)
    own = relaxation.weights(alphas)["normal"]
    assert own.active is None
    torch.testing.assert_close(own.operations, alphas["normal"].softmax(dim=1))


def test_alpha_of_kept_operations_is_shifted_so_that_the_others_keep_their_probability() -> None:
    """By hand for one edge, then for all: softmax of the dropped is as before the step."""
    relaxation = nb201_dropout("parameters", 0.4)
    before = {"normal": torch.zeros(6, 5, dtype=torch.float64)}
    table = relaxation.weights(before, seed=1)["normal"].active
    assert table is not None
    row = next(row for row in range(6) if int(table[row].sum()) == 3)
    kept = table[row].nonzero().flatten().tolist()
    after = before["normal"].clone()
    after[row, kept] = torch.tensor([0.5, 0.0, -0.1]).double()
    after[row, ~table[row]] = 0.3  # momentum and decay, which are taken back
    alphas = {"normal": after}
    relaxation.adjust_alphas(AlphaStep(before, alphas, {}, [1], new_generator))
    shift = math.log(3 / (math.exp(0.5) + 1.0 + math.exp(-0.1)))
    assert alphas["normal"][row, kept].tolist() == pytest.approx(
        [0.5 + shift, shift, -0.1 + shift], abs=1e-7
    )
    assert not alphas["normal"][row, ~table[row]].any()
    assert alphas["normal"].softmax(dim=1)[row, ~table[row]].tolist() == pytest.approx([0.2, 0.2])


def test_the_shift_in_general_and_edges_that_keep_everything() -> None:
    relaxation = nb201_dropout("parameters", 0.05)
    before = {name: alpha.detach() for name, alpha in alphas_of(relaxation).items()}
    generator = torch.Generator().manual_seed(0)
    whole = 0
    for seed in range(30):
        moved = before["normal"] + torch.randn(6, 5, generator=generator, dtype=torch.float64)
        alphas = {"normal": moved.clone()}
        relaxation.adjust_alphas(AlphaStep(before, alphas, {}, [seed], new_generator))
        table = relaxation.weights(before, seed=seed)["normal"].active
        assert table is not None
        found, was = alphas["normal"].softmax(dim=1), before["normal"].softmax(dim=1)
        torch.testing.assert_close(found[~table], was[~table], rtol=1e-12, atol=0.0)
        for row in range(6):
            difference = (alphas["normal"] - moved)[row, table[row]]
            if table[row].all():
                assert torch.equal(alphas["normal"][row], moved[row])
                whole += 1
            else:  # together
                torch.testing.assert_close(difference, difference[:1].expand_as(difference))
    assert 0 < whole < 180


def test_what_one_of_two_passes_ran_is_not_dropped() -> None:
    relaxation = nb201_dropout("parameters", 0.4)
    before = {"normal": torch.zeros(6, 5, dtype=torch.float64)}
    tables = [relaxation.weights(before, seed=seed)["normal"].active for seed in (1, 2)]
    one, other = (table for table in tables if table is not None)
    alphas = {"normal": torch.ones(6, 5, dtype=torch.float64)}
    relaxation.adjust_alphas(AlphaStep(before, alphas, {}, [1, 2], new_generator))
    reset = torch.zeros(6, 5, dtype=torch.bool)
    for row in range(6):
        dropped = ~(one | other)[row]
        reset[row] = dropped
        shifted = 0.0 if dropped.any() else 1.0  # back to Σ exp of before
        assert alphas["normal"][row, ~dropped].tolist() == pytest.approx(
            [shifted] * int((~dropped).sum())
        )
    assert not alphas["normal"][reset].any()


def test_rate_zero_is_softmax_to_the_bit(tmp_path: Path) -> None:
    own = {"relaxation.kind": "dropout", "relaxation.dropout.rate": 0.0}
    without = finished(small_trial(tmp_path))
    zero = finished(small_trial(tmp_path, **own))
    for name, alpha in without.alphas.items():
        assert torch.equal(alpha, zero.alphas[name])
    assert [m["train_loss"] for m in zero.history] == [m["train_loss"] for m in without.history]


def test_dropped_operations_have_no_step_of_alpha_or_w(tmp_path: Path) -> None:
    own = {
        "relaxation.kind": "dropout",
        "relaxation.dropout.rate": 0.5,
        "update.level": "single",
        "update.sequence": "simultaneous",
        "optimizer.weights.weight_decay": 0.1,
        "optimizer.alphas.weight_decay": 0.1,
    }
    search = Search(small_trial(tmp_path, **own))
    found: list[dict[str, CellWeights]] = []
    weights = search.relaxation.weights

    def recorded(*given: object, **named: object) -> dict[str, CellWeights]:
        result = weights(*given, **named)  # type: ignore[arg-type]
        found.append(dict(result))
        return dict(result)

    search.relaxation.weights = recorded  # type: ignore[method-assign, assignment]
    before = {name: alpha.detach().clone() for name, alpha in search.alphas.items()}
    w = {name: tensor.detach().clone() for name, tensor in search.supernet.named_parameters()}
    search.run_epoch()  # one step
    (drawn,) = [each for each in found if each["normal"].active is not None]
    for name, alpha in search.alphas.items():
        kept = drawn[name].active
        assert kept is not None and not kept.all()
        assert torch.equal(alpha[~kept], before[name][~kept])
        assert not torch.equal(alpha[kept], before[name][kept])
    dropped = [key for key in w if ".edges." in key and not _ran(key, search, drawn)]
    assert dropped
    for key, tensor in search.supernet.named_parameters():
        assert torch.equal(tensor, w[key]) == (key in dropped), key


def _ran(key: str, search: Search, drawn: dict[str, CellWeights]) -> bool:
    path, rest = key.split(".edges.")
    row, column = (int(number) for number in rest.split(".")[:2])
    cell = search.supernet.get_submodule(path).cell
    name = next(name for name, each in search.space.cells.items() if each is cell)
    active = drawn[name].active
    assert active is not None
    return bool(active[row, column])


@pytest.mark.parametrize("groups", ["parameters", "none"])
def test_a_killed_search_ends_the_same_to_the_bit(tmp_path: Path, groups: str) -> None:
    own = {
        "relaxation.kind": "dropout",
        "relaxation.dropout": {"rate": 0.3, "groups": groups},
        "relaxation.auxiliary_skip": {"start": 1.0, "end": 0.0},
        "relaxation.drop_path": 0.3,
        "update.level": "single" if groups == "parameters" else "mixed",
    }
    assert_resumes_to_the_bit(small_trial(tmp_path, **own), tmp_path / "checkpoints")
