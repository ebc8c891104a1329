"""The persistence plugin: built on first use for the QEMU at hand, kept in the cache, proven by loading it."""

import hashlib
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import cachedir, shipped, sparse
from harness.errors import SetupError

AREA = "plugin"
LIBRARY = "persist.so"
FLAGS = ("-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror", "-fvisibility=hidden")
READY = "daxcheck plugin: ready"
"""The line that the plugin writes in mode=probe once QEMU has loaded it and offers every register it reads."""
PROBE_SECONDS = 60.0
"""Seconds that QEMU may take; it answers in 0.05 s on an idle machine."""
COMPILE_SECONDS = 300.0
APT = "apt-get install"


@dataclass(frozen=True, slots=True)
class Toolchain:
    """The compiler and flags that the plugin is built with; all of it is part of its key in the cache."""

    compiler: str
    version: str
    glib: tuple[str, ...]


def build(qemu: Path, sources: Path | None = None) -> Path:
    """The plugin for this QEMU; built and probed when the cache has none.

    Raises SetupError, with the remedy, when something to build it with is missing or QEMU refuses it.
    """
    version = qemu_version(qemu)
    sources = find_sources() if sources is None else sources
    tools = find_toolchain()
    api = api_version(version)

    def make(room: Path) -> None:
        library = room / LIBRARY
        _compile(tools, sources, api, library)
        probe(qemu, library)

    key = _key(qemu, version, api, tools, sources)
    return cachedir.directory(AREA, key, make, hashed=True) / LIBRARY


def argument(
    plugin: Path, *, log: Path, ram: Path, ram_size: int, nvdimm: Path, nvdimm_base: int, nvdimm_size: int,
    coverage: Path | None = None, count_stores: bool = False,
) -> str:  # fmt: skip
    """The value of QEMU's -plugin option.

    `log` is a fresh PersistLog, which tells the plugin what to plant, too; `ram` and `nvdimm` are the mem-path of the
    memory backends (sizes in bytes, base guest-physical). `coverage` is a fresh BlockMap. With `count_stores` the
    plugin also calls out on every store, which serves only to measure what that would cost.
    """
    parts = [f"file={plugin}", f"log={log}", f"ram={ram}", f"ram_size={ram_size}",
             f"nvdimm={nvdimm}", f"nvdimm_base={nvdimm_base:#x}", f"nvdimm_size={nvdimm_size}"]  # fmt: skip
    parts += [f"coverage={coverage}"] if coverage else []
    if count_stores:
        parts.append("mode=count_stores")
    return ",".join(part.replace(",", ",,") for part in parts)


def device_argument(
    plugin: Path, *, log: Path, base: Path, nvdimm: Path, nvdimm_base: int, nvdimm_size: int,
    coverage: Path | None = None,
) -> str:  # fmt: skip
    """The value of -plugin for a virtio-pmem device, whose flush requests are recorded. QEMU must preload the plugin.

    `base` holds what is on the media at first; the rest is as for argument().
    """
    parts = [f"file={plugin}", "mode=device_flush", f"log={log}", f"base={base}",
             f"nvdimm={nvdimm}", f"nvdimm_base={nvdimm_base:#x}", f"nvdimm_size={nvdimm_size}"]  # fmt: skip
    parts += [f"coverage={coverage}"] if coverage else []
    return ",".join(part.replace(",", ",,") for part in parts)


def qemu_version(qemu: Path) -> str:
    """The first line of --version. Raises SetupError when this is no QEMU."""
    try:
        done = _run([str(qemu), "--version"], PROBE_SECONDS)
    except OSError as error:
        raise SetupError(f"{qemu}: {error.strerror}; scripts/setup installs QEMU") from error
    line = done.stdout.partition("\n")[0]
    if done.returncode or not line.startswith("QEMU emulator version"):
        raise SetupError(f"{qemu}: --version does not name a QEMU: {line[:80]!r}")
    return line


def api_version(version: str) -> int:
    """The plugin API to ask this QEMU for (see qemu/plugin/api.h). Raises SetupError below QEMU 9.0.

    QEMU cannot be asked: it accepts a plugin of an older API and then calls it by the newer signatures.
    """
    match = re.search(r"version (\d+)\.(\d+)", version)
    number = (int(match[1]), int(match[2])) if match else (0, 0)
    if number < (9, 0):
        raise SetupError(f"{version}: plugins cannot read registers before 9.0; scripts/setup installs a newer QEMU")
    return {(9, 0): 2, (9, 1): 3}.get(number, 4)


def find_sources() -> Path:
    """The directory of the C sources. Raises SetupError where it is missing."""
    sources = shipped.place("qemu/plugin")
    if not (sources / "persist.c").is_file():
        raise SetupError(f"{sources}: no sources of the plugin there: this daxcheck is torn, install it again")
    return sources


def find_toolchain() -> Toolchain:
    """The compiler and the flags for glib's headers. Raises SetupError that names the package that is missing."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise SetupError(f"no C compiler, and the QEMU plugin must be built: {APT} gcc")
    if shutil.which("pkg-config") is None:
        raise SetupError(f"no pkg-config, which finds the QEMU plugin's headers: {APT} pkg-config libglib2.0-dev")
    glib = _run(["pkg-config", "--cflags", "--libs", "glib-2.0"], COMPILE_SECONDS)
    if glib.returncode:
        raise SetupError(f"no glib headers, which the QEMU plugin needs: {APT} libglib2.0-dev")
    version = _run([compiler, "--version"], COMPILE_SECONDS).stdout.partition("\n")[0]
    return Toolchain(compiler, version, tuple(glib.stdout.split()))


def probe(qemu: Path, plugin: Path) -> None:
    """Load the plugin into a QEMU that runs nothing. Raises SetupError with QEMU's own words when it is refused."""
    # The plugin ends QEMU by itself from its first vCPU, before any guest code.
    argv = [str(qemu), "-machine", "q35", "-cpu", "max", "-accel", "tcg", "-m", "16M", "-S", "-nodefaults",
            "-no-user-config", "-display", "none",
            "-plugin", f"{str(plugin).replace(',', ',,')},mode=probe"]  # fmt: skip
    done = _run(argv, PROBE_SECONDS)
    if READY in done.stderr and done.returncode == 0:
        return
    words = [line for line in done.stderr.splitlines() if line.strip()] or [f"exit code {done.returncode}"]
    text = words[0]
    if "plugin interface not enabled" in done.stderr or "-plugin: invalid option" in done.stderr:
        text = "built without TCG plugins; use a distribution's QEMU 9.0 or newer (scripts/setup)"
    raise SetupError(f"{qemu}: persistence plugin does not load: {text[:300]}")


def _compile(tools: Toolchain, sources: Path, api: int, library: Path) -> None:
    code = [str(path) for path in sorted(sources.glob("*.c"))]
    argv = [tools.compiler, *FLAGS, f"-DPLUGIN_API={api}", "-o", str(library), *code, *tools.glib]
    done = _run(argv, COMPILE_SECONDS)
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr[:200])
        raise SetupError(f"persistence plugin does not compile with {tools.version}: {first[:300]}")


def _key(qemu: Path, version: str, api: int, tools: Toolchain, sources: Path) -> str:
    binary = qemu.resolve().stat()
    digest = hashlib.sha256(repr((version, binary.st_size, binary.st_mtime_ns, api, tools, FLAGS)).encode())
    for path in sorted(sources.glob("*.[ch]")):
        digest.update(repr((path.name, sparse.digest(path))).encode())
    return digest.hexdigest()


def _run(argv: Sequence[str], seconds: float) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                              timeout=seconds, check=False)  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise SetupError(f"{Path(argv[0]).name} did not end within {seconds:g} s: is the machine busy?") from error
