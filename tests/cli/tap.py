# SPDX-License-Identifier: BSD-2-Clause
"""For the scripts here: cases that print TAP, and a folder that goes with the last one."""
import os
import shutil
import sys
import tempfile

number = failures = 0
top = tempfile.mkdtemp(prefix="skep-cli-")


def path(name):
    return os.path.join(top, name)


def case(name, *problems, skip=None):
    """problems: texts, or None for what is as it should be."""
    global number, failures
    number += 1
    problems = [p for p in problems if p]
    for p in problems:
        print("# " + p.replace("\n", "\n# "))
    failures += bool(problems)
    print(f"{'not ok' if problems else 'ok'} {number} {name}{' # SKIP ' + skip if skip else ''}", flush=True)


def expect(what, found, wanted):
    return None if found == wanted else f"{what} is {found!r}, expected {wanted!r}"


def finish():
    shutil.rmtree(top, ignore_errors=True)
    print(f"1..{number}")
    sys.exit(1 if failures else 0)
