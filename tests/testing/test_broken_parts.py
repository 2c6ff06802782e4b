"""A contract that a broken part passes is worth nothing: each of these must be caught."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tune_nas.data.dataset_registry import Source
from tune_nas.testing import (
    DataSetContract,
    ProbeContract,
    RelaxationContract,
    RuleContract,
    SelectionContract,
    StrategyContract,
    TaskContract,
    differences,
)

BROKEN = '''
import torch
from tune_nas.checkpoint import load_state, save_state
from random import Random as Generator
from tune_nas.search import Probe, Relaxation, Rule, Sample, Selection, select_by_magnitude
from tune_nas.strategies import Strategy
from tune_nas.tasks import Task

class Forgets(Rule):
    """Counts epochs, and does not save the count."""
    epochs = 0
    def after_epoch(self, metrics):
        self.epochs += 1
        metrics["counted"] = self.epochs

class Unseeded(Relaxation):
    """Draws from torch's own generator."""
    is_drawn = True
    def relax(self, alphas, mask):
        return mask.to(alphas.dtype) / mask.sum(dim=1, keepdim=True).clamp(min=1)
    def sample(self, alphas, mask, generator):
        return Sample((torch.rand(alphas.shape) + alphas.sigmoid()) * mask)

class Leaky(Relaxation):
    """Gives operations that an edge does not have a weight."""
    def relax(self, alphas, mask):
        return alphas.softmax(dim=1)

class Detached(Relaxation):
    """Has another gradient than its weights say."""
    def relax(self, alphas, mask):
        weights = alphas.masked_fill(~mask, -torch.inf).softmax(dim=1).nan_to_num(0.0)
        return weights.detach() + 2 * (weights - weights.detach())

class Fading(Relaxation):
    """Shrinks all α after each step, also those of decided edges."""
    adjusts_alphas = True
    def relax(self, alphas, mask):
        return alphas.masked_fill(~mask, -torch.inf).softmax(dim=1).nan_to_num(0.0)
    def adjust_alphas(self, step):
        for alphas in step.alphas.values():
            alphas.mul_(0.9)

class Restless(Selection):
    """Prunes an edge whenever it is asked."""
    def genotype(self):
        self.search.choices.prune("normal", len(self.search.choices.open("normal")) - 1)
        return select_by_magnitude(self.search.space, self.search.expected_weights())

class Meddling(Probe):
    """Decides an edge that it should only look at."""
    def after_epoch(self, search):
        if search.choices.open("normal"):
            search.decide("normal", search.choices.open("normal")[0], 1)
        return {}

class Random(Probe):
    """Samples from torch's own generator."""
    def after_epoch(self, search):
        return {"chance": torch.rand(()).item()}

class Counter:
    """A learner that counts; it does not save the sum."""
    def __init__(self, epochs):
        self.epochs, self.epoch, self.sum = epochs, 0, 0.0
    @property
    def done(self):
        return self.epoch >= self.epochs
    def run_epoch(self, on_step=None):
        self.epoch += 1
        self.sum += self.epoch
        return {"epoch": self.epoch, "sum": self.sum}
    def result(self):
        return None
    def remarks(self):
        return {}
    def artifacts(self):
        return {}
    def save(self, folder):
        save_state(folder, {"epoch": self.epoch}, name="counter.pt")
    def load(self, folder):
        self.epoch = load_state(folder, name="counter.pt")["epoch"]

class Forgetful(Task):
    """Loses what it has counted."""
    name = "forgetful"
    section = "schedule"
    finds_genotypes = False
    def epochs(self, trial):
        return 3
    def build(self, trial, inputs, together=None):
        return Counter(3)

class Short(Forgetful):
    """Ends an epoch early, without a reason."""
    def build(self, trial, inputs, together=None):
        return Counter(2)

class OneGenerator(Strategy):
    """Keeps the generator of all strategies of a process."""
    generator = Generator(0)
    def propose(self):
        return self.new(self.sample_new(self.generator), self.config.levels[-1])

class Impatient(Strategy):
    """Says that its requests do not depend on the order of results, but mutates the best."""
    order_free = True
    def propose(self):
        rng, known = self.rng(f"candidate {len(self.standings)}"), self.ranking()
        found = self.mutate_new(known[0].genotype, rng) if known else None
        found = self.sample_new(rng) if found is None else found
        return None if found is None else self.new(found, self.config.levels[-1])

class Polled(Strategy):
    """Waits for a result the first time that it is asked, not the second."""
    asked = 0
    def propose(self):
        self.asked += 1
        if self.pending and self.asked % 2:
            return None
        found = self.sample_new(self.rng(f"candidate {len(self.standings)}"))
        return None if found is None else self.new(found, self.config.levels[-1])

class Overrated(Strategy):
    """Ranks by accuracy alone."""
    def propose(self):
        if self.standings and self.standings[0].epochs == self.standings[0].trained == 1:
            return self.promotion(self.standings[0], 4)
        found = self.sample_new(self.rng(f"candidate {len(self.standings)}"))
        return None if found is None else self.new(found, 1)
    def ranking(self):
        known = [each for each in self.standings if each.accuracies]
        return sorted(known, key=lambda each: -each.accuracy)

class Spendthrift(Strategy):
    """Counts an epoch less than it asks for."""
    def propose(self):
        found = self.sample_new(self.rng(f"candidate {len(self.standings)}"))
        return None if found is None else self.new(found, self.config.levels[-1])
    def ask(self):
        request = super().ask()
        self.spent -= request is not None
        return request
'''


@pytest.fixture(autouse=True)
def _broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_parts.py").write_text(BROKEN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)


def test_a_rule_that_forgets(tmp_path: Path) -> None:
    class Contract(RuleContract):
        rule = "broken_parts:Forgets"

    Contract().test_the_same_seed_gives_the_same_search()
    with pytest.raises(AssertionError, match="counted"):
        Contract().test_it_resumes_bit_for_bit(tmp_path)


def test_a_relaxation_that_draws_from_elsewhere() -> None:
    class Contract(RelaxationContract):
        kind = "broken_parts:Unseeded"

    with pytest.raises(AssertionError):
        Contract().test_the_same_seed_gives_the_same_search()
    with pytest.raises(AssertionError, match="torch's own generator"):
        Contract().test_a_seed_decides_what_a_pass_samples()


def test_a_relaxation_that_weighs_what_is_not_there() -> None:
    class Contract(RelaxationContract):
        kind = "broken_parts:Leaky"

    with pytest.raises(AssertionError, match="an absent operation has a weight"):
        Contract().test_operations_that_an_edge_does_not_have_weigh_nothing()


def test_a_relaxation_with_another_gradient() -> None:
    class Contract(RelaxationContract):
        kind = "broken_parts:Detached"

    Contract().test_operations_that_an_edge_does_not_have_weigh_nothing()
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        Contract().test_the_gradient_is_that_of_the_weights()


def test_a_relaxation_that_adjusts_decided_edges() -> None:
    class Contract(RelaxationContract):
        kind = "broken_parts:Fading"

    Contract().test_decided_edges_weigh_one_and_pruned_edges_nothing()
    with pytest.raises(AssertionError, match="α of a closed edge changed"):
        Contract().test_adjustments_leave_decided_and_pruned_edges()


def test_a_selection_that_changes_the_search() -> None:
    class Contract(SelectionContract):
        kind = "broken_parts:Restless"

    with pytest.raises(AssertionError):
        Contract().test_asking_for_the_genotype_changes_nothing()


def test_a_probe_that_changes_the_search() -> None:
    class Contract(ProbeContract):
        probe = "broken_parts:Meddling"

    with pytest.raises(AssertionError, match=r"state\.decisions"):
        Contract().test_the_search_is_the_same_without_it()


def test_a_probe_that_draws_from_elsewhere() -> None:
    class Contract(ProbeContract):
        probe = "broken_parts:Random"

    with pytest.raises(AssertionError, match="torch's own generator"):
        Contract().test_the_search_is_the_same_without_it()


def test_a_task_that_forgets(tmp_path: Path) -> None:
    class Contract(TaskContract):
        task = "broken_parts:Forgetful"

    Contract().test_its_length_is_known_beforehand()
    with pytest.raises(AssertionError, match=r"resumed after 1, not the same: state\.sum"):
        Contract().test_it_resumes_bit_for_bit(tmp_path)


def test_a_task_of_another_length() -> None:
    class Contract(TaskContract):
        task = "broken_parts:Short"

    with pytest.raises(AssertionError, match="ends early without a reason"):
        Contract().test_its_length_is_known_beforehand()


def test_a_data_set_whose_images_come_in_an_order_of_their_own() -> None:
    class Contract(DataSetContract):
        name = "digits"

        def open_part(self, part: object) -> Source:
            source = super().open_part(part)  # type: ignore[arg-type]
            read = source.read

            def sorted_read(indices: torch.Tensor) -> torch.Tensor:
                return read(indices.sort().values)

            return Source(source.labels, source.n_classes, sorted_read)

    with pytest.raises(AssertionError):
        Contract().test_images_come_in_the_order_that_is_asked_for()


def test_differences_name_the_place() -> None:
    one = {"a": torch.zeros(2), "b": [1, {"c": float("nan")}], "seconds": 1.0}
    other = {"a": torch.zeros(2), "b": [1, {"c": float("nan")}], "seconds": 2.0}
    assert differences(one, other) == []  # how long an epoch took is no result
    other["a"] = torch.tensor([0.0, 1.0])
    other["b"] = [1, {"c": 0.0}]
    assert differences(one, other) == ["state.a", "state.b[1].c"]


def test_a_strategy_that_keeps_a_generator() -> None:
    class Contract(StrategyContract):
        kind = "broken_parts:OneGenerator"

    with pytest.raises(AssertionError):
        Contract().test_the_same_seed_gives_the_same_search()
    with pytest.raises(AssertionError, match="resumed after call 0, not the same"):
        Contract().test_it_resumes_after_any_call(workers=1)


def test_a_strategy_that_depends_on_the_order_and_does_not_say_so() -> None:
    class Contract(StrategyContract):
        kind = "broken_parts:Impatient"

    Contract().test_it_ends_with_any_number_of_workers(1)
    with pytest.raises(AssertionError, match="it depends on the order"):
        Contract().test_it_ends_with_any_number_of_workers(3)


def test_a_strategy_that_answers_the_second_time() -> None:
    class Contract(StrategyContract):
        kind = "broken_parts:Polled"

    with pytest.raises(AssertionError, match="asked twice without a result"):
        Contract().test_it_ends_with_any_number_of_workers(3)


def test_a_strategy_that_ranks_short_trainings_first() -> None:
    class Contract(StrategyContract):
        kind = "broken_parts:Overrated"

    with pytest.raises(AssertionError):
        Contract().test_the_ranking_is_sorted()


def test_a_strategy_that_exceeds_the_budget() -> None:
    class Contract(StrategyContract):
        kind = "broken_parts:Spendthrift"

    with pytest.raises(AssertionError):
        Contract().test_the_budget_is_kept("continue")
