"""The shipped trials that search with a supernet; those with a ``strategy`` train candidates."""

from tune_nas.library import load_trial
from tune_nas.shipped import shipped_names

SUPERNET_TRIALS = [name for name in shipped_names("trial") if load_trial(name).strategy is None]
STRATEGY_TRIALS = [name for name in shipped_names("trial") if name not in SUPERNET_TRIALS]
