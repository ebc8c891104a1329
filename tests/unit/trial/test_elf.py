"""Laws of names in the user's programs: what a linker put at an address is named so, and nothing else is."""

import subprocess
from pathlib import Path

import pytest

from harness.trial.elf import PIE_BASE, FunctionTable, told
from harness.trial.kit import CopiedFile

SOURCE = """\
#include <stdio.h>
__attribute__((noinline)) int wanted(int x) { return x * 3 + 1; }
int main(void) { printf("%p %d\\n", (void *)wanted, wanted(2)); return 0; }
"""
STATIC, PIE = ("-static", "-no-pie"), ("-pie", "-fPIE")


def program(folder: Path, *options: str) -> Path:
    path = folder / "program"
    subprocess.run(["gcc", "-O1", "-o", path, *options, "-xc", "-"], input=SOURCE.encode(), check=True)
    return path


@pytest.mark.parametrize("options", [STATIC, PIE], ids=["static", "pie"])
def test_a_function_is_named(tmp_path: Path, options: tuple[str, ...]) -> None:
    """By its address in the process itself, without randomization."""
    path = program(tmp_path, *options)
    done = subprocess.run(["setarch", "-R", path], capture_output=True, text=True, check=True)
    address = int(done.stdout.split()[0], 16)
    table = FunctionTable.of(path.read_bytes())
    assert table.name(address) == "wanted+0x0" and table.name(address + 2) == "wanted+0x2"
    assert (table.name(0), table.name(1 << 46)) == ("", "")
    assert (address > PIE_BASE) == (options == PIE)
    twice = (CopiedFile("a", path.read_bytes()), CopiedFile("b", path.read_bytes()))
    assert told(address, twice[:1]) == f"user address {address:#x} (wanted+0x0 of a)"
    assert told(address, twice) == f"user address {address:#x}"


def test_what_is_no_program_has_no_names(tmp_path: Path) -> None:
    """A script, an object without a place, a program that is cut off anywhere or has junk for its tables."""
    data = program(tmp_path, *STATIC).read_bytes()
    subprocess.run(["gcc", "-c", "-o", tmp_path / "x.o", "-xc", "-"], input=SOURCE.encode(), check=True)
    junk = data[:40] + b"\xff" * 24 + data[64:]
    for wrong in (b"", b"#!/bin/sh\n", (tmp_path / "x.o").read_bytes(), junk, *(data[:n] for n in (5, 63, 100, -1))):
        assert FunctionTable.of(wrong).name(0x401000) in ("", *FunctionTable.of(data).names)
