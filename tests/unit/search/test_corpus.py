"""Laws of a corpus: a Program that reaches something new is kept, one that a later one surpasses goes."""

from dataclasses import replace
from pathlib import Path

import pytest

from harness.cells.screening import Screened
from harness.coverage.code import Code
from harness.model.cell import Cell
from harness.model.generator.generator import campaign_dice, draw
from harness.model.generator.rules import DrawRules
from harness.model.program.program import Program
from harness.model.wire.block import CodeBlock
from harness.search.corpus import Corpus
from harness.search.folder import CampaignFolder
from tests.unit.search.kernels import CONFIG, result

PROGRAMS = [draw(campaign_dice(1, number), DrawRules()) for number in range(4)]
CODE = Code(frozenset({"f"}), ())


def look(program: Program, *offsets: int) -> Screened:
    found = Screened(result(Cell("x.prog", program, CONFIG, 1), ""))
    return replace(found, blocks=frozenset(CodeBlock("f", offset) for offset in offsets), code=CODE)


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(CampaignFolder(tmp_path))


def test_new_blocks_make_the_corpus(corpus: Corpus) -> None:
    """The first to reach a block is kept; who reaches none that is new is not."""
    assert corpus.take(PROGRAMS[0], look(PROGRAMS[0], 0, 8))
    assert not corpus.take(PROGRAMS[1], look(PROGRAMS[1], 0))
    assert corpus.take(PROGRAMS[2], look(PROGRAMS[2], 0, 16))
    assert corpus.programs == [PROGRAMS[0], PROGRAMS[2]]


def test_surpassed_programs_go(corpus: Corpus, tmp_path: Path) -> None:
    """A Program whose blocks a later one has reached too is left out, also on disk."""
    corpus.take(PROGRAMS[0], look(PROGRAMS[0], 0))
    corpus.take(PROGRAMS[1], look(PROGRAMS[1], 8))
    corpus.take(PROGRAMS[2], look(PROGRAMS[2], 0, 16))
    assert corpus.programs == [PROGRAMS[1], PROGRAMS[2]]
    assert len(list((tmp_path / "corpus").iterdir())) == 2


def test_nothing_recorded_is_nothing_new(corpus: Corpus) -> None:
    """Without a record of blocks no Program is kept."""
    assert not corpus.take(PROGRAMS[0], replace(look(PROGRAMS[0], 0), blocks=None))
    assert corpus.programs == []


def test_resumed_corpus_is_the_same(corpus: Corpus, tmp_path: Path) -> None:
    """A later session has the Programs in their order, and what they reached is not new to it."""
    for number, program in enumerate(PROGRAMS):
        corpus.take(program, look(program, 8 * number))
    again = Corpus(CampaignFolder(tmp_path))
    assert again.programs == PROGRAMS
    assert not again.take(PROGRAMS[0], look(PROGRAMS[0], 8))
    assert again.take(PROGRAMS[0], look(PROGRAMS[0], 800))
