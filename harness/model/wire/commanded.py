"""The end of a command of the user's that the agent carried out: its status, what it wrote, and when."""

import binascii
from dataclasses import dataclass
from itertools import pairwise

from harness.model.wire.frame import Message

OUTPUT_LIMIT = 1 << 20
"""Bytes of standard output that are kept, and that may be handed to a verifier."""
ERROR_LIMIT = 1 << 16
"""Bytes of standard error that are kept."""
MARK_LIMIT = 4096
"""Pieces of the output that are marked; what comes later counts as written at the end."""
STATUS_LIMIT = 255


@dataclass(frozen=True, slots=True)
class Commanded:
    """The end of a command, with the beginning of what it wrote.

    `status` is what a shell tells of it: its exit status, or 128 plus the number of the signal that ended it; None if
    its time was over. Where its run was marked, mark N of the log came when the first `ends[N - 1]` bytes of `out` were
    written, mark 0 when it began, and a last one, one more than there are ends, when it had ended. `cut_short`: it
    wrote more than was kept.
    """

    status: int | None
    out: bytes
    err: bytes
    ends: tuple[int, ...] = ()
    cut_short: bool = False

    def acked(self, marks: int | None) -> bytes:
        """The output that had been written when so many pieces of it were marked; all of it for None."""
        if marks is None or marks > len(self.ends):
            return self.out
        return self.out[: self.ends[marks - 1]] if marks else b""


def to_wire(found: Commanded) -> Message:
    """The message that from_wire reads."""
    return {
        "status": found.status, "out": encoded(found.out), "err": encoded(found.err), "ends": list(found.ends),
        "cut_short": found.cut_short,
    }  # fmt: skip


def from_wire(message: Message) -> Commanded:
    """Parse an agent's answer. Raises ValueError for what no agent of ours answers."""
    status, ends = message.get("status"), message.get("ends")
    if status is not None and not (type(status) is int and 0 <= status <= STATUS_LIMIT):
        raise ValueError(f"the exit status {status!r:.40}")
    out, err = decoded(message.get("out"), OUTPUT_LIMIT), decoded(message.get("err"), ERROR_LIMIT)
    if not isinstance(ends, list) or len(ends) > MARK_LIMIT or not all(type(end) is int for end in ends):
        raise ValueError("marks that are no list of numbers")
    if any(low >= high for low, high in pairwise([0, *ends])) or (ends and ends[-1] > len(out)):
        raise ValueError(f"marks that do not ascend within the {len(out)} bytes of the output")
    return Commanded(status, out, err, tuple(ends), message.get("cut_short") is True)


def encoded(data: bytes) -> str:
    """Bytes as they stand in a message."""
    return binascii.b2a_base64(data, newline=False).decode()


def decoded(text: object, limit: int) -> bytes:
    """The bytes of such a text. Raises ValueError for another, and for more than `limit` bytes."""
    if not isinstance(text, str) or len(text) > 4 * (limit // 3 + 1):
        raise ValueError(f"no text of at most {limit} bytes")
    data = binascii.a2b_base64(text, strict_mode=True)
    if len(data) > limit:
        raise ValueError(f"{len(data)} bytes, of at most {limit}")
    return data
