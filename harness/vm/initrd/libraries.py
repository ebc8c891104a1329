"""Finds the shared libraries of programs as the dynamic linker of this machine does."""

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

from harness.errors import InfraError, SetupError

ASK = 60.0
"""Seconds that ldd may take."""


def closure(programs: Iterable[Path]) -> tuple[Path, ...]:
    """Every library that the programs and shared objects need, the dynamic linker itself included, sorted.

    Raises SetupError naming a library that is missing.
    """
    paths = [str(path) for path in programs]
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    environment.pop("LD_PRELOAD", None)
    try:
        done = subprocess.run(["ldd", *paths], capture_output=True, text=True, timeout=ASK, env=environment)
    except FileNotFoundError:
        raise SetupError("ldd is missing: sudo apt-get install libc-bin") from None
    except subprocess.TimeoutExpired as error:
        raise InfraError(f"ldd does not end within {ASK:g} s") from error
    # The exit status is 1 as soon as one file is linked statically, which is no failure.
    lost = re.search(r"^\s*(\S+) => not found", done.stdout, re.MULTILINE)
    if lost:
        raise SetupError(f"library {lost[1]}, needed by one of {', '.join(paths)}, is missing: install its package")
    found = re.findall(r"^\s+(?:\S+ => )?(/\S+) \(0x[0-9a-f]+\)$", done.stdout, re.MULTILINE)
    return tuple(sorted(Path(name) for name in set(found)))


def aliases(libraries: Iterable[Path]) -> dict[str, str]:
    """Links (path -> target) that let the guest's linker find every library without a copy of ld.so.cache.

    The directory of the C library is one that the linker always searches; a library elsewhere may be known to this
    machine only through /etc/ld.so.conf.
    """
    known = list(libraries)
    standard = next((path.parent for path in known if path.name.startswith("libc.so")), None)
    if standard is None:
        return {}
    away = (path for path in known if path.parent != standard and not path.name.startswith("ld-"))
    return {str(standard / path.name): str(path) for path in away}
