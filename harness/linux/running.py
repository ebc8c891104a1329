"""The kernel that runs this process: its release, and a digest that tells two builds of one release apart."""

import contextlib
import hashlib
import os
from pathlib import Path


def release() -> str:
    """The release of the running kernel, as uname(2) says it."""
    return os.uname().release


def digest(root: Path = Path("/")) -> str:
    """A digest of the running kernel (hex); `root` is where /proc and /sys are looked for.

    Two builds of one release differ in the number and date of /proc/version (proc(5)) and in the build ID of vmlinux
    (Documentation/ABI/testing/sysfs-kernel-notes). A module that was built again is not seen.
    """
    texts = []
    for name in ("proc/version", "sys/kernel/notes"):
        with contextlib.suppress(OSError):
            texts.append((root / name).read_bytes())
    return hashlib.sha256(b"\0".join(texts)).hexdigest()
