"""Says which word counts where a .prog file has a heading: one that the user typed, then the file's, then the usual."""

import argparse
from collections.abc import Collection, Iterable
from pathlib import Path

from harness.cells.matrix import FilePart
from harness.model.setting.heading import WORDS
from harness.progfile import ProgramText
from harness.pytestplugin.options import HEADED, USUAL


def settle(options: argparse.Namespace) -> frozenset[str]:
    """Give the options that the user left out their usual values; return those that were typed."""
    given = {option for option in HEADED if getattr(options, _attribute(option)) is not None}
    for option in HEADED - given:
        setattr(options, _attribute(option), USUAL[_attribute(option)])
    return frozenset(given)


def completed(options: argparse.Namespace, text: ProgramText, **usual: object) -> argparse.Namespace:
    """The options of a command that runs one file: what was typed, else as the heading says, else the `usual`; one that
    was not typed is None, empty or not there."""
    typed = {option for option in HEADED if getattr(options, _attribute(option), None) not in (None, "")}
    filled = {_attribute(option): {**USUAL, **usual}[_attribute(option)] for option in HEADED - typed}
    return applied(argparse.Namespace(**{**vars(options), **filled}), typed, text)


def applied(options: argparse.Namespace, given: Collection[str], text: ProgramText) -> argparse.Namespace:
    """The options for the cells of one file."""
    values: dict[str, object] = {"--fs": text.system.label if text.system else None}
    values |= {word.option: getattr(text.heading, name) for name, word in WORDS.items() if word.option != "--fs"}
    said = {option: value for option, value in values.items() if option and value not in (None, "")}
    return argparse.Namespace(
        **{**vars(options), **{_attribute(option): value for option, value in said.items() if option not in given}}
    )


def part(given: Collection[str], text: ProgramText) -> FilePart:
    """The part of a session's matrix that a file is for."""
    heading, system = text.heading, text.system
    return FilePart(
        (system,) if system and "--fs" not in given else (),
        (heading.device,) if heading.device and "--device" not in given else (),
        (heading.engine,) if heading.engine and "--engine" not in given else (),
        heading.why_not_on,
    )


def overridden(options: argparse.Namespace, given: Collection[str], text: ProgramText) -> dict[str, str]:
    """The words of a heading that the user has overridden, each with what to say of it: --fs ext4 overrides "format
    xfs". A line that says the same is not overridden."""
    label = text.system.label if text.system else ""
    told: dict[str, str] = {}
    for name, word in WORDS.items():
        line = text.heading.line(name)
        if not line or word.option not in given:
            continue
        value = getattr(options, _attribute(word.option))
        if str(value) != (label if word.option == "--fs" else str(getattr(text.heading, name))):
            told[name] = f'{word.option} {value} overrides "{line}"'
    return told


def remarks(
    options: argparse.Namespace, given: Collection[str], texts: Iterable[tuple[Path, ProgramText]]
) -> list[str]:
    """The lines that tell what the command line overrides, one for each word; the first file stands for all."""
    lines: dict[str, str] = {}
    files: dict[str, list[str]] = {}
    for path, text in texts:
        for name, told in overridden(options, given, text).items():
            lines.setdefault(name, told)
            files.setdefault(name, []).append(path.name)
    return [f"{_named(files[name])}: {line}" for name, line in lines.items()]


def _named(files: list[str]) -> str:
    more = len(files) - 1
    return files[0] + (f" (and {more} more file{'s' * (more > 1)})" if more else "")


def _attribute(option: str) -> str:
    return option[2:].replace("-", "_")
