"""Laws of what a guest tells of a command: it comes back as it was, and nothing that cannot be is believed."""

from typing import Any

import pytest

from harness.model.wire.commanded import (
    ERROR_LIMIT,
    MARK_LIMIT,
    OUTPUT_LIMIT,
    Commanded,
    encoded,
    from_wire,
    to_wire,
)

FOUND = Commanded(1, b"one\ntwo\n", b"\0\xff", (4, 8), True)


@pytest.mark.parametrize("found", [FOUND, Commanded(None, b"", b""), Commanded(0, bytes(OUTPUT_LIMIT), b"", (7,))])
def test_a_command_comes_back_as_it_was(found: Commanded) -> None:
    assert from_wire(to_wire(found)) == found


def test_what_was_acked_when() -> None:
    """By the marks that had come; all of it at the end, and of output that was not marked any more."""
    assert [FOUND.acked(marks) for marks in (0, 1, 2, 3, None)] == [b"", b"one\n", *[b"one\ntwo\n"] * 3]
    assert Commanded(0, b"one\ntwo\n", b"", (4,)).acked(2) == b"one\ntwo\n"


@pytest.mark.parametrize(
    "wrong",
    [
        {"status": -1}, {"status": 256}, {"status": True}, {"status": "0"}, {"out": None}, {"out": "?"}, {"out": "AA"},
        {"out": encoded(bytes(OUTPUT_LIMIT + 1))}, {"err": encoded(bytes(ERROR_LIMIT + 1))}, {"ends": None},
        {"ends": [4, 4]}, {"ends": [0]}, {"ends": [8, 4]}, {"ends": [9]}, {"ends": [1.5]}, {"ends": [-1, 2]},
        {"ends": [*range(1, MARK_LIMIT + 2)], "out": encoded(bytes(MARK_LIMIT + 1))},
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    """A status that no shell tells, text that is no bytes or too many, marks that are not in the output, in order."""
    with pytest.raises(ValueError, match=r"."):
        from_wire({**to_wire(FOUND), **wrong})
