"""Laws of harness.cachedir, held against real processes that are killed and that race."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import cachedir
from harness.deadline import Deadline, DeadlineExpired, poll
from harness.errors import SetupError
from harness.manifest import MANIFEST, DamagedEntry

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "daxcheck"


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    """Processes of a test, ended with it."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def start(started: list[subprocess.Popen[str]], code: str) -> subprocess.Popen[str]:
    """Run `code` with cachedir imported in a process of its own."""
    argv = [sys.executable, "-c", f"import sys, time\nfrom harness import cachedir\n{code}"]
    process = subprocess.Popen(argv, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    started.append(process)
    return process


def write(room: Path) -> None:
    (room / "deep").mkdir()
    (room / "deep" / "file").write_text("contents")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has directories of several users")
@pytest.mark.parametrize("name", ["cache", "cache/daxcheck"])
def test_the_cache_of_another_user_is_not_believed(home: Path, tmp_path: Path, name: str) -> None:
    """`sudo -E` keeps XDG_CACHE_HOME and HOME: a plugin there would be loaded, and a kernel booted, by root."""
    entry = cachedir.directory("plugin", "key", write)
    os.chown(tmp_path / name, 65534, 65534)
    said = rf"not root's alone: .*{name} belongs to user 65534: .*sudo without -E"
    with pytest.raises(SetupError, match=said):
        cachedir.directory("plugin", "key", write)
    assert entry.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has directories of several users")
def test_nothing_is_made_in_the_cache_of_another(home: Path, tmp_path: Path) -> None:
    """Before it is refused: the way to it may lead anywhere."""
    (tmp_path / "cache").symlink_to(tmp_path / "theirs/there")
    (tmp_path / "theirs").mkdir()
    os.chown(tmp_path / "theirs", 65534, 65534)
    with pytest.raises(SetupError, match="theirs belongs to user 65534"):
        cachedir.root()
    assert list((tmp_path / "theirs").iterdir()) == []


def test_a_cache_that_others_may_write_is_not_believed(home: Path) -> None:
    """Whoever asks."""
    cachedir.root()
    home.chmod(0o777)
    with pytest.raises(SetupError, match=f"others may write in {home}"):
        cachedir.root()
    home.chmod(0o755)
    assert cachedir.root() == home


def test_made_once_then_found(home: Path) -> None:
    """An entry is made by the first who asks and found by all others; nothing temporary stays."""
    made = []

    def make(room: Path) -> None:
        made.append(room)
        write(room)

    for _ in range(3):
        path = cachedir.directory("area", "key", make)
    assert path == home / "area" / "key"
    assert (path / "deep" / "file").read_text() == "contents"
    assert len(made) == 1
    assert cachedir.keys("area") == ["key"]
    assert [p.name for p in (home / "area").iterdir()] == ["key"]


def test_failed_make_leaves_nothing(home: Path) -> None:
    """What `make` raises comes out, and neither entry nor temporary directory stays."""

    def fail(room: Path) -> None:
        write(room)
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        cachedir.directory("area", "key", fail)
    assert list((home / "area").iterdir()) == []


def test_same_contents_are_one_entry() -> None:
    """adopt names an entry by its contents alone, and keeps one of two equal ones."""
    first, second = cachedir.adopt("area", write), cachedir.adopt("area", write)
    other = cachedir.adopt("area", lambda room: _put(room / "deep-file", "contents"))
    assert first == second != other
    assert len(cachedir.keys("area")) == 2


def _put(path: Path, text: str) -> None:
    path.write_text(text)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda file: file.unlink(), "No such file"),
        (lambda file: file.write_text("short"), "5 bytes instead of 8"),
        (lambda file: file.write_text("CONTENTS"), "contents have changed"),
        (lambda file: (file.parents[1] / MANIFEST).write_text("{"), "unreadable"),
    ],
)
def test_damage_is_named_and_mended(spoil: object, says: str) -> None:
    """A lost, truncated or altered file is told by name; asking again makes the entry anew."""
    path = cachedir.directory("area", "key", write, hashed=True)
    spoil(path / "deep" / "file")  # type: ignore[operator]
    with pytest.raises(DamagedEntry, match=says):
        cachedir.present("area", "key", hashed=True)
    cachedir.directory("area", "key", write, hashed=True)
    assert cachedir.present("area", "key", hashed=True)


def test_two_processes_make_it_once(started: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    """Of processes that race for an entry exactly one makes it, and all get it."""
    log = tmp_path / "made"
    code = f"""
def make(room):
    with open({str(log)!r}, "a") as file: file.write("x")
    (room / "file").write_text("y" * 100000)
print(cachedir.directory("area", "key", make))"""
    racers = [start(started, code) for _ in range(5)]
    assert len({process.communicate(timeout=60)[0] for process in racers}) == 1
    assert log.read_text() == "x"


def test_racing_adopters_agree(started: list[subprocess.Popen[str]]) -> None:
    """Processes that publish the same contents at once end with one whole entry."""
    code = 'print(cachedir.adopt("area", lambda room: (room / "file").write_text("y" * 1000000)))'
    racers = [start(started, code) for _ in range(4)]
    assert len({process.communicate(timeout=60)[0] for process in racers}) == 1
    (key,) = cachedir.keys("area")
    assert cachedir.present("area", key, hashed=True)


def test_killed_maker_is_swept(started: list[subprocess.Popen[str]], home: Path) -> None:
    """kill -9 in the middle of a make leaves no entry; the next maker removes the remains and is not blocked."""
    code = """
def make(room):
    (room / "file").write_text("half")
    print("made", flush=True)
    time.sleep(60)
cachedir.directory("area", "key", make)"""
    victim = start(started, code)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "made\n"
    assert cachedir.sweep("area") == 0  # alive: its directory is its own
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    assert cachedir.keys("area") == []
    path = cachedir.directory("area", "key", write)
    assert cachedir.present("area", "key")
    assert [p.name for p in path.parent.iterdir()] == ["key"]


def test_lock_is_exclusive_bounded_and_dies_with_its_holder(started: list[subprocess.Popen[str]]) -> None:
    """A held lock keeps others out until their deadline; the kernel frees that of a killed process."""
    code = 'with cachedir.locked("area", "name"):\n    print("held", flush=True)\n    time.sleep(60)'
    holder = start(started, code)
    assert holder.stdout is not None
    holder.stdout.readline()
    with pytest.raises(DeadlineExpired, match="another daxcheck keeps"), cachedir.locked("area", "name", Deadline(0.1)):
        pass
    holder.kill()
    holder.wait()
    with cachedir.locked("area", "name", Deadline(5)):
        pass


def test_locks_exclude_each_other_under_contention(started: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    """Read-modify-write under the lock loses no update, though every release removes the lock's file."""
    counter = tmp_path / "counter"
    counter.write_text("0")
    code = f"""
from pathlib import Path
path = Path({str(counter)!r})
for _ in range(50):
    with cachedir.locked("area", "name"):
        path.write_text(str(int(path.read_text()) + 1))"""
    for process in [start(started, code) for _ in range(3)]:
        assert process.wait(60) == 0
    assert counter.read_text() == "150"


def test_a_wait_for_another_maker_is_told_once(started: list[subprocess.Popen[str]]) -> None:
    """Who waits for an entry that another process makes hears so, and then finds it; nobody else hears a word."""
    told: list[str] = []
    code = """
def make(room):
    print("making", flush=True)
    sys.stdin.readline()
    (room / "file").write_text("theirs")
cachedir.directory("area", "key", make)"""
    maker = start(started, code)
    assert maker.stdout is not None and maker.stdout.readline() == "making\n"

    def waiting() -> None:
        told.append("waiting")
        assert maker.stdin is not None
        maker.stdin.write("go on\n")
        maker.stdin.flush()

    for _ in range(2):
        assert (cachedir.directory("area", "key", write, waiting=waiting) / "file").read_text() == "theirs"
    assert told == ["waiting"]
    cachedir.directory("area", "other", write, waiting=waiting)
    assert told == ["waiting"]


def test_removed_entry_stays_readable_for_holders() -> None:
    """remove hides an entry at once; an open file of it keeps its contents; a second remove is no error."""
    path = cachedir.directory("area", "key", write)
    with (path / "deep" / "file").open() as file:
        cachedir.remove("area", "key")
        assert not path.exists()
        assert file.read() == "contents"
    cachedir.remove("area", "key")


def test_full_disk_is_one_line_with_remedy() -> None:
    """ENOSPC from a maker becomes a SetupError that names the place and the remedy."""

    def fill(room: Path) -> None:
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(b"x")

    with pytest.raises(SetupError, match=r"^no space left for the cache at \S+: free some, or point XDG_CACHE_HOME"):
        cachedir.directory("area", "key", fill)


def test_unusable_home_is_one_line_with_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache home that is no directory becomes a SetupError with the remedy."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(SetupError, match="point XDG_CACHE_HOME at a directory you may write"):
        cachedir.root()


def test_relative_cache_home_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The XDG specification: a relative XDG_CACHE_HOME counts as unset."""
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cachedir.root() == tmp_path / ".cache" / "daxcheck"


def test_lock_file_of_a_live_process_is_seen_by_poll(started: list[subprocess.Popen[str]], home: Path) -> None:
    """While a process makes an entry its lock file is there, and gone when it is done."""
    process = start(started, 'cachedir.directory("area", "key", lambda room: time.sleep(0.3))')
    poll(lambda: (home / "area" / ".lock-key").exists() or None, Deadline(20), "no lock file")
    assert process.wait(20) == 0
    assert [path.name for path in (home / "area").iterdir()] == ["key"]


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "deep/../../../outside", "."])
def test_a_manifest_cannot_lead_out(home: Path, name: str) -> None:
    """A manifest that lists a file outside its entry is damage: what lies elsewhere is not read, and not compared."""
    entry = cachedir.directory("area", "key", write)
    manifest = entry / MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), name: [0, None]}))
    (home.parent / "outside").touch()
    with pytest.raises(DamagedEntry, match="leads out of the entry"):
        cachedir.present("area", "key")
