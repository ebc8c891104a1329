"""The state of a campaign on one configuration, as data: what a directory keeps of it, so that it can be resumed."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from harness.model.judge.result import Outcome
from harness.model.wire import checked

_MANY = 1 << 20


@dataclass(frozen=True, slots=True)
class Counts:
    """The numbers of a campaign.

    `programs` got a first look; `suspicious` are those of them that it called so. `again` are suspicious ones whose
    findings had all been confirmed before: not judged again. `confirmed` failed when they were judged in full,
    `cleared` did not. `sampled` were judged in full though nothing was suspicious, `missed` are those of them that
    failed. `compared` were judged by the trace engine too, and `differ` are those on which it said otherwise.
    `unjudged` could not be judged, `skipped` the kernel or the file system does not do.
    """

    programs: int = 0
    suspicious: int = 0
    again: int = 0
    confirmed: int = 0
    cleared: int = 0
    sampled: int = 0
    missed: int = 0
    compared: int = 0
    differ: int = 0
    unjudged: int = 0
    skipped: int = 0

    def plus(self, **more: int) -> "Counts":
        """The same with more of some."""
        return replace(self, **{name: getattr(self, name) + count for name, count in more.items()})


@dataclass(frozen=True, slots=True)
class SearchProgress:
    """The rounds that were done on a configuration, their counts, the findings by signature (the name of the smallest
    Program of each; empty while there is none), and the keys of ops that are avoided since.

    A finding without a smallest Program failed once and not again: it is looked for as though it were new.
    """

    rounds: int = 0
    seconds: float = 0.0
    counts: Counts = field(default_factory=Counts)
    findings: dict[str, str] = field(default_factory=dict)
    avoid: frozenset[str] = frozenset()

    @property
    def told(self) -> frozenset[str]:
        """The signatures of the findings that have a smallest Program."""
        return frozenset(signature for signature, name in self.findings.items() if name)

    def to_json(self) -> dict[str, Any]:
        """The object that a file holds."""
        return {**asdict(self), "avoid": sorted(self.avoid)}

    @classmethod
    def from_json(cls, value: object) -> "SearchProgress":
        """The progress of this object. Raises ValueError for anything but what to_json gave."""
        found = checked.fields_of(value, ("rounds", "seconds", "counts", "findings", "avoid"))
        counts = checked.fields_of(found["counts"], tuple(asdict(Counts())))
        findings = found["findings"]
        if not isinstance(findings, dict) or not all(isinstance(one, str) for one in findings.values()):
            raise ValueError(f"findings: {checked.shown(findings)} is no object of names")
        if not isinstance(found["seconds"], int | float):
            raise ValueError(f"seconds: {checked.shown(found['seconds'])} is no number")
        return cls(
            checked.integer("rounds", found["rounds"], 0, _MANY), float(found["seconds"]),
            Counts(**{name: checked.integer(name, one, 0, _MANY) for name, one in counts.items()}),
            dict(findings), frozenset(checked.array("avoid", found["avoid"], _MANY, str)),
        )  # fmt: skip


def verdict_of(outcome: Outcome) -> str:
    """The name of the count for a suspicious Program that was judged in full."""
    return {Outcome.FAIL: "confirmed", Outcome.ERROR: "unjudged", Outcome.SKIP: "skipped"}.get(outcome, "cleared")
