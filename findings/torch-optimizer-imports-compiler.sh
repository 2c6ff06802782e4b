#!/usr/bin/env bash
# torch 2.13.0 (CPU), Python 3.11.
#
# A process that trains eagerly and never calls torch.compile imports torch's compiler nevertheless:
# torch.use_deterministic_algorithms, or creating any optimizer, imports torch._dynamo and
# torch._inductor, hundreds of modules, sympy among them.
# The first wants to set one flag of the compiler, the second to mark methods not to be compiled.
#
# Expected: no module of the compiler. Seen (True means imported):
#   import torch:                                     torch._dynamo False, torch._inductor False
#   forward and backward pass:                        torch._dynamo False, torch._inductor False
#   torch.use_deterministic_algorithms(True):         torch._dynamo True, torch._inductor True
#   torch.optim.SGD(parameters, lr=0.1):              torch._dynamo True, torch._inductor True
#
# Exits non-zero if that is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check torch==2.13.0
cat > "$folder/imported.py" <<'PYTHON'
import sys

import torch

weights = torch.zeros(3, requires_grad=True)
what = sys.argv[1]
if what == "forward and backward pass":
    weights.square().sum().backward()
elif what.startswith("torch.use"):
    torch.use_deterministic_algorithms(True)
elif what.startswith("torch.optim"):
    torch.optim.SGD([weights], lr=0.1)
print(
    f"{what + ':':<49} torch._dynamo {'torch._dynamo' in sys.modules}, "
    f"torch._inductor {'torch._inductor.config' in sys.modules}"
)
PYTHON
for what in "import torch" "forward and backward pass" \
  "torch.use_deterministic_algorithms(True)" "torch.optim.SGD(parameters, lr=0.1)"; do
  "$folder/venv/bin/python" -W ignore "$folder/imported.py" "$what"
done | tee "$folder/seen"

cat > "$folder/expected" <<'TEXT'
import torch:                                     torch._dynamo False, torch._inductor False
forward and backward pass:                        torch._dynamo False, torch._inductor False
torch.use_deterministic_algorithms(True):         torch._dynamo True, torch._inductor True
torch.optim.SGD(parameters, lr=0.1):              torch._dynamo True, torch._inductor True
TEXT
diff "$folder/expected" "$folder/seen"
