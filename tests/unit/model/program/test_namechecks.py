"""Laws of the checks on names: what is refused, what a kernel may refuse, and what a descriptor with O_APPEND does."""

import pytest

from harness.model.program.program import ProgramError, format, parse

TWO = "daxcheck program 1\ncreate f a\ncreate g b\n"
APPEND = TWO + "open h a flag=append\n"
LEGAL = (
    TWO + "rename a b flag=exchange\nopen h a\nopen i b\n",
    TWO + "rename a c flag=noreplace\nopen h c\n",
    TWO + "expect_errno EEXIST\nrename a b flag=noreplace\nopen h a\n",
    TWO + "expect_errno EEXIST\nlink a b\nopen h a\n",
    TWO + "expect_errno ENOENT\nrename a c\nopen h a\n",
    TWO + "open h a flag=truncate\n",
    APPEND + "pwrite h 0 4K how=dsync\nmmap m h 0 4K\nfsync h\n",
    APPEND + "expect_errno EBADF\nclone_file h g\n",
    APPEND + "mmap m g 0 4K\nread_into m 0 8 h 0\n",
)
REFUSED = (
    (TWO + "rename a c flag=exchange\n", "c is not created"),
    (TWO + "rename c a flag=exchange\n", "c is not created"),
    (TWO + "rename a b flag=noreplace\n", "never replaced"),
    (TWO + "expect_errno EEXIST\nrename a ../b flag=noreplace\n", "no plain name"),
    (TWO + "expect_errno EEXIST\nlink a ../b\n", "no plain name"),
    (TWO + "open h c flag=truncate\n", "c is not created"),
    (TWO + "lane x\nopen h a flag=append\n", "cannot stand in a lane"),
    (APPEND + "lane x\npwrite h 0 8\n", "appends"),
    (APPEND + "pwrite h 0 4K how=direct\n", "appends"),
    (APPEND + "clone_file h g\n", "open another"),
    (APPEND + "exchange_range g 0 4K h 0\n", "open another"),
)


@pytest.mark.parametrize("text", LEGAL)
def test_legal(text: str) -> None:
    """It parses, and its text gives it back."""
    assert format(parse(text)) == text


@pytest.mark.parametrize(("text", "words"), REFUSED)
def test_refused(text: str, words: str) -> None:
    """The error says why."""
    with pytest.raises(ProgramError, match=words):
        parse(text)
