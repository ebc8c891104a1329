"""Laws of patches: each finds its place by names and bytes, whatever the kernel's base, or says that it has none."""

import pytest

from harness.exam.kerneltext import KernelText, Unplaced, symbols_of
from harness.exam.patch import Bytes, Calls, Overwrites, Patch, PatchSite, Returns, Skips, detour, placed

BASE = 0xFFFFFFFF81000000
NOTHING = bytes.fromhex("0f1f440000")


def call(at: int, to: int, opcode: int = 0xE8) -> bytes:
    """A call at one offset of the text to another."""
    return bytes([opcode]) + (to - at - 5).to_bytes(4, "little", signed=True)


# caller at 0: nothing, call f, call g, call f, ret; f at 0x20; g at 0x30, which ends in a jump to f; room at 0x40
CALLER = NOTHING + call(5, 0x20) + call(10, 0x30) + call(15, 0x20) + b"\xc3"
TEXT = (
    CALLER.ljust(0x20, b"\xcc") + b"\x55\x74\x05\x5d\xc3".ljust(0x10, b"\xcc")
    + (NOTHING + call(0x35, 0x20, 0xE9)).ljust(0x10, b"\xcc") + bytes(0x40)
)  # fmt: skip
NAMES = {"caller": 0, "f": 0x20, "g.isra.0": 0x30, "hibernation_snapshot": 0x40, "end": 0x80}


def text(base: int = BASE, names: dict[str, int] = NAMES) -> KernelText:
    symbols = {name: [base + at] for name, at in names.items()}
    return KernelText(symbols, lambda address, size: TEXT[address - base :][:size])


def only(patch: Patch, base: int = BASE) -> tuple[int, bytes, bytes]:
    """The one site of a patch: its offset in the text, what was there, what will be."""
    (site,) = placed((patch,), text(base))
    return site.address - base, site.old, site.new


@pytest.mark.parametrize(
    ("value", "code"), [(None, "c3"), (0, "31c0c3"), (1, "48c7c001000000c3"), (-6, "48c7c0faffffffc3")]
)
def test_a_function_that_returns_at_once(value: int | None, code: str) -> None:
    """The bytes that a tracer may rewrite stay as they are; a function that has none is overwritten from its start."""
    assert only(Returns("caller", value))[::2] == (5, bytes.fromhex(code))
    if value in (None, 0):
        assert only(Returns("f", value))[0] == 0x20


@pytest.mark.parametrize("base", [BASE, 0xFFFFFFFFC0567000])
def test_a_call_is_found_by_its_target(base: int) -> None:
    """All calls of a function are left out, or those that are counted, wherever the kernel lies."""
    sites = placed((Skips("caller", "f"),), text(base))
    assert [site.address - base for site in sites] == [5, 15]
    assert {site.new for site in sites} == {bytes.fromhex("b800000000")}
    assert only(Skips("caller", "f", -5, which=(1,)), base) == (15, call(15, 0x20), bytes.fromhex("b8fbffffff"))


def test_a_call_of_another_function() -> None:
    """The distance is that from the call to the other function."""
    assert only(Calls("caller", "g", "f")) == (10, call(10, 0x30), call(10, 0x20))


def test_a_function_that_ends_in_another() -> None:
    """A jump to the function that is left out becomes a return of 0; there is no room for another number."""
    assert only(Skips("g", "f"))[::2] == (0x35, bytes.fromhex("31c0c3cccc"))
    with pytest.raises(Unplaced, match="no room"):
        only(Skips("g", "f", 1))


def test_bytes_are_altered_where_they_are_once() -> None:
    """?? stands for any byte, and stays."""
    assert only(Bytes("f", "74 ?? 5d", "eb ?? 5d")) == (0x21, b"\x74\x05\x5d", b"\xeb\x05\x5d")


def test_a_detour() -> None:
    """The code lies in a function that nobody calls, and the function calls it first."""
    room, way = placed(detour("caller", "4883ea40 c3"), text())
    assert (room.address, room.new) == (BASE + 0x40, bytes.fromhex("4883ea40c3"))
    assert (way.address, way.old, way.new) == (BASE, NOTHING, call(0, 0x40))


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        (Returns("absent"), "0 functions"),
        (Returns("f", -1), "ends"),
        (Skips("f", "caller"), "calls caller 0 times"),
        (Skips("caller", "f", which=(2,)), "calls f 2 times"),
        (Calls("caller", "f", "absent"), "absent"),
        (Bytes("f", "90", "91"), "0 times, not 1"),
        (Bytes("caller", "e8", "e9"), "3 times, not 1"),
        (Bytes("f", "74 05", "eb"), "cannot become"),
        (Overwrites("f", "e9 @absent"), "absent"),
    ],
)  # fmt: skip
def test_a_patch_that_has_no_place(patch: Patch, said: str) -> None:
    """A kernel that was built otherwise is not altered at a guess."""
    tight = {**NAMES, "after": 0x25}
    with pytest.raises(Unplaced, match=said):
        placed((patch,), text(names=tight))


def test_two_functions_of_one_name() -> None:
    """Which of the two is meant nobody knows."""
    with pytest.raises(Unplaced, match="2 functions"):
        KernelText({"f": [1, 2]}, lambda address, size: b"").address("f")


def test_the_lines_of_kallsyms() -> None:
    """Functions only, those of modules too, and each address of a name that several have."""
    lines = "ffffffff81000000 T a\nffffffff81000010 d b\nffffffffc0000000 t c\t[xfs]\nffffffff81000020 t a\n"
    assert symbols_of(lines) == {"a": [0xFFFFFFFF81000000, 0xFFFFFFFF81000020], "c": [0xFFFFFFFFC0000000]}


def test_what_was_there_is_kept() -> None:
    """A patch that is taken back leaves the text as it was."""
    sites = placed((Skips("caller", "f"), Returns("g", 0)), text())
    altered = bytearray(TEXT)
    for site in sites:
        altered[site.address - BASE :][: len(site.new)] = site.new
        assert isinstance(site, PatchSite)
        assert TEXT[site.address - BASE :][: len(site.old)] == site.old
