"""Makes the index of a kernel's modules that modprobe reads, with depmod(8): kernel packages ship none."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from harness import trimming
from harness.errors import InfraError, SetupError
from harness.kernel import tree
from harness.kernel.kernel import Kernel

AREA = "module-index"
DEPMOD = 120.0
"""Seconds that depmod may take; it takes one."""
_SYSTEM_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


def ensure(kernel: Kernel) -> Path | None:
    """Return a directory with the files that belong beside `kernel` in /lib/modules/RELEASE; None if it has no modules.

    Raises SetupError without depmod, InfraError when it fails.
    """
    modules = kernel.modules
    if modules is None:
        return None
    return trimming.directory(AREA, kernel.digest, lambda room: _make(modules, kernel.release, room))


def _make(modules: Path, release: str, room: Path) -> None:
    depmod = shutil.which("depmod") or shutil.which("depmod", path=_SYSTEM_PATH)
    if depmod is None:
        raise SetupError("depmod is missing: sudo apt-get install kmod")
    with tempfile.TemporaryDirectory(dir=room) as base:
        place = Path(base, "lib", "modules", release)
        place.mkdir(parents=True)
        (place / "kernel").symlink_to(modules / "kernel")
        for name in tree.LISTS:
            if (modules / name).is_file():
                shutil.copyfile(modules / name, place / name)
        try:
            done = subprocess.run(
                [depmod, "-b", base, release], stdin=subprocess.DEVNULL, capture_output=True, timeout=DEPMOD
            )
        except subprocess.TimeoutExpired as error:
            raise InfraError(f"{depmod} does not end within {DEPMOD:g} s") from error
        if done.returncode:
            raise InfraError(f"{depmod} failed: {done.stderr.decode(errors='replace').strip()[:300]}")
        for path in place.glob("modules.*"):
            path.rename(room / path.name)
