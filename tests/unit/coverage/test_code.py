"""From an address to a block: which function it lies in, and how far from its start."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.coverage.areas import AREAS, FUNCTIONS
from harness.coverage.code import Code
from harness.linux import kallsyms
from harness.model.wire.block import CodeBlock, CodeRange, is_symbol, ranges_from_wire, source_name

BASE = 0xFFFFFFFF81000000
CODE = Code(frozenset({"a", "b", "gone"}), (
    CodeRange(BASE, "a", 0x20), CodeRange(BASE + 0x20, "b.isra.0", 0x10), CodeRange(BASE + 0x40, "b.isra.0.cold", 8),
))  # fmt: skip


def test_an_address_is_named_by_its_function() -> None:
    """The first and the last byte of a function are its own; what lies before, between and behind is left out."""
    told = CODE.blocks([BASE - 1, BASE, BASE + 0x1F, BASE + 0x20, BASE + 0x30, BASE + 0x47, BASE + 0x48])
    assert told == {CodeBlock("a", 0), CodeBlock("a", 0x1F), CodeBlock("b.isra.0", 0), CodeBlock("b.isra.0.cold", 7)}


@given(st.lists(st.integers(BASE - 10, BASE + 90)))
def test_each_block_leads_back_to_its_address(addresses: list[int]) -> None:
    """The blocks are those of the addresses in the ranges, each once."""
    starts = {one.name: one.start for one in CODE.ranges}
    inside = {at for at in addresses if any(one.start <= at < one.end for one in CODE.ranges)}
    assert {starts[block.function] + block.offset for block in CODE.blocks(addresses)} == inside


def test_parts_and_copies_count_for_their_function() -> None:
    """The bytes of a function are those of all its symbols; one that the kernel lacks has none."""
    assert CODE.present == {"a": 0x20, "b": 0x18}
    assert source_name("ext4_map_blocks.part.0.cold") == "ext4_map_blocks"


def test_the_areas_are_names_and_no_two_share_one() -> None:
    """A name that is none, or that counts in two areas, or more than an agent takes, would spoil every table."""
    assert all(map(is_symbol, FUNCTIONS)) and not any("." in name for name in FUNCTIONS)
    assert sum(map(len, AREAS.values())) == len(FUNCTIONS) <= kallsyms.FUNCTIONS_LIMIT
    assert {"dax_layout_busy_page_range", "ext4_punch_hole", "xfs_free_file_space"} <= FUNCTIONS


WRONG = {
    "no list": "x",
    "too many": [[BASE + at, "a", 1] for at in range(5)],
    "no triple": [[BASE, "a"]],
    "user space": [[0x1000, "a", 1]],
    "no address": [[True, "a", 1]],
    "no name": [[BASE, "a b", 1]],
    "a newline": [[BASE, "a\n", 1]],
    "no bytes": [[BASE, "a", 0]],
    "too long": [[BASE, "a", 1 << 17]],
    "past the end": [[(1 << 64) - 1, "a", 2]],
    "overlap": [[BASE, "a", 2], [BASE + 1, "b", 1]],
    "twice": [[BASE, "a", 1], [BASE, "b", 1]],
}


@pytest.mark.parametrize("told", WRONG.values(), ids=WRONG.keys())
def test_a_hostile_agents_functions_are_refused(told: object) -> None:
    """What is no list of functions of a kernel reaches no map."""
    with pytest.raises(ValueError, match=r"^(no list|a function|a has|a and b) "):
        ranges_from_wire(told, 4)


def test_functions_are_sorted() -> None:
    """An agent may tell them in any order."""
    assert ranges_from_wire([[BASE + 1, "b", 1], [BASE, "a", 1]], 2) == (CodeRange(BASE, "a", 1),
                                                                         CodeRange(BASE + 1, "b", 1))  # fmt: skip
