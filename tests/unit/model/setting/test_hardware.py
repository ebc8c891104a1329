"""What a device keeps decides which controls mean anything on it, and what its kernel must say of it."""

import pytest

from harness.errors import UsageError
from harness.model.contract.domain import PersistenceDomain
from harness.model.program.ops import Plant
from harness.model.program.recorder import Recorder
from harness.model.setting.hardware import (
    EMULATED,
    TRAITS,
    PmemKind,
    false_fact,
    find,
    why_not_as_declared,
    why_not_run,
)
from harness.model.units import PMD

WHOLE = 1 << 40


def reason(dax: Recorder, device: PmemKind) -> str:
    dax.cut_power()
    program = dax.program()
    return why_not_run(program, device)


def unsynced_store(dax: Recorder) -> None:
    dax.create("data", size=PMD).mmap().store()


def unsynced_size(dax: Recorder) -> None:
    dax.create("data").pwrite(0, PMD)


def unsynced_name(dax: Recorder) -> None:
    dax.create("data")
    dax.rename("data", "moved")


def unsynced_hole(dax: Recorder) -> None:
    file = dax.create("data", size=PMD)
    file.pwrite(0, PMD)
    file.fsync()
    file.punch_hole(0, PMD)


@pytest.mark.parametrize("device", PmemKind)
def test_what_must_be_kept_runs_on_every_device(device: PmemKind) -> None:
    """A Program that is no control proves something wherever it runs."""
    dax = Recorder()
    unsynced_store(dax)
    assert reason(dax, device) == ""


@pytest.mark.parametrize("device", PmemKind)
def test_stores_are_lost_only_where_caches_are(device: PmemKind) -> None:
    """A control whose loss is stores means nothing where caches survive."""
    dax = Recorder()
    dax.expect_loss()
    unsynced_store(dax)
    assert ("its caches survive" in reason(dax, device)) == (device is PmemKind.EADR)


@pytest.mark.parametrize("device", PmemKind)
@pytest.mark.parametrize("record", [unsynced_size, unsynced_name, unsynced_hole])
def test_metadata_is_lost_everywhere(device: PmemKind, record: object) -> None:
    """What waits in the journal's memory no device keeps."""
    dax = Recorder()
    dax.expect_loss()
    assert callable(record)
    record(dax)
    assert reason(dax, device) == ""


@pytest.mark.parametrize(
    ("plant", "devices"),
    [
        (Plant.IGNORE_FLUSH, {PmemKind.NVDIMM, PmemKind.VIRTIO_PMEM, PmemKind.MEMMAP}),
        (Plant.LATE_FLUSH, {PmemKind.NVDIMM, PmemKind.VIRTIO_PMEM, PmemKind.MEMMAP}),
        (Plant.NO_FENCE, {PmemKind.NVDIMM, PmemKind.MEMMAP}),
        (Plant.WRITE_CACHE_OFF, {PmemKind.NVDIMM, PmemKind.MEMMAP}),
    ],
)
def test_a_fault_that_makes_no_difference_is_told(plant: Plant, devices: set[PmemKind]) -> None:
    """A planted fault is a reason not to run exactly on the devices that it cannot spoil."""
    for device in PmemKind:
        dax = Recorder()
        dax.plant(plant, 0, WHOLE)
        unsynced_size(dax)
        assert (f"{plant} makes no difference on {device}" == reason(dax, device)) == (device not in devices)


SAYS = {PmemKind.NVDIMM: (1, "memory_controller"), PmemKind.EADR: (0, "cpu_cache"), PmemKind.VIRTIO_PMEM: (1, "")}


@pytest.mark.parametrize("device", EMULATED)
@pytest.mark.parametrize("said", SAYS.values())
def test_a_kernel_must_say_what_the_device_is(device: PmemKind, said: tuple[int, str]) -> None:
    """Any other device's words in sysfs are a reason not to judge."""
    assert (why_not_as_declared(device, (), *said) == "") == (SAYS[device] == said)


def test_the_cache_is_off_only_where_that_is_planted() -> None:
    """write_cache 0 on an NVDIMM is fit exactly with the planted fault; then 1 is not."""
    for planted in ((), (Plant.WRITE_CACHE_OFF,)):
        for value in (0, 1):
            said = why_not_as_declared(PmemKind.NVDIMM, planted, value, "memory_controller")
            assert (said == "") == (value != bool(planted))


@pytest.mark.parametrize("device", EMULATED)
@pytest.mark.parametrize("write_cache", [0, 1])
@pytest.mark.parametrize("domain", ["", "memory_controller", "cpu_cache", "unknown"])
def test_a_kernel_must_not_promise_more(device: PmemKind, write_cache: int, domain: str) -> None:
    """What it says beyond the firmware is a broken promise, told by its file; what it says less, or what no flush
    depends on, is a reason not to judge. Whoever breaks a promise is not judged by data either."""
    told = false_fact(device, (), write_cache, domain)
    wrong = ""
    if device is PmemKind.NVDIMM and write_cache == 0:
        wrong = "dax/write_cache says 0"
    elif domain == "cpu_cache" and device is not PmemKind.EADR:
        wrong = "persistence_domain says cpu_cache"
    elif (device, domain) == (PmemKind.VIRTIO_PMEM, "memory_controller"):
        wrong = "persistence_domain says memory_controller"
    assert (told is not None) == bool(wrong)
    assert told is None or (wrong in told.said and device in told.truth)
    assert why_not_as_declared(device, (), write_cache, domain) or told is None


def test_a_planted_claim_is_ours() -> None:
    """That the kernel was told to flush nothing is no promise of its own."""
    assert false_fact(PmemKind.NVDIMM, (Plant.WRITE_CACHE_OFF,), 0, "memory_controller") is None


def test_only_eadr_keeps_caches() -> None:
    """The oracle is told what survives; virtio-pmem loses what no flush request followed."""
    kept = {device for device in PmemKind if TRAITS[device].domain is PersistenceDomain.CPU_CACHE}
    assert kept == {PmemKind.EADR} == {device for device in PmemKind if TRAITS[device].keeps_caches}


def test_an_unknown_device_is_named() -> None:
    """--device takes the words of what a guest can be given, and names them."""
    assert [find(device) for device in EMULATED] == list(EMULATED)
    with pytest.raises(UsageError, match="--device optane: unknown device; known: nvdimm, eadr, virtio-pmem"):
        find("optane")
