"""Anonymous files: their bytes and their holes."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import InfraError
from harness.memfile import MemFile, punch
from harness.model.units import PAGE

SIZE = 64 * PAGE




def test_it_has_no_name_and_goes_with_its_context() -> None:
    """Within the context the file is an unlinked memfd; after it the descriptor is closed."""
    with MemFile("thing", SIZE) as file:
        assert str(file.path.readlink()).startswith("/memfd:daxcheck-thing") and file.path.stat().st_size == SIZE
        fd = file.fd
    with pytest.raises(OSError):
        os.fstat(fd)


def test_bytes_are_shared_with_who_opens_the_path() -> None:
    """What another descriptor writes is seen in the array at once, and the other way round."""
    with MemFile("thing", SIZE) as file, file.path.open("r+b", buffering=0) as other:
        other.seek(PAGE)
        other.write(b"there")
        assert bytes(file.array[PAGE : PAGE + 5]) == b"there"
        file.array[0:4] = list(b"here")
        other.seek(0)
        assert other.read(4) == b"here"


def test_copies_are_private_and_sparse() -> None:
    """A copy has the same bytes and holes, and a later change of either is not seen in the other."""
    with MemFile("thing", SIZE) as file:
        file.array[10 * PAGE] = 1
        with file.copy("twin") as twin:
            assert twin.extents() == file.extents() == [(10 * PAGE, 11 * PAGE)]
            twin.array[0] = 2
            file.array[PAGE] = 3
            assert (file.array[0], twin.array[PAGE], twin.array[10 * PAGE]) == (0, 0, 1)


def test_replace_leaves_nothing_of_before() -> None:
    """After replace() all bytes are the other's, zeroes included, also for who had the file mapped."""
    with MemFile("one", SIZE) as one, MemFile("two", SIZE) as two:
        one.array[:] = 7
        two.array[5 * PAGE] = 9
        seen = one.array
        one.replace(two)
        assert bytes(seen) == bytes(two.array)
        assert one.extents() == two.extents()
        punch(one.fd, 0, SIZE)
        assert one.extents() == [] and not one.array.any()


PAGES = st.dictionaries(st.integers(0, SIZE // PAGE - 1), st.integers(0, 3), max_size=SIZE // PAGE)


@given(PAGES, PAGES)
def test_replace_makes_the_same_file_of_any_other(before: dict[int, int], after: dict[int, int]) -> None:
    """Bytes and holes are those of the other, whichever pages both hold, one holds, or nobody does."""
    with MemFile("one", SIZE) as one, MemFile("two", SIZE) as two:
        for file, pages in (one, before), (two, after):
            for page, value in pages.items():
                file.array[page * PAGE + 8 * value] = value
        one.replace(two)
        assert one.extents() == two.extents()
        assert bytes(one.array) == bytes(two.array)


def test_save_and_load(tmp_path: Path) -> None:
    """A saved file loads with the same bytes; pages of zeroes take no room on disk."""
    path = tmp_path / "image"
    with MemFile("one", SIZE) as one, MemFile("two", SIZE) as two:
        one.array[: 3 * PAGE] = 5
        one.array[PAGE : 2 * PAGE] = 0
        one.array[SIZE - 1] = 6
        one.save(path)
        two.load(path)
        assert bytes(one.array) == bytes(two.array)
        assert path.stat().st_size == SIZE
        with pytest.raises(FileExistsError):
            one.save(path)


def test_a_file_of_another_size_is_refused(tmp_path: Path) -> None:
    """An image that is too short or too long is no image: the line names it and both sizes."""
    path = tmp_path / "image"
    path.write_bytes(bytes(SIZE - 1))
    with MemFile("one", SIZE) as one, pytest.raises(InfraError, match=f"{SIZE - 1} bytes, expected {SIZE}"):
        one.load(path)
