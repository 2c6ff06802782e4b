#!/usr/bin/env bash
# openvino 2026.4.1, CPU: AveragePool with ceil_mode, padding and count_include_pad differs from ONNX's definition.
# Where a window reaches beyond the padding, OpenVINO divides by the whole kernel, 9, and not by the positions that
# exist with the padding, as onnx's reference and ONNX Runtime do: the last row and column are 2/3 of theirs, the
# corner is 4/9. The file is valid, and no warning is given. Precision is set to float32, so rounding is not the cause.
# Seen (kernel 3, stride 2, padding 1, ceil_mode 1, count_include_pad 1, 8 × 8 values):
#   onnxruntime against the reference: equal: True; openvino: False
#   openvino / reference in the last row: 0.667 0.667 0.667 0.667 0.444
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
  openvino==2026.4.1 onnx==1.23.2 onnxruntime==1.32.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import helper
from onnx.reference import ReferenceEvaluator

pool = helper.make_node(
    "AveragePool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1],
    ceil_mode=1, count_include_pad=1,
)
ends = [helper.make_tensor_value_info(n, 1, (1, 1, side, side)) for n, side in (("x", 8), ("y", 5))]
graph = helper.make_graph([pool], "g", ends[:1], ends[1:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)
onnx.checker.check_model(model)
onnx.save(model, "pool.onnx")
x = np.random.default_rng(0).random((1, 1, 8, 8), dtype=np.float32)
reference = ReferenceEvaluator(model).run(None, {"x": x})[0]
other = onnxruntime.InferenceSession("pool.onnx").run(None, {"x": x})[0]
exact = {"INFERENCE_PRECISION_HINT": "f32"}
found = openvino.Core().compile_model("pool.onnx", "CPU", exact)(x)[0]
same = [bool(np.allclose(each, reference, atol=1e-6)) for each in (other, found)]
print(f"onnxruntime against the reference: equal: {same[0]}; openvino: {same[1]}")
row = (found / reference)[0, 0, -1]
print("openvino / reference in the last row:", *(f"{value:.3f}" for value in row))
assert same == [True, False] and np.allclose(row, [2 / 3] * 4 + [4 / 9], atol=1e-3)
PYTHON
