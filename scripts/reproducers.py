"""Builds the C reproducers that `daxcheck fuzz` left in RESULTS/found, and runs each on the kernel that it fails on.

A line tells the finding, where it was found, the exit code (1: pages that no writeback covered; 0: all were covered,
and what tracing cannot see is to be compared after a cut; 77: it cannot tell), the last line that it said, and the
cause. Exit code 1 when one could not be built, or ended in another way.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from harness.errors import UsageError
from harness.findings import knownfile
from harness.plain import plain
from harness.progfile import SUFFIX
from harness.report import results
from harness.report.results import Run

COMMAND = (sys.executable, "-c", "import sys; from harness.cli import main; sys.exit(main())")
BUILD = ("gcc", "-static", "-s", "-O2", "-pthread", "-Wall", "-Werror")
SECONDS = 3600.0
TOLD = (0, 1, 77)
Where = tuple[str, str]
"""Kernel release and file system."""


def causes(run: Run) -> dict[tuple[Where, str], str]:
    """The cause of each Program that has a finding's name, by where it was judged and its name."""
    return {
        ((one.kernel, one.fs), finding.id): f"{' '.join(one.known) or 'new'}: {finding.signature}"
        for finding in run.findings for one in finding.results if one.scenario == f"{finding.id}{SUFFIX}"
    }  # fmt: skip


def build(source: Path, target: Path) -> str:
    """Return what the compiler has against the source, empty when nothing."""
    done = subprocess.run([*BUILD, "-o", target, source], capture_output=True, text=True, check=False)
    return done.stderr.strip()


def run_all(where: Where, programs: dict[str, Path]) -> dict[str, tuple[int, str]]:
    """Run the programs in one guest: their exit codes and last lines, by name."""
    files = [word for path in programs.values() for word in ("--file", str(path))]
    # In /mnt the shell would keep the file system busy.
    script = "cd /\n" + "".join(
        f"/tmp/{path.name} /mnt > /tmp/said 2>&1; code=$?; echo {name} $code $(tail -n 1 /tmp/said)\n"
        for name, path in programs.items()
    )
    done = subprocess.run(
        [*COMMAND, "shell", "--kernel", where[0], "--fs", where[1], *files], input=script, capture_output=True,
        text=True, timeout=SECONDS, check=False,
    )  # fmt: skip
    said = [line.split(maxsplit=2) for line in done.stdout.splitlines()]
    return {words[0]: (int(words[1]), " ".join(words[2:])) for words in said if words[1:] and words[0] in programs}


def main() -> int:
    """Do it for all findings of a campaign."""
    folder = Path(sys.argv[1])
    try:
        run = results.read(folder, knownfile.load((), own=True), lambda text: print(text, file=sys.stderr))
    except UsageError as error:
        print(f"reproducers: {error}", file=sys.stderr)
        return 2
    found = {key: why for key, why in causes(run).items() if (folder / "found" / f"{key[1]}.c").exists()}
    bad = 0
    for where in sorted({where for where, _ in found}):
        names = sorted(name for one, name in found if one == where)
        with tempfile.TemporaryDirectory(prefix="daxcheck-reproducers-") as room:
            programs = {name: Path(room) / f"r{number}" for number, name in enumerate(names)}
            broken = {name: build(folder / "found" / f"{name}.c", path) for name, path in programs.items()}
            broken = {name: said for name, said in broken.items() if said}
            ended = run_all(where, {name: path for name, path in programs.items() if name not in broken})
        for name in names:
            code, last = ended.get(name, (-1, broken.get(name, "the guest told nothing of it")))
            bad += code not in TOLD
            print(plain(f"{name} {' '.join(where)}: {code} {last} ({found[where, name]})"), flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
