"""A deferred value is made once, when it is asked for, whatever number of ops made it."""

from harness.model.contract import oracle
from harness.model.contract.deferred import Deferred
from harness.model.program.program import parse

LONG = 20_000


def test_nothing_is_made_before_it_is_asked_for() -> None:
    """Each value is made once; two that need the same one share it."""
    asked: list[str] = []

    def added(name: str, *values: int) -> int:
        asked.append(name)
        return sum(values) + 1

    first = Deferred(1).then(lambda value: added("first", value))
    both = first.then(lambda one, two: added("both", one, two), first)
    assert not asked
    assert (both.value, first.value, both.value) == (5, 2, 5)
    assert asked == ["first", "both"]


def test_equal_by_value() -> None:
    """Two that were made in different ways are equal if their values are."""
    one = Deferred(1).then(lambda value: value + 2)
    assert one == Deferred(3) and hash(one) == hash(Deferred(3)) and repr(one) == "3"
    assert one != Deferred(4) and one != 3


def test_a_long_chain_is_no_recursion() -> None:
    """As many steps as no stack has room for are made one after the other, and forgotten."""
    value = Deferred(0)
    for _ in range(LONG):
        value = value.then(lambda number: number + 1)
    assert value.value == LONG


def test_the_past_is_not_followed_before_it_is_asked_for() -> None:
    """What is held at any moment is what the contents with their past say of it."""
    text = "create f data\npwrite f 0 64K\nfallocate f insert_range 0 4K\npwrite f 8K 100\nfsync f\n"
    for state in oracle.run(parse(f"daxcheck program 1\n{text}")):
        file = state.files[1]
        assert all(byte.ever is None for byte in file.held.values)
        assert file.contents.to(lambda byte: byte.forgetting()) == file.held
    assert len(file.contents.starts) > len(file.held.starts)
