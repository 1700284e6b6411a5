"""A user id for each learner in a container: in a shared exchange the owner of a folder says whose it is.

Where learners are no users of the machine, the hub gives each a number and writes them down for the grader
(`c.OwnedCollect.owners`). A number is never given twice.
"""

from __future__ import annotations

import json
from pathlib import Path

from kernelkit.files import replace

FIRST = 20_000


def uid_of(name: str, register: Path) -> int:
    """The learner's user id, entered in `register` on first use. Called by the hub only, one at a time."""
    names = json.loads(register.read_bytes()) if register.exists() else {}
    for uid, known in names.items():
        if known == name:
            return int(uid)
    uid = max([FIRST - 1, *map(int, names)]) + 1
    names[str(uid)] = name
    replace(register, json.dumps(names, indent=1).encode())
    return uid
