"""Makes the configuration of a kernel that is built here: where it begins, what daxcheck adds, and what is lost.

    small       nothing but qemu/kernel.config: quick to build, all built in
    debian      the configuration of the newest Debian kernel in the cache, and over it qemu/kernel.config
    FILE        the user's own .config, and over it qemu/kernel.config

An option that daxcheck needs is built in, so no module has to be built, nor loaded by a guest.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from harness import shipped
from harness.errors import UsageError
from harness.kernel import cache, config
from harness.kernel.debian import PREFIX

SMALL, DEBIAN = "small", "debian"
LIMIT = 1 << 22
"""Bytes of a .config; a distribution's has 300 kB."""

_OFF_HOST = """\
CONFIG_SYSTEM_TRUSTED_KEYS=""
CONFIG_SYSTEM_REVOCATION_KEYS=""
# CONFIG_MODULE_SIG is not set
# CONFIG_SECURITY_LOCKDOWN_LSM is not set
"""
"""A distribution's configuration names certificates that lie in its own source package, and has modules signed."""
_NO_DEBUG = """\
CONFIG_DEBUG_INFO_NONE=y
# CONFIG_DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT is not set
# CONFIG_DEBUG_INFO_DWARF4 is not set
# CONFIG_DEBUG_INFO_DWARF5 is not set
# CONFIG_DEBUG_INFO is not set
"""
"""Debug information doubles the time of a build, and takes several GB."""
_OPTION = re.compile(r"^(?:# )?(CONFIG_\w+)(?:=| is not set$)")


@dataclass(frozen=True, slots=True)
class Recipe:
    """The options in `text` are set so; all others are as the target of the kernel's makefile (`base`) has them."""

    name: str
    base: str
    text: str


def choose(word: str) -> Recipe:
    """The recipe that --config names. Raises UsageError for a file that cannot be read, or no Debian kernel."""
    fragment = _read(shipped.place("qemu/kernel.config"))
    if word == SMALL:
        return Recipe(SMALL, "allnoconfig", fragment)
    if word == DEBIAN:
        return Recipe(DEBIAN, "alldefconfig", merged(_read(_debian()), _OFF_HOST, _NO_DEBUG, fragment))
    path = Path(word).expanduser()
    return Recipe(path.name, "alldefconfig", merged(_read(path), _OFF_HOST, fragment))


def merged(base: str, *fragments: str) -> str:
    """The options of `base`, and over them those of each fragment in turn; every option stands there once."""
    text = base
    for fragment in fragments:
        names = {found[1] for line in fragment.splitlines() if (found := _OPTION.match(line))}
        kept = (line for line in text.splitlines() if not ((found := _OPTION.match(line)) and found[1] in names))
        text = "\n".join([*kept, fragment])
    return text


def lost(text: str) -> tuple[str, ...]:
    """The options of qemu/kernel.config that a .config, given by its text, has not built in."""
    options = config.parse(text)
    wanted = config.parse(_read(shipped.place("qemu/kernel.config")))
    return tuple(name for name in wanted if options.get(name) != "y")


def _debian() -> Path:
    """The configuration of the newest Debian kernel in the cache, or of one in /boot."""
    cached = [kernel.config for kernel in cache.cached() if kernel.source.startswith(PREFIX) and kernel.config]
    installed = Path("/boot", f"config-{os.uname().release}")
    if not cached and not installed.is_file():
        raise UsageError("--config debian: no Debian kernel is in the cache: daxcheck kernel fetch debian:bookworm")
    return cached[-1] if cached else installed


def _read(path: Path) -> str:
    try:
        # A FIFO would be waited for.
        if path.exists() and not path.is_file():
            raise UsageError(f"{path}: is no regular file: --config takes small, debian or the path of a .config")
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
    except OSError as error:
        told = f"{path}: {error.strerror}"
        raise UsageError(f"{told}: --config takes small, debian or the path of a .config") from error
    if len(data) > LIMIT:
        raise UsageError(f"{path}: larger than {LIMIT >> 20} MiB, so it is no .config")
    text = data.decode(errors="replace")
    if not config.parse(text):
        raise UsageError(f"{path}: sets no option, so it is no .config: --config takes small, debian or one's path")
    return text
