"""Looks for the tools that this machine must have to build a kernel; nothing else of daxcheck needs them."""

import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from harness.errors import SetupError

PROBE = 60.0
"""Seconds that the compiler may take to look for a header."""


@dataclass(frozen=True, slots=True)
class BuildTool:
    """One thing that a build needs, and the Debian package that brings it: a program, or else a library's `header`."""

    name: str
    package: str
    header: str = ""

    @property
    def there(self) -> bool:
        """True if this machine has it."""
        return _has_header(self.header) if self.header else shutil.which(self.name) is not None


TOOLS = (
    BuildTool("gcc", "gcc"),
    BuildTool("make", "make"),
    BuildTool("flex", "flex"),
    BuildTool("bison", "bison"),
    BuildTool("bc", "bc"),
    BuildTool("the headers of the C library", "libc6-dev", "stdio.h"),
    BuildTool("the headers of libelf", "libelf-dev", "libelf.h"),
    BuildTool("the headers of OpenSSL", "libssl-dev", "openssl/ssl.h"),
)
"""Documentation/process/changes.rst, as far as x86-64 without debug information goes."""


def missing() -> tuple[BuildTool, ...]:
    """The tools that this machine lacks."""
    return tuple(tool for tool in TOOLS if not tool.there)


def remedy(lacking: Iterable[BuildTool]) -> str:
    """The one command that installs them."""
    return f"sudo apt-get install {' '.join(tool.package for tool in lacking)}"


def require() -> None:
    """Raises SetupError, with all that is missing and the command that brings it."""
    if lacking := missing():
        told = ", ".join(f"{tool.name} (package {tool.package})" for tool in lacking)
        raise SetupError(f"to build a kernel this machine lacks {told}: {remedy(lacking)}")


def _has_header(name: str) -> bool:
    compiler = shutil.which("gcc")
    if compiler is None:
        return Path("/usr/include", name).exists()
    argv = [compiler, "-fsyntax-only", "-include", name, "-xc", "/dev/null"]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE).returncode == 0
