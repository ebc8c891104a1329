"""--coverage: keeps which blocks of the kernel the cells of a process have reached, each as soon as it was judged."""

from pathlib import Path

from harness.cells.cell import Judged
from harness.coverage.store import SUITE, CoverageFile
from harness.errors import UsageError


class ReachedBlocks:
    """Adds to the files of a results directory, one for each kernel; other workers add to the same files."""

    def __init__(self, directory: Path | None) -> None:
        """Raises UsageError without a directory."""
        if directory is None:
            raise UsageError("--coverage is kept in a results directory: name one by --results DIR")
        self._directory = directory
        self._files: dict[str, CoverageFile] = {}

    def keep(self, judged: Judged) -> None:
        """Add what a cell has reached, if that was recorded. Raises UsageError when it cannot be written."""
        if judged.blocks is None or judged.code is None:
            return
        result = judged.result
        digest = result.kernel_digest
        if digest not in self._files:
            self._files[digest] = CoverageFile(self._directory, result.kernel, digest)
        self._files[digest].describe(judged.code)
        self._files[digest].add(SUITE, judged.blocks)
