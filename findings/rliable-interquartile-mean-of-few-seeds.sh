#!/usr/bin/env bash
# rliable 1.2.0 (scipy 1.17.1): the interquartile mean of up to three runs of one task is their plain mean.
#
# aggregate_iqm is meant to be robust to outliers with few runs. It discards floor(0.25 × n) scores on each side instead
# of a quarter of them (scipy.stats.trim_mean; no score is kept in part), where n = runs × tasks. With one task, nothing
# is discarded for 3 seeds, and 7 seeds keep 5 of 7 scores. A collapsed search then counts in full, without a warning,
# under a name that says otherwise, and the statistic changes its meaning between 3 and 4, or 7 and 8 seeds.
#
# Expected for the scores 94, 93 and 10, by the middle half of the sorted scores (weights 1/4, 1, 1/4): 79.33. Seen:
#   3 seeds: 65.67, their mean 65.67; the middle half 79.33
#   4 seeds: 93.00, their mean 72.75; the middle half 93.00
#   7 seeds: 93.20, their mean 81.29; the middle half 93.07
#
# Exits non-zero if that is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  'rliable==1.2.0' 'arch==7.2.0' 'scipy==1.17.1' 'pandas<3'
cd "$folder"
cat > seen.py <<'PYTHON'
import numpy as np
from rliable import metrics


def middle_half(scores):
    """Mean of the scores between the quartiles; a score at a quartile counts in part."""
    weights, cut = np.ones(len(scores)), len(scores) / 4
    for place in range(len(scores)):
        inside = min(place + 1, len(scores) - cut) - max(place, cut)
        weights[place] = max(0.0, inside)
    return float((np.sort(scores) * weights).sum() / weights.sum())


seen = []
for scores in ([94, 93, 10], [94, 93, 93, 11], [94, 93, 93, 93, 93, 94, 9]):
    runs = np.array(scores, dtype=float)[:, None]  # (runs, tasks)
    own, mean = metrics.aggregate_iqm(runs), runs.mean()
    line = f"{len(scores)} seeds: {own:.2f}, their mean {mean:.2f}; the middle half "
    seen.append(line + f"{middle_half(runs[:, 0]):.2f}")
print(*seen, sep="\n")
PYTHON
venv/bin/python seen.py | tee seen.txt
diff seen.txt - <<'SEEN'
3 seeds: 65.67, their mean 65.67; the middle half 79.33
4 seeds: 93.00, their mean 72.75; the middle half 93.00
7 seeds: 93.20, their mean 81.29; the middle half 93.07
SEEN
