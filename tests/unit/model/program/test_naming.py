"""Which files an op names: by what a descriptor, mapping or path stands for at that time."""

from harness.model.program.naming import named_files
from harness.model.program.program import HEADER, parse

PROGRAM = parse(f"""{HEADER}
create f data
create g other
mmap m f 0 4K
mremap m 0 n
rename data moved
store n 0 8
clone_file g f
unlink other
create h other
pwrite h 0 8
sync
cut_power
""")


def test_files_of_each_op() -> None:
    """Ids count the files as they are made; an op on the whole file system names none."""
    one, two, three = frozenset({1}), frozenset({2}), frozenset({3})
    assert named_files(PROGRAM).by_op == (
        one, two, one, one, one, one, one | two, two, three, three, frozenset(), frozenset()
    )  # fmt: skip


def test_a_path_stands_for_one_file_after_another() -> None:
    """A loss at a path is of the file that has the path then."""
    files = named_files(PROGRAM)
    assert [files.paths[index].get("other") for index in (0, 1, 7, 8)] == [None, 2, 2, 3]
    assert files.concerns(6, "other", 7)
    assert not files.concerns(6, "other", 9)
    assert files.concerns(10, "other", 10)
    assert files.concerns(6, "nobody", 10)
