"""Dividing images: disjoint, complete, exact, stratified, repeatable."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tune_nas.data import stratified


@given(
    labels=st.lists(st.integers(0, 4), max_size=60),
    portion=st.floats(0, 1),
    seed=st.integers(0, 1000),
)
def test_parts_are_disjoint_complete_exact_and_stratified(
    labels: list[int], portion: float, seed: int
) -> None:
    classes = torch.tensor(labels, dtype=torch.int64)
    n, n_first = len(labels), round(portion * len(labels))
    first, rest = stratified(classes, n_first, torch.Generator().manual_seed(seed))
    assert first.shape == (n_first,)
    assert sorted(first.tolist() + rest.tolist()) == list(range(n))
    for label in set(labels):
        exact = labels.count(label) * n_first / n
        assert abs(int((classes[first] == label).sum()) - exact) < 1


def test_the_seed_decides_the_draw() -> None:
    labels = torch.arange(200) % 10
    draws = [stratified(labels, 50, torch.Generator().manual_seed(seed))[0] for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_every_image_is_as_likely_to_be_first() -> None:
    labels = torch.tensor([0] * 6 + [1] * 6)
    generator = torch.Generator().manual_seed(0)
    counts = torch.zeros(12)
    for _ in range(4000):
        counts[stratified(labels, 4, generator)[0]] += 1
    # Probability 1/3 each; six standard deviations of the share.
    assert torch.allclose(counts / 4000, torch.tensor(1 / 3), rtol=0, atol=0.045)


@pytest.mark.parametrize("n_first", [-1, 6])
def test_an_impossible_size_is_refused(n_first: int) -> None:
    with pytest.raises(ValueError, match=rf"n_first is {n_first}, but must be in \[0, 5\]"):
        stratified(torch.zeros(5, dtype=torch.int64), n_first, torch.Generator())
