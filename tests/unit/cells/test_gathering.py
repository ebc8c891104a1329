"""What hundreds of images show, gathered: the same wrong thing once, at its first moment, and the rest counted."""

import dataclasses
import random

import pytest

from harness.cells import gathering
from harness.cells.gathering import Gathering, is_alike
from harness.media.image import PESSIMISTIC, CrashPoint, image_name
from harness.model.judge.judgement import Judgement
from harness.model.judge.values import Condition, Said, Stored
from harness.model.judge.violation import Kind, Violation
from harness.model.units import PAGE

OPS = 6


def lost(point: CrashPoint, start: int = 0, end: int = PAGE, path: str = "f", op: int = 2) -> Violation:
    image = image_name(point, PESSIMISTIC)
    return Violation(Kind.ZERO, path, op, "fsync", image, ((start, end),), end - start, Stored(1, 1), Condition.ZERO)


def told(wrong: list[tuple[CrashPoint, Violation]], *end: Violation, outside: range = range(OPS)) -> list[str]:
    """The images of what is told, whatever order it was seen in."""
    found = []
    for seed in range(3):
        gathered = Gathering(outside)
        for point, violation in random.Random(seed).sample(wrong, len(wrong)):
            gathered.add(point, Judgement(violations=(violation,)))
        violations, left_out = gathered.settled(end)
        assert left_out == 0
        found.append([one.image for one in violations])
    assert found[0] == found[1] == found[2]
    return found[0]


def at(*points: CrashPoint) -> list[tuple[CrashPoint, Violation]]:
    return [(point, lost(point)) for point in points]


INSIDE = [CrashPoint(3, record) for record in (10, 12, 14)]
AFTER = [CrashPoint(op) for op in range(OPS)]


def test_what_shows_inside_an_op_alone_is_told_at_its_first_moment() -> None:
    """However many images show it."""
    assert told(at(*INSIDE)) == ["inside op 3 at record 10"]


def test_what_stays_after_the_op_is_told_there() -> None:
    """Once: later moments show the same."""
    assert told(at(*INSIDE, *AFTER[3:])) == ["after op 3"]
    assert told(at(*INSIDE, *AFTER[3:]), lost(AFTER[5])) == []


def test_what_was_lost_before_the_op_is_none_of_it() -> None:
    """The op may even have healed it."""
    assert told(at(AFTER[2], *INSIDE)) == ["after op 2"]


def test_two_ops_that_lose_for_a_while_are_two_losses() -> None:
    """Each is told: they may have two causes."""
    again = CrashPoint(5, 40)
    assert told(at(*INSIDE, again)) == ["inside op 3 at record 10", "inside op 5 at record 40"]


def test_of_points_that_were_not_taken_the_next_decides() -> None:
    """A number of points may leave out the moments around an op; the end is always there."""
    assert told(at(*INSIDE, AFTER[5]), outside=range(5, 6)) == ["after op 5"]
    assert told(at(*INSIDE), lost(INSIDE[0]), outside=range(0, 1)) == []


def test_other_bytes_and_other_files_are_other_losses() -> None:
    """A cut inside shows a page more than the one after the op: that page is told."""
    more = [(INSIDE[0], lost(INSIDE[0], 0, 2 * PAGE)), (INSIDE[1], lost(INSIDE[1], path="g"))]
    assert told([*at(AFTER[3]), *more]) == ["after op 3", "inside op 3 at record 10", "inside op 3 at record 12"]


def test_what_an_image_with_evictions_shows_of_a_loss_is_like_it() -> None:
    """Some of the bytes, of the same promise; other bytes, another promise or another file are news."""
    end = CrashPoint()
    shown = [dataclasses.replace(lost(end), ranges=((0, 64), (128, PAGE)))]
    some = dataclasses.replace(lost(end), ranges=((64, 192), (1024, 2048)))
    assert is_alike(some, shown) and not is_alike(some, []) and not is_alike(shown[0], [some])
    assert not is_alike(lost(end, 0, PAGE + 8), shown) and not is_alike(lost(end, path="g"), shown)
    assert not is_alike(lost(end, op=3), shown) and not is_alike(lost(end), [dataclasses.replace(some, ranges=())])
    assert is_alike(dataclasses.replace(some, ranges=()), shown)


def test_two_complaints_are_one_if_only_their_numbers_differ() -> None:
    """fsck counts inodes and blocks of its own on each image."""
    words = ["inode 12 has 3 blocks, 0x1f", "inode 7 has 44 blocks, 0xff", "directory 3 is gone"]
    wrong = []
    for point, said in zip(INSIDE, words, strict=True):
        image = image_name(point, PESSIMISTIC)
        wrong.append((point, Violation(Kind.FSCK, "", None, "", image, (), 0, Condition.SILENCE, Said(said))))
    assert told(wrong) == ["inside op 3 at record 10", "inside op 3 at record 14"]


@pytest.mark.parametrize("many", [gathering.LIMIT, gathering.LIMIT + 5])
def test_what_is_beyond_the_limit_is_counted(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """So is what could not be remembered until the end."""
    gathered = Gathering(range(OPS))
    for number in range(many):
        gathered.add(AFTER[3], Judgement(violations=(lost(AFTER[3], path=f"f{number}"),)))
    violations, left_out = gathered.settled(())
    assert (len(violations), left_out) == (gathering.LIMIT, many - gathering.LIMIT)
    monkeypatch.setattr(gathering, "REMEMBERED", many)
    gathered.add(AFTER[4], Judgement(violations=(lost(AFTER[4], path="new"),)))
    assert gathered.settled(())[1] == left_out + 1
