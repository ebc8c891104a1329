"""Tells where the bytes of files lie on their device, for a host that reads the medium itself."""

import os
from collections.abc import Iterable

from harness.agent.observe import EXTENT_LIMIT, flags, ranges_of_data, sort, strangers, there
from harness.linux import ioctls
from harness.model.wire.frame import Message


def locate_all(root: str, names: Iterable[str]) -> Message:
    """Return what the channel's locate answers: for each of the `names` its size and blocks, and how many other files
    there are. Raises OSError."""
    known = tuple(names)
    return {"files": [_locate(root, path) for path in known], "strangers": len(strangers(root, known))}


def _locate(root: str, path: str) -> Message:
    """Return one file; "extents" is null where the file system tells of too many."""
    kind, target = sort(root, path)
    nothing = {"path": path, "bytes": 0, "data": [], "extents": [], "kind": kind, "target": target}
    if kind:
        return {**nothing, "size": 0}
    if not there(root, path):
        return {**nothing, "size": None}
    fd = os.open(os.path.join(root, path), os.O_RDONLY | os.O_NOATIME | os.O_CLOEXEC)
    try:
        status = os.fstat(fd)
        found, data = ioctls.fiemap(fd, EXTENT_LIMIT), ranges_of_data(fd, status.st_size)
        extents = None
        if found is not None and data is not None:
            extents = [[one.start, one.end, list(flags(one.flags)), one.physical] for one in found]
        return {**nothing, "size": status.st_size, "bytes": status.st_blocks * 512, "data": data, "extents": extents}
    finally:
        os.close(fd)
