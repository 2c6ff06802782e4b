#!/usr/bin/env bash
# Optuna 5.0.0 (also 4.9.0), cmaes 0.13.1, Python 3.11, NumPy 2.4.6.
#
# CmaEsSampler(with_margin=True) learns from a point that was not evaluated. It saves the point that
# it has sampled (x_for_tell). If some parameters of a trial are enqueued, the trial runs with the
# enqueued values, but the saved point is told to the optimizer together with the trial's value.
# Without with_margin, the parameters of the trial are told.
#
# Expected: the x that is told is that of the trial. Seen (5.0.0), for a trial with x = 1 enqueued:
#   evaluated: [1.0, 0.7914653467823916]
#   told:      [0.46345193450152555, 0.7914653467823916]
#
# Exits non-zero if that is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  optuna==5.0.0 cmaes==0.13.1 numpy==2.4.6
cat > "$folder/margin.py" <<'PYTHON'
import warnings

import cmaes
import optuna

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)
told, tell = {}, cmaes.CMAwM.tell


def noting(self, solutions):
    told.update((value, x.tolist()) for x, value in solutions)
    return tell(self, solutions)


cmaes.CMAwM.tell = noting


def objective(trial):
    return trial.suggest_float("x", 0, 1) + 10 * trial.suggest_float("y", 0, 1)


sampler = optuna.samplers.CmaEsSampler(seed=0, popsize=4, with_margin=True)
study = optuna.create_study(sampler=sampler)
study.optimize(objective, n_trials=1)
study.enqueue_trial({"x": 1.0})
study.optimize(objective, n_trials=6)
trial = study.trials[1]
evaluated = [trial.params["x"], trial.params["y"]]
print(f"evaluated: {evaluated}")
print(f"told:      {told[trial.value]}")
raise SystemExit(not (evaluated[0] == 1.0 and told[trial.value][0] < 0.9))
PYTHON
"$folder/venv/bin/python" "$folder/margin.py"
