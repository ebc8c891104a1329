"""Laws of harness.pytestplugin.precedence: what was typed, then what the file says, then what is usual."""

import argparse
from pathlib import Path

import pytest

from harness import cli, progfile
from harness.model.setting.heading import WORDS
from harness.progfile import ProgramText
from harness.pytestplugin import precedence
from harness.pytestplugin.options import HEADED, RUN, USUAL

OPS = "create f data\npwrite f 0 4K\nfsync f\nfsyncdir\ncut_power\n"


def text(*lines: str) -> ProgramText:
    return progfile.parse("\n".join(["daxcheck program 1", *lines, OPS]))


def options(*words: str) -> argparse.Namespace:
    return cli.command_line().parse_args(["run", *words])


def test_an_option_overrides_each_word() -> None:
    """Those that a heading may set are those of its words, and all are options of a run."""
    assert {word.option for word in WORDS.values() if word.option} == HEADED <= {name for name, _ in RUN}


def test_settle_knows_what_was_typed() -> None:
    """What was left out gets its usual value; also a usual value that was typed was typed."""
    told = options("--fs", "ext4,xfs", "--seed", "0")
    assert precedence.settle(told) == {"--fs", "--seed"}
    assert {name: getattr(told, name) for name in USUAL} == {**USUAL, "seed": 0}


def test_typed_then_file_then_usual() -> None:
    """The label of the file is one word: --fs replaces it with its options."""
    told = options("--seed", "3")
    given = precedence.settle(told)
    own = precedence.applied(told, given, text("format xfs", "mkfs -m crc=1", "seed 5", "crash ops", "repeat 2"))
    assert (own.fs, own.seed, own.crash, own.repeat, own.device) == ("xfs:mkfs(-m crc=1)", 3, "ops", 2, "nvdimm")
    assert told.fs == USUAL["fs"]
    part = precedence.part(given, text("format xfs", "seed 5", "device eadr"))
    assert ([system.label for system in part.systems], part.devices, part.engines) == (["xfs"], ("eadr",), ())
    assert precedence.part({"--fs", "--device"}, text("format xfs", "device eadr")).systems == ()


def test_only_what_differs_is_overridden() -> None:
    """A line that says what was typed is as good as that."""
    told = options("--fs", "xfs:mkfs(-m crc=1)", "--seed", "5", "--evictions", "2")
    given = precedence.settle(told)
    whole = text("format xfs", "mkfs -m crc=1", "seed 0x5", "evictions 3")
    files = [(Path("a/x.prog"), whole), (Path("y"), text("seed 6"))]
    assert precedence.remarks(told, given, files) == [
        'x.prog: --evictions 2 overrides "evictions 3"', 'y: --seed 5 overrides "seed 6"',
    ]  # fmt: skip
    assert precedence.remarks(told, given, [files[1]] * 3) == ['y (and 2 more files): --seed 5 overrides "seed 6"']


@pytest.mark.parametrize("empty", [None, ""])
def test_a_command_of_one_file(empty: str | None) -> None:
    """shrink, arm and bisect-step have some of the options, and others are usual there."""
    told = argparse.Namespace(fs=empty, seed=7, other="kept")
    own = precedence.completed(told, text("device eadr", "seed 5"), fs="ext4")
    assert (own.fs, own.seed, own.device, own.crash, own.other) == ("ext4", 7, "eadr", "end", "kept")
    assert precedence.completed(told, text("format xfs:reflink"), fs="ext4").fs == "xfs:reflink"
