"""Makes the arguments of pytest for scenarios: the same wherever pytest is started and daxcheck lies."""

import os
from collections.abc import Sequence
from pathlib import Path

from harness import progfile, shipped

SCENARIOS = shipped.place("scenarios")
"""The directory of the scenarios that daxcheck brings."""


def settings(files: Sequence[Path]) -> tuple[str, ...]:
    """Return the arguments that set pytest up for `files`.

    Without these pytest looks for settings above the files, and takes those of whatever project has the virtual
    environment, or the recorded Program, in one of its directories.
    """
    folders = [path if path.is_dir() else path.parent for path in map(Path.resolve, files)]
    home = SCENARIOS.parent
    root = home if all(path.is_relative_to(home) for path in folders) else Path(os.path.commonpath(folders))
    # A Program is data: to run one executes no conftest.py that somebody has put beside it.
    data = ("--noconftest",) if files and all(path.suffix == progfile.SUFFIX for path in files) else ()
    return ("-c", os.devnull, f"--rootdir={root}", f"--confcutdir={root}", "--import-mode=importlib",
            "--strict-markers", *data)  # fmt: skip
