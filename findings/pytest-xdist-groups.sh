#!/usr/bin/env bash
# pytest 9.2.0 with pytest-xdist 3.8.0: marks of xdist_group have no effect, in silence.
# With -n 2 --dist loadgroup, tests of one group run in both processes at once. xdist appends the group to the
# attribute _nodeid of a test, from which pytest 9.2 no longer takes its id; "scheduling tests via
# LoadGroupScheduling" is printed nevertheless. With pytest 9.0.0, one process runs the group.
# Seen:
#   pytest 9.2.0: 2 processes for a group of 20 tests
#   pytest 9.0.0: 1 process for a group of 20 tests
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
cd "$folder"
cat > test_group.py <<'PYTHON'
import os
import time
from pathlib import Path

import pytest


@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("number", range(20))
def test_of_the_group(number):
    time.sleep(0.05)
    Path("processes", str(os.getpid())).touch()
PYTHON
processes() {
  "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "pytest==$1" pytest-xdist==3.8.0
  rm -rf processes && mkdir processes
  "$folder/venv/bin/python" -m pytest -q -n 2 --dist loadgroup test_group.py > log.txt
  grep -q "20 passed" log.txt
  find processes -type f | wc -l
}
new=$(processes 9.2.0)
old=$(processes 9.0.0)
echo "pytest 9.2.0: $new processes for a group of 20 tests"
echo "pytest 9.0.0: $old process for a group of 20 tests"
test "$new" -eq 2 && test "$old" -eq 1
