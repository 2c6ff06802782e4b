#!/usr/bin/env bash
# torch 2.13.0: an exponential moving average that includes buffers never advances the counters of batch norm.
# torch.optim.swa_utils.AveragedModel(..., get_ema_multi_avg_fn(0.999), use_buffers=True) averages integer buffers
# too and rounds toward zero: num_batches_tracked of the average stays at the value of its first update, in silence.
# With use_buffers=False, the running statistics are copied from the live model instead and do not match the
# averaged weights.
# Seen (1,000 updates):
#   use_buffers=True:  batches 1000 live, 1 averaged
#   use_buffers=False: running mean is that of the live model: True; weights are: False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn


def average(use_buffers):
    torch.manual_seed(0)
    live = torch.nn.BatchNorm1d(1)
    optimizer = torch.optim.SGD(live.parameters(), lr=0.1)
    averaged = AveragedModel(live, multi_avg_fn=get_ema_multi_avg_fn(0.999), use_buffers=use_buffers)
    for _ in range(1000):
        optimizer.zero_grad()
        (live(torch.randn(8, 1)) - 3).square().mean().backward()
        optimizer.step()
        averaged.update_parameters(live)
    return live, averaged.module


live, averaged = average(use_buffers=True)
batches = int(live.num_batches_tracked), int(averaged.num_batches_tracked)
print(f"use_buffers=True:  batches {batches[0]} live, {batches[1]} averaged")
live, averaged = average(use_buffers=False)
mean = torch.equal(live.running_mean, averaged.running_mean)
weights = torch.equal(live.bias, averaged.bias)
print(f"use_buffers=False: running mean is that of the live model: {mean}; weights are: {weights}")
assert (*batches, mean, weights) == (1000, 1, True, False)
PYTHON
