#!/usr/bin/env bash
# threadpoolctl 3.6.0, Python 3.11, Linux.
#
# `import threadpoolctl` sets the environment variable KMP_DUPLICATE_LIB_OK of the process, which
# allows several copies of an OpenMP runtime, and child processes inherit it. Nothing else of the
# module has been called. Code that compares os.environ before and after its own work, or that passes
# it on to reproducible child processes, sees a variable that nobody set.
#
# Expected: an import leaves os.environ as it was. Seen:
#   KMP_DUPLICATE_LIB_OK before: None
#   KMP_DUPLICATE_LIB_OK after:  True
#
# Exits non-zero if that is no longer so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check threadpoolctl==3.6.0
env -u KMP_DUPLICATE_LIB_OK "$folder/venv/bin/python" - > "$folder/seen" <<'PYTHON'
import os

print("KMP_DUPLICATE_LIB_OK before:", os.environ.get("KMP_DUPLICATE_LIB_OK"))
import threadpoolctl  # noqa: E402, F401

print("KMP_DUPLICATE_LIB_OK after: ", os.environ.get("KMP_DUPLICATE_LIB_OK"))
PYTHON
cat "$folder/seen"
diff - "$folder/seen" <<'TEXT'
KMP_DUPLICATE_LIB_OK before: None
KMP_DUPLICATE_LIB_OK after:  True
TEXT
