"""Predictors of a genotype's rank, trained on the candidates of a search so far."""

from tune_nas.predictor.encoder import Encoder
from tune_nas.predictor.losses import PredictorLoss
from tune_nas.predictor.pool import Observation
from tune_nas.predictor.predictor import Predictor

__all__ = ["Encoder", "Observation", "Predictor", "PredictorLoss"]
