"""Explains why a user's own kernel does not boot as a guest: from the words of its agent or console to a remedy.

It explains boots only: if a kernel that has booted once fails later, that is its own fault.
"""

import re
from typing import Any

from harness.errors import GuestDied, GuestHang, InfraError, SetupError

REMEDY = "build it with what qemu/kernel.config switches on, or name the directory of its modules with --modules"
SHOWN = 3
"""Problems that an error names."""
LIMIT = 300
"""Characters of a line from the guest that an error keeps."""

_LAST_WORDS = re.compile(r"^daxcheck: (.+)$", re.MULTILINE)
"""The line that the agent writes when it has no channel (harness/agent/entry/init.py)."""
_RELEASE = re.compile(r"Linux version (\S{1,80})")
_RAISED = re.compile(r"^((?:Fatal Python error|/init|[\w.]+(?:Error|Exception|Expired)): .+)$", re.MULTILINE)
"""The line that an interpreter, or the linker that should start it, writes at the end of PID 1."""
_SIGNS = (
    (r"VFS: Unable to mount root fs|No filesystem could mount root", "CONFIG_BLK_DEV_INITRD"),
    (r"Failed to execute /init \(error -8\)", "CONFIG_BINFMT_SCRIPT or CONFIG_BINFMT_ELF"),
)
"""The words of a kernel on its way to a panic (init/do_mounts.c, init/main.c) and the option that it misses."""


UNTRACED = "it needs CONFIG_KPROBE_EVENTS; --engine plugin needs no tracing"


def check_agent(answer: dict[str, Any]) -> None:
    """Raise SetupError when hello's answer tells of something that no scenario can do without."""
    features = answer.get("features")
    problems = features.get("problems") if isinstance(features, dict) else None
    if isinstance(problems, list) and problems:
        told = "; ".join(str(problem)[:LIMIT] for problem in problems[:SHOWN])
        raise SetupError(f"kernel {str(answer.get('release'))[:80]}: {told}: {REMEDY}")
    untraced = features.get("untraced") if isinstance(features, dict) else ""
    if untraced:
        release = str(answer.get("release"))[:80]
        raise SetupError(f"kernel {release}: its flushes cannot be traced: {str(untraced)[:LIMIT]}: {UNTRACED}")


def boot_failure(error: InfraError, console: str) -> Exception:
    """Return what to raise for a boot that ended in `error`: SetupError if the console tells what the kernel lacks."""
    release = _RELEASE.search(console)
    kernel = f"kernel {release[1]}" if release else "the kernel"
    words = _LAST_WORDS.search(console)
    if words:
        return SetupError(f"{kernel}: {words[1][:LIMIT]}: {REMEDY}")
    for pattern, option in _SIGNS:
        if sign := re.search(pattern, console):
            line = _line_of(console, sign.start())
            return SetupError(f"{kernel} stopped with {line!r}: does it lack {option}? {REMEDY}")
    raised = _RAISED.findall(console)
    if isinstance(error, GuestDied) and raised:
        return GuestDied(f"{error}; before that: {raised[-1].strip()[:LIMIT]}")
    if isinstance(error, GuestHang):
        return type(error)(f"{error}; if it always ends there, compare its .config with qemu/kernel.config")
    return error


def _line_of(text: str, place: int) -> str:
    """The line of `text` around a place. A pattern `.*sign.*` would search a long line once from each of its bytes."""
    end = text.find("\n", place)
    return text[text.rfind("\n", 0, place) + 1 : end if end >= 0 else len(text)].strip()[:LIMIT]
