"""The controller and its training: probabilities, gradient and baseline, against truth."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from typing import Any

import pytest
import torch
from searching import small_trial, tiny_trial
from torch import Tensor

from tune_nas.config import RelaxationConfig
from tune_nas.config.optimizer_config import AlphasOptimizer
from tune_nas.config.options.controller_options import ControllerConfig, PolicyConfig
from tune_nas.errors import ConfigError
from tune_nas.library import load_trial
from tune_nas.search import Search
from tune_nas.search.candidates import CandidateMask
from tune_nas.search.policy import Policy
from tune_nas.search.relaxation.controller import Controller
from tune_nas.search.relaxation.controller_network import ControllerNetwork
from tune_nas.search.selection.sampled import sample_genotype
from tune_nas.seeds import new_generator
from tune_nas.spaces import CellWeights, load_space
from tune_nas.testing.states import differences

ENAS: dict[str, Any] = {
    "relaxation.kind": "controller",
    "update": {"level": "policy", "policy": {"steps": 2, "samples": 3}},
    "selection": {"kind": "sampled", "sampled": {"genotypes": 3}},
}
EDGES, OPERATIONS = 3, 3
ALL = torch.ones(EDGES, OPERATIONS, dtype=torch.bool)
# Every architecture of a cell of 3 edges with 3 operations.
EVERY = torch.tensor(list(itertools.product(range(OPERATIONS), repeat=EDGES)))


def network(**changes: Any) -> ControllerNetwork:
    torch.manual_seed(0)
    made = ControllerNetwork(ControllerConfig(**changes), ["normal"], OPERATIONS).double()
    with torch.no_grad():  # far from uniform, so that the order of edges counts
        for parameter in made.parameters():
            parameter.mul_(8)
    return made


def controller(**changes: Any) -> Controller:
    made = Controller(
        RelaxationConfig(kind="controller", **changes), load_space("nasbench201"), None
    )
    made.initial_alphas(torch.Generator().manual_seed(3), torch.float64)
    return made


def by_hand(made: ControllerNetwork, columns: Tensor) -> tuple[list[Tensor], Tensor]:
    """Return the probabilities of each edge of a sample by LSTM cells in a loop."""
    config, hidden = made._config, made._config.hidden
    states = [(torch.zeros(hidden).double(), torch.zeros(hidden).double()) for _ in range(2)]
    inputs, found, log = made.first[0], [], torch.zeros(()).double()
    for column in columns.tolist():
        value = inputs
        for layer, (h, c) in enumerate(states):
            w_ih, w_hh, b_ih, b_hh = made.lstm.all_weights[layer]
            i, f, g, o = (w_ih @ value + b_ih + w_hh @ h + b_hh).chunk(4)
            c = f.sigmoid() * c + i.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            states[layer], value = (h, c), h
        logits = made.output.weight @ value + made.output.bias
        logits = config.tanh_scale * (logits / config.logit_divisor).tanh()
        found.append(logits.softmax(dim=0))
        log = log + found[-1][column].log()
        inputs = made.embedding.weight[column]
    return found, log


def test_probabilities_are_those_of_an_lstm_by_hand() -> None:
    made = network()
    logs, entropies = made.log_probabilities("normal", EVERY, ALL)
    for index, columns in enumerate(EVERY):
        found, log = by_hand(made, columns)
        assert float(logs[index].detach()) == pytest.approx(float(log.detach()), abs=1e-12)
        entropy = -sum(float((p * p.log()).sum().detach()) for p in found)
        assert float(entropies[index].detach()) == pytest.approx(entropy, abs=1e-12)
    assert float(logs.detach().exp().sum()) == pytest.approx(1.0, abs=1e-12)


def test_logits_are_squashed() -> None:
    """2.5 · tanh(logits / 5): between −2.5 and 2.5, so that p ≥ 1 / (1 + (n − 1) e⁵)."""
    made = network()
    with torch.no_grad():
        made.output.bias.copy_(torch.tensor([5.0, -1e9, 1e9]))
        made.output.weight.zero_()
    columns, logits = made.decode("normal", ALL, lambda p: int(p.argmax()))
    expected = [2.5 * math.tanh(1.0), -2.5, 2.5]
    assert columns.tolist() == [2, 2, 2]
    for row in logits.tolist():
        assert row == pytest.approx(expected, abs=1e-12)


def test_samples_have_their_probabilities() -> None:
    made, generator = network(), torch.Generator().manual_seed(1)

    def sampled(probabilities: Tensor) -> int:
        return int(torch.multinomial(probabilities, 1, generator=generator))

    n = 2000
    counts = Counter(tuple(made.decode("normal", ALL, sampled)[0].tolist()) for _ in range(n))
    probabilities = made.log_probabilities("normal", EVERY, ALL)[0].exp().tolist()
    chi = sum(
        (counts[tuple(columns)] - n * p) ** 2 / (n * p)
        for columns, p in zip(EVERY.tolist(), probabilities, strict=True)
    )
    assert chi < 26 + 4 * math.sqrt(2 * 26)  # 26 degrees of freedom


def test_removed_operations_are_never_sampled_and_decided_edges_are_certain() -> None:
    made = network()
    allowed = torch.tensor([[True, False, True], [False, True, False], [False, False, False]])
    columns = torch.tensor([[0, 1, 0], [2, 1, 0]])
    logs, entropies = made.log_probabilities("normal", columns, allowed)
    assert float(logs.detach().exp().sum()) == pytest.approx(1.0, abs=1e-12)
    p = logs.detach().exp()
    assert entropies.detach().tolist() == pytest.approx(
        [-float((p * p.log()).sum())] * 2, abs=1e-12
    )
    (gradient,) = torch.autograd.grad(logs.sum(), made.output.weight)
    assert gradient.isfinite().all()


def test_reinforce_is_the_gradient_of_the_expected_reward() -> None:
    """Over all architectures, −Σ p (R − b) ∇log p is −∇ Σ p R, whatever b is."""
    made = network()
    rewards = torch.rand(len(EVERY), generator=torch.Generator().manual_seed(2)).double()
    parameters = list(made.parameters())
    logs, _ = made.log_probabilities("normal", EVERY, ALL)
    truth = torch.autograd.grad((logs.exp() * rewards).sum(), parameters, retain_graph=True)
    weighted = -(logs.exp().detach() * (rewards - 0.7) * logs).sum()
    for found, expected in zip(torch.autograd.grad(weighted, parameters), truth, strict=True):
        assert torch.allclose(found, -expected, atol=1e-12)


def test_a_step_follows_the_mean_over_its_samples() -> None:
    """SGD without momentum: the step is the rate times mean (R − b) ∇log p, b by hand."""
    made = controller()
    config = PolicyConfig(entropy_weight=0.1, baseline_decay=0.9, clip=0)
    policy = Policy(
        config, AlphasOptimizer(kind="sgd", learning_rate=0.5, momentum=0, weight_decay=0), made
    )
    parameters = list(made.network.parameters())
    before = [parameter.detach().clone() for parameter in parameters]
    seeds, accuracies = [11, 12, 13], [0.5, 0.25, 0.75]
    logs, entropies = made.log_probabilities(seeds, new_generator)
    rewards = [a + 0.1 * e for a, e in zip(accuracies, entropies.tolist(), strict=True)]
    first = rewards[0]
    second = 0.9 * first + 0.1 * rewards[1]
    third = 0.9 * second + 0.1 * rewards[2]
    advantages = [0.0, rewards[1] - second, rewards[2] - third]
    expected = torch.autograd.grad(
        sum(a * log for a, log in zip(advantages, logs, strict=True)) / 3, parameters
    )
    policy.step(seeds, accuracies, new_generator)
    assert policy.baseline == pytest.approx(third, abs=1e-14)
    for parameter, start, gradient in zip(parameters, before, expected, strict=True):
        assert torch.allclose(parameter, start + 0.5 * gradient, atol=1e-13)


def test_clipping_and_adam_of_the_trial() -> None:
    trial = load_trial("enas", {"data.name": "fake", "optimizer.alphas.epsilon": 0.5})
    made = controller()
    policy = Policy(trial.update.policy, trial.optimizer.alphas, made)
    group = policy._optimizer.param_groups[0]
    assert (group["lr"], group["betas"], group["eps"]) == (1e-3, (0.0, 0.999), 0.5)
    policy.step([1, 2], [0.0, 1e9], new_generator)
    gradients = [each.grad for each in made.network.parameters()]
    norm = torch.stack([each.norm() for each in gradients if each is not None]).norm()
    assert float(norm) == pytest.approx(5.0, rel=1e-5)


def test_it_learns_a_toy_reward() -> None:
    """The accuracy is the share of edges with operation 3."""
    made = controller()
    policy = Policy(PolicyConfig(), AlphasOptimizer(learning_rate=0.05, betas=(0.0, 0.999)), made)
    for step in range(30):
        seeds = list(range(20 * step, 20 * step + 20))
        drawn = [made._operations(seed, new_generator)["normal"] for seed in seeds]
        policy.step(seeds, [float((each == 3).double().mean()) for each in drawn], new_generator)
    assert (made.greedy_logits()["normal"].argmax(dim=1) == 3).all()


def test_alpha_is_the_greedy_decode() -> None:
    made = controller()
    with torch.no_grad():
        for parameter in made.network.parameters():
            parameter.mul_(10)
    logits = made.greedy_logits()["normal"]
    chosen = logits.argmax(dim=1)
    mask = load_space("nasbench201").cells["normal"].mask()
    logs, _ = made.network.log_probabilities("normal", chosen[None], mask)
    along = made.relax(logits, mask).gather(1, chosen[:, None]).log().sum()
    assert float(along) == pytest.approx(float(logs[0].detach()), abs=1e-12)


def test_a_pass_runs_what_the_policy_is_trained_on() -> None:
    made = controller()
    alphas = made.greedy_logits()
    for seed in range(5):
        active = made.weights(alphas, seed=seed)["normal"].active
        assert active is not None and active.sum(dim=1).tolist() == [1] * 6
        assert active.int().argmax(dim=1).equal(made._operations(seed, new_generator)["normal"])


def test_decided_and_removed_operations_bind_the_controller() -> None:
    space = load_space("nasbench201")
    choices = CandidateMask(space)
    choices.decide("normal", 2, 4)
    kept = torch.ones(6, 5, dtype=torch.bool)
    kept[:, 0] = False
    choices.keep("normal", kept)
    made = Controller(RelaxationConfig(kind="controller"), space, choices)
    alphas = {"normal": torch.full((6, 5), 7.0)}
    for seed in range(20):
        drawn = made._operations(seed, new_generator)["normal"]
        assert drawn[2] == 4 and 0 not in drawn.tolist()
    made.set_alphas(alphas)
    assert alphas["normal"][2].tolist() == [7.0] * 5
    assert (alphas["normal"][[0, 1, 3, 4, 5]].abs() <= 2.5).all()


def test_genotypes_are_sampled_from_the_controller() -> None:
    search = Search(tiny_trial(**ENAS))
    assert isinstance(search.relaxation, Controller)
    with torch.no_grad():
        bias = search.relaxation.network.output.bias
        bias.fill_(-1e9)
        bias[3] = 1e9  # e⁵ times as probable as each of the others
    found = [
        sample_genotype(search, new_generator(seed, "g", torch.device("cpu"))) for seed in range(20)
    ]
    names = Counter(edge.operation for each in found for edge in each.cells["normal"].edges)
    assert names["nor_conv_3x3"] >= 110  # 117 of 120 on average


def test_a_search_moves_w_by_steps_and_the_controller_by_epochs() -> None:
    search = Search(tiny_trial(**ENAS, **{"update.warmup": 1}))
    first = {name: each.clone() for name, each in search.policy.state_dict()["controller"].items()}
    metrics = search.run_epoch()
    assert "policy/accuracy" not in metrics
    assert differences(first, search.policy.state_dict()["controller"]) == []
    metrics = search.run_epoch()
    assert 0 <= metrics["policy/accuracy"] <= 100
    assert metrics["policy/entropy"] == pytest.approx(6 * math.log(5), abs=0.05)
    assert differences(first, search.policy.state_dict()["controller"]) != []


def test_every_epoch_resumes_to_the_bit(tmp_path: Any) -> None:
    trial = tiny_trial(**ENAS)
    straight, halfway = Search(trial), Search(trial)
    for _ in range(3):
        straight.run_epoch()
        halfway.run_epoch()
        halfway.save(tmp_path / "checkpoint")
        halfway = Search(trial)
        halfway.load(tmp_path / "checkpoint")
    assert differences(straight.state_dict(), halfway.state_dict()) == []
    assert straight.genotype == halfway.genotype


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"update.level": "bilevel"},
            "relaxation.kind is 'controller', which is trained by samples, but update.level is "
            "'bilevel'; it must be 'policy' in all epochs",
        ),
        (
            {"update.phases": [{"until": 2, "set": {"level": "none"}}]},
            "update.level is 'none'; it must be 'policy' in all epochs",
        ),
        (
            {"relaxation": {"kind": "softmax"}},
            "update.level is 'policy', which trains a controller, but relaxation.kind is "
            "'softmax'; it must be 'controller'",
        ),
        (
            {"optimizer.alphas.kind": "mine:optimizer"},
            "optimizer.alphas.kind is 'mine:optimizer', but update.level 'policy' trains a "
            "network, not α; take 'adam' or 'sgd'",
        ),
        (
            {"update.order": 2},
            "update.order is 2, but must be 1 where update.level is 'policy' (order 2 needs "
            "'bilevel' or 'mixed')",
        ),
        ({"relaxation.edge_normalization": True}, "'controller' samples edges regardless of β"),
        ({"relaxation.smoothing.kind": "random"}, "'controller' runs one operation per edge"),
    ],
)
def test_mixtures_that_make_no_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_trial("enas", changes)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_rewards_leave_the_supernet_and_its_statistics_unchanged(tmp_path: Any) -> None:
    search = Search(small_trial(tmp_path, **ENAS))
    search.run_epoch()
    before = {name: each.clone() for name, each in search.supernet.state_dict().items()}
    assert any("running_mean" in name for name in before)
    search._train_policy(search.policy)
    assert differences(before, dict(search.supernet.state_dict())) == []


def test_a_reward_is_the_accuracy_on_the_next_validation_batch() -> None:
    """Computed again: the path of the seed, batch statistics, the images of the stream."""
    search, other = Search(tiny_trial(**ENAS)), Search(tiny_trial(**ENAS))
    for seed in (5, 6):
        images, labels = other._valid.make(other._valid.pick())
        operations = other.relaxation._operations(seed, new_generator)["normal"]
        weights = torch.nn.functional.one_hot(operations, 5).float()
        other.supernet.train()
        logits = other.supernet(images, {"normal": CellWeights(weights)})
        truth = float((logits.argmax(dim=1) == labels).double().mean())
        assert search._sampled_accuracy(seed) == pytest.approx(truth)
