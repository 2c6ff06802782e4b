#!/usr/bin/env bash
# Optuna 5.0.0 (also 4.9.0 with multivariate, group and constant_liar set), Python 3.11, NumPy 2.4.6.
#
# A conditional parameter is counted in running trials that do not have it. With group=True, TPE
# samples all known parameters of a trial when it is asked for, and keeps them in the trial's system
# attributes. If the trial then takes a branch without one of them, constant_liar still counts the
# value as one that is being tried. Ten workers that run kind=plain, which has no x, thus decide
# which x the eleventh gets: two studies whose trials have equal parameters, states and values
# sample different ones, in 60 of 60 cases.
#
# Expected: only parameters that a trial has (`FrozenTrial.params`) count. Seen (5.0.0):
#   running trials, as a study shows them: [{'kind': 'plain'}] x 10, equal in both studies: True
#   what the sampler counts for the first: {"kind": "plain", "x": 0.9748798779874202}
#   x of the next trial differs in 60 of 60 cases; first: 0.320276 and 0.027025
#
# Exits non-zero if that is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check optuna==5.0.0 numpy==2.4.6
cat > "$folder/liar.py" <<'PYTHON'
import warnings

import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution
from optuna.trial import TrialState, create_trial

warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
optuna.logging.set_verbosity(optuna.logging.ERROR)
KIND, X = CategoricalDistribution(["plain", "tuned"]), FloatDistribution(0, 1)


def finished():
    """Return a study of 20 finished trials: half of them plain, half tuned, which has x."""
    study = optuna.create_study(direction="maximize")
    for i in range(20):
        params = {"kind": "tuned", "x": (i * 7 % 20) / 20} if i % 2 else {"kind": "plain"}
        space = {key: {"kind": KIND, "x": X}[key] for key in params}
        value = -abs(params.get("x", 0.5) - 0.5)
        study.add_trial(create_trial(params=params, distributions=space, value=value))
    return study


def sampler(seed):
    return optuna.samplers.TPESampler(
        seed=seed, multivariate=True, group=True, constant_liar=True
    )


def next_x(study):
    study.sampler = sampler(9999)
    return study.ask({"kind": KIND, "x": X}).params["x"]


different, first = 0, None
for case in range(60):
    asked, added = finished(), finished()
    for worker in range(10):
        asked.sampler = sampler(100 * case + worker)
        trial = asked.ask()
        if trial.suggest_categorical("kind", ["plain", "tuned"]) == "tuned":
            asked.tell(trial, state=TrialState.FAIL)
    running = asked.get_trials(states=[TrialState.RUNNING])
    for trial in running:
        added.add_trial(
            create_trial(
                state=TrialState.RUNNING, params=trial.params, distributions=trial.distributions
            )
        )
    same = [t.params for t in running] == [
        t.params for t in added.get_trials(states=[TrialState.RUNNING])
    ]
    assert same and all("x" not in trial.params for trial in running)
    pair = next_x(asked), next_x(added)
    different += pair[0] != pair[1]
    if first is None:
        first = pair
        shown = [trial.params for trial in running[:1]]
        print(f"running trials, as a study shows them: {shown} x {len(running)}, "
              f"equal in both studies: {same}")
        counted = running[0].system_attrs["tpe:relative_params:0"]
        print(f"what the sampler counts for the first: {counted}")
print(f"x of the next trial differs in {different} of 60 cases; "
      f"first: {first[0]:.6f} and {first[1]:.6f}")
raise SystemExit(different != 60)
PYTHON
"$folder/venv/bin/python" "$folder/liar.py"
