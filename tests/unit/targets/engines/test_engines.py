"""How each engine judges a cut: by recovered images, by flush coverage, or by both."""

from dataclasses import dataclass, field

import pytest

from harness.model.contract import oracle
from harness.model.judge.judgement import Judgement
from harness.model.judge.result import ImageCounts
from harness.model.judge.values import Condition
from harness.model.judge.violation import Kind, Violation
from harness.model.program.program import parse
from harness.model.setting.engine import Engine
from harness.targets.engines.engine import CutVerdict, Evidence
from harness.targets.engines.table import ENGINES

SYNCED = parse("daxcheck program 1\ncreate f data\npwrite f 0 4K\nfsync f\nfsyncdir\ncut_power\n")


@dataclass
class Called:
    """Evidence that notes what was asked for."""

    by_images: Judgement = field(default_factory=lambda: Judgement(10))
    by_flushes: Judgement = field(default_factory=lambda: Judgement(20))
    program: str = "create f data\nfsync f\ncut_power"
    asked: list[str] = field(default_factory=list)

    def evidence(self) -> Evidence:
        program = parse(f"daxcheck program 1\n{self.program}\n")

        def recovered() -> CutVerdict:
            self.asked.append("images")
            return CutVerdict(self.by_images, images=ImageCounts(images=2), consoles="said")

        def covered() -> Judgement:
            self.asked.append("flushes")
            return self.by_flushes

        return Evidence(program, oracle.run(program), recovered, covered)


def loss(*ranges: tuple[int, int], path: str = "f") -> Violation:
    size, zero = sum(b - a for a, b in ranges), Condition.ZERO
    return Violation(Kind.STALE, path, None, "", "pessimistic", ranges, size, zero, zero)


def test_each_member_has_its_object() -> None:
    """The table is total, and each object is that of its member."""
    assert set(ENGINES) == set(Engine)
    assert all(engine.kind == kind for kind, engine in ENGINES.items())


@pytest.mark.parametrize(
    ("kind", "asked"),
    [
        (Engine.PLUGIN, {"images"}), (Engine.POWER, {"images"}), (Engine.COVERAGE, {"flushes"}),
        (Engine.TRACE, {"images", "flushes"}),
    ],
)  # fmt: skip
def test_only_evidence_that_the_engine_has_is_asked_for(kind: Engine, asked: set[str]) -> None:
    """No image is recovered without media, and no account of flushes is believed that nobody gave."""
    called = Called()
    ENGINES[kind].judge(called.evidence())
    assert set(called.asked) == asked


def test_trace_adds_what_images_cannot_show() -> None:
    """A store after its flush may be in the image all the same; what both show is told once."""
    both, more = loss((0, 4096)), loss((8192, 12288))
    called = Called(Judgement(10, (loss((0, 8192)),)), Judgement(20, (both, more, loss((0, 4096), path="g"))))
    verdict = ENGINES[Engine.TRACE].judge(called.evidence())
    assert verdict.judgement.violations == (loss((0, 8192)), more, loss((0, 4096), path="g"))
    assert (verdict.judgement.judged_bytes, verdict.images.images, verdict.consoles) == (10, 2, "said")


@pytest.mark.parametrize(
    ("program", "covered", "speechless"),
    [
        ("create f data\npwrite f 0 4K\nfsync f\ncut_power", Judgement(4096), False),
        ("create f data\nfsync f\nfsyncdir\ncut_power", Judgement(0), True),
        ("create f data\nfsync f\nfsyncdir\ncut_power", Judgement(0, (loss((0, 8)),)), False),
        ("create f data\npread f 0 4K\ncut_power", Judgement(0), False),
        ("expect loss\ncreate f data\npwrite f 0 4K\ncut_power", Judgement(0), True),
    ],
)
def test_coverage_says_when_it_cannot_judge(program: str, covered: Judgement, speechless: bool) -> None:
    """Names and sizes are no stores: a promise that is about them alone needs a power cut."""
    called = Called(by_flushes=covered, program=program)
    verdict = ENGINES[Engine.COVERAGE].judge(called.evidence())
    assert (verdict.speechless, verdict.images.images, verdict.judgement) == (speechless, 0, covered)

