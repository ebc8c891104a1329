"""Makes a fresh file system in an anonymous file, so that no tool ever opens the device under test for writing."""

import os
import shutil
import subprocess
from uuid import UUID

from harness import hosttool
from harness.errors import InfraError, Refused, SetupError
from harness.fs.filesystem import UNKNOWN, FileSystem
from harness.fs.label import ARMED_PREFIX, LABEL, UUID_PREFIX
from harness.memfile import MemFile

SECONDS = 120.0
SAID = 500
"""Characters told of what a failed mkfs said."""
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_MARKS = {
    "ext4": ("-L", LABEL, "-U", "{id}"),
    # The sector size that mkfs.xfs takes from a pmem device, and could not know of a file.
    "xfs": ("-L", LABEL, "-m", "uuid={id}", "-s", "size=4096"),
}


def make(system: FileSystem, medium: MemFile, number: UUID, *, armed: bool = False) -> None:
    """Format the medium, with the label and the UUID by which daxcheck knows its own, and those it has `armed`.

    Raises SetupError when the tool is missing, Refused when it is too old for a word, InfraError when it fails.
    """
    name, *options = system.mkfs[:-1]
    tool = shutil.which(name) or shutil.which(name, path=_PATH)
    if tool is None:
        raise SetupError(f"{name} is missing: scripts/setup installs it")
    prefix = ARMED_PREFIX if armed else UUID_PREFIX
    id = prefix + str(number)[len(prefix) :]
    marks = [word.format(id=id) for word in _MARKS[system.name]]
    argv = hosttool.bound([tool, *options, *marks, str(medium.path)])
    try:
        done = subprocess.run(
            argv, pass_fds=(medium.fd,), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env={"LC_ALL": "C", "PATH": _PATH, "HOME": os.devnull}, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise InfraError(f"{name} did not end within {SECONDS:g} s") from error
    if done.returncode:
        words = " ".join(done.stdout.decode(errors="replace").split())[:SAID]
        kind = Refused if system.words and UNKNOWN in words else InfraError
        raise kind(f"{name} ended with {done.returncode}: {words}")
