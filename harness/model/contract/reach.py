"""Measures how far the files and mappings of a state can be used without a refusal by the kernel, or a signal."""

from harness.model.contract.filestate import page_ceil
from harness.model.contract.state import State
from harness.model.program.choices import Reach


def reach(state: State, largest: int) -> Reach:
    """The size of each open file, and of each mapping the bytes up to the last page of its file; files may grow to
    `largest` bytes. Where ops raced the least size counts.

    mmap(2): an access "to a page of the buffer that lies beyond the end of the mapped file" is a SIGBUS.
    """
    sizes = {fd: state.files[file].shortest for fd, file in state.fds.items()}
    ends = {name: page_ceil(state.files[one.file].shortest) - one.offset for name, one in state.maps.items()}
    touched = {name: max(0, min(ends[name], one.length)) for name, one in state.maps.items()}
    return Reach({**sizes, **touched}, largest)
