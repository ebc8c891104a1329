"""Laws of harness.deadline."""

import pytest

from harness.deadline import LONGEST_NAP, Deadline, DeadlineExpired, now, poll


def test_expired_deadline_names_what_was_waited_for() -> None:
    """A deadline in the past is expired, has nothing remaining, and its complaint names thing and time."""
    deadline = Deadline(0)
    assert deadline.expired
    assert deadline.remaining() == 0
    with pytest.raises(DeadlineExpired, match=r"^QEMU does not answer \(waited 0 s\)$"):
        deadline.check("QEMU does not answer")


def test_open_deadline_passes() -> None:
    """A deadline in the future does not raise and its rest only shrinks."""
    deadline = Deadline(60)
    deadline.check("nothing")
    first = deadline.remaining()
    assert 59 < deadline.remaining() <= first <= 60


def test_a_step_never_outlives_the_whole() -> None:
    """`within` yields the shorter of both."""
    assert Deadline(0.5).within(60).remaining() <= 0.5
    assert Deadline(60).within(0.5).remaining() <= 0.5


def test_poll_returns_the_first_answer() -> None:
    """poll asks until something other than None comes; a false answer is an answer."""
    answers = iter([None, None, 0, 1])
    assert poll(lambda: next(answers), Deadline(5), "no answer") == 0


def test_poll_is_bounded_and_tries_once_at_the_end() -> None:
    """poll ends close to its deadline, having tried at least once even when that had passed."""
    asked = []
    start = now()
    with pytest.raises(DeadlineExpired, match="no answer"):
        poll(lambda: asked.append(1), Deadline(0.1), "no answer")
    assert 0.1 <= now() - start < 0.1 + 2 * LONGEST_NAP
    assert len(asked) > 2
    assert poll(lambda: "here", Deadline(0), "too late") == "here"
