"""Keeps the dossier of a real power cut, which must outlive it, in a directory off the device under test.

dossier.json tells the run and its results; medium.img, once there, is a copy of the medium as the cut left it, made
before the first mount changed it. Each is written whole beside its name, synced, and renamed, so that a power failure
leaves the old file or the new one.
"""

import contextlib
import json
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from enum import StrEnum
from pathlib import Path

from harness import place
from harness.box.dimms import COUNT_LIMIT
from harness.box.discover import PROC
from harness.errors import InfraError, UsageError
from harness.link.kernellog import Complaint, Trouble
from harness.memfile import MemFile
from harness.model.program.program import TEXT_LIMIT as PROGRAM_LIMIT
from harness.model.program.program import Program, ProgramError, parse
from harness.model.program.program import format as format_program
from harness.model.setting.hardware import PmemKind
from harness.model.wire import checked, traced, wire
from harness.model.wire import moment as moments
from harness.model.wire.frame import LIMIT as ANSWER_LIMIT
from harness.model.wire.moment import Moment
from harness.model.wire.observation import OpResult
from harness.model.wire.traced import NOTHING_TRACED, OP_LIMIT, Traced

SCHEMA = 2
STATE, MEDIUM = "dossier.json", "medium.img"
LIMIT = 2 * ANSWER_LIMIT + PROGRAM_LIMIT
"""Bytes of the longest dossier.json that is read."""
NAME_LIMIT = 255
COMPLAINTS = 1000
_LINE = 4096


class ArmedPhase(StrEnum):
    """The phase of an armed run. ARMED: all ops were done and the machine waits for the cut, or has had it."""

    ARMING = "arming"
    ARMED = "armed"
    DISARMED = "disarmed"
    JUDGED = "judged"


@dataclass(frozen=True, slots=True)
class ArmedRun:
    """One run towards a real cut. `uuid` is that of the file system, by which its device is known after the boot.

    `boot` is the boot_id of the kernel that ran it, `types` the signatures that --erase-signature named, `dirty` the
    counts of failed shutdowns by DIMM. From `results` on, all is as it was at the cut.
    """

    phase: ArmedPhase
    scenario: str
    program: Program
    fs: str
    seed: int
    kernel: str
    boot: str
    device: PmemKind
    disk: str
    size: int
    uuid: str = ""
    types: tuple[str, ...] = ()
    write_cache: int = -1
    persistence_domain: str = ""
    dirty: Mapping[str, int] = field(default_factory=dict)
    results: tuple[OpResult, ...] = ()
    traced: Traced = NOTHING_TRACED
    complaints: tuple[Complaint, ...] = ()
    outcome: str = ""
    judged_by: str = ""

    def to_json(self) -> dict[str, object]:
        """Return the contents of dossier.json."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        del plain["traced"]
        return plain | {
            "schema": SCHEMA,
            "program": format_program(self.program),
            "results": [wire.to_wire(result) for result in self.results],
            "dropped": [asdict(drop) for drop in self.traced.dropped],
            "inodes": [list(pair) for pair in self.traced.inodes.items()],
            "lost": self.traced.lost,
            "complaints": [[one.trouble, one.line, *_moment_to_json(one.moment)] for one in self.complaints],
        }

    @classmethod
    def from_json(cls, value: object) -> "ArmedRun":
        """The dossier that `to_json` gave this for. Raises ValueError for anything else."""
        if isinstance(value, dict) and value.get("schema") not in (None, SCHEMA):
            raise ValueError(f"schema {checked.shown(value['schema'])} is of another version of daxcheck")
        names = [one.name for one in fields(cls) if one.name != "traced"]
        found = checked.fields_of(value, ("schema", *names, "dropped", "inodes", "lost"))
        try:
            program = parse(checked.text("program", found["program"], PROGRAM_LIMIT))
        except ProgramError as error:
            raise ValueError(f"program: {error}") from None
        results = wire.op_results_from_wire(found["results"])
        if any(result.index >= len(program.ops) for result in results):
            raise ValueError("results: of more ops than the program has")
        phase = ArmedPhase(_text(found, "phase"))
        told = [result.index for result in results]
        if phase in (ArmedPhase.ARMED, ArmedPhase.JUDGED) and told != list(range(len(program.ops))):
            raise ValueError(f"results: of {len(results)} ops, and at its cut all {len(program.ops)} were done")
        return cls(
            phase=phase, program=program, results=results, traced=traced.from_wire(found),
            seed=checked.integer("seed", found["seed"], -(1 << 62), 1 << 62), device=PmemKind(_text(found, "device")),
            size=checked.integer("size", found["size"], 1, checked.OFFSET_LIMIT << 10),
            types=checked.array("types", found["types"], 64, lambda one: checked.text("type", one, NAME_LIMIT)),
            write_cache=checked.integer("write_cache", found["write_cache"], -1, 1),
            dirty=_counts(found["dirty"]),
            complaints=checked.array("complaints", found["complaints"], COMPLAINTS, _complaint),
            **{name: _text(found, name) for name in _TEXTS},
        )  # fmt: skip


_TEXTS = ("scenario", "fs", "kernel", "boot", "disk", "uuid", "persistence_domain", "outcome", "judged_by")


def _text(found: Mapping[str, object], name: str) -> str:
    return checked.text(name, found[name], NAME_LIMIT)


def _counts(value: object) -> dict[str, int]:
    if not isinstance(value, dict) or len(value) > NAME_LIMIT:
        raise ValueError(f"dirty: {checked.shown(value)} is no object of counts")
    return {
        checked.text("DIMM", name, NAME_LIMIT): checked.integer("count", count, 0, COUNT_LIMIT)
        for name, count in value.items()
    }


def _moment_to_json(moment: Moment | None) -> tuple[object, ...]:
    return (moment.phase, moment.op) if moment else ()


def _complaint(value: object) -> Complaint:
    """Make a complaint of [trouble, line] or, where it is known, [trouble, line, phase, op]."""
    if not isinstance(value, list) or len(value) not in (2, 4):
        raise ValueError(f"complaint: {checked.shown(value)} is not [trouble, line] or [trouble, line, phase, op]")
    moment = None
    if len(value) == 4:
        op = None if value[3] is None else checked.integer("op", value[3], 0, OP_LIMIT)
        moment = Moment(moments.Phase(checked.text("phase", value[2], NAME_LIMIT)), op)
    trouble = Trouble(checked.text("trouble", value[0], NAME_LIMIT))
    return Complaint(trouble, checked.text("line", value[1], _LINE), moment)


def boot_id(proc: Path = PROC) -> str:
    """Return the id of this boot, which no two boots of any kernel have in common (random(4))."""
    return (proc / "sys/kernel/random/boot_id").read_text().strip()


def read(folder: Path) -> ArmedRun:
    """The dossier in `folder`. Raises UsageError when there is none, or it is not one that this version wrote."""
    path = folder / STATE
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}: `daxcheck arm` with --state {folder} writes it") from error
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UsageError(f"{path}: is no regular file: name the directory that `daxcheck arm` was given")
        with os.fdopen(fd, "rb", closefd=False) as file:
            text = file.read(LIMIT + 1)
    finally:
        os.close(fd)
    try:
        if len(text) > LIMIT:
            raise ValueError(f"it is longer than {LIMIT} bytes")
        return ArmedRun.from_json(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: is no dossier that this daxcheck wrote: {error}") from error


def write(folder: Path, dossier: ArmedRun) -> None:
    """Have the dossier in `folder`, which is made if missing, and durable. Raises UsageError."""
    data = json.dumps(dossier.to_json(), separators=(",", ":")).encode()
    with _explained(folder), _opened(folder) as there:
        path = _fresh(there, STATE)
        with path.open("xb") as file:
            file.write(data)
        _settle(path, there / STATE)


def keep(folder: Path, medium: MemFile) -> None:
    """Keep a sparse copy of what the cut left. Raises UsageError when there is no room."""
    with _explained(folder), _opened(folder) as there:
        path = _fresh(there, MEDIUM)
        medium.save(path)
        _settle(path, there / MEDIUM)


def kept(folder: Path, size: int) -> MemFile | None:
    """The copy that was kept, owned by the caller; None if there is none. Raises UsageError when it is damaged."""
    path = folder / MEDIUM
    if not path.exists():
        return None
    medium = MemFile("power cut", size)
    try:
        medium.load(path)
    except (OSError, InfraError) as error:
        medium.close()
        raise UsageError(f"{path}: what the cut left cannot be read back: {error}") from error
    return medium


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[Path]:
    """A way into the folder, made if missing, and durable, which stays the same whatever becomes of its name."""
    with place.opened(folder) as fd:
        _sync(folder.absolute().parent)
        yield Path(f"/proc/self/fd/{fd}")


def _fresh(folder: Path, name: str) -> Path:
    """The name of a file that becomes `name` later; what a killed process left there is removed."""
    path = folder / f"{name}.new"
    path.unlink(missing_ok=True)
    return path


def _settle(path: Path, target: Path) -> None:
    """Make the file durable under its final name: rename(2) replaces atomically, fsync(2) of the directory keeps it."""
    _sync(path)
    path.rename(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"--state {folder}: {error.strerror}: name a directory on a disk with room") from error
