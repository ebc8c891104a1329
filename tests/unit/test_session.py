"""What an agent answers is believed only if it tells of all that it was asked to do."""

from typing import Any

import pytest

from harness.errors import ChannelError
from harness.model import wire
from harness.model.observation import OpResult
from harness.model.program import parse
from harness.target.session import ran_from_wire

PROGRAM = parse("daxcheck program 1\ncreate f data\npwrite f 0 8\nexpect_errno EINVAL\nftruncate f 1\n")


def answer(*indices: int, signal: Any = None) -> dict[str, Any]:
    return {"results": [wire.to_wire(OpResult(index)) for index in indices], "files": [], "signal": signal}


def test_a_whole_answer_is_taken() -> None:
    """A result for each op, or those before the one that a signal ended."""
    assert len(ran_from_wire(answer(0, 1, 2, 3), PROGRAM).results) == 4
    ran = ran_from_wire(answer(0, signal={"signal": 7, "index": 1}), PROGRAM)
    assert (ran.signal, ran.signal_op) == (7, 1)


@pytest.mark.parametrize("told", [(), (0, 1, 2), (0, 1, 3), (0, 1, 2, 3, 4)])
def test_a_result_that_is_missing_is_no_pass(told: tuple[int, ...]) -> None:
    """An op without a result, of which a refusal or a precondition was wanted, or a result of no op, ends the run."""
    with pytest.raises(ChannelError, match="of a Program of 4"):
        ran_from_wire(answer(*told), PROGRAM)


@pytest.mark.parametrize(("signal", "index"), [(7, 4), (7, -1), (0, 1), (-7, 1), (7, 1 << 39)])
def test_a_signal_nowhere_is_refused(signal: int, index: int) -> None:
    """A guest cannot make the host look at an op that there is not."""
    with pytest.raises(ChannelError, match="of a Program of 4"):
        ran_from_wire(answer(0, signal={"signal": signal, "index": index}), PROGRAM)
