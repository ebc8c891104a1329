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
    TWO + "mkdir d\nmkdir e\nrename a d/a\nrename d e\nopen h e/a\nfsyncdir path=e\n",
    TWO + "mkdir d\nrename a d flag=exchange\nopen h d\nrmdir a\n",
    TWO + "mkdir d\nmkdir d/e\nexpect_errno ENOTEMPTY\nrmdir d\nrmdir d/e\nrmdir d\n",
    TWO + "mkdir d\nexpect_errno EINVAL\nrename d d/e\n",
    TWO + "symlink s a\nrename s t\nrename a t\nunlink t\n",
    TWO + "tmpfile t\npwrite t 0 4K\nlink_fd t c\nopen h c\nunlink c\n",
)
DIRS = TWO + "mkdir d\nmkdir d/e\nrename a d/a\n"
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
    (DIRS + "rmdir d\n", "not empty"),
    (DIRS + "mkdir d/e\n", "is a directory"),
    (DIRS + "mkdir d/a\n", "already created"),
    (DIRS + "mkdir x/y\n", "directory x is not made"),
    (DIRS + "unlink d\n", "is a directory"),
    (DIRS + "open h d\n", "is a directory"),
    (DIRS + "link d x\n", "is a directory"),
    (DIRS + "rename d d/e/x\n", "one is in the other"),
    (DIRS + "rename d d/a flag=exchange\n", "one is in the other"),
    (DIRS + "rename b d/e\n", "is a directory"),
    (DIRS + "rename d/e b\n", "already created"),
    (DIRS + "mkdir f\nrename f d\n", "not empty"),
    (DIRS + "fsyncdir path=x\n", "directory x is not made"),
    (DIRS + "".join(f"mkdir x{n}\n" for n in range(31)), "more than 32"),
    (TWO + "symlink s a\nopen h s\n", "symbolic link"),
    (TWO + "symlink s ../a\n", "no plain name"),
    (TWO + "symlink a b\n", "already created"),
    (TWO + "tmpfile t\nlink_fd t a\n", "already created"),
    (TWO + "link_fd f c\n", "one of tmpfile"),
    (TWO + "tmpfile t\nlink_fd t c\nlink_fd t d\n", "one of tmpfile"),
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
