"""Names change while pages are dirty: contents stay with their file, and freed blocks show nothing of the old one."""

import pytest

from harness.model.program.ops import Entry, Opening, Replacing
from harness.model.program.recorder import File, Mapping, Recorder
from harness.model.units import PAGE, PMD


def dirty_file(dax: Recorder, path: str = "data") -> tuple[File, Mapping]:
    """A file of 2 PMDs with durable contents, dirtied again through a PMD entry."""
    file = dax.create(path, size=2 * PMD)
    mapping = file.mmap()
    mapping.store()
    mapping.msync()
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    return file, mapping


def test_rename_of_dirty_file(dax: Recorder) -> None:
    """A file renamed while it is dirty is durable under its new name after msync and fsync of the directory."""
    _, mapping = dirty_file(dax)
    dax.rename("data", "moved")
    mapping.msync()
    dax.fsyncdir()
    dax.cut_power()


def test_rename_before_directory_sync(dax: Recorder) -> None:
    """Until the directory is synced a renamed file is found under one of its names, with what its fsync promised."""
    file, _ = dirty_file(dax)
    dax.rename("data", "moved")
    file.fsync()
    dax.cut_power()


def test_rename_over_dirty_file(dax: Recorder) -> None:
    """A file renamed over another takes its name at once and for good; the replaced one's dirty pages go nowhere."""
    dirty_file(dax)
    new, mapping = dirty_file(dax, "new")
    new.fsync()
    dax.rename("new", "data")
    mapping.store(PMD, 16 * PAGE)
    dax.fsyncdir()
    new.fsync()
    dax.cut_power()


def test_rename_over_is_atomic(dax: Recorder) -> None:
    """After a cut the name that a rename replaced is the old file or the new one, whole, never none."""
    old, _ = dirty_file(dax)
    old.fsync()
    new, _ = dirty_file(dax, "new")
    new.fsync()
    dax.rename("new", "data")
    dax.cut_power()


def test_link_to_dirty_file(dax: Recorder) -> None:
    """Both names of a file show the stores made through either, durable after one fsync and one of the directory."""
    dirty_file(dax)
    dax.link("data", "second")
    dax.fsyncdir()
    second = dax.open("second", 2 * PMD)
    mapping = second.mmap(align=PAGE)
    mapping.store(PMD, 8 * PAGE)
    mapping.expect_mapped(Entry.PTE, PMD, 8 * PAGE)
    second.fsync()
    dax.cut_power()


def test_unlink_of_one_of_two_names(dax: Recorder) -> None:
    """A file that lost one of two names while it was dirty is durable under the other."""
    _, mapping = dirty_file(dax)
    dax.link("data", "second")
    dax.unlink("data")
    dax.fsyncdir()
    mapping.msync()
    dax.cut_power()


def test_unlinked_file_still_mapped(dax: Recorder) -> None:
    """A file without a name can be stored to, read and synced through its mapping; after a cut it is gone."""
    dirty_file(dax, "other")
    file, mapping = dirty_file(dax)
    dax.unlink("data")
    dax.fsyncdir()
    mapping.store(PMD, PMD)
    mapping.load()
    mapping.msync()
    file.fsync()
    mapping.store(0, PAGE)
    mapping.load()
    dax.cut_power()


def test_unlinked_dirty_file_let_go(dax: Recorder) -> None:
    """A dirty file whose last name, descriptor and mapping go is dropped without a word from the kernel."""
    file, mapping = dirty_file(dax)
    dax.unlink("data")
    file.close()
    mapping.munmap()
    other = dax.create("other", size=2 * PMD).mmap()
    other.store()
    other.msync()
    dax.cut_power()


@pytest.mark.quick
def test_blocks_of_unlinked_file_reused(dax: Recorder) -> None:
    """Blocks of a deleted file show zeroes in the file that gets them, also through its unsynced parts after a cut."""
    file, mapping = dirty_file(dax)
    mapping.munmap()
    file.close()
    dax.unlink("data")
    dax.fsyncdir()
    new = dax.create("new", size=8 * PMD)
    small = new.mmap(align=PAGE)
    dax.observe()
    small.store(16 * PAGE, PAGE)
    small.msync(16 * PAGE, PAGE)
    small.store(PMD, PAGE)
    dax.cut_power()


def test_blocks_reused_while_old_mapping_dirty(dax: Recorder) -> None:
    """Blocks punched out of a dirty file and given to another hold that file's contents alone."""
    file, mapping = dirty_file(dax)
    file.punch_hole(0, PMD)
    new = dax.create_unsynced("new", size=8 * PMD)
    new.pwrite(0, 8 * PMD)
    new.fsync()
    dax.fsyncdir()
    mapping.load()
    mapping.msync()
    dax.cut_power()


def test_name_used_again(dax: Recorder) -> None:
    """A new file under the name of a deleted dirty one has its own contents alone."""
    old, mapping = dirty_file(dax)
    dax.unlink("data")
    new = dax.create_unsynced("data")
    new.pwrite(0, 16 * PAGE)
    mapping.store(0, PMD)
    old.fsync()
    new.fsync()
    dax.fsyncdir()
    dax.cut_power()


def test_write_and_rename(dax: Recorder) -> None:
    """The way editors save: new file, write, fsync, rename over, fsync of the directory, all of it durable."""
    dirty_file(dax)
    new = dax.create_unsynced("data.new")
    new.pwrite(0, PMD + 1000)
    new.fsync()
    dax.rename("data.new", "data")
    dax.fsyncdir()
    dax.cut_power()


def test_name_used_again_before_directory_sync(dax: Recorder) -> None:
    """Until the directory is synced a name used again is the deleted file, the new one, or gone; each file is whole."""
    old, _ = dirty_file(dax)
    old.fsync()
    dax.unlink("data")
    new = dax.create_unsynced("data")
    new.pwrite(0, 16 * PAGE)
    new.fsync()
    dax.cut_power()


def test_exchange_of_dirty_files(dax: Recorder) -> None:
    """Two dirty files that exchange their names keep their contents: msync and fsync of the directory promise both."""
    _, first = dirty_file(dax)
    _, second = dirty_file(dax, "other")
    dax.rename("data", "other", Replacing.EXCHANGE)
    first.msync()
    second.msync()
    dax.fsyncdir()
    dax.cut_power()


def test_exchange_is_atomic(dax: Recorder) -> None:
    """Until the directory is synced an exchange is there for both names or for none: no file is lost, none is twice."""
    for path in ("data", "other"):
        file, _ = dirty_file(dax, path)
        file.fsync()
    dax.rename("data", "other", Replacing.EXCHANGE)
    dax.cut_power()


def test_rename_without_replacing(dax: Recorder) -> None:
    """RENAME_NOREPLACE leaves a name that is there alone, EEXIST, and takes a free one."""
    first, _ = dirty_file(dax)
    _, second = dirty_file(dax, "other")
    dax.expect_errno("EEXIST")
    dax.rename("data", "other", Replacing.NOREPLACE)
    dax.rename("data", "third", Replacing.NOREPLACE)
    dax.fsyncdir()
    first.fsync()
    second.msync()
    dax.cut_power()


def test_append_to_dirty_file(dax: Recorder) -> None:
    """A write through O_APPEND goes behind the end whatever its offset, and takes nothing from the dirty PMD before."""
    file, mapping = dirty_file(dax)
    file.fsync()
    mapping.store(0, PMD)
    appending = dax.open("data", flag=Opening.APPEND)
    appending.pwrite(0, PMD + 1000)
    appending.pwrite(PAGE, 3000)
    file.pread(0, 3 * PMD)
    appending.fsync()
    dax.cut_power()


def test_truncate_by_open_of_dirty_file(dax: Recorder) -> None:
    """What O_TRUNC cut off does not come back when the file grows, live or after a cut, and is not in what is new."""
    file, _ = dirty_file(dax)
    dax.open("data", flag=Opening.TRUNCATE)
    file.ftruncate(2 * PMD)
    again = dax.open("data", size=2 * PMD).mmap(align=PAGE)
    again.store(16 * PAGE, PAGE)
    dax.observe()
    again.msync(16 * PAGE, PAGE)
    dax.cut_power()


@pytest.mark.quick
def test_dirty_file_in_directory(dax: Recorder) -> None:
    """A file in a directory is durable after its msync and the fsync of the directory and of the root."""
    dax.mkdir("dir")
    file = dax.create_unsynced("dir/data", size=2 * PMD)
    mapping = file.mmap()
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    mapping.msync()
    dax.fsyncdir("dir")
    dax.fsyncdir()
    dax.cut_power()


def test_directory_unsynced_in_root(dax: Recorder) -> None:
    """After a cut a directory that was synced, but not its own name, is there with its file whole, or not at all."""
    other, _ = dirty_file(dax)
    dax.mkdir("dir")
    file = dax.create_unsynced("dir/data", size=2 * PMD)
    file.pwrite(0, PMD)
    file.fsync()
    dax.fsyncdir("dir")
    other.fdatasync()
    dax.cut_power()


def test_rename_to_another_directory(dax: Recorder) -> None:
    """A dirty file renamed to another directory is durable there after its msync and the fsync of both directories."""
    _, mapping = dirty_file(dax)
    dax.mkdir("dir")
    dax.rename("data", "dir/moved")
    mapping.msync()
    dax.fsyncdir("dir")
    dax.fsyncdir()
    dax.cut_power()


def test_rename_across_directories_is_atomic(dax: Recorder) -> None:
    """Whichever directory is synced, a file renamed from one to the other is found in one of them, never in none."""
    dax.mkdir("from")
    dax.mkdir("to")
    file = dax.create("from/data", size=2 * PMD)
    file.pwrite(0, PMD)
    file.fsync()
    dax.sync()
    dax.rename("from/data", "to/data")
    dax.fsyncdir("from")
    dax.cut_power()


def test_rename_of_directory(dax: Recorder) -> None:
    """Dirty files of a directory that is renamed are found under its new name once the root is synced."""
    dax.mkdir("dir")
    dax.mkdir("dir/sub")
    for path in ("dir/data", "dir/sub/data"):
        file = dax.create_unsynced(path, size=2 * PMD)
        file.pwrite(0, PMD)
    dax.sync()
    mapping = file.mmap()
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    dax.rename("dir", "moved")
    mapping.msync()
    dax.fsyncdir()
    dax.cut_power()


def test_rename_of_directory_before_sync(dax: Recorder) -> None:
    """Until the root is synced a renamed directory is found under one of its names, with all that was synced in it."""
    dax.mkdir("dir")
    file = dax.create_unsynced("dir/data", size=2 * PMD)
    file.pwrite(0, PMD)
    dax.sync()
    dax.rename("dir", "moved")
    file.fsync()
    dax.cut_power()


def test_directory_replaced_and_used_again(dax: Recorder) -> None:
    """A directory that was removed is another one when its name is used again: nothing of the old one is in it."""
    dax.mkdir("dir")
    old, mapping = dirty_file(dax, "dir/data")
    dax.sync()
    mapping.store(0, PAGE)
    dax.unlink("dir/data")
    dax.rmdir("dir")
    dax.mkdir("dir")
    new = dax.create_unsynced("dir/other", size=2 * PMD)
    new.pwrite(0, PAGE)
    new.fsync()
    old.fsync()
    dax.fsyncdir("dir")
    dax.fsyncdir()
    dax.cut_power()


def test_directory_in_use_is_not_removed(dax: Recorder) -> None:
    """rmdir of a directory with a file in it, and a rename over it, are refused and change nothing."""
    dax.mkdir("dir")
    dax.mkdir("empty")
    file, mapping = dirty_file(dax, "dir/data")
    dax.expect_errno("ENOTEMPTY", "EEXIST")
    dax.rmdir("dir")
    dax.expect_errno("ENOTEMPTY", "EEXIST")
    dax.rename("empty", "dir")
    dax.expect_errno("EEXIST")
    dax.mkdir("empty")
    dax.sync()
    mapping.store(PMD, PAGE)
    file.fsync()
    dax.cut_power()


def test_exchange_of_file_and_directory(dax: Recorder) -> None:
    """A dirty file and a directory with a file in it exchange their names, durably after a sync of the root."""
    dax.mkdir("dir")
    inner = dax.create_unsynced("dir/inner", size=2 * PMD)
    inner.pwrite(0, PMD)
    _, mapping = dirty_file(dax)
    dax.sync()
    mapping.store(PMD, PMD)
    dax.rename("data", "dir", Replacing.EXCHANGE)
    mapping.msync()
    dax.fsyncdir()
    dax.cut_power()


def test_published_from_tmpfile(dax: Recorder) -> None:
    """The other way to save: O_TMPFILE, stores, fsync, linkat, fsync of the directory, all of it durable."""
    file = dax.tmpfile(size=2 * PMD)
    mapping = file.mmap()
    mapping.store(0, PMD)
    mapping.expect_mapped(Entry.PMD, 0, PMD)
    file.fsync()
    file.link_to("data")
    mapping.store(PMD, 16 * PAGE)
    mapping.msync()
    dax.fsyncdir()
    dax.cut_power()


def test_tmpfile_linked_and_unsynced(dax: Recorder) -> None:
    """A file that was synced and then given its first name is found whole, or not at all; without a name it is gone."""
    other, _ = dirty_file(dax)
    nameless = dax.tmpfile(size=2 * PMD)
    nameless.pwrite(0, PMD)
    nameless.fsync()
    file = dax.tmpfile(size=2 * PMD)
    file.pwrite(0, PMD)
    file.fsync()
    file.link_to("linked")
    other.fsync()
    dax.cut_power()


def test_symlinks_are_whole(dax: Recorder) -> None:
    """A symbolic link is found with what it holds, short or long, or not at all; a synced one is there."""
    file, _ = dirty_file(dax)
    dax.symlink("short", "data")
    dax.symlink("long", "/".join(["x" * 40] * 3))
    dax.fsyncdir()
    dax.symlink("unsynced", "data")
    dax.rename("short", "renamed")
    file.fsync()
    dax.cut_power()
