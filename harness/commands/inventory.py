"""Words the findings of `daxcheck doctor` on real persistent memory: every device, its facts, and what to do."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness.box import permit
from harness.box.discover import Idle, PmemDevice
from harness.linux.tracefs import TRACEFS

_LOCKDOWN = Path("/sys/kernel/security/lockdown")


def describe(device: PmemDevice) -> list[str]:
    """The facts of a device, a line each."""
    lines = [
        f"{device.path}: {_size(device.size)} of {device.kind} in {device.mode} mode "
        f"({device.namespace or 'no namespace'} of {device.region}, NUMA node {device.numa_node})",
        f"{_placed(device)}: {_pmds(device)}",
        f"DAX {_yes(device.dax)}, persistence domain {device.persistence_domain or 'not told'}, "
        f"write_cache {'not told' if device.write_cache is None else int(device.write_cache)}"
        + ", read-only" * device.read_only + f", {device.bad_blocks} ranges of bad blocks" * bool(device.bad_blocks),
        f"signatures: {device.unread or ', '.join(map(str, device.signatures)) or 'none'}"
        + ", made by daxcheck" * any(signature.ours for signature in device.signatures),
    ]  # fmt: skip
    for what, things in (
        ("partitions", device.partitions), ("held by", device.holders), ("mounted at", device.mounts),
        ("used as", device.swaps), ("open in", device.users), ("other names", device.links),
        ("not seen", device.unseen),
    ):  # fmt: skip
        if things:
            lines.append(f"{what}: {', '.join(things)}")
    return lines


def advice(device: PmemDevice) -> str:
    """Say what to do before the device can be tested, or how to test it."""
    if reason := permit.why_not_erased(device, frozenset()):
        return f"not to be erased as it is: {reason}"
    if device.why_not_pmds and device.remedy:
        return f"testable, but without PMD entries; for them: {_ndctl(device.remedy)} (its data is lost)"
    return f"testable: daxcheck run --target {device.path} --erase {device.path}"


def idle(item: Idle) -> tuple[str, str]:
    """Describe an idle piece of memory, and return the command that makes a device of it."""
    return f"{item.name}: {item.what}", _ndctl(item.remedy)


NONE = "no persistent memory here: guests in QEMU need none"
MAKE_ONE = "to set ordinary memory aside as pmem, boot with memmap=4G!4G (SIZE!ADDRESS, usable memory in the e820 map)"


def tracing() -> tuple[str, str]:
    """Say whether this user can trace the kernel of this machine, and what to do if not."""
    faults = list(_faults())
    if faults:
        return "; ".join(what for what, _ in faults), "; ".join(remedy for _, remedy in faults)
    return f"kprobes and {TRACEFS} can be used on this machine's own kernel", ""


def _faults() -> Iterator[tuple[str, str]]:
    root = Path(TRACEFS)
    if os.geteuid():
        yield "only root may trace", "run as root (sudo)"
    elif not root.is_dir():
        yield "the kernel has no tracefs", "use one with CONFIG_FTRACE, as distributions have"
    elif "[confidentiality]" in _text(_LOCKDOWN):
        yield "the kernel is locked down (confidentiality)", "boot without lockdown=confidentiality"
    elif (root / "instances").is_dir():  # else it is not mounted yet, which a run does
        if not (root / "kprobe_events").exists():
            yield "the kernel has no kprobe events", "use one with CONFIG_KPROBE_EVENTS, as distributions have"
        if not (root / "events/fs_dax").is_dir():
            yield "the kernel has no fs_dax events", "use one with CONFIG_FS_DAX, as distributions have"


def _placed(device: PmemDevice) -> str:
    start = "data at an address that only root may read" if device.start is None else f"data at {device.start:#x}"
    return start if device.align is None else f"{start}, align {_size(device.align)}"


def _pmds(device: PmemDevice) -> str:
    return f"no PMD entries: {device.why_not_pmds}" if device.why_not_pmds else "PMD entries are possible"


def _ndctl(command: str) -> str:
    missing = command.startswith("ndctl") and not (shutil.which("ndctl") or shutil.which("ndctl", path="/usr/sbin"))
    return f"{command} (package ndctl)" if missing else command


def _size(count: int) -> str:
    for shift, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 1 << shift:
            return f"{count / (1 << shift):.4g} {unit}"
    return f"{count} bytes"


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
