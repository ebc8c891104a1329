"""The devices under test: what of a store survives a power failure, and what the kernel must have found."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from harness.errors import UsageError
from harness.model.contract import oracle
from harness.model.contract.allowed import ZEROES
from harness.model.contract.domain import PersistenceDomain
from harness.model.contract.state import NOTHING, State
from harness.model.program.ops import Plant, Planted
from harness.model.program.program import Expect, Program


class PmemKind(StrEnum):
    """The kinds of device, by the words of --device. MEMMAP is ordinary memory that `memmap=` set aside; only a real
    machine has it."""

    NVDIMM = "nvdimm"
    EADR = "eadr"
    VIRTIO_PMEM = "virtio-pmem"
    MEMMAP = "memmap"


@dataclass(frozen=True, slots=True)
class PmemTraits:
    """The values that a kernel gives for such a device in sysfs (dax/write_cache, persistence_domain), and what can
    spoil it: `faults` are the planted faults that make a difference there.
    """

    write_cache: int
    persistence_domain: str
    faults: frozenset[Plant]

    @property
    def domain(self) -> PersistenceDomain:
        """The domain whose stores survive a cut. A virtio-pmem device loses stores as ADR does, only later: it loses
        those that no flush request followed."""
        eadr = self.persistence_domain == PersistenceDomain.CPU_CACHE
        return PersistenceDomain.CPU_CACHE if eadr else PersistenceDomain.MEMORY_CONTROLLER

    @property
    def keeps_caches(self) -> bool:
        """True if a power failure takes no store."""
        return self.domain is PersistenceDomain.CPU_CACHE


TRAITS = {
    # ACPI 6.5, 5.2.25.9 NFIT platform capabilities: bit 1, the memory controller is flushed on power loss.
    PmemKind.NVDIMM: PmemTraits(1, PersistenceDomain.MEMORY_CONTROLLER, frozenset(Plant)),
    # Bit 0, the CPU caches are: nvdimm_has_cache() is false then, and dax_flush() does nothing.
    PmemKind.EADR: PmemTraits(0, PersistenceDomain.CPU_CACHE, frozenset()),
    # ND_REGION_ASYNC: no persistence domain, stores are durable once the host has answered a flush request.
    PmemKind.VIRTIO_PMEM: PmemTraits(1, "", frozenset({Plant.IGNORE_FLUSH, Plant.LATE_FLUSH})),
    # No firmware speaks for it; the kernel flushes as for an NVDIMM (nd_region_register of drivers/nvdimm/e820.c).
    PmemKind.MEMMAP: PmemTraits(1, "", frozenset(Plant)),
}
_DOMAINS = {
    "": "of no persistence domain",
    PersistenceDomain.MEMORY_CONTROLLER: "of the memory controller alone",
    PersistenceDomain.CPU_CACHE: "of the CPU caches too",
}
"""The values that the kernel may give in persistence_domain, the least first, and their meanings."""
EMULATED = (PmemKind.NVDIMM, PmemKind.EADR, PmemKind.VIRTIO_PMEM)
"""The devices that a guest can be given; the first is the usual one."""


@dataclass(frozen=True, slots=True)
class FalseFact:
    """A value of the kernel in sysfs that promises more than the device keeps: `said` has its file name, and `truth` is
    what the firmware tells of the device."""

    said: str
    truth: str


def find(name: str) -> PmemKind:
    """The device of that name. Raises UsageError."""
    if name not in EMULATED:
        raise UsageError(f"--device {name}: unknown device; known: {', '.join(EMULATED)}")
    return PmemKind(name)


def why_not_run(program: Program, device: PmemKind) -> str:
    """Return why a run on this device proves nothing about the Program; empty if it proves something.

    One reason is a fault that makes no difference there. Another is a control that must lose data although all its
    names, sizes and holes are durable at its end: it loses only what was in the CPU caches, so on an eADR device
    nothing. Such a control is the only Program whose contract is worked out before the run.
    """
    traits = TRAITS[device]
    for op in program.ops:
        if isinstance(op, Planted) and op.plant not in traits.faults:
            return f"{op.plant} makes no difference on {device}"
    if program.expect is Expect.LOSS and traits.keeps_caches:
        states = oracle.run(program, domain=traits.domain) or (NOTHING,)
        if not metadata_at_stake(states[-1]):
            return f"nothing of it can be lost on {device}: its caches survive the cut"
    return ""


def why_not_as_declared(device: PmemKind, planted: Collection[Plant], write_cache: int, domain: str) -> str:
    """Return why the values of the kernel in sysfs are not those that the device must have; empty if they are.

    A kernel that flushes where it need not, or the other way round, makes every verdict worthless.
    """
    traits = TRAITS[device]
    wanted = 0 if Plant.WRITE_CACHE_OFF in planted else traits.write_cache
    if write_cache != wanted:
        return f"dax/write_cache is {write_cache}, not {wanted} as on {device}: a cut proves nothing"
    if domain != traits.persistence_domain:
        wrong = f"persistence_domain is {domain or 'not told'}, not {traits.persistence_domain or 'untold'}"
        return f"{wrong} as on {device}: a cut proves nothing"
    return ""


def false_fact(device: PmemKind, planted: Collection[Plant], write_cache: int, domain: str) -> FalseFact | None:
    """Return the value of the kernel in sysfs that promises more than the emulated device keeps; None if none does.

    ACPI 6.5, 5.2.25.9: only bit 0 of the platform capabilities says that the CPU caches are flushed on power loss, and
    bit 1 that the memory controller is. A kernel that says more promises a protection that the device was built
    without: by write_cache 0 it leaves out its own flushes (dax_flush, fs/dax.c), by persistence_domain it tells
    programs to leave out theirs (sysfs-bus-nvdimm). A kernel that says less than there is breaks no promise; what it
    does then is not known (see why_not_as_declared).
    """
    traits = TRAITS[device]
    truth = f"{device}, whose firmware tells {_DOMAINS[traits.persistence_domain]}"
    off = traits.write_cache and not write_cache and Plant.WRITE_CACHE_OFF in traits.faults
    if off and Plant.WRITE_CACHE_OFF not in planted:
        return FalseFact("/sys/block/pmem*/dax/write_cache says 0: CPU caches survive a power failure", truth)
    known = list(_DOMAINS)
    if domain in known and known.index(domain) > known.index(traits.persistence_domain):
        return FalseFact(f"/sys/bus/nd/devices/region*/persistence_domain says {domain}", truth)
    return None


def metadata_at_stake(state: State) -> bool:
    """Say whether names, sizes or holes can be lost: they wait in the file system's memory, which no device keeps."""
    files = state.files.values()
    sizes = any(file.sizes != file.now for file in files)
    holes = any(byte.current == ZEROES != byte.durable for file in files for byte in file.held.values)
    return sizes or holes or any(name.durable != {name.current} for name in state.names.values())
