"""Writes random operation logs in the form of fsx, for `daxcheck import fsx`: the same ones for the same seed.

They hold what fsx itself would do, with one exception: a copy_range goes by a multiple of 512 bytes, since nobody could
judge another (`daxcheck import` says so of the line).
"""

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

LARGEST = 256 << 10
"""Bytes of a file, as in fsx without -l."""
LONGEST = 64 << 10
"""Bytes of an op, as in fsx without -o."""
PAGE = 4096
PLAIN = ("read", "write", "mapread", "mapwrite", "truncate", "fallocate", "punch_hole", "zero_range", "collapse_range",
         "insert_range", "copy_range", "fsync")  # fmt: skip


def lines(count: int, dice: random.Random, names: tuple[str, ...] = PLAIN) -> Iterator[str]:
    """Yield a log of `count` lines on a file that is empty at first."""
    size = 0
    for _ in range(count):
        verb = dice.choice(names)
        if verb == "fsync":
            yield verb
            continue
        numbers, flags, after = _drawn(verb, size, dice)
        text = " ".join([verb, *(f"{number:#x}" for number in (*numbers, size)), *flags])
        if after is None:
            yield f"skip {text}"
            continue
        yield f"{text} close_open" if dice.random() < 0.02 else text
        size = after


def _drawn(verb: str, size: int, dice: random.Random) -> tuple[tuple[int, ...], tuple[str, ...], int | None]:
    """The numbers of an op, its flags, and the size after it; None where fsx would skip it."""
    offset, length = dice.randrange(LARGEST), dice.randrange(1, LONGEST)
    keep = ("keep_size",) if dice.random() < 0.5 else ()
    match verb:
        case "truncate":
            return (0, length := dice.randrange(LARGEST)), (), length
        case "write" | "mapwrite":
            length = min(length, LARGEST - offset)
            return (offset, length), (), max(size, offset + length)
        case "fallocate" | "zero_range":
            length = min(length, LARGEST - offset)
            return (offset, length), keep, size if keep else max(size, offset + length)
        case "collapse_range" | "insert_range":
            return _shift(verb, size, offset // PAGE * PAGE, length // PAGE * PAGE)
        case _:
            offset, length = _within(size, offset, length)
    numbers, flags = (offset, length), ("keep_size",) if verb == "punch_hole" else ()
    if verb in ("read", "mapread", "punch_hole"):
        return numbers, flags, size if length else None
    return _move(verb, size, offset, length, dice)


def _within(size: int, offset: int, length: int) -> tuple[int, int]:
    offset = offset % size if size else 0
    return offset, min(length, size - offset)


def _shift(verb: str, size: int, offset: int, length: int) -> tuple[tuple[int, ...], tuple[str, ...], int | None]:
    if verb == "collapse_range":
        possible = length and offset + length < size
        return (offset, length), (), size - length if possible else None
    possible = length and offset < size and size + length <= LARGEST
    return (offset, length), (), size + length if possible else None


def _move(
    verb: str, size: int, offset: int, length: int, dice: random.Random
) -> tuple[tuple[int, ...], tuple[str, ...], int | None]:
    """A range of the file that is shared, copied or exchanged with another that does not overlap it."""
    unit = 512 if verb == "copy_range" else PAGE
    limit = size if verb in ("dedupe_range", "exchange_range") else LARGEST
    if unit == PAGE:
        offset, length = offset // PAGE * PAGE, length // PAGE * PAGE
    to = offset % unit + dice.randrange(LARGEST // unit) * unit
    apart = to + length <= offset or offset + length <= to
    possible = length and apart and to + length <= limit
    after = size if verb in ("dedupe_range", "exchange_range") else max(size, to + length)
    return (offset, length, to), (), after if possible else None


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/operation-logs", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("count", type=int, metavar="COUNT", help="how many logs")
    parser.add_argument("--ops", type=int, default=5000, metavar="N", help="lines of each (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the same logs for the same number (1)")
    parser.add_argument("--reflink", action="store_true", help="also clone_range and dedupe_range")
    parser.add_argument("--exchange", action="store_true", help="also exchange_range")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where they go: S_0001.fsxops and so on")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    names = PLAIN + (("clone_range", "dedupe_range") if options.reflink else ())
    names += ("exchange_range",) if options.exchange else ()
    for number in range(1, options.count + 1):
        text = "\n".join(lines(options.ops, random.Random(f"{options.seed} {number}"), names))
        (options.out / f"{options.seed}_{number:04}.fsxops").write_text(text + "\n")


if __name__ == "__main__":
    main()
