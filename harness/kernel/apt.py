"""A private apt: reads a suite's package lists and downloads packages without root and without touching the host's apt.

It keeps the host's own network settings (proxies, credentials, certificates) and trust, and leaves out what would act
on the host: its sources, preferences, hooks and state. Package signatures are checked by apt, always.
"""

import contextlib
import errno
import os
import re
import select
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from harness import hosttool
from harness.deadline import Deadline
from harness.errors import InfraError, SetupError, UsageError
from harness.kernel import mirror

Progress = Callable[[str], None]
"""Takes one line of text for the user."""

QUICK = 120.0
"""Seconds for a question about lists already there."""
SLOW = 1800.0
"""Seconds for a download: 110 MB at 60 kB/s."""
STEP = 10
"""Per cent between two lines of progress."""
WORTH_TELLING = 2_000_000
"""Bytes from which on a download has lines of progress."""

_SETTINGS = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Architectures;
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
APT::Get::AllowUnauthenticated "false";
APT::Update::Error-Mode "any";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "3";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Dir::State "{state}";
Dir::State::lists "{state}/lists";
Dir::State::status "/dev/null";
Dir::Cache "{state}/cache";
Dir::Cache::archives "{state}/cache/archives";
Dir::Etc::sourcelist "{state}/daxcheck.sources";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
"""


@dataclass(frozen=True, slots=True)
class Package:
    """One version of a binary package as the lists describe it; `size` in bytes."""

    name: str
    version: str
    depends: tuple[str, ...]
    size: int


@dataclass(frozen=True, slots=True)
class Apt:
    """A private apt state for one suite, in the directory `state`; the caller makes sure that no one else uses it."""

    suite: str
    uri: str
    state: Path

    @classmethod
    def prepare(cls, suite: str, state: Path) -> "Apt":
        """Write the state's configuration. Raises SetupError when this machine has no apt or no Debian mirror."""
        if shutil.which("apt-get") is None:
            raise SetupError(f"debian:{suite} needs apt-get, which this machine lacks: name a kernel by its path")
        source = mirror.find(suite)
        text = source.sources(suite)
        listed = state / "daxcheck.sources"
        if not listed.exists() or listed.read_text() != text:
            shutil.rmtree(state, ignore_errors=True)
        for part in ("lists/partial", "cache/archives/partial"):
            (state / part).mkdir(parents=True, exist_ok=True)
        listed.write_text(text)
        (state / "apt.conf").write_text(_SETTINGS.format(state=state))
        return cls(suite, source.uri, state)

    def update(self, progress: Progress) -> None:
        """Bring the lists up to date. Raises UsageError for a suite that the mirror lacks, InfraError otherwise."""
        progress(f"reading the package lists of {self.suite} from {self.uri}")
        try:
            self._run(["apt-get", "update"], Deadline(SLOW), lambda percent: None)
        except InfraError as error:
            if "does not have a Release file" not in str(error):
                raise
            shutil.rmtree(self.state)
            raise UsageError(f"debian:{self.suite}: the mirror {self.uri} has no such suite: check its name") from error

    def names(self, prefix: str) -> tuple[str, ...]:
        """Package names that start with `prefix`."""
        return tuple(sorted(self._run(["apt-cache", "pkgnames", prefix], Deadline(QUICK)).split()))

    def show(self, names: tuple[str, ...]) -> tuple[Package, ...]:
        """Every version of the named packages."""
        text = self._run(["apt-cache", "show", *names], Deadline(QUICK)) if names else ""
        return tuple(_package(stanza) for stanza in text.split("\n\n") if stanza.strip())

    def download(self, package: Package, into: Path, progress: Progress) -> Path:
        """Fetch one package file, its signature chain checked. Raises InfraError with apt's own words."""
        room = into / package.name
        room.mkdir()
        last = -1 if package.size >= WORTH_TELLING else 100
        total = f"{package.size / 1e6:.0f} MB"

        def heard(percent: float) -> None:
            nonlocal last
            if int(percent) // STEP > last:
                last = int(percent) // STEP
                progress(f"{package.name}: {last * STEP:3d}% of {total}")

        self._run(["apt-get", "download", f"{package.name}={package.version}"], Deadline(SLOW), heard, room)
        files = list(room.glob("*.deb"))
        if len(files) != 1:
            raise InfraError(f"apt-get download {package.name}={package.version} left {len(files)} files: run it again")
        return files[0]

    def _run(self, argv: list[str], deadline: Deadline, heard: Callable[[float], None] | None = None,
             cwd: Path | None = None) -> str:  # fmt: skip
        """Run an apt tool to its end; `heard` is given per cent of the download. Raises InfraError with its words."""
        # In memory: on a full disk apt's words would be the next thing lost.
        with os.fdopen(os.memfd_create("out"), "w+b") as out, os.fdopen(os.memfd_create("err"), "w+b") as err:
            with contextlib.ExitStack() as stack:
                argv = [*argv, "-c", str(self.state / "apt.conf"), "-q"]
                read, write = os.pipe()
                stack.callback(os.close, read)
                process = subprocess.Popen(
                    hosttool.bound([*argv, "-o", f"APT::Status-Fd={write}"]),
                    stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                    cwd=cwd or self.state, pass_fds=(write,), start_new_session=True, env=_environment(),
                )  # fmt: skip
                stack.callback(_end, process)
                os.close(write)
                for line in _lines(read, deadline, f"{argv[0]} {argv[1]} for debian:{self.suite} does not end"):
                    if heard and line.startswith("dlstatus:"):
                        heard(float(line.split(":")[2]))
                status = process.wait(max(deadline.remaining(), 1))
            err.seek(0)
            out.seek(0)
            if status:
                raise _failure(argv, self.state, err.read().decode(errors="replace"))
            return out.read().decode(errors="replace")


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill what is left of apt and its download methods."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _lines(fd: int, deadline: Deadline, complaint: str) -> Iterator[str]:
    """Lines from a pipe until its writers are gone. Raises DeadlineExpired."""
    rest = b""
    while True:
        deadline.check(complaint)
        if not select.select([fd], [], [], min(1.0, deadline.remaining()))[0]:
            continue
        data = os.read(fd, 65536)
        if not data:
            return
        *whole, rest = (rest + data).split(b"\n")
        yield from (line.decode(errors="replace") for line in whole)


def _failure(argv: list[str], state: Path, text: str) -> InfraError | SetupError:
    """Return an error with apt's complaints in one line. The last one of an update only says that there were others."""
    lines = [re.sub(r"^(E|Err|Error):\s*", "", line) for line in text.splitlines() if line.startswith(("E:", "Err"))]
    words = "; ".join(line for line in lines if not line.startswith("Some index files failed")) or text.strip()[-300:]
    what = f"{argv[0]} {argv[1]} failed: {words.rstrip('.') or 'no reason given'}"
    if os.strerror(errno.ENOSPC) in text:
        remedy = "free some, or point XDG_CACHE_HOME at a directory with more"
        return SetupError(f"no space left for the cache at {state}: {remedy} ({what})")
    return InfraError(f"{what}: check the network and the proxy in /etc/apt/apt.conf.d, then retry")


def _package(stanza: str) -> Package:
    fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line.startswith(" "))
    depends = re.findall(r"(?:^|[,|])\s*([a-z0-9][a-z0-9+.-]*)", fields.get("Depends", ""))
    return Package(fields["Package"], fields["Version"], tuple(depends), int(fields.get("Size", "0")))
