"""Laws of `daxcheck import`: every format, hostile text, the command line, and the documents."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import cli
from harness.commands import imports
from harness.errors import UsageError
from harness.importing.ace import AceReader
from harness.importing.formats import FORMATS
from harness.importing.reader import read
from harness.importing.xfs_io import XfsIoReader
from harness.model.program import ops
from harness.model.program.program import Program, format, parse

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = (
    'xfs_io -f -c "falloc 0 2m" -c "mmap -S 0 2m" -c "mwrite -S 0x61 4k 8k" -c "fiemap 0 4096" -c "msync -s 4k 8k" '
    "$SCRATCH_MNT/file >> $seqres.full 2>&1\n"
    '$XFS_IO_PROG -fc "pwrite -W 0 64k" -c "reflink $SCRATCH_MNT/file 0 0 64k" $SCRATCH_MNT/copy\n'
)
WORKLOAD = """# define
A/foo
# setup
open Afoo O_RDWR|O_CREAT 0777
# run
mkdir A 0777
mmapwrite Afoo 0 32768
fsync Afoo
checkpoint 1
rename Afoo Abar
falloc Abar FALLOC_FL_PUNCH_HOLE|FALLOC_FL_KEEP_SIZE 0 5000
opendir A 0777
fsync A
checkpoint 2
"""


def test_xfs_io_does_what_the_commands_say() -> None:
    """Offsets of mwrite are those of the file; each call closes what it has opened; one unknown command is left out."""
    with pytest.raises(UsageError, match=re.escape("t.sh:1: 'fiemap 0 4096': not in the language of Programs;")):
        read(XfsIoReader, SCRIPT, "t.sh")
    result = read(XfsIoReader, SCRIPT, "t.sh", skip_unknown=True)
    assert result.parts[0].program.ops[3:] == (
        ops.Fallocate("f1", ops.Mode.ALLOCATE, 0, 2 << 20), ops.Mmap("m1", "f1", 0, 2 << 20, ops.Sharing.SYNC),
        ops.Store("m1", 4096, 8192), ops.Msync("m1", 4096, 8192), ops.Munmap("m1"), ops.Close("f1"),
        ops.Create("f2", "copy"), ops.Fsync("f2"), ops.Fsyncdir(), ops.Pwrite("f2", 0, 65536), ops.Fsync("f2"),
        ops.Open("f3", "file"), ops.Clone("f2", 0, 65536, "f3", 0), ops.Close("f3"), ops.Close("f2"),
        ops.Syncfs(), ops.CutPower(),
    )  # fmt: skip


XFS_IO_REFUSED = {
    "mwrite 0 4k": "nothing is mapped",
    "mmap 0 64k\nmwrite 8k 4k": "past the last page of the file, which is 8192 bytes long: a SIGBUS",
    "mmap 4k 4k\nmwrite 0 4k": "the mapping is [4096..8192) of the file",
    "mmap -r 0 4k\nmwrite 0 4k": "a SIGSEGV",
    "pwrite -i /etc/passwd 0 4k": "pwrite -i is not in the language",
    "pwrite 0 4q": "'4q' is no number of bytes",
    "reflink nowhere": "no line before has created it",
    "fcollapse 4k 4k": "reaches the end of the file",
    "msync": "nothing is mapped",
    "mremap 4k": "nothing is mapped",
    "pwrite 'a": "quote it as a shell does",
}


@pytest.mark.parametrize(("commands", "reason"), XFS_IO_REFUSED.items(), ids=XFS_IO_REFUSED.keys())
def test_xfs_io_names_what_cannot_be_said(commands: str, reason: str) -> None:
    """The last command is refused with its line."""
    text = f"open -f x\npwrite 0 8k\n{commands}"
    with pytest.raises(UsageError, match=re.escape(reason)) as caught:
        read(XfsIoReader, text, "t.sh")
    assert str(caught.value).startswith(f"t.sh:{len(text.splitlines())}: ")


def test_a_shorter_mapping_is_moved_and_unmapped() -> None:
    """mremap to fewer bytes takes the end away."""
    text = "open -f x\npwrite 0 8k\nmmap 0 8k\nmremap 4k\nmwrite 0 4k\nmadvise -d"
    done = read(XfsIoReader, text, "t.sh").parts[0].program.ops
    assert done[5:9] == (
        ops.Mremap("m1", 4096, "m2"), ops.Munmap("m2"), ops.Store("m1", 0, 4096),
        ops.Madvise("m1", 0, 4096, ops.Advice.DONTNEED),
    )  # fmt: skip


def test_ace_does_what_the_workload_says() -> None:
    """Setup is synced; a directory is the one that there is; a descriptor follows its file through a rename."""
    result = read(AceReader, WORKLOAD, "w")
    assert result.parts[0].program.ops == (
        ops.Create("f1", "Afoo"), ops.Sync(), ops.Fallocate("f1", ops.Mode.ALLOCATE, 0, 32768),
        ops.Mmap("m1", "f1", 0, 32768), ops.Store("m1", 0, 32768), ops.Msync("m1", 0, 8192), ops.Munmap("m1"),
        ops.Fsync("f1"), ops.Rename("Afoo", "Abar"), ops.Open("f2", "Abar"),
        ops.Fallocate("f2", ops.Mode.PUNCH_HOLE, 0, 5000), ops.Fsyncdir(), ops.CutPower(),
    )  # fmt: skip
    assert any("A is not made" in remark for remark in result.remarks)
    for line in ("fsetxattr Afoo", "symlink Afoo Abar", "rmdir A", "rename A B", "write Bfoo 0 1"):
        with pytest.raises(UsageError, match=f"w:9: '{line}': "):
            read(AceReader, "\n".join([*WORKLOAD.splitlines()[:8], line]), "w")


_words = st.one_of(
    st.sampled_from([*{word for one in FORMATS.values() for word in one.words}, "xfs_io", "-c", "-f", "#", "# run"]),
    st.sampled_from(["0", "4k", "0x1000", "8192", "foo", "bar", "-k", "O_RDWR|O_CREAT", "keep_size", "1" * 30]),
    st.text(max_size=6),
)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(FORMATS)), st.lists(st.lists(_words, max_size=5).map(" ".join), max_size=12))
def test_whatever_is_imported_is_a_program_or_refused(name: str, lines: list[str]) -> None:
    """Hostile text gives UsageError, or Programs that parse."""
    text = "\n".join(["open -f foo", "open foo O_RDWR|O_CREAT 0777", "write 0x0 0x2000", *lines])
    try:
        result = read(FORMATS[name].reader, text, "x", skip_unknown=True)
    except UsageError:
        return
    for part in result.parts:
        assert parse(format(part.program)) == part.program
        assert len(part.lines) == len(part.program.ops)


def test_the_command_writes_a_file_that_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Standard output and --out hold the same text, which `check` takes; several Programs are numbered."""
    log, out = tmp_path / "x.fsxops", tmp_path / "x.prog"
    log.write_text("write 0x0 0x1000\nmapread 0x0 0x800\n")
    assert cli.main(["import", "fsx", str(log)]) == 0
    text = capsys.readouterr().out
    assert "pwrite f1 0 4K  # line 1\nmmap m1 f1 0 2K  # line 2\nload m1 0 2K\nmunmap m1\n" in text
    assert cli.main(["import", "fsx", str(log), "--out", str(out)]) == 0
    assert out.read_text() == text
    assert cli.main(["check", str(out)]) == 0
    log.write_text("write 0x0 0x1000\n" * 300)
    assert cli.main(["import", "fsx", str(log)]) == 2
    assert "takes 2 Programs: name a file with --out" in capsys.readouterr().err
    assert cli.main(["import", "fsx", str(log), "--out", str(out)]) == 0
    assert cli.main(["check", *map(str, sorted(tmp_path.glob("x-*.prog")))]) == 0
    assert len([*tmp_path.glob("x-*.prog")]) == 2


def test_every_program_is_asked_whether_it_can_be_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that could not end in a PASS is named, also when it is not the first, and nothing is written."""
    log, asked = tmp_path / "x.fsxops", list[Program]()

    def why_not(program: Program) -> str:
        asked.append(program)
        return "nothing would be judged" if len(asked) == 2 else ""

    monkeypatch.setattr(imports, "why_not_judged", why_not)
    log.write_text("write 0x0 0x1000\n" * 300)
    assert cli.main(["import", "fsx", str(log), "--out", str(tmp_path / "x.prog")]) == 2
    assert "x.fsxops: Program 2 of 2: nothing would be judged\n" in capsys.readouterr().err
    assert len(set(asked)) == 2 and not [*tmp_path.glob("*.prog")]


def test_what_cannot_be_read_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2 and one line."""
    (tmp_path / "bytes").write_bytes(b"\xff\n")
    (tmp_path / "empty").write_text("\n# nothing\n")
    for name in ("bytes", "empty", "nowhere", ".", "a\0b"):
        assert cli.main(["import", "ace", str(tmp_path / name)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


def test_the_document_lists_the_words_of_each_format() -> None:
    """docs/import.md has a row for each format, with all words that its lines may begin with, and no other."""
    text = (ROOT / "docs" / "import.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", text, flags=re.MULTILINE))
    assert {name: re.findall(r"`([^`]+)`", row) for name, row in rows.items()} == {
        name: [*one.words] for name, one in FORMATS.items()
    }
