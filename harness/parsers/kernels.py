"""The words of the commands about kernels: kernel, bisect-step."""

import argparse
from pathlib import Path

from harness.parsers.shared import take


def kernel(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck kernel`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    fetch = actions.add_parser("fetch", help="fetch distribution kernels into the cache")
    fetch.add_argument("specs", nargs="+", metavar="debian:SUITE[/VERSION]", help="or `default`: those of scripts/run")
    actions.add_parser("list", help="list the cached kernels")
    add = actions.add_parser("add", help="put a bzImage, vmlinuz or kernel build tree into the cache")
    add.add_argument("path", type=Path)
    add.add_argument("--modules", type=Path, metavar="DIR", help="where its modules lie, if not beside it")
    build = actions.add_parser("build", help="build a kernel from a source tree, with what daxcheck needs built in")
    build.description = "Build a kernel outside of its source tree, again only what has changed."
    build.add_argument("tree", type=Path, metavar="TREE", help="the top of the source tree; nothing is written there")
    _build_options(build)
    remove = actions.add_parser("rm", help="remove kernels from the cache")
    remove.add_argument("releases", nargs="+", metavar="RELEASE")


def bisect(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck bisect-step`."""
    parser.description = "Run a Program on one kernel, which may be built first, and say whether a finding is there."
    parser.epilog = ("Exit codes: 0 good, 1 the finding is there, 125 cannot tell (no build, no boot, or another "
                     "failure), 255 usage or set-up, which ends the bisection, as Ctrl-C does.")  # fmt: skip
    parser.add_argument("file", type=Path, metavar="FILE", help="a .prog file that showed the finding")
    kernel = parser.add_mutually_exclusive_group(required=True)
    kernel.add_argument("--build", dest="tree", type=Path, metavar="TREE", help="build this source tree and judge it")
    kernel.add_argument("--kernel", default="", metavar="SPEC", help="judge this kernel, as `run --kernel` names one")
    _build_options(parser)
    parser.add_argument("--finding", action="append", default=[], metavar="ID",
                        help="the finding, as `run` and reports name it; may be repeated")  # fmt: skip
    parser.add_argument("--signature", action="append", default=[], metavar="TEXT",
                        help="the same by its signature; a * stands for anything; may be repeated")  # fmt: skip
    parser.add_argument("--results", type=Path, metavar="DIR",
                        help="the results of a run that showed it (the directory that FILE lies in)")  # fmt: skip
    parser.add_argument("--repeat", type=int, metavar="N", help="good only after N clean runs (as in FILE, or 1)")
    for name in ("--fs", "--device", "--engine"):
        parser.add_argument(name, default="", metavar=name[2:].upper(), help="as for `run` (that of the earlier run)")
    parser.add_argument("--crash", default="", metavar="WHERE", help="as for `run` (that of the earlier run)")
    for name in ("--evictions", "--seed"):
        parser.add_argument(name, type=int, metavar="N", help="as for `run` (that of the earlier run)")
    take(parser, "--modules", "--accel", "--qemu")


def _build_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="small", metavar="CONFIG",
                        help="small: what daxcheck needs and no more; debian: as the newest cached Debian kernel; or "
                             "the path of a .config; what daxcheck needs is always built in (%(default)s)")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to build (a directory of the cache)")
    parser.add_argument("--jobs", type=int, metavar="N", help="compilers at a time (one per processor)")
