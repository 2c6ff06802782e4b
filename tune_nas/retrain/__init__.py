"""Training a genotype from scratch, on all training images, with test accuracies."""

from tune_nas.retrain.retrain import STATE_FILE, Retrain

__all__ = ["STATE_FILE", "Retrain"]
