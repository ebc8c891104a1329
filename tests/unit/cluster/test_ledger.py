"""The ledger alone: every order is closed once, whatever comes in what order."""

import random
from collections import Counter

import pytest

from harness.cluster.ledger import TURNS, Ledger
from harness.cluster.slot import Loss


@pytest.mark.parametrize("seed", range(20))
def test_every_order_is_closed_once(seed: int) -> None:
    """Answers, losses, lost schedulers and late answers by dice: none is closed twice, none is missing."""
    dice, ledger, closed, old = random.Random(seed), Ledger(30, 100.0), Counter[int](), list[str]()
    while ledger.left:
        while ledger.waiting and len(ledger.out) < 4:
            ledger.take()
        key = dice.choice(list(ledger.out))
        old.append(key)
        match dice.randrange(5):
            case 0:
                ledger.forget()
            case 1:
                given_up = ledger.lose(key, Loss("x", deaths=dice.randrange(3)))
                closed.update([] if given_up is None else [given_up[0]])
            case _:
                number = ledger.close(key)
                closed.update([] if number is None else [number])
        late = dice.choice(old)
        if late not in ledger.out:
            assert ledger.close(late) is None and ledger.lose(late, Loss("late")) is None
    assert closed == Counter(range(30))


def test_what_costs_too_much_is_given_up() -> None:
    """Three deaths, be they told one by one or by Dask at once; without deaths only after many turns."""
    ledger = Ledger(1, 100.0)
    for _ in range(2):
        assert ledger.lose(ledger.take()[0], Loss("died")) is None
    closed = ledger.lose(ledger.take()[0], Loss("died"))
    assert closed is not None and closed[0] == 0 and "3 workers were lost" in str(closed[1])
    assert Ledger(1, 1.0).left and (other := Ledger(1, 100.0)).lose(other.take()[0], Loss("died", deaths=3)) is not None
    patient = Ledger(1, 100.0)
    for _ in range(TURNS - 1):
        assert patient.lose(patient.take()[0], Loss("lost", deaths=0)) is None
    assert patient.lose(patient.take()[0], Loss("lost", deaths=0)) is not None


def test_workers_that_vanish_are_counted() -> None:
    """Each look tells who has what: a place that is gone is a death, one that only gave the order away is none."""
    ledger = Ledger(1, 100.0)
    key, entry = ledger.take()
    assert ledger.note({key: "a"}, ["a", "b"]) == [] and ledger.note({key: "b"}, ["a", "b"]) == []
    assert entry.deaths == 0
    assert ledger.note({key: "c"}, ["c"]) == [] and ledger.note({key: "d"}, ["d"]) == []
    assert entry.deaths == 2
    assert ledger.note({key: "e"}, ["e"]) == [key]


def test_an_order_that_nobody_has_is_stranded() -> None:
    """After some looks; one that a worker has is not."""
    ledger = Ledger(2, 100.0)
    first, second = ledger.take()[0], ledger.take()[0]
    for _ in range(3):
        ledger.note({second: "a"}, ["a"])
    assert ledger.stranded == [first]
