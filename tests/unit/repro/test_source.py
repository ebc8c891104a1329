"""Laws of C reproducers: each op has its C or a reason why not, the C compiles, and it tells what was written back."""

import re
from enum import StrEnum
from pathlib import Path

import pytest

from harness import cli
from harness.model.contract import oracle
from harness.model.program import ops
from harness.model.program.ops import Access, Advice, How, Mode, MsyncFlag, Sharing, Wait
from harness.model.program.program import VERBS, Program
from harness.pytestplugin import recording
from harness.pytestplugin.arguments import SCENARIOS
from harness.repro import foreseen, statement
from harness.repro.layout import WIDTH
from harness.repro.naming import names
from harness.repro.ops import checks, files, mappings, syncs
from harness.repro.promised import traceable
from harness.repro.scene import Scene
from harness.repro.scene import scene as scene_of
from harness.repro.source import source
from tests.unit.repro.built import PUNCH, TRACE, build, program, reproducer, run, written

EVERY = """\
create f data
create g other
open h data
close h
link data more
rename more less
unlink less
mkdir dir
fsyncdir path=dir
rename dir moved flag=noreplace
rmdir moved
symlink soft data
unlink soft
tmpfile u
link_fd u third
close u
rename data other flag=exchange
rename data other flag=exchange
open a data flag=append
pwrite a 0 4K
close a
open t other flag=truncate
close t
fallocate f allocate 0 8M
fallocate f collapse_range 4M 4K
ftruncate f 8M
set_dax f on
expect_dax f on
pwrite f 0 64K
pwrite f 0 64K how=dsync
pread f 0 4K how=direct
clone_file g f
clone g 0 64K f 0
dedupe g 0 64K f 0
copy_file_range g 0 64K f 0
splice g 0 64K f 0
sendfile g 0 64K f 0
expect_short 4K
copy_file_range g 0 64K f 0
exchange_range f 0 64K g 0
swapext f g
mmap m f 0 8M
mmap small f 0 8M align=4K
mmap p f 0 4M sharing=private
store m 0 4M
store p 0 4K
expect_mapped m pmd 0 4M
load m 0 4K
flush m 0 4K
read_into m 0 4K g 0
write_from g 0 4K m 0
direct_store m 0 4K
direct_load m 0 4K
mprotect m 0 4K read
expect_signal SIGSEGV
store m 0 8
expect_errno EINVAL|EOPNOTSUPP
fallocate f insert_range 0 4K
mlock m 0 4K
madvise m 0 4K hugepage
mremap m 4M n
mresize n 2M
mresize n 4M
mmap big f 0 4M populate=on
mmap_over big 2M o f 0
munmap o
munmap big
munmap small
msync n 0 4M
fsync f
fdatasync f
fsyncdir
sync_file_range f 0 4K
syncfs
sync
freeze
thaw
remount ro
remount rw
drop_caches
fill 64K
unfill
lane a times=9
mmap q f 0 4K
store q 0 4K
barrier
lane b worker=process times=9
store n 0 4K
msync n 0 4K
barrier
join
fsync f
observe
close f
close g
munmap m
munmap n
munmap p
fsyncdir
shutdown logflush
umount
mount
cut_power
"""
"""A Program with every op that a reproducer can have."""
TOLD_BY_NEXT = {ops.ExpectErrno, ops.ExpectShort, ops.ExpectSignal}
LANES = {ops.Lane, ops.Join}


def scene(every: Program) -> Scene:
    known = names(every)
    return scene_of(every, known, traceable(every, known, oracle.run(every, foreseen.results(every))))


def test_every_op_has_its_c_or_a_reason() -> None:
    """What no statement stands for is an expectation, a lane, or in one of the two tables with a reason."""
    every = program(EVERY)
    here = scene(every)
    found = {type(op) for index, op in enumerate(every.ops) if statement.call(here, index) is not None}
    reasons = {**checks.REFUSED, **checks.LEFT_OUT}
    assert found == set(VERBS.values()) - reasons.keys() - TOLD_BY_NEXT - LANES
    assert {type(op) for op in every.ops} >= set(VERBS.values()) - checks.REFUSED.keys()
    assert all(len(reason) > 40 for reason in reasons.values())


@pytest.mark.parametrize(("table", "forms"), [
    (files.MODES, Mode), (mappings.SHARINGS, Sharing), (mappings.ACCESSES, Access), (mappings.ADVICES, Advice),
    (syncs.FLAGS, MsyncFlag), (syncs.WAITS, Wait),
])  # fmt: skip
def test_every_form_has_its_constant(table: dict[object, str], forms: type[StrEnum]) -> None:
    """Two forms have never the same."""
    assert set(table) == set(forms)
    assert len({*table.values()}) == len(table)


def test_every_op_compiles(tmp_path: Path) -> None:
    """One file, without a warning; the helpers that it does not use are not there."""
    build(reproducer(EVERY), tmp_path)


def test_every_how_compiles(tmp_path: Path) -> None:
    """Each form of read(2) and write(2)."""
    reads = set(How) - {How.APPEND, How.ATOMIC}
    calls = [f"pwrite f 0 4K how={how}\n" for how in How] + [f"pread f 0 4K how={how}\n" for how in sorted(reads)]
    build(reproducer(f"create f data\n{''.join(calls)}fsync f\ncut_power\n"), tmp_path)


def test_awkward_names_compile(tmp_path: Path) -> None:
    """Names that C, its library or the reproducer itself have taken, and a descriptor and a mapping called the same."""
    lines = PUNCH
    for new in ("int", "printf", "j1", "root", "unix", "K", "f"):
        lines += lines_of(new)
    build(reproducer(lines.replace("cut_power\n", "") + "cut_power\n"), tmp_path)


def lines_of(name: str) -> str:
    fd = name if name != "f" else "f2"
    return f"create {fd} {name}.c\nftruncate {fd} 2M\nmmap {name} {fd} 0 2M\nstore {name} 0 4K\nfsync {fd}\n"


def statements(text: str) -> list[str]:
    """The statements of main() that do or judge something."""
    return [line.strip() for line in text[text.index("int main(") :].splitlines()]


def test_what_is_promised() -> None:
    """A hole takes its page out of what the sync is to write back; the hole itself is left to a comparison."""
    text = reproducer(PUNCH)
    told = [line for line in statements(text) if line.startswith("covered(")]
    assert told == ['covered(0, 16, "msync m [0..4M)");', 'covered(17, 1024, "msync m [0..4M)");']
    assert '"  data [64K..68K): 0x00");' in statements(text)
    assert not any("0x01" in line for line in statements(text) if "data" in line and ": 0x" in line)


def test_it_stands_in_100_columns() -> None:
    """Code is laid out as the kernel's; the Program stands in the comment, and nothing there can end it."""
    text = source(program(EVERY), ["a finding */ of ours"])
    comment, _, code = text.partition("*/\n")
    assert max(len(line.expandtabs(8)) for line in code.splitlines()) <= WIDTH
    assert " * mmap small f 0 8M align=4K\n" in comment and " * a finding * / of ours\n" in comment


def test_a_planted_fault_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An op that C cannot express is bad usage, in one line that names it."""
    path = tmp_path / "x.prog"
    path.write_text(f"daxcheck program 1\nplant no_fence 0 1M\n{PUNCH}")
    assert cli.main(["repro", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(r"x\.prog: op 0 \(plant no_fence 0 1M\): it plants a fault", line)


def test_pages_that_nobody_writes_back_are_lost(tmp_path: Path) -> None:
    """Without an event all that is promised is lost: 1, and the count on the last line."""
    ended = run(reproducer(PUNCH), tmp_path)
    assert (ended.code, ended.said[-1]) == (1, "LOST 1023 of 1023 promised pages")
    assert ended.said[0] == "pages 0 to 15: 16 not written back by msync m [0..4M)"


def test_pages_that_are_written_back_are_covered(tmp_path: Path) -> None:
    """Events that cover all between the store and the end of the sync: 0."""
    ended = run(written(reproducer(PUNCH), "covered(0, 16", (0, 1024)), tmp_path)
    assert (ended.code, ended.said[-1]) == (0, "covered 1023 of 1023 promised pages")
    assert "  data [64K..68K): 0x00" in ended.said


def test_a_pmd_that_is_left_out_is_lost(tmp_path: Path) -> None:
    """The sync writes back one PMD of two: the pages of the other are lost, but for that in the hole."""
    ended = run(written(reproducer(PUNCH), "covered(0, 16", (512, 512)), tmp_path)
    assert (ended.code, ended.said[-1]) == (1, "LOST 511 of 1023 promised pages")


def test_a_writeback_before_the_store_covers_nothing(tmp_path: Path) -> None:
    """What was written back when the store had not begun is as dirty as if it had not been."""
    text = reproducer(PUNCH.replace("store m 0 4M\n", "store m 0 4M\nfsync f\nstore m 0 4M\n"))
    ended = run(written(text, "read_trace();\n\tmemset(written, 0", (0, 1024)), tmp_path)
    assert (ended.code, ended.said[-1]) == (1, "LOST 2047 of 2047 promised pages")


def test_pages_that_a_collapse_moves_keep_their_marks(tmp_path: Path) -> None:
    """A page that was written back where it was stored is not dirty where it lies then, and its neighbour still is."""
    lines = PUNCH.replace("punch_hole 64K 4K", "collapse_range 0 4K").replace("msync m 0 4M", "msync m 0 8K")
    text = reproducer(lines).replace("CHECK(!fallocate(f, FALLOC_FL_COLLAPSE_RANGE, 0, 4 * K));", "")
    assert "FALLOC_FL_COLLAPSE_RANGE" not in text.partition("*/\n")[2]
    ended = run(written(text, "read_trace();\n\tmemmove(written, written + 1", (1, 1)), tmp_path)
    assert (ended.code, ended.said[0]) == (1, "pages 0 to 1: 1 not written back by msync m [0..8K)")


def test_lost_events_are_no_verdict(tmp_path: Path) -> None:
    """A trace that has overrun proves nothing: 77."""
    text = reproducer(PUNCH).replace("\tcovered(", f'\tdprintf({TRACE}, "CPU:1 [LOST 7 EVENTS]\\n");\n\tcovered(', 1)
    ended = run(text, tmp_path)
    assert ended.code == 77 and "cannot tell" in ended.said[-1]


def test_ptes_are_no_pmd(tmp_path: Path) -> None:
    """A mapping that is not as the finding needs it shows nothing: 77."""
    ended = run(reproducer(PUNCH.replace("fallocate f punch", "expect_mapped m pmd 0 4M\nfallocate f punch")), tmp_path)
    assert ended.code == 77 and "not mapped as is needed" in ended.said[-1]


def test_what_no_event_tells_of(tmp_path: Path) -> None:
    """Copies by the kernel and metadata are listed, to be compared after a cut; nothing else was promised: 77."""
    ended = run(reproducer("create f data\npwrite f 0 64K\nfsync f\nfsyncdir\ncut_power\n"), tmp_path)
    assert ended.code == 77
    assert ended.said[1:] == ["  data: exists, 64K long", "  data [0..64K): 0x01",
                              "cannot tell: no event tells of what is promised"]  # fmt: skip


def test_a_call_that_goes_another_way(tmp_path: Path) -> None:
    """An op that fails is no verdict: 77, with its errno; one that is to fail, and does, is passed."""
    failing = "create f data\nftruncate f 4K\nfallocate f insert_range 8K 4K\npwrite f 0 4K\nfsync f\ncut_power\n"
    ended = run(reproducer(failing), tmp_path)
    assert ended.code == 77 and "FALLOC_FL_INSERT_RANGE" in ended.said[-1]


PAST = """\
create f data
ftruncate f 9096
mmap m f 0 12K
store m 8K 4K
ftruncate f 16K
fsync f
cut_power
"""
"""A finding on ext4 6.12: the file shows what was stored behind its end."""


def test_the_code_of_a_finding_stands_in_80_lines() -> None:
    """What a maintainer reads, without the comment; it traces, and reads back."""
    _, _, code = reproducer(PAST).partition("*/\n")
    assert "covered(2, 3);" in statements(code) and "for (at = 9096; at < 12 * K; at++)" in statements(code)
    assert 30 <= len(code.splitlines()) <= 80


def test_zeroes_that_show_a_store_are_stale(tmp_path: Path) -> None:
    """What no event tells is read back: 1, with their count, though all was written back."""
    text = written(reproducer(PAST), "covered(2, 3)", (2, 1))
    text = text.replace("\tfor (at", '\tCHECK(pwrite(f, "xx", 2, 9999) == 2);\n\tfor (at')
    ended = run(text, tmp_path)
    assert (ended.code, ended.said[-2:]) == (1, ["STALE 2 bytes that must be zero", "covered 1 of 1 promised pages"])


def test_zeroes_that_are_zeroes(tmp_path: Path) -> None:
    """They change no verdict."""
    ended = run(written(reproducer(PAST), "covered(2, 3)", (2, 1)), tmp_path)
    assert (ended.code, ended.said[-1]) == (0, "covered 1 of 1 promised pages")


def test_zeroes_are_read_where_nothing_is_traced(tmp_path: Path) -> None:
    """Without a promise there is no trace: 1 if a store shows, by a descriptor of its own, and else 77."""
    text = reproducer(PAST.replace("fsync f", "close f"))
    assert "trace_pipe" not in text
    (tmp_path / "clean").mkdir()
    ended = run(text, tmp_path / "clean")
    assert (ended.code, ended.said) == (77, ["cannot tell: no event tells of what is promised"])
    assert "STATX_ATTR_DAX" in text
    (tmp_path / "stale").mkdir()
    shown = text.replace("\tfor (at", '\tCHECK(pwrite(open("data", O_RDWR), "x", 1, 9999) == 1);\n\tfor (at')
    ended = run(shown, tmp_path / "stale")
    assert (ended.code, ended.said) == (1, ["STALE 1 bytes that must be zero"])


def test_two_files_are_told_apart(tmp_path: Path) -> None:
    """The writeback of one file covers no page of the other."""
    other = "create g other\nftruncate g 4M\nmmap n g 0 4M\nstore n 0 4K\nfsync g\ncut_power\n"
    text = written(reproducer(PUNCH.replace("cut_power\n", other)), "covered(1, 0, 1", (0, 1024), status="st[0]")
    ended = run(text, tmp_path)
    assert (ended.code, ended.said[-1]) == (1, "LOST 1024 of 1024 promised pages")


def test_the_inode_is_that_of_the_file_however_it_was_made() -> None:
    """A file without a name at first is told apart by its inode too; else no event would be its."""
    lines = PUNCH.replace("create f data", "tmpfile f").replace("cut_power", "link_fd f data\nfsync f\ncut_power")
    text = reproducer(lines)
    assert any(line.startswith('if (statx(f, "", AT_EMPTY_PATH') for line in statements(text))
    assert any(line.startswith("covered(") for line in statements(text))


def test_an_error_that_cannot_be(tmp_path: Path) -> None:
    """An op without a system call fails in no way: 77."""
    ended = run(reproducer(PUNCH.replace("msync", "expect_errno EINVAL\nsync\nmsync")), tmp_path)
    assert (ended.code, ended.said[-1]) == (77, "repro: no error can be told of this: cannot tell")


@pytest.mark.nightly
def test_every_scenario_compiles(tmp_path: Path) -> None:
    """All but those with a planted fault."""
    programs = [one.program for one in recording.record_all(SCENARIOS).values()]
    built = [build(source(one), tmp_path) for one in programs if not any(type(op) in checks.REFUSED for op in one.ops)]
    assert len(built) > 300


def test_the_file_is_the_output(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """--out takes what standard output would, and a place that cannot be written is bad usage."""
    path = tmp_path / "x.prog"
    path.write_text(f"daxcheck program 1\n{PUNCH}")
    assert cli.main(["repro", str(path)]) == 0
    printed = capfdbinary.readouterr().out
    assert cli.main(["repro", str(path), "--out", str(tmp_path / "x.c")]) == 0
    assert (tmp_path / "x.c").read_bytes() == printed == reproducer(PUNCH).encode()
    assert cli.main(["repro", str(path), "--out", str(path / "x.c")]) == 2
