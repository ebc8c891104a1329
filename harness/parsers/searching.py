"""The words of the commands that look for Programs that nobody wrote: fuzz, enumerate, shrink."""

import argparse
from pathlib import Path

from harness.parsers.shared import take
from harness.pytestplugin.options import RUN, unfilled

CLUSTER = ("--cluster", "--tls-ca-file", "--tls-cert", "--tls-key")


def fuzz(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck fuzz`."""
    parser.description = "Run random Programs until the time is over or Ctrl-C, and shrink each finding."
    parser.epilog = "example: daxcheck fuzz --kernel 6.12,7.3 --fs ext4,xfs:reflink --time 30m --results DIR"
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="end after N rounds on each configuration")
    parser.add_argument("--unguided", action="store_true",
                        help="the same Programs for the same --seed, whatever code they reach")  # fmt: skip
    take(parser, "--seed")
    _search_options(parser)


def enumerate(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck enumerate`."""
    parser.description = "Run every Program of a small scope: prepare a file, store, 1 to N disturbing ops, sync, cut."
    parser.epilog = "example: daxcheck enumerate --length 2 --kernel 6.12 --fs xfs --shard 3/8 --results DIR"
    parser.add_argument("--length", type=int, default=1, metavar="N", help="disturbing ops at most (%(default)s)")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="only every N-th Program, from the I-th on")
    _search_options(parser)


def _search_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", dest="workers", default="auto", metavar="N", help="guests in parallel (as many as fit)")
    parser.add_argument("--time", default="", metavar="T", help="end after 90s, 30m or 2h (at Ctrl-C)")
    take(parser, "--kernel", "--modules", "--fs", "--qemu", "--known", "--no-known", "--resume", *CLUSTER)
    parser.add_argument("--results", type=Path, required=True, metavar="DIR",
                        help="for what is found, the corpus, and how far it has come")  # fmt: skip


def shrink(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck shrink`."""
    parser.description = "Find the smallest Program that shows the same finding; it is printed, or written to --out."
    parser.epilog = "example: daxcheck shrink results/x.prog --kernel 6.12 --fs xfs --out small.prog"
    parser.add_argument("file", type=Path, metavar="FILE", help="a .prog file that fails")
    parser.add_argument("--finding", default="", metavar="ID", help="the finding to keep (the first that it shows)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write it (standard output)")
    parser.add_argument("-n", dest="workers", default="auto", metavar="N", help="guests in parallel (as many as fit)")
    told = {"metavar": "FS", "help": "file system (that of the file, or ext4)"}
    for name, settings in RUN:
        if name in ("--fs", "--seed"):
            parser.add_argument(name, **{**unfilled(name, settings), **(told if name == "--fs" else {})})
    take(parser, "--kernel", "--modules", "--qemu")
