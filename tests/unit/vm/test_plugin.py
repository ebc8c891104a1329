"""Building, caching and probing the plugin, against the real QEMU and compiler; refusals in words."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from harness.errors import SetupError
from harness.media.log import Completion, PersistLog, PlantedFaults
from harness.vm import plugin

QEMU = Path(shutil.which("qemu-system-x86_64") or "/nonexistent")
ARGUMENTS = {"ram": "/dev/null", "ram_size": "4096", "nvdimm": "/dev/null", "nvdimm_base": "0x100000000",
             "nvdimm_size": "4096"}  # fmt: skip

needs_qemu = pytest.mark.skipif(not QEMU.exists(), reason="qemu-system-x86_64 is not installed: scripts/setup")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin, built once per session, in a cache of the session's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
        return plugin.build(QEMU)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "daxcheck" / plugin.AREA


def entries(cache: Path) -> list[Path]:
    return [path for path in cache.iterdir() if not path.name.startswith(".")]


def program(path: Path, *lines: str) -> Path:
    """An executable shell script that stands in for a QEMU or a tool that is not as it should be."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


def load(library: Path, arguments: Sequence[str]) -> subprocess.CompletedProcess[str]:
    value = ",".join([f"file={library}", *arguments])
    argv = [str(QEMU), "-machine", "none", "-nodefaults", "-display", "none", "-plugin", value]
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False)


@needs_qemu
def test_the_second_build_is_the_first(cache: Path) -> None:
    """What was built is found again, byte for byte and without the compiler."""
    first = plugin.build(QEMU)
    stamp = first.stat().st_mtime_ns
    assert plugin.build(QEMU) == first
    assert first.stat().st_mtime_ns == stamp
    assert entries(cache) == [first.parent]


@needs_qemu
def test_two_harnesses_build_at_once(cache: Path) -> None:
    """Builders that run at the same time all get one plugin, and leave nothing else behind."""
    with ThreadPoolExecutor(4) as pool:
        (found,) = set(pool.map(plugin.build, [QEMU] * 4))
    assert found.is_file()
    assert entries(cache) == [found.parent]


@needs_qemu
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda p: os.truncate(p, 100), id="truncated", marks=pytest.mark.nightly),
        pytest.param(lambda p: p.write_bytes(b"\0" * p.stat().st_size), id="zeroed"),
    ],
)
def test_a_damaged_entry_is_built_anew(cache: Path, damage: Callable[[Path], object]) -> None:
    """A plugin that is not what was published is never given to QEMU."""
    library = plugin.build(QEMU)
    good = library.read_bytes()
    damage(library)
    assert plugin.build(QEMU) == library
    assert len(library.read_bytes()) == len(good)
    plugin.probe(QEMU, library)


@pytest.mark.nightly
@needs_qemu
def test_other_sources_are_another_plugin(cache: Path, tmp_path: Path) -> None:
    """One changed byte of one source gives another entry."""
    sources = tmp_path / "sources"
    shutil.copytree(plugin.find_sources(), sources)
    first = plugin.build(QEMU, sources)
    with (sources / "walk.h").open("a") as file:
        file.write("/* changed */\n")
    assert plugin.build(QEMU, sources) != first
    assert len(entries(cache)) == 2


@needs_qemu
@pytest.mark.parametrize("api", [pytest.param(2, marks=pytest.mark.nightly), 3, 4])
def test_every_api_compiles(api: int, tmp_path: Path) -> None:
    """The sources compile without a warning for each plugin API of QEMU 9.0 and newer."""
    plugin._compile(plugin.find_toolchain(), plugin.find_sources(), api, tmp_path / "persist.so")


@needs_qemu
def test_a_newer_api_than_qemu_has_is_told(tmp_path: Path, library: Path) -> None:
    """probe() tells in QEMU's words why a plugin is refused."""
    wrong = tmp_path / "persist.so"
    number = (4).to_bytes(4, "little")
    text = subprocess.run(["nm", "-D", str(library)], capture_output=True, text=True, check=True).stdout
    (address,) = [int(row.split()[0], 16) for row in text.splitlines() if row.endswith(" qemu_plugin_version")]
    section = subprocess.run(["objdump", "-h", "-j", ".data", str(library)], capture_output=True, text=True, check=True)
    row = next(row.split() for row in section.stdout.splitlines() if ".data" in row)
    offset = address - int(row[3], 16) + int(row[5], 16)
    data = bytearray(library.read_bytes())
    assert data[offset : offset + 4] == number
    data[offset : offset + 4] = (99).to_bytes(4, "little")
    wrong.write_bytes(data)
    with pytest.raises(SetupError, match="requires API version 99"):
        plugin.probe(QEMU, wrong)


WRONG = {
    "unknown": ({"colour": "red"}, "unknown or malformed argument 'colour=red'"),
    "no log": ({"log": None}, "argument log=PATH is missing"),
    "no ram": ({"ram": None}, "arguments ram=PATH and nvdimm=PATH are both needed"),
    "no number": ({"ram_size": "12x"}, "unknown or malformed argument 'ram_size=12x'"),
    "negative": ({"ram_size": "-1"}, "unknown or malformed argument 'ram_size=-1'"),
    "overflow": ({"ram_size": "99999999999999999999"}, "malformed argument 'ram_size=99999999999999999999'"),
    "too much ram": ({"ram_size": "0x80000001"}, "argument ram_size=BYTES must be 1..2147483648"),
    "low nvdimm": ({"nvdimm_base": "0xfffff000"}, "argument nvdimm_base=GPA must be at least 0x100000000"),
    "odd nvdimm": ({"nvdimm_size": "100"}, "argument nvdimm_size=BYTES must be a multiple of 64"),
    "huge nvdimm": ({"nvdimm_size": "0xffffffffffffffc0"}, "argument nvdimm_size=BYTES must be"),
    "mode": ({"mode": "fast"}, "unknown or malformed argument 'mode=fast'"),
    "device, no base": ({"mode": "device_flush"}, "arguments base=PATH and nvdimm=PATH are both needed"),
    "device, not preloaded": ({"mode": "device_flush", "base": "/dev/null"},
                              "fsync() of this QEMU is not ours: start it with LD_PRELOAD of the plugin's path"),
    "log is missing": ({"log": "/nonexistent/log"}, "cannot map log /nonexistent/log: No such file or directory"),
    "log is none": ({"log": "/etc/passwd"}, "log /etc/passwd"),
}  # fmt: skip


@needs_qemu
@pytest.mark.parametrize(("change", "said"), WRONG.values(), ids=WRONG.keys())
def test_wrong_arguments_are_refused(library: Path, tmp_path: Path, change: dict[str, str | None], said: str) -> None:
    """QEMU does not start, and one line of the plugin names the argument."""
    with (tmp_path / "log").open("w+b") as file:
        PersistLog.create(file.fileno(), 10).close()
    arguments = {**ARGUMENTS, "log": str(tmp_path / "log"), **change}
    done = load(library, [f"{key}={value}" for key, value in arguments.items() if value is not None])
    lines = [row for row in done.stderr.splitlines() if row.startswith("daxcheck plugin: ")]
    assert done.returncode != 0
    assert len(lines) == 1 and said in lines[0]


@needs_qemu
def test_a_used_log_is_refused(library: Path, tmp_path: Path) -> None:
    """A log that holds records of another guest is not continued."""
    with (tmp_path / "log").open("w+b") as file:
        PersistLog.create(file.fileno(), 10).close()
        os.pwrite(file.fileno(), b"\1", 24)
    done = load(library, [f"{key}={value}" for key, value in {**ARGUMENTS, "log": tmp_path / "log"}.items()])
    assert "has been used: create a new one" in done.stderr


REFUSALS = {
    "old": (['echo "QEMU emulator version 8.2.2"'], "before 9.0"),
    "no qemu": (['echo "hello"'], "--version does not name a QEMU"),
    "fails": (["exit 1"], "--version does not name a QEMU"),
    "no plugins": (
        ['[ "$1" = --version ] && echo "QEMU emulator version 10.0.2" && exit 0',
         'echo "qemu: -plugin: plugin interface not enabled in this build" >&2; exit 1'],
        "built without TCG plugins",
    ),
    "silent": (['[ "$1" = --version ] && echo "QEMU emulator version 10.0.2" && exit 0', "exit 7"], "exit code 7"),
}  # fmt: skip


@pytest.mark.parametrize(("lines", "said"), REFUSALS.values(), ids=REFUSALS.keys())
def test_a_qemu_that_cannot_is_refused(cache: Path, tmp_path: Path, lines: list[str], said: str) -> None:
    """One line that names the QEMU and what it lacks; nothing is left in the cache."""
    with pytest.raises(SetupError, match=said) as caught:
        plugin.build(program(tmp_path / "qemu", *lines))
    assert "\n" not in str(caught.value)
    assert not cache.exists() or entries(cache) == []


def test_a_missing_qemu_is_told(cache: Path) -> None:
    """A path that names nothing says so and how to get one."""
    with pytest.raises(SetupError, match=r"/nonexistent/qemu: No such file or directory; scripts/setup"):
        plugin.build(Path("/nonexistent/qemu"))


def test_missing_tools_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiler, pkg-config and glib headers are told apart, each with the package that brings it."""
    tools = tmp_path / "bin"
    tools.mkdir()
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(SetupError, match=r"no C compiler.*apt-get install gcc"):
        plugin.find_toolchain()
    program(tools / "gcc", "echo gcc 1.0")
    with pytest.raises(SetupError, match=r"no pkg-config.*apt-get install pkg-config"):
        plugin.find_toolchain()
    program(tools / "pkg-config", "exit 1")
    with pytest.raises(SetupError, match=r"no glib headers.*apt-get install libglib2.0-dev"):
        plugin.find_toolchain()
    program(tools / "pkg-config", "echo -lglib")
    assert plugin.find_toolchain() == plugin.Toolchain(str(tools / "gcc"), "gcc 1.0", ("-lglib",))


@needs_qemu
def test_code_that_does_not_compile_is_told(cache: Path, tmp_path: Path) -> None:
    """The compiler's first error is the message; nothing is left in the cache."""
    (tmp_path / "persist.c").write_text("int broken(;\n")
    with pytest.raises(SetupError, match=r"does not compile with .*persist.c:1:.*error"):
        plugin.build(QEMU, tmp_path)
    assert entries(cache) == []


@pytest.mark.parametrize(("version", "api"), [("9.0.2", 2), ("9.1.0", 3), ("9.2.4", 4), ("10.0.2", 4), ("11.1.0", 4)])
def test_the_api_follows_qemus_version(version: str, api: int) -> None:
    """QEMU 9.0 and 9.1 have older interfaces; all newer ones still take a plugin of version 4."""
    assert plugin.api_version(f"QEMU emulator version {version} (Debian)") == api


@pytest.fixture
def device(library: Path, tmp_path: Path) -> Iterator[Callable[..., None]]:
    """Gives orders to the monitor of a QEMU that records the flush requests of a file, and then ends it."""
    for name in ("log", "base", "nvdimm"):
        (tmp_path / name).write_bytes(b"")
        os.truncate(tmp_path / name, 4096)
    with (tmp_path / "log").open("r+b") as file:
        PersistLog.create(file.fileno(), 100).close()
    value = plugin.device_argument(library, log=tmp_path / "log", base=tmp_path / "base", nvdimm=tmp_path / "nvdimm",
                                   nvdimm_base=1 << 32, nvdimm_size=4096)  # fmt: skip
    argv = [str(QEMU), "-machine", "none", "-nodefaults", "-display", "none", "-monitor", "stdio", "-plugin", value,
            "-drive", f"if=none,id=d,format=raw,file={tmp_path / 'nvdimm'}"]  # fmt: skip
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as qemu:
        assert qemu.stdin is not None and qemu.stdout is not None
        stdin, stdout = qemu.stdin, qemu.stdout

        def order(*lines: str) -> None:
            for line in (*lines, "print 4242"):
                stdin.write(f"{line}\n".encode())
            stdin.flush()
            while (heard := stdout.readline()).strip() != b"0x1092":
                assert heard, "QEMU has ended"

        yield order
        stdin.write(b"quit\n")
        stdin.close()
    assert qemu.returncode == 0


@needs_qemu
def test_a_preloaded_plugin_takes_fsync(device: Callable[..., None], tmp_path: Path) -> None:
    """Each flush request is one completion of all lines that differ from the media; before there is none."""
    with (tmp_path / "log").open("r+b") as file, PersistLog.open(file.fileno()) as log:
        device("info version")
        assert (log.count, log.counters.fences) == (0, 0)
        same = ['qemu-io d "write -P 7 64 512"', "qemu-io d flush"]
        device(*same, 'qemu-io d "write -P 8 0 64"', "qemu-io d flush", *same)
        log.check()
        assert log.completions() == (Completion(9, 0, 0, fenced=True), Completion(11, 0, 0, fenced=True))
        assert (log.counters.fences, log.counters.flushes) == (3, 9)


@needs_qemu
def test_a_device_forgets_the_run_before(device: Callable[..., None], tmp_path: Path) -> None:
    """When the log is made new the base is what is on the media, whatever the run before persisted."""
    with (tmp_path / "log").open("r+b") as file:
        device('qemu-io d "write -P 7 0 512"', "qemu-io d flush")
        with (tmp_path / "base").open("r+b") as base:
            base.write(b"\7" * 128)
        with PersistLog.create(file.fileno(), 100, PlantedFaults(ignored=(128, 192))) as log:
            device('qemu-io d "write -P 0 1024 64"', "qemu-io d flush")  # without a write QEMU asks for no flush
            log.check()
            assert [record.address - (1 << 32) for record in log if record.data] == [192, 256, 320, 384, 448]
            assert log.counters.dropped == 1


def test_commas_in_paths_reach_the_plugin() -> None:
    """QEMU splits options at commas; doubled ones are part of the value."""
    value = plugin.argument(Path("/a,b/persist.so"), log=Path("/l,g"), ram=Path("/r"), ram_size=1, nvdimm=Path("/n"),
                            nvdimm_base=1 << 32, nvdimm_size=64, count_stores=True)  # fmt: skip
    assert value == ("file=/a,,b/persist.so,log=/l,,g,ram=/r,ram_size=1,nvdimm=/n,nvdimm_base=0x100000000,"
                     "nvdimm_size=64,mode=count_stores")  # fmt: skip
