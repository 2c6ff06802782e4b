"""Black-box search by training: candidates of a strategy are trained, epoch by epoch.

A strategy (`tune_nas.strategies`) decides which candidates are trained and for how long; the
retraining loop (`tune_nas.retrain`) trains them, on the training half of the training images.
"""

from tune_nas.candidates.candidate_search import CandidateSearch
from tune_nas.candidates.candidate_trial import candidate_trial

__all__ = ["CandidateSearch", "candidate_trial"]
