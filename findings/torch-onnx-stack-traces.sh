#!/usr/bin/env bash
# torch 2.13.0 with onnx 1.23.2 and onnxscript 0.7.2: an exported ONNX file contains source paths of this machine.
# torch.onnx.export(..., dynamo=True, verbose=False).save(file) stores, in the metadata of every node, the Python stack
# by which the layer was called: absolute paths of the environment and lines of source, also if the caller asks for
# nothing of the kind.
# Seen: 2 of 2 nodes have pkg.torch.onnx.stack_trace; it names the folder of site-packages: True
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  torch==2.13.0 numpy==2.4.0 onnx==1.23.2 onnxscript==0.7.2
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import logging
import sysconfig

import onnx
import torch

logging.getLogger("torch.onnx").setLevel(logging.ERROR)
network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3), torch.nn.ReLU()).eval()
program = torch.onnx.export(network, (torch.rand(2, 1, 8, 8),), dynamo=True, verbose=False)
program.save("network.onnx")
nodes = onnx.load("network.onnx").graph.node
traces = [
    entry.value
    for node in nodes
    for entry in node.metadata_props
    if entry.key == "pkg.torch.onnx.stack_trace"
]
local = any(sysconfig.get_path("purelib") in trace for trace in traces)
print(
    f"{len(traces)} of {len(nodes)} nodes have pkg.torch.onnx.stack_trace; "
    f"it names the folder of site-packages: {local}"
)
assert len(traces) == len(nodes) == 2 and local
PYTHON
