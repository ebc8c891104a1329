"""Laws of scripts/serial_guest.py: what a shell on a terminal answers is told from the echo of what it was asked."""

import contextlib
import importlib.util
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import InfraError

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "serial_guest.py"


def script() -> Any:
    spec = importlib.util.spec_from_file_location("serial_guest", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def console() -> Iterator[Any]:
    """A console whose other end is a shell of this machine, on a terminal that echoes as a guest's does."""
    ours, theirs = os.openpty()
    environment = {**os.environ, "PS1": ""}
    with subprocess.Popen(["sh"], stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as shell:
        os.close(theirs)
        yield script().Console(ours)
        shell.kill()
        with contextlib.suppress(OSError):
            os.close(ours)


def test_answers_come_in_order(console: Any) -> None:
    """Each command is answered by what it printed, up to its own end."""
    assert console.ask("echo one").splitlines()[-1] == "one"
    assert console.ask("printf '%s\\n' two three").splitlines()[-2:] == ["two", "three"]
    assert "one" not in console.ask("true")


def test_a_failure_is_no_answer(console: Any) -> None:
    """A command that fails raises, with its status and its words; the console goes on."""
    with pytest.raises(InfraError, match=r"ended with 3: .*no such luck"):
        console.ask("echo no such luck; (exit 3)")
    assert console.ask("echo on").splitlines()[-1] == "on"


def test_the_end_of_the_shell_is_told(console: Any) -> None:
    """A shell that is gone ends the wait at once, not at the deadline."""
    with pytest.raises(InfraError, match="was closed"):
        console.ask("exit 0")
