#!/usr/bin/env bash
# torch 2.13.0, CPU: batch normalization in training is an order of magnitude less exact in channels_last.
# The same float32 values, against the same function in float64: the largest error of F.batch_norm is more than
# 5 times that of the contiguous layout, from centered values to means of 1,000 standard deviations. Outputs and
# losses of a network thus change in the fourth digit with the memory format, which is documented as a matter of
# speed.
# Seen on an x86 processor with AVX-512 (largest errors, contiguous and channels_last):
#   mean 0: 3.6e-07 4.6e-06
#   mean 10: 8.9e-07 3.3e-05
#   mean 1000: 4.3e-05 2.1e-03
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import torch

torch.set_num_threads(1)
torch.manual_seed(0)


def error(x, layout):
    x = x.contiguous(memory_format=layout)
    norm = torch.nn.functional.batch_norm
    return float((norm(x, None, None, training=True).double() - norm(x.double(), None, None, training=True)).abs().max())


for mean in (0, 10, 1000):
    x = torch.randn(8, 16, 32, 32) + mean
    plain, last = error(x, torch.contiguous_format), error(x, torch.channels_last)
    print(f"mean {mean}: {plain:.1e} {last:.1e}")
    assert last > 5 * plain, (mean, plain, last)
PYTHON
