"""Writes random legal Programs, a .prog file each: what `daxcheck fuzz` begins with, to look at or to run by hand."""

import argparse
from pathlib import Path

from harness.model.generator.generator import campaign_dice, draw
from harness.model.generator.rules import DrawRules, extras
from harness.model.program.program import format


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/random-programs", description=__doc__)
    parser.add_argument("count", type=int, metavar="COUNT", help="how many Programs")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="the same Programs for the same number (1)")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the .prog files go")
    parser.add_argument("--fs", default="", metavar="FS", help="also ops that not every file system does: xfs:reflink")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rules = DrawRules(extras(options.fs))
    for number in range(1, options.count + 1):
        program = draw(campaign_dice(options.seed, number), rules)
        (options.out / f"r{options.seed}_{number:04}.prog").write_text(format(program))


if __name__ == "__main__":
    main()
