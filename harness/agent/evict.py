"""Ends a run: makes the file system evict all that the Program left in it, with the power on.

The complaints of the kernel while inodes, blocks and mappings go are part of the verdict.
"""

import contextlib
import errno
import os
from collections.abc import Iterable

from harness.linux.mounts import FILLER, Place


def evict(place: Place, names: Iterable[str]) -> None:
    """Remove the files and directories `names` and the filler, and drop all caches, whatever state the Program left
    behind: frozen, read-only, unmounted. Raises OSError."""
    if not place.mounted:
        place.mount()
    try:
        place.thaw()
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOTTY):  # not frozen, or cannot be
            raise
    if place.read_only():
        place.remount("rw")
    for name in (*sorted(names, key=lambda name: name.count("/"), reverse=True), FILLER):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            _remove(os.path.join(place.root, name))
    place.drop_caches()


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except IsADirectoryError:
        try:
            os.rmdir(path)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:  # a stranger, which the views have told
                raise
