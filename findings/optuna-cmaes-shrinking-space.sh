#!/usr/bin/env bash
# Optuna 5.0.0 (also 4.9.0), cmaes 0.13.1, Python 3.11, NumPy 2.4.6.
#
# CmaEsSampler samples every parameter at random for the rest of a study if a parameter that all
# early trials have is missing in a later one. The optimizer, saved in the early trials, has a
# dimension more than the common search space from then on. It is restored for every further trial,
# found to differ, and discarded; a new one is never begun. The warning about the dynamic search
# space is logged by default, but not with warn_independent_sampling=False, which the documentation
# describes as silencing only parameters that are sampled independently.
#
# Expected: CMA-ES continues with the parameters that all trials have, as it does if the parameter
# is missing from the start. Seen (5.0.0), mean value of trials 100 to 199 of f(a, b), minimum 0:
#   c never:             1.2e-05, sampled by CMA-ES: 199 of 200
#   c in trials 0 to 7:  2.4e-01, sampled by CMA-ES: 8 of 200
#
# Exits non-zero if that is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
  optuna==5.0.0 cmaes==0.13.1 numpy==2.4.6
cat > "$folder/shrinking.py" <<'PYTHON'
import warnings

import optuna

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def run(with_c):
    """Return the mean of the later half of 200 values, and how many trials CMA-ES sampled."""

    def objective(trial):
        a, b = trial.suggest_float("a", 0, 1), trial.suggest_float("b", 0, 1)
        if trial.number < with_c:
            trial.suggest_float("c", 0, 1)
        return (a - 0.3) ** 2 + (b - 0.3) ** 2

    sampler = optuna.samplers.CmaEsSampler(seed=0, popsize=4, warn_independent_sampling=False)
    study = optuna.create_study(sampler=sampler)
    study.optimize(objective, n_trials=200)
    later = [trial.value for trial in study.trials[100:]]
    sampled = sum("cma:generation" in trial.system_attrs for trial in study.trials)
    return sum(later) / len(later), sampled


never, some = run(0), run(8)
print(f"c never:             {never[0]:.1e}, sampled by CMA-ES: {never[1]} of 200")
print(f"c in trials 0 to 7:  {some[0]:.1e}, sampled by CMA-ES: {some[1]} of 200")
raise SystemExit(not (never[0] < 1e-3 and some[0] > 0.05 and some[1] < 20))
PYTHON
"$folder/venv/bin/python" "$folder/shrinking.py"
