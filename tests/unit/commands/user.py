"""A user of `daxcheck run` whose cells are judged already: the real command runs, and no guest boots."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

from harness import cachedir
from harness.kernel import cache, tree
from harness.kernel.kernel import Kernel
from harness.model.cell import identify
from harness.model.judge.result import CellResult, Outcome
from harness.model.judge.violation import Violation
from harness.model.setting.engine import Engine
from harness.model.setting.hardware import PmemKind
from harness.report.journal import Journal

ROOT = Path(__file__).resolve().parents[3]
MAIN = "import sys; from harness.cli import main; sys.exit(main())"
KEPT = "daxcheck program 1\ncreate f data\npwrite f 0 4K\nfsync f\nfsyncdir\ncut_power\n"
RELEASE = "6.1.0-test"


@dataclasses.dataclass
class User:
    """Somebody with a kernel, a QEMU that keeps a list of what it was started for, and results of earlier runs."""

    place: Path

    def __post_init__(self) -> None:
        self.kernel = self.build(b"one")
        self.qemu = self.place / "qemu"
        script = 'case $1 in --version) echo "QEMU emulator version 9.0.0";; *) echo "$@" >>"$0.started"; exit 1;; esac'
        self.qemu.write_text(f"#!/bin/sh\n{script}\n")
        self.qemu.chmod(0o755)
        self.results = self.place / "results"

    def build(self, contents: bytes) -> Kernel:
        """A kernel of these contents, and always the same release, in the cache."""

        def fill(room: Path) -> tuple[str, str]:
            (room / tree.IMAGE).write_bytes(contents)
            return RELEASE, "a build tree"

        return cache.store(fill)

    def judged(
        self, scenario: str, program: str, outcome: Outcome = Outcome.PASS, kernel: str = "",
        violations: tuple[Violation, ...] = (),
    ) -> None:  # fmt: skip
        """What an earlier run found."""
        journal = Journal(self.results)
        digest = kernel or self.kernel.digest
        journal.add(
            CellResult(scenario, "qemu", RELEASE, "ext4", outcome, 1.0, engine=Engine.COVERAGE, judged_bytes=4096,
                       violations=violations, program=program, seed=1, kernel_digest=digest,
                       id=identify(program, digest, "ext4", PmemKind.NVDIMM, Engine.COVERAGE, 1)), "",
        )  # fmt: skip
        journal.close()

    def resume(self, *words: str | Path, kernel: Kernel | None = None) -> "subprocess.CompletedProcess[str]":
        other = ["--kernel", kernel.digest] if kernel else []
        command = [*self.words, *map(str, words), *other]
        return subprocess.run(command, capture_output=True, text=True, env=self.environment)

    @property
    def words(self) -> list[str]:
        """The command, with the options that resume an earlier run."""
        options = ["--kernel", self.kernel.digest, "--fs", "ext4", "--engine", "coverage", "--qemu", str(self.qemu)]
        return [sys.executable, "-P", "-c", MAIN, "run", *options, "--results", str(self.results), "--resume"]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    @property
    def areas(self) -> set[str]:
        """What there is in the cache, but for what was found out about it."""
        return {path.name for path in (self.place / "cache/daxcheck").iterdir()} - {cachedir.REMEMBERED}

    @property
    def booted(self) -> bool:
        return self.qemu.with_name("qemu.started").exists()
