"""The guest's pmem by sysfs, without ndctl: fsdax mode, mount, and back to a device that nothing holds.

Between two uses nothing is bound, so the host may put any image into the NVDIMM, or restore a snapshot.
Written for daxcheck's own guest, whose only NVDIMM may be overwritten; never run on a machine with data.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from harness.agent import features, syscalls
from harness.deadline import Deadline, now, poll
from harness.errors import InfraError
from harness.model.frame import Message
from harness.model.units import PMD

ND = "/sys/bus/nd"
NAMESPACE = "namespace0.0"
PFN = "pfn0.0"
DRIVER = "nd_pmem"
DEVICE = "/dev/pmem0"
ROOT = "/mnt"
UUID = "6461786c-6f67-4d65-8d64-617863686b31"
"""Of every info block that daxcheck writes. nd_pfn_validate() accepts an image whose info block has the UUID that was
configured; a constant one lets the same bound-again device take one image after another."""
SETTLE = 30.0
"""Seconds for the kernel to make a device appear or go."""
SAID = 500
"""Bytes told of what a failed mkfs or the kernel said: its first complaint, before any usage text."""
_NO_PFN = "is there an NVDIMM, and does the kernel have CONFIG_ACPI_NFIT and CONFIG_NVDIMM_PFN?"


@dataclass(slots=True)
class Stopwatch:
    """Seconds by the name of a step."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = now()
        try:
            yield
        finally:
            self.seconds[name] = round(now() - start, 4)


def attach(fs: str, options: str, format: list[str] | None) -> Message:
    """Bring the NVDIMM up as /dev/pmem0 in fsdax mode, format it if asked, mount it at ROOT.

    Returns what the channel's attach answers. Raises OSError, InfraError, DeadlineExpired.
    """
    watch = Stopwatch()
    try:
        with watch.step("bind"):
            _bind()
        if format is not None:
            with watch.step("format"):
                _execute(format)
        with watch.step("mount"):
            _mount(fs, options)
        return {**_facts(), "seconds": watch.seconds}
    except (OSError, InfraError):
        detach()
        raise


def root() -> str:
    """Where the file system under test is mounted. Raises InfraError when nothing is attached."""
    if not os.path.ismount(ROOT):
        raise InfraError(f"nothing is mounted at {ROOT}: attach first")
    return ROOT


def detach() -> Message:
    """Unmount and unbind; fine when there is nothing to undo."""
    watch = Stopwatch()
    with watch.step("umount"):
        if os.path.ismount(ROOT):
            syscalls.umount(ROOT)
    with watch.step("unbind"):
        unbind()
    return {"seconds": watch.seconds}


def unbind() -> None:
    """Take every device of the nd bus away from nd_pmem. Raises DeadlineExpired if the block device stays."""
    driver = f"{ND}/drivers/{DRIVER}"
    for name in os.listdir(driver) if os.path.isdir(driver) else ():
        if name.startswith(("namespace", "pfn", "btt", "dax")):
            _write(f"{driver}/unbind", name)
    poll(lambda: None if os.path.exists(DEVICE) else True, Deadline(SETTLE), f"{DEVICE} does not go")


def _bind() -> None:
    pfn = f"{ND}/devices/{PFN}"
    poll(lambda: os.path.isdir(pfn) or None, Deadline(SETTLE), f"{pfn} does not appear: {_NO_PFN}")
    if _read(f"{pfn}/namespace") == "":
        for name, value in (("align", str(PMD)), ("mode", "ram"), ("uuid", UUID), ("namespace", NAMESPACE)):
            _write(f"{pfn}/{name}", value)
    _write(f"{ND}/drivers/{DRIVER}/bind", PFN)
    poll(lambda: os.path.exists(DEVICE) or None, Deadline(SETTLE), f"{DEVICE} does not appear")


def _mount(fs: str, options: str) -> None:
    """Mount at ROOT. Raises OSError that names the missing option or repeats what the kernel said."""
    os.makedirs(ROOT, exist_ok=True)
    try:
        syscalls.mount(DEVICE, ROOT, fs, options)
    except OSError as error:
        number = error.errno or errno.EIO
        if not features.has_file_system(fs):
            option = features.FILE_SYSTEMS.get(fs, f"file system {fs}")
            raise OSError(number, f"{fs}: {os.strerror(number)}: the kernel lacks {option}") from error
        said = [line for line in syscalls.kernel_log().splitlines() if fs in line.lower()]
        raise OSError(number, f"{error.strerror}: {' '.join(said[-1:])[:SAID]}") from error


def _facts() -> Message:
    region = f"{ND}/devices/region0"
    start = int(_read(f"{ND}/devices/{PFN}/resource"), 0) - int(_read(f"{region}/resource"), 0)
    return {
        "device": "pmem0",
        "start": start,
        "size": int(_read("/sys/block/pmem0/size")) * 512,
        "write_cache": int(_read("/sys/block/pmem0/dax/write_cache")),
        "persistence_domain": _persistence_domain(region),
    }


def _persistence_domain(region: str) -> str:
    """The kernel's word; "" when the firmware says nothing, as QEMU's does without nvdimm-persistence."""
    try:
        return _read(f"{region}/persistence_domain")
    except FileNotFoundError:
        return ""


def _read(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def _write(path: str, text: str) -> None:
    try:
        with open(path, "w") as file:
            file.write(text)
    except OSError as error:
        number = error.errno or errno.EIO
        raise OSError(number, f"{path}: writing {text!r}: {os.strerror(number)}") from error


def _execute(argv: list[str]) -> None:
    """Run a tool. Raises InfraError with the beginning of what it said when it fails."""
    read_end, write_end = os.pipe()
    actions = [(os.POSIX_SPAWN_DUP2, write_end, 1), (os.POSIX_SPAWN_DUP2, write_end, 2)]
    try:
        pid = os.posix_spawnp(argv[0], argv, dict(os.environ), file_actions=actions)
    finally:
        os.close(write_end)
    said = b""
    with open(read_end, "rb", buffering=0) as pipe:
        while chunk := pipe.read(4096):
            said = (said + chunk)[:SAID]
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status:
        raise InfraError(f"{argv[0]} ended with {status}: {' '.join(said.decode(errors='replace').split())}")
