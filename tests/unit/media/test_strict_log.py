"""The strict reading of the log: only explicit fences complete; other instructions merely hand over."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.media.log import (
    LINE,
    NO_FENCE,
    RECORD,
    RecordKind,
    Records,
)
from harness.media.records import apply_records, check_records, explicitly_fenced

BASE = 0x100000000
LINES = 3
Event = tuple[int, str, int]
"""vCPU, what it executes, and the line that it stores to and flushes."""


class Plugin:
    """Writes the log that the plugin writes for a list of events (qemu/README.md), store by store."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int, int, int, int, bytes]] = []
        self.pending: dict[int, list[tuple[int, int, bytes]]] = {0: [], 1: []}
        self.lax = {0: False, 1: False}
        """Whether anything was completed without a fence since the vCPU's last fence."""
        self.stores = 0

    def do(self, event: Event) -> None:
        vcpu, what, number = event
        match what:
            case "flush":
                self.stores += 1
                self.pending[vcpu].append((number, self.stores, bytes([self.stores % 256]) * LINE))
            case "lock":
                self._complete(vcpu, NO_FENCE)
            case "fence" if self.pending[vcpu]:
                self._complete(vcpu, 0)
            case "fence" if self.lax[vcpu]:
                self.rows.append((RecordKind.FENCE, 0, 0, vcpu, 0, 0, b""))
                self.lax[vcpu] = False
            case "mark":
                self.rows.append((RecordKind.MARK, 0, number, vcpu, 0, 0, b""))

    def _complete(self, vcpu: int, flags: int) -> None:
        if self.pending[vcpu]:
            self.lax = {0: True, 1: True} if flags else {**self.lax, vcpu: False}
        for number, sequence, data in self.pending[vcpu]:
            self.rows.append((RecordKind.LINE, LINE, BASE + number * LINE, vcpu, flags, sequence, data))
        if self.pending[vcpu]:
            self.rows.append((RecordKind.FENCE, len(self.pending[vcpu]), 0, vcpu, flags, 0, b""))
        self.pending[vcpu] = []

    def records(self) -> Records:
        made = np.zeros(len(self.rows), RECORD)
        for at, (kind, length, address, vcpu, flags, sequence, data) in enumerate(self.rows):
            made[at] = (kind, length, address, vcpu, flags, sequence, np.frombuffer(data.ljust(LINE, b"\0"), np.uint8))
        return made


def naive(events: Sequence[Event]) -> bytes:
    """A machine on which nothing but a fence completes a flush, of the vCPU that flushed, or of any after the one that
    flushed has executed a locked instruction."""
    image, newest = bytearray(LINES * LINE), [0] * LINES
    pending: dict[int, list[tuple[int, int]]] = {0: [], 1: []}
    handed: list[tuple[int, int]] = []
    stores = 0
    for vcpu, what, number in events:
        if what == "flush":
            stores += 1
            pending[vcpu].append((number, stores))
        elif what == "lock":
            handed += pending[vcpu]
            pending[vcpu] = []
        elif what == "fence":
            for line, store in handed + pending[vcpu]:
                if store > newest[line]:
                    newest[line] = store
                    image[line * LINE : (line + 1) * LINE] = bytes([store % 256]) * LINE
            handed, pending[vcpu] = [], []
    return bytes(image)


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 1), st.sampled_from(["flush", "flush", "lock", "fence", "mark"]), st.integers(0, LINES - 1)
    ),
    max_size=40,
)


@given(EVENTS)
def test_strict_is_the_machine_that_knows_only_fences(events: list[Event]) -> None:
    """After every event the strict image is what a machine without completing locked instructions would hold."""
    plugin = Plugin()
    for at, event in enumerate(events):
        plugin.do(event)
        records = plugin.records()
        check_records(records)
        image = np.zeros(LINES * LINE, np.uint8)
        apply_records(records[explicitly_fenced(records)], image, BASE)
        assert image.tobytes() == naive(events[: at + 1]), events[: at + 1]


def row(kind: int, vcpu: int, flags: int = 0) -> Records:
    made = np.zeros(1, RECORD)
    made["kind"], made["vcpu"], made["flags"] = kind, vcpu, flags
    made["length"] = LINE if kind == RecordKind.LINE else 0
    return made


CASES = {
    "never fenced": ([row(RecordKind.LINE, 0, NO_FENCE)], [False]),
    "a fence": ([row(RecordKind.LINE, 0, NO_FENCE), row(RecordKind.FENCE, 0)], [True, True]),
    "a fenced record": ([row(RecordKind.LINE, 0, NO_FENCE), row(RecordKind.LINE, 0)], [True, True]),
    "a mark": ([row(RecordKind.LINE, 0, NO_FENCE), row(RecordKind.MARK, 0)], [False, True]),
    "another's fence": ([row(RecordKind.LINE, 0, NO_FENCE), row(RecordKind.FENCE, 1)], [True, True]),
    "an earlier fence": ([row(RecordKind.FENCE, 0), row(RecordKind.LINE, 0, NO_FENCE)], [True, False]),
    "between": (
        [row(RecordKind.LINE, 0, NO_FENCE), row(RecordKind.FENCE, 0), row(RecordKind.LINE, 0, NO_FENCE)],
        [True, True, False],
    ),
}


@pytest.mark.parametrize(("rows", "expected"), CASES.values(), ids=CASES.keys())
def test_which_records_count(rows: list[Records], expected: list[bool]) -> None:
    """A record without a fence counts exactly when a later record shows a fence."""
    assert explicitly_fenced(np.concatenate(rows)).tolist() == expected

