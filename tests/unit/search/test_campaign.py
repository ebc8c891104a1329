"""Laws of a campaign: the seed decides its Programs; a finding is confirmed, shrunk, told once and steered around."""

import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from harness import progfile
from harness.commands.fuzz import exit_code
from harness.errors import EXIT_CLEAN, EXIT_INFRA, EXIT_VIOLATION, UsageError
from harness.findings.known import NOTHING_KNOWN, Issue, KnownIssues, Where
from harness.model.program import ops
from harness.model.program.program import Program
from harness.model.setting.engine import Engine
from harness.search.campaign import COMPARED, SAMPLED, Campaign, News
from harness.search.folder import STATE, CampaignFolder
from harness.search.progress import SearchProgress
from harness.search.sources import ROUND, RandomPrograms
from tests.unit.search.kernels import CONFIG, SIGNATURE, Breaks, KernelWorkers, punched, sound

Begin = Callable[..., Campaign]


@pytest.fixture
def begin(tmp_path: Path) -> Begin:
    """Begins a campaign in a directory, on a kernel that breaks some Programs; its news are in `news`."""

    def make(
        breaks: Breaks, place: str = "a", seed: int = 1, news: list[News] | None = None,
        known: KnownIssues = NOTHING_KNOWN, **more: Any,
    ) -> Campaign:  # fmt: skip
        told: list[News] = [] if news is None else news
        workers = KernelWorkers(breaks, **more)
        source, folder = RandomPrograms(seed), CampaignFolder(tmp_path / place)
        campaign = Campaign(workers, folder, known, source, told.append, print)  # type: ignore[arg-type]
        campaign.workers = workers  # type: ignore[attr-defined]
        return campaign

    return make


def asked(campaign: Campaign, *, screened: bool) -> list[str]:
    tasks = campaign.workers.asked  # type: ignore[attr-defined]
    return [task.cell.id for task in tasks if task.screened is screened and task.cell.config.engine is Engine.PLUGIN]


def test_sound_kernel_has_no_findings(begin: Begin, tmp_path: Path) -> None:
    """All Programs get a first look, the sample is judged in full, and nothing is found."""
    campaign = begin(sound)
    for _ in range(2 * COMPARED // ROUND):
        campaign.round(CONFIG)
    counts = campaign.of(CONFIG).counts
    assert counts.programs == 2 * COMPARED
    assert (counts.suspicious, counts.confirmed, counts.missed) == (0, 0, 0)
    assert counts.sampled == 2 * COMPARED // SAMPLED
    assert (counts.compared, counts.differ) == (2, 0)
    assert campaign.of(CONFIG).findings == {}
    assert (tmp_path / "a" / "results.jsonl").read_text() == ""


def test_same_seed_same_programs(begin: Begin) -> None:
    """Two campaigns of one seed ask about the same cells, whatever was found; another seed asks about others."""
    one, two, other = begin(punched, "a"), begin(punched, "b"), begin(punched, "c", seed=2)
    for campaign in (one, two, other):
        campaign.round(CONFIG)
        campaign.round(CONFIG)
    assert asked(one, screened=True) == asked(two, screened=True)
    assert not set(asked(one, screened=True)) & set(asked(other, screened=True))


def test_finding_is_confirmed_shrunk_and_steered_around(begin: Begin, tmp_path: Path) -> None:
    """A finding is told once, with its smallest Program; after that its op is drawn rarely, and is no news."""
    news: list[News] = []
    campaign = begin(punched, news=news)
    for _ in range(4):
        campaign.round(CONFIG)
    (found,) = news
    assert [type(op) for op in found.reduced.program.ops][2:] == [ops.Mmap, ops.Store, ops.Fallocate, ops.CutPower]
    assert (found.reduced.hits, found.reduced.runs) == (5, 5)
    progress = campaign.of(CONFIG)
    ((signature, name),) = progress.findings.items()
    assert signature == found.signature
    text = progfile.read(tmp_path / "a" / "found" / f"{name}.prog")
    assert text.program == found.reduced.program and text.heading.format == CONFIG.fs
    reproducer = (tmp_path / "a" / "found" / f"{name}.c").read_text()
    assert f" * Finding {name}, seen on {CONFIG.kernel.release}" in reproducer
    assert "FALLOC_FL_PUNCH_HOLE" in reproducer
    assert found.has_no_reproducer == ""
    assert progress.avoid == {"fallocate punch_hole"}
    counts = progress.counts
    assert counts.confirmed >= 1
    assert counts.suspicious == counts.confirmed + counts.again + counts.cleared
    lines = [json.loads(line) for line in (tmp_path / "a" / "results.jsonl").read_text().splitlines()]
    assert {line["outcome"] for line in lines} == {"FAIL"}
    assert f"{name}.prog" in {line["scenario"] for line in lines}
    assert len({line["id"] for line in lines}) == len(lines)


def test_suspicion_alone_is_no_finding(begin: Begin) -> None:
    """What a first look calls suspicious and a full judging does not is counted, and nothing else."""
    campaign = begin(sound, screens=punched)
    for _ in range(4):
        campaign.round(CONFIG)
    counts = campaign.of(CONFIG).counts
    assert counts.cleared == counts.suspicious > 0
    assert campaign.of(CONFIG).findings == {}


def test_blind_first_look_shows_in_the_sample(begin: Begin) -> None:
    """A first look that sees nothing is found out by the sample that is judged in full."""
    news: list[News] = []
    campaign = begin(lambda program: "fsync" if len(program.ops) > 5 else "", screens=sound, news=news)
    campaign.round(CONFIG)
    counts = campaign.of(CONFIG).counts
    assert counts.suspicious == 0
    assert counts.missed == counts.sampled > 0
    assert news


def test_engines_that_differ_are_told(begin: Begin, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The Programs are named and kept, and the search does not end as though all were well; races may differ."""
    campaign = begin(sound, traces=lambda program: "fsync")
    for _ in range(6 * COMPARED // ROUND):
        campaign.round(CONFIG)
    counts = campaign.of(CONFIG).counts
    assert 0 < counts.differ == counts.compared
    assert exit_code([], [campaign.of(CONFIG)]) == EXIT_INFRA
    kept = sorted((tmp_path / "a" / "differ").iterdir())
    said = capsys.readouterr().out
    assert len(kept) == counts.differ and all(f"the engines differ on {path} " in said for path in kept)
    assert "by plugin nothing lost, by trace lost data" in said
    programs = [progfile.read(path).program for path in kept]
    assert not any(isinstance(op, ops.Lane) for program in programs for op in program.ops)


def test_dead_workers_are_no_verdict(begin: Begin, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A cell that nobody could run is counted as not judged, with its reason, and is kept; the others go on."""
    campaign = begin(sound, dead=frozenset({3, 7}))
    campaign.round(CONFIG)
    counts = campaign.of(CONFIG).counts
    assert (counts.suspicious, counts.unjudged, counts.confirmed) == (2, 2, 0)
    said = capsys.readouterr().out
    assert said.count(": 3 workers died of this cell") == 2
    kept = sorted((tmp_path / "a" / "unjudged").iterdir())
    assert len(kept) == 2 and all(f"not judged: {path} on " in said for path in kept)
    assert all(progfile.read(path).heading.format == "ext4" for path in kept)


def test_finding_that_showed_once_is_no_old_news(begin: Begin) -> None:
    """A finding that no run shows again has no smallest Program, is told, and is looked for again when it shows."""
    news: list[News] = []
    turns = count()

    def once(program: Program) -> str:
        return "fsync" if next(turns) == 0 else ""

    campaign = begin(once, screens=lambda program: "fsync" if len(program.ops) > 12 else "", news=news)
    campaign.round(CONFIG)
    (found,) = news
    assert found.reduced.result is None
    progress = campaign.of(CONFIG)
    assert (progress.told, progress.counts.again) == (frozenset(), 0)
    assert exit_code([found], [progress]) == EXIT_VIOLATION


def test_known_issue_explains_its_own_cause_alone(begin: Begin) -> None:
    """In a Program with a known cause and another one, the other one is news and fails the search."""
    known = KnownIssues((Issue("a-punch", (SIGNATURE,), (Where(),)),))
    news: list[News] = []
    campaign = begin(punched, news=news, known=known, twice=True)
    campaign.round(CONFIG)
    campaign.round(CONFIG)
    told = {(one.signature == SIGNATURE, one.known) for one in news}
    assert told == {(False, ""), (True, "a-punch")}
    assert exit_code(news, [campaign.of(CONFIG)]) == EXIT_VIOLATION
    assert exit_code([one for one in news if one.known], [campaign.of(CONFIG)]) == EXIT_CLEAN


def test_nothing_judged_is_not_clean(begin: Begin) -> None:
    """A campaign whose Programs were all skipped, or could not be judged, has found nothing out."""
    skipped, dead = begin(sound, skips=True), begin(sound, place="b", dead=frozenset(range(ROUND)))
    for campaign in (skipped, dead):
        campaign.round(CONFIG)
        assert exit_code([], [campaign.of(CONFIG)]) == EXIT_INFRA
    assert skipped.of(CONFIG).counts.skipped == dead.of(CONFIG).counts.unjudged == ROUND


def test_resumed_campaign_goes_on(begin: Begin, tmp_path: Path) -> None:
    """A campaign that was begun again has its counts and findings, and asks about the Programs after them."""
    first = begin(punched)
    first.round(CONFIG)
    again = begin(punched)
    assert again.of(CONFIG) == first.of(CONFIG)
    again.round(CONFIG)
    whole = begin(punched, "b")
    whole.round(CONFIG)
    whole.round(CONFIG)
    assert again.of(CONFIG).findings == whole.of(CONFIG).findings
    assert again.of(CONFIG).counts == whole.of(CONFIG).counts


def test_other_seed_or_damaged_state_is_refused(begin: Begin, tmp_path: Path) -> None:
    """The state of another seed, or one that somebody edited, is named and not overwritten."""
    begin(sound).round(CONFIG)
    with pytest.raises(UsageError, match="is of fuzz --seed 1, not fuzz --seed 2"):
        begin(sound, seed=2)
    damaged = '{"schema": 1, "source": "fuzz --seed 1", "configs": {"a": {"rounds": -1}}}'
    for text in ("", "[]", damaged, '{"schema": 9}', "[" * 100_000):
        (tmp_path / "a" / STATE).write_text(text)
        with pytest.raises(UsageError, match="cannot be read"):
            begin(sound)
        assert (tmp_path / "a" / STATE).read_text() == text


def test_progress_survives_being_written(begin: Begin) -> None:
    """What a file holds of the progress is the progress."""
    campaign = begin(punched)
    campaign.round(CONFIG)
    progress = campaign.of(CONFIG)
    assert progress.findings
    assert SearchProgress.from_json(json.loads(json.dumps(progress.to_json()))) == progress
