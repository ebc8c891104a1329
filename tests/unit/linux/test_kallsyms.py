"""Names of addresses by /proc/kallsyms: which symbol an address belongs to, and when none."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.linux import kallsyms
from harness.linux.kallsyms import LIMIT, NAME_LIMIT, located, named

TABLE = b"""\
0000000000000000 A fixed_percpu_data
0000000000001000 t not_of_the_kernel
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000010 t __pfx_do_one
ffffffff81000020 t do_one
ffffffff81000020 T a_global
ffffffff81000100 W weak
ffffffff82000000 D a_table
ffffffffc0a01000 t xfs_later\t[xfs]
ffffffffc0a00000 t xfs_first\t[xfs]
ffffffffc0a00800 r xfs_text_end\t[xfs]
ffffffffc0000000 T jbd2_commit\t[jbd2]
"""

NAMES = {
    0xFFFFFFFF81000000: "_stext+0x0",
    0xFFFFFFFF8100001F: "__pfx_do_one+0xf",
    0xFFFFFFFF81000025: "a_global+0x5",
    0xFFFFFFFF81000100: "weak+0x0",
    0xFFFFFFFF81010100: "weak+0x10000",
    0xFFFFFFFF81010101: "0xffffffff81010101",
    0xFFFFFFFF82000004: "0xffffffff82000004",
    0xFFFFFFFFC0000004: "jbd2_commit+0x4",
    0xFFFFFFFFC0A00004: "xfs_first+0x4",
    0xFFFFFFFFC0A00804: "0xffffffffc0a00804",
    0xFFFFFFFFC0A01004: "xfs_later+0x4",
    0xFFFFFFFFFFFFFFFF: "0xffffffffffffffff",
    0x1004: "0x1004",
    0: "0x0",
}


@pytest.mark.parametrize("address", NAMES)
def test_an_address_has_the_name_of_its_function(address: int) -> None:
    """The function before it, in the kernel or a module, whatever the order of the lines; data, user space and what is
    far from any function are told in hex."""
    assert named(TABLE, [address]) == [NAMES[address]]


def test_all_are_named_in_their_order(tmp_path: Path) -> None:
    """One reading serves all addresses, and each has its place in the answer."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/kallsyms").write_bytes(TABLE)
    assert kallsyms.resolve(NAMES, tmp_path) == list(NAMES.values())
    assert named(TABLE, []) == []


@pytest.mark.parametrize("table", [b"", b"\n", b"garbage", b"0000000000000000 T hidden\n" * 3, b"ffffffff81000000\n"])
def test_a_table_that_tells_nothing_names_nothing(table: bytes) -> None:
    """Without addresses, as a kernel shows it to those whom it does not trust, all is hex."""
    assert named(table, [0xFFFFFFFF81000004]) == ["0xffffffff81000004"]


BASE = 0xFFFFFFFF81000000


@given(st.dictionaries(st.integers(0, 500), st.sampled_from("tTwWdr"), min_size=1), st.permutations(range(501)))
def test_the_nearest_symbol_below_decides(symbols: dict[int, str], order: list[int]) -> None:
    """Whatever symbols there are and in whatever order, an address has the name that a search of all of them finds."""
    rows = [f"{BASE + at:016x} {symbols[at]} name{at}\n" for at in order if at in symbols]
    for address in range(0, 501, 7):
        below = [at for at in symbols if at <= address]
        function = bool(below) and symbols[max(below)] in "tTwW"
        wanted = f"name{max(below)}+{address - max(below):#x}" if function else f"{BASE + address:#x}"
        assert named("".join(rows).encode(), [BASE + address]) == [wanted]


def test_a_long_name_is_cut_and_keeps_its_offset() -> None:
    """An answer is never longer than the host believes."""
    (name,) = named(f"{BASE:016x} t {'x' * 500}\n".encode(), [BASE + 0xABC])
    assert len(name) == NAME_LIMIT and name.endswith("x+0xabc")


@pytest.mark.parametrize("asked", [[0] * (LIMIT + 1), [-1], [1 << 64], [True], ["0"], [1.5]])
def test_what_is_no_list_of_addresses_is_refused(asked: list[int]) -> None:
    """The bound and the kind of what is asked are checked before any work."""
    with pytest.raises(ValueError, match=f"at most {LIMIT}, each of 64 bits"):
        named(TABLE, asked)


def test_functions_are_found_by_name() -> None:
    """With the parts and copies that a compiler has made, up to the next symbol; no data, and no other name."""
    table = b"""\
ffffffff81000000 T dax_one
ffffffff81000000 t a_alias
ffffffff81000010 t dax_one.cold
ffffffff81000018 t __pfx_dax_two
ffffffff81000020 t dax_two.isra.0
ffffffff81000025 d dax_data
ffffffff81000030 t dax_one_more
0000000000001000 t dax_user
ffffffffc0001000 t xfs_last\t[xfs]
ffffffffc0000000 t xfs_first.part.0\t[xfs]
ffffffffc0000000 t xfs_alias\t[xfs]
"""
    names = ["dax_one", "dax_two", "dax_data", "dax_user", "xfs_first", "xfs_last", "gone", "__pfx"]
    assert located(table, names) == [
        (BASE, "dax_one", 0x10), (BASE + 0x10, "dax_one.cold", 8), (BASE + 0x20, "dax_two.isra.0", 5),
        (0xFFFFFFFFC0000000, "xfs_first.part.0", 0x1000), (0xFFFFFFFFC0001000, "xfs_last", 0x10000),
    ]  # fmt: skip
    assert located(table, []) == []


def test_functions_of_a_hidden_table_are_none(tmp_path: Path) -> None:
    """Where all addresses are 0, nothing is found; what is read is the file of /proc."""
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/kallsyms").write_bytes(b"0000000000000000 T dax_one\n")
    assert kallsyms.functions(["dax_one"], tmp_path) == []
    (tmp_path / "proc/kallsyms").write_bytes(b"ffffffff81000000 T dax_one\nffffffff81000008 T dax_two\n")
    assert kallsyms.functions(["dax_one"], tmp_path) == [(BASE, "dax_one", 8)]


@pytest.mark.parametrize("names", [["a"] * (kallsyms.FUNCTIONS_LIMIT + 1), [1], [b"a"]])
def test_what_is_no_list_of_names_is_refused(names: list[str]) -> None:
    """The bound and the kind of what is asked are checked before any work."""
    with pytest.raises(ValueError, match=f"at most {kallsyms.FUNCTIONS_LIMIT}, each a word"):
        located(TABLE, names)


def test_a_flood_of_functions_is_refused() -> None:
    """No more are told than the host takes."""
    table = b"".join(b"ffffffff%08x t dax_one.isra.%d\n" % (at, at) for at in range(kallsyms.FUNCTIONS_LIMIT + 1))
    with pytest.raises(ValueError, match="functions have these names"):
        located(table, ["dax_one"])
