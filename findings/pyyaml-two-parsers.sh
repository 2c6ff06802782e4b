#!/usr/bin/env bash
# pyyaml 6.0.4: SafeLoader (Python) and CSafeLoader (libyaml), described as the same loader with another speed, read
# some valid documents differently. A tab between a value and its comment, or after the comma of a list, is a
# ScannerError of the first only, although YAML 1.1 and 1.2 allow tabs as separation. The tag `!` without a value is None for
# the first and '' for the second. A program that takes the fast loader where it is installed therefore accepts files on one
# machine that it rejects on another, and reads one value differently without any error.
# Seen (SafeLoader, CSafeLoader):
#   'rate: 0.1\t# of w'       ScannerError          {'rate': 0.1}
#   'sizes: [1,\t2]'          ScannerError          {'sizes': [1, 2]}
#   'name: !  # none yet'     {'name': None}        {'name': ''}
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check 'pyyaml==6.0.4'
cd "$folder"
cat > run.py <<'PYTHON'
import sys

import yaml


def read(text, loader):
    try:
        return str(yaml.load(text, Loader=loader))
    except yaml.YAMLError as error:
        return type(error).__name__


seen = []
for text in ("rate: 0.1\t# of w", "sizes: [1,\t2]", "name: !  # none yet"):
    seen.append((read(text, yaml.SafeLoader), read(text, yaml.CSafeLoader)))
    print(repr(text), *seen[-1])
expected = [
    ("ScannerError", "{'rate': 0.1}"),
    ("ScannerError", "{'sizes': [1, 2]}"),
    ("{'name': None}", "{'name': ''}"),
]
sys.exit(seen != expected)
PYTHON
"$folder/venv/bin/python" run.py
