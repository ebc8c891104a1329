"""NVDIMMs that are parts of one file: to the plugin and to its log they are one."""

from typing import Any

import pytest

from harness.media.log import LogRecord, PersistLogError, RecordKind, Status

MIB = 1 << 20
BASE = 1 << 32
Rig = Any

BODY = """
    movq $1, (%r15); clwb (%r15)
    movq $2, 0x7fffc0(%r15); clwb 0x7fffc0(%r15)
    movq $3, 0x800000(%r15); clwb 0x800000(%r15)
    mov $4, %eax; movnti %eax, 0xffffc0(%r15)
    sfence
"""
"""The first and the last line of two NVDIMMs of 8 MiB."""


def line(value: int) -> bytes:
    return value.to_bytes(64, "little")


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_parts_of_one_file_are_one(rig: Rig, parts: int) -> None:
    """Wherever QEMU maps the parts, a line is logged at its guest-physical address with its own bytes, and the image
    made of the log is that of the whole file."""
    with rig.run(BODY, parts=parts) as log:
        log.check()
        image = bytearray(16 * MIB)
        log.apply(image, BASE)
        records = [record for record in log if record.kind in (RecordKind.LINE, RecordKind.BYTES)]
    assert records == [
        LogRecord(RecordKind.LINE, BASE, line(1), 0, True),
        LogRecord(RecordKind.LINE, BASE + 0x7FFFC0, line(2), 0, True),
        LogRecord(RecordKind.LINE, BASE + 0x800000, line(3), 0, True),
        LogRecord(RecordKind.BYTES, BASE + 0xFFFFC0, line(4)[:4], 0, True),
    ]
    assert bytes(image) == (rig.path / "nvdimm").read_bytes()


def test_a_store_over_the_seam_is_whole(rig: Rig) -> None:
    """A non-temporal store that ends in the next part is logged in both."""
    with rig.run("mov $0x0807060504030201, %rax; movnti %rax, 0x7ffffd(%r15); sfence", parts=2) as log:
        log.check()
        found = [(record.address - BASE, record.data) for record in log if record.kind is RecordKind.BYTES]
    assert found == [(0x7FFFFD, b"\1\2\3"), (0x800000, b"\4\5\6\7\10")]


def test_a_part_that_is_missing_is_told(rig: Rig) -> None:
    """More than the parts hold is an error of the harness, named with what QEMU maps."""
    with rig.run("nop", parts=2, nvdimm_size=32 * MIB) as log:
        assert log.status is Status.INTERNAL
        with pytest.raises(PersistLogError, match=r"QEMU maps 16777216 of 33554432 bytes of .*nvdimm"):
            log.check()
