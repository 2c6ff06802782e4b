#!/usr/bin/env bash
# rliable 1.2.0, arch 7.2.0, pandas 3.0.0 and later: a fresh `pip install rliable` succeeds, and cannot be imported.
#
# rliable requires arch < 8, and the last such release, arch 7.2.0, has no upper bound for pandas. It decorates methods
# with a private function of pandas (deprecate_kwarg), which takes one more argument since pandas 3. rliable uses arch
# only for its bootstrap, but importing arch runs the decorators of all its modules. pip reports no conflict, and
# `pip check` finds none; `rliable.metrics` alone can be imported. With pandas < 3, everything works.
#
# Expected: import rliable.library. Seen:
#   pip check: No broken requirements found.
#   import rliable.metrics: works
#   import rliable.library: TypeError: deprecate_kwarg() missing 1 required positional argument: 'new_arg_name'
#
# Exits non-zero if that is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'rliable==1.2.0' 'pandas>=3,<3.2'
cd "$folder"
{
  echo "pip check: $(venv/bin/python -m pip --disable-pip-version-check check)"
  for module in metrics library; do
    if output=$(venv/bin/python -c "import rliable.$module" 2>&1); then output=works; fi
    echo "import rliable.$module: $(tail -n 1 <<< "$output")"
  done
} | tee seen.txt
diff seen.txt - <<'SEEN'
pip check: No broken requirements found.
import rliable.metrics: works
import rliable.library: TypeError: deprecate_kwarg() missing 1 required positional argument: 'new_arg_name'
SEEN
