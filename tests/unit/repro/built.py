"""Builds reproducers, and runs them on this machine with files in place of the kernel's trace."""

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from harness.model.program.program import HEADER, Program, parse
from harness.repro.source import source

WARNINGS = ("-Wall", "-Wextra", "-Werror")
INSTANCES = "/sys/kernel/tracing/instances"
TRACE = 'open(TRACE "trace_marker", O_WRONLY | O_APPEND)'
"""The C by which a test writes a line of its own into the trace."""
PUNCH = """\
create f data
fallocate f allocate 0 4M
mmap m f 0 4M
store m 0 4M
fallocate f punch_hole 64K 4K
msync m 0 4M
cut_power
"""


def program(lines: str) -> Program:
    """The Program of these lines."""
    return parse(f"{HEADER}\n{lines}")


def build(text: str, path: Path) -> Path:
    """The executable of a reproducer. Raises CalledProcessError with what the compiler says."""
    file = path / "repro.c"
    file.write_text(text)
    subprocess.run(["gcc", "-static", *WARNINGS, "-O2", "-pthread", "-o", path / "repro", file], check=True)
    return path / "repro"


@dataclass(frozen=True, slots=True)
class Ended:
    """A reproducer's exit code, and what it said."""

    code: int
    said: list[str]


def run(text: str, path: Path) -> Ended:
    """Build and run a reproducer in a directory without DAX, whose trace has the reproducer's own marks alone.

    Where the reproducer is to see a writeback, the caller has put `written` into its text.
    """
    place, trace = path / "mnt", path / "trace" / "daxrepro"
    place.mkdir()
    for event in ("dax_writeback_one", "dax_pte_fault_done", "dax_pmd_fault_done"):
        (trace / "events" / "fs_dax" / event).mkdir(parents=True)
    (trace / "trace_marker").touch()
    (trace / "trace_pipe").symlink_to("trace_marker")
    text = re.sub(r"!\(st.*stx_attributes & STATX_ATTR_DAX\)", "0", text.replace(INSTANCES, str(path / "trace")))
    done = subprocess.run([build(text, path), place], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          check=False, timeout=60)  # fmt: skip
    return Ended(done.returncode, done.stdout.splitlines())


def written(text: str, before: str, pages: tuple[int, int], status: str = "st") -> str:
    """The text, where right before the statement `before` the kernel tells that it wrote back so many pages from one
    on. `status` is the struct statx of the file."""
    told = f"dax_writeback_one: dev 259:0 ino 0x%lx pgoff {pages[0]:#x} pglen {pages[1]:#x}"
    event = f'dprintf({TRACE}, "{told}\\n", (long){status}.stx_ino);'
    found, rest = text.split(f"\t{before}", 1)
    return f"{found}\t{event}\n\t{before}{rest}"


def reproducer(lines: str) -> str:
    """The reproducer of these lines."""
    return source(program(lines))
