"""The custom encoder and loss of examples/ work, and docs/rank-nosh.md shows them as they are."""

from __future__ import annotations

import inspect
import math
import random
from pathlib import Path

import pytest
import torch

from tune_nas.config.strategy_config import PredictorConfig
from tune_nas.predictor import Encoder, Observation, Predictor, PredictorLoss
from tune_nas.spaces import Genotype, load_space
from tune_nas.spaces.architectures import Architectures
from tune_nas.user_code import load_class

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "rank-nosh.md").read_text(encoding="utf-8")
ENCODER, LOSS = "own_predictor:OperationCounts", "own_predictor:NextBest"


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")


def test_the_encoder_counts_operations() -> None:
    space = load_space("nasbench201")
    encoder = load_class("strategy.predictor.encoder", ENCODER, Encoder)(space, PredictorConfig())
    text = "|none~0|+|none~0|skip_connect~1|+|nor_conv_3x3~0|none~1|nor_conv_3x3~2|"
    counts = encoder.encode([Genotype.parse(text, space=space.name)])
    # avg_pool_3x3, none, nor_conv_1x1, nor_conv_3x3, skip_connect
    assert counts.tolist() == [[0, 3, 0, 2, 1]]
    assert encoder(counts).shape == (1,)


def test_the_loss_compares_neighbors_of_the_ranking() -> None:
    genotype = Genotype("any", {})
    pool = [Observation(genotype, *each) for each in ((2, 0.4), (1, 0.9), (1, 0.5))]
    loss = load_class("strategy.predictor.loss", LOSS, PredictorLoss)(pool)
    found = loss(torch.tensor([0.3, -0.2, 1.1], dtype=torch.float64)).item()
    # 0 wins against 1 by 0.5, and 1 against 2 by -1.3
    margins = (0.5, -1.3)
    expected = sum(math.log1p(math.exp(-each)) for each in margins) / 2
    assert found == pytest.approx(expected, rel=1e-12)


def test_a_predictor_of_both_learns_the_number_of_convolutions() -> None:
    space = load_space("nasbench201")
    config = PredictorConfig(encoder=ENCODER, loss=LOSS, learning_rate=0.1)
    genotypes = [Architectures(space).sample(random.Random(seed)) for seed in range(40)]
    truth = [str(each).count("nor_conv") for each in genotypes]
    pool = [Observation(g, 1, float(n)) for g, n in zip(genotypes, truth, strict=True)]
    predictor = Predictor(space, config, seed=0)
    predictor.fit(pool[:20])
    ranking = [truth[20:][row] for row in predictor.rank(genotypes[20:])]
    assert ranking == sorted(ranking, reverse=True) and len(set(ranking)) > 2


@pytest.mark.parametrize(
    ("key", "reference", "base"),
    [
        ("strategy.predictor.encoder", ENCODER, Encoder),
        ("strategy.predictor.loss", LOSS, PredictorLoss),
    ],
)
def test_the_page_shows_the_example(key: str, reference: str, base: type) -> None:
    assert inspect.getsource(load_class(key, reference, base)).strip() in PAGE
