"""Laws of the moments at which a run had promised something: they follow from the states, not from names of ops."""

import errno

import pytest

from harness.model.contract import oracle, promises
from harness.model.contract.domain import PersistenceDomain
from harness.model.program.program import parse
from harness.model.wire.observation import OpResult

FILE = "daxcheck program 1\ncreate f data\nfallocate f allocate 0 8K\nmmap m f 0 8K\nmmap p f 0 8K sharing=private\n"
SYNC = FILE + "mmap s f 0 8K sharing=sync\n"


@pytest.mark.parametrize(
    ("text", "made"),
    [
        (FILE + "store m 0 4K\nmsync m 0 4K\n", (5,)),
        (FILE + "store m 0 4K\nmsync m 0 4K flag=async\n", ()),
        (FILE + "store p 0 4K\nmsync p 0 4K\n", ()),
        (FILE + "store m 0 4K\nflush m 0 4K\n", ()),
        (SYNC + "store s 0 4K\nflush s 0 4K\n", (6,)),
        (FILE + "pwrite f 0 4K\npwrite f 0 4K how=dsync\n", (5,)),
        (FILE + "fsyncdir\nfsyncdir\n", (4,)),
        (FILE + "fdatasync f\nsyncfs\nsync_file_range f 0 4K\nremount ro\n", (4, 5)),
        (FILE + "lane a\nmsync m 0 4K\nlane b\nload m 0 4K\njoin\nfsync f\n", (8, 9)),
        (FILE + "lane a\nload m 0 4K\nlane b\nload m 0 4K\njoin\n", ()),
    ],
)
def test_promises_are_made_where_the_states_say(text: str, made: tuple[int, ...]) -> None:
    """The op, or the join of the lanes, after which something is certain that was not before."""
    program = parse(text)
    assert promises.made(program, oracle.run(program)) == made


def test_what_failed_has_promised_nothing() -> None:
    """An msync with an errno is no moment to look at, and the next one is."""
    program = parse(FILE + "store m 0 4K\nmsync m 0 4K\nmsync m 0 4K\n")
    assert promises.made(program, oracle.run(program, [OpResult(5, errno.EIO)])) == (6,)


def test_where_caches_survive_stores_promise() -> None:
    """eADR: a store through MAP_SYNC is durable at once, so that the promise is the store's."""
    program = parse(SYNC + "store s 0 4K\n")
    assert promises.made(program, oracle.run(program, domain=PersistenceDomain.CPU_CACHE)) == (5,)
    assert promises.made(program, oracle.run(program)) == ()
