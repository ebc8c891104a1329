"""The command line. Exit codes: 0 clean, 1 a violation was found, 2 usage or set-up, 3 infrastructure."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import __version__, ending
from harness.errors import EXIT_INFRA, EXIT_USAGE
from harness.pytestplugin.options import FORMATS, RUN

EPILOG = """\
examples:
  daxcheck kernel fetch debian:bookworm      get a kernel to test
  daxcheck run --kernel 6.12 --fs ext4       every scenario on one kernel and file system
  daxcheck run -k punch_hole -n auto         the punch-hole family, as many guests as fit
  daxcheck run results/x.prog --kernel 6.1   replay one recorded Program
  daxcheck shell --kernel 6.12 --fs xfs      look around in a guest with a DAX mount
  daxcheck exec --help                       test the crash consistency of a program of your own

exit codes: 0 clean or known, 1 a violation was found, 2 usage or set-up, 3 infrastructure (nothing was judged)
DAXCHECK_TRACE=1 in the environment shows the whole trace of an error that daxcheck did not foresee.
"""

EXEC_EPILOG = """\
Both commands run by `sh` in /mnt, as root; DAX_MOUNT names it. The guest has a shell, python3, a few tools and the
libraries that these need; link your program statically, or copy its libraries too. What --write prints counts as
promised: --verify finds what was printed before the cut in the file that $DAX_ACKED names. See docs/exec.md.

examples:
  daxcheck exec --copy ./log --write 'log append db 9' --verify 'log check db "$DAX_ACKED"'
  daxcheck exec --kernel 6.12 --fs xfs --crash 200 --copy write.py check.py --write write.py --verify check.py

exit codes: 0 every image is good, 1 one is bad (the first is told), 2 usage, or --write or --verify failed with the
power on, 3 infrastructure, or nobody can tell of some images
"""

_MODULES = {"run": "suite", "list": "suite", "kernel": "kernels", "bisect-step": "bisect", "enumerate": "fuzz"}
"""The module of a command, where it is not called as the command is."""
BISECT = "bisect-step"
STOP = 255
"""The code of bisect-step for what is no verdict: git bisect run would take 2 and 3 for bad, and ends at 128."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Whatever happens is at most one line on stderr, and 1 is a verdict's."""
    code = _ended(argv)
    words = sys.argv[1:] if argv is None else argv
    return STOP if [*words[:1]] == [BISECT] and code in (EXIT_USAGE, EXIT_INFRA) else code


def _ended(argv: Sequence[str] | None) -> int:
    """Run one command to its end, whatever that is; the exit code."""
    ending.open_streams()
    try:
        with ending.signals():
            code = _command(argv)
            ending.flush()
            return code
    except ending.Ended as end:
        ending.last_words(str(end))
        return end.exit_code
    except KeyboardInterrupt:
        ending.last_words("interrupted; nothing is left running")
        return 130
    except BrokenPipeError:
        ending.last_words("")
        return EXIT_INFRA
    except Exception as error:
        told = ending.foreseen(error)
        ending.last_words(str(told) if told else ending.unforeseen(error), "" if told else ending.trace(error))
        return told.exit_code if told else EXIT_INFRA


def _command(argv: Sequence[str] | None) -> int:
    try:
        options = command_line().parse_args(argv)
    except SystemExit as end:  # --help, or a word that argparse has refused
        return end.code if isinstance(end.code, int) else EXIT_USAGE
    return _dispatch(options)


def command_line() -> argparse.ArgumentParser:
    """The parser of all commands and their options."""
    parser = argparse.ArgumentParser(
        prog="daxcheck",
        description="Find lost, stale and incoherent data in Linux file-system DAX on persistent memory.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"daxcheck {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("doctor", help="say what this machine has and what it lacks, each with its remedy")
    listing = commands.add_parser("list", help="list the scenarios")
    listing.add_argument("-k", dest="expression", default="", metavar="EXPR", help="only those that match (pytest -k)")
    commands.add_parser("ops", help="list the ops of a .prog file, with their arguments")
    check = commands.add_parser("check", help="read .prog files, and say what is wrong with them; nothing is run")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a .prog file")
    commands.add_parser("cleanup", help="undo what a killed run on a real device has left behind")
    _arm_parser(commands.add_parser("arm", help="run a scenario on a real device up to a cut of this machine's power"))
    judge = commands.add_parser("judge", help="judge what a real power cut left of an armed run")
    judge.add_argument("state", type=Path, metavar="DIR", help="the directory that `daxcheck arm` was given as --state")
    judge.add_argument("--results", type=Path, metavar="DIR", help="write results.jsonl, Program, console")
    _take(judge, "--known", "--no-known", "--history", "--no-history")
    _coverage_parser(commands.add_parser("coverage", help="which functions of the kernel were entered, which never"))
    _diff_parser(commands.add_parser("diff", help="compare two runs: what is new, fixed, changed, flaky, not run"))
    _history_parser(commands.add_parser("history", help="when findings were seen and scenarios failed, over all runs"))
    _kernel_parser(commands.add_parser("kernel", help="fetch, build, list, add and remove kernels"))
    _known_parser(commands.add_parser("known", help="list the known issues, or draft entries from a run"))
    _report_parser(commands.add_parser("report", help="write a report of a results directory"))
    _bisect_parser(commands.add_parser(BISECT, help="say for `git bisect run` whether a kernel has a finding"))
    _run_parser(commands.add_parser("run", help="run scenarios or .prog files"))
    _fuzz_parser(commands.add_parser("fuzz", help="run random Programs, and make what fails as small as it can be"))
    _enumerate_parser(commands.add_parser("enumerate", help="run all Programs of a small scope"))
    _shrink_parser(commands.add_parser("shrink", help="find the smallest Program that fails as a .prog file does"))
    _shell_parser(commands.add_parser("shell", help="a shell in a guest with a DAX mount at /mnt"))
    _exec_parser(commands.add_parser("exec", help="run a program of your own, cut its power, verify what is left"))
    return parser


def _shell_parser(shell: argparse.ArgumentParser) -> None:
    shell.description = "A shell in a guest whose /mnt is a DAX file system: on this terminal, or for a script."
    shell.epilog = ("Where standard input is no terminal it is the script. The exit code is that of the command or "
                    "script; what daxcheck itself has to say goes to standard error.")  # fmt: skip
    shell.add_argument("-c", dest="shell_command", default=None, metavar="COMMAND",
                       help="carry this out and end; its standard input is empty")  # fmt: skip
    _guest_options(shell)


def _guest_options(parser: argparse.ArgumentParser) -> None:
    """Give a command the options that choose its one guest."""
    parser.add_argument("--kernel", default="", metavar="SPEC",
                        help="a cached release or prefix, debian:SUITE, or path (the newest cached)")  # fmt: skip
    parser.add_argument("--modules", type=Path, metavar="DIR", help="where the modules of a --kernel path lie")
    parser.add_argument("--fs", default="ext4", help="file system to mount (%(default)s)")
    parser.add_argument("--device", default="nvdimm", help="what it lies on: nvdimm, eadr, virtio-pmem (%(default)s)")
    parser.add_argument("--qemu", default="qemu-system-x86_64", metavar="PATH", help="the QEMU to use (%(default)s)")


def _exec_parser(parser: argparse.ArgumentParser) -> None:
    parser.description = ("Run CMD of --write in a guest whose /mnt is a DAX file system, cut the power at every fence "
                          "that completed something, and run CMD of --verify on each recovered image.")  # fmt: skip
    parser.epilog = EXEC_EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--write", required=True, metavar="CMD", help="the command that is cut; it must exit 0")
    parser.add_argument("--verify", required=True, metavar="CMD", help="exits 0 for good, 1 for bad, else cannot tell")
    parser.add_argument("--copy", action="extend", nargs="+", default=[], type=Path, metavar="FILE",
                        help="files of this machine for both: programs are found by name, libraries too")  # fmt: skip
    parser.add_argument("--crash", default="fences", metavar="WHERE",
                        help="fences, a number: so many of these moments, drawn by the seed, or end: when --write has "
                             "ended (%(default)s)")  # fmt: skip
    parser.add_argument("--timeout", type=float, default=600.0, metavar="SECONDS",
                        help="what each command may take (%(default)g)")  # fmt: skip
    parser.add_argument("--keep-image", action="store_true", help="keep the bytes of the first bad image in --results")
    parser.add_argument("--results", type=Path, metavar="DIR", help="keep output, the console and report of the trial")
    _take(parser, "--evictions", "--seed")
    _guest_options(parser)


def _arm_parser(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run a scenario on a real device up to its cut, and wait for the power to go. Then: judge."
    parser.add_argument("scenario", metavar="SCENARIO", help="a name that `daxcheck list` tells, or a .prog file")
    for name, settings in RUN:
        if name in {"--target", "--erase", "--erase-signature", "--seed"}:
            parser.add_argument(name, **settings, required=name == "--target")
    parser.add_argument("--fs", default="ext4", metavar="FS", help="the file system, such as xfs:reflink (%(default)s)")
    parser.add_argument("--state", type=Path, required=True, metavar="DIR",
                        help="for what the verdict needs: on a disk that outlives the cut, not the device")  # fmt: skip
    parser.add_argument("--power", default="", metavar="COMMAND",
                        help="takes the power and gives it back: labgrid-client -p PLACE power cycle")  # fmt: skip


def _report_parser(parser: argparse.ArgumentParser) -> None:
    parser.description = "Write a report of what `run --results DIR` has found, for people elsewhere or for a program."
    parser.add_argument("directory", type=Path, metavar="DIR", help="the directory that `run --results` has filled")
    parser.add_argument("--format", required=True, metavar="FORMAT", help=FORMATS)
    parser.add_argument("--out", type=Path, default=None, metavar="FILE", help="write it there (standard output)")
    parser.add_argument("--finding", default="", metavar="ID", help="of a mail: the finding to tell (all, one by one)")
    _take(parser, "--known", "--no-known", "--origin", "--build-id", "--checkout-id")


def _run_parser(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run scenarios, cut the power, recover, judge: `pytest scenarios`, with these options."
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="scenario or .prog files (all scenarios)")
    parser.add_argument("-k", dest="expression", default="", metavar="EXPR", help="scenarios that match (pytest -k)")
    parser.add_argument("-m", dest="mark", default="", metavar="MARK", help="scenarios with this mark, such as quick")
    parser.add_argument("-n", dest="workers", default="0", metavar="N", help="guests in parallel; auto: as many as fit")
    parser.add_argument("-x", dest="first", action="store_true", help="stop at the first violation or error")
    parser.add_argument("-v", dest="verbose", action="store_true", help="end with the words of every failing cell")
    parser.add_argument("--judged", action="store_true", help="exit 0 when every cell was judged")
    for name, settings in RUN:
        parser.add_argument(name, **settings)


def _fuzz_parser(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run random Programs until the time is over or Ctrl-C, and shrink each finding."
    parser.epilog = "example: daxcheck fuzz --kernel 6.12,7.3 --fs ext4,xfs:reflink --time 30m --results DIR"
    parser.add_argument("--rounds", type=int, default=0, metavar="N", help="end after N rounds on each configuration")
    _take(parser, "--seed")
    _search_options(parser)


def _enumerate_parser(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run every Program of a small scope: prepare a file, store, 1 to N disturbing ops, sync, cut."
    parser.epilog = "example: daxcheck enumerate --length 2 --kernel 6.12 --fs xfs --shard 3/8 --results DIR"
    parser.add_argument("--length", type=int, default=1, metavar="N", help="disturbing ops at most (%(default)s)")
    parser.add_argument("--shard", default="1/1", metavar="I/N", help="only every N-th Program, from the I-th on")
    _search_options(parser)


def _search_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", dest="workers", default="auto", metavar="N", help="guests in parallel (as many as fit)")
    parser.add_argument("--time", default="", metavar="T", help="end after 90s, 30m or 2h (at Ctrl-C)")
    _take(parser, "--kernel", "--modules", "--fs", "--qemu", "--known", "--no-known", "--resume")
    parser.add_argument("--results", type=Path, required=True, metavar="DIR",
                        help="for what is found, the corpus, and how far it has come")  # fmt: skip


def _shrink_parser(parser: argparse.ArgumentParser) -> None:
    parser.description = "Find the smallest Program that shows the same finding; it is printed, or written to --out."
    parser.epilog = "example: daxcheck shrink results/x.prog --kernel 6.12 --fs xfs --out small.prog"
    parser.add_argument("file", type=Path, metavar="FILE", help="a .prog file that fails")
    parser.add_argument("--finding", default="", metavar="ID", help="the finding to keep (the first that it shows)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where to write it (standard output)")
    parser.add_argument("-n", dest="workers", default="auto", metavar="N", help="guests in parallel (as many as fit)")
    for name, settings in RUN:
        if name == "--fs":
            parser.add_argument(name, **{**settings, "default": "ext4", "metavar": "FS", "help": "file system (ext4)"})
    _take(parser, "--kernel", "--modules", "--qemu", "--seed")


def _kernel_parser(parser: argparse.ArgumentParser) -> None:
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


def _known_parser(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="draft an entry for each finding of a run that is not known yet")
    add.add_argument("results", nargs="+", type=Path, metavar="RESULTS", help="a directory that `run --results` filled")
    add.add_argument("--to", type=Path, metavar="FILE", help="append the entries to this file (they are printed)")
    for one in (add, actions.add_parser("list", help="list the known issues, a line each")):
        _take(one, "--known", "--no-known")


def _diff_parser(parser: argparse.ArgumentParser) -> None:
    parser.description = "Compare the run B with the run A, cell by cell. Exit 1 when something in B is new."
    for name in ("a", "b"):
        parser.add_argument(name, metavar=name.upper(), help="a results directory, or a kernel in the history, such as "
                            "6.12: the newest run of each cell")  # fmt: skip
    parser.add_argument("--markdown", action="store_true", help="as a comment for a merge request")
    _take(parser, "--known", "--no-known", "--history")


def _history_parser(parser: argparse.ArgumentParser) -> None:
    parser.description = "The findings of all runs, one finding, or one scenario; `import` adds old results."
    parser.add_argument("words", nargs="*", metavar="FINDING | SCENARIO | import DIR...",
                        help="the beginning of a finding's id, or a part of a scenario's name")  # fmt: skip
    _take(parser, "--history")


def _coverage_parser(parser: argparse.ArgumentParser) -> None:
    parser.description = "Tell what of the kernel's functions `run --coverage --results DIR` has reached, by area."
    parser.add_argument("directory", type=Path, metavar="DIR", help="the directory that `run --results` has filled")
    told = parser.add_mutually_exclusive_group()
    told.add_argument("--functions", default="", metavar="AREA", help="a row for each function of an area, or of `all`")
    told.add_argument("--never", action="store_true", help="the functions that were never entered, and those absent")
    parser.add_argument("--markdown", action="store_true", help="as Markdown")


def _take(parser: argparse.ArgumentParser, *names: str) -> None:
    """Give a command these options of `run`."""
    for name, settings in RUN:
        if name in names:
            parser.add_argument(name, **settings)


def _bisect_parser(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="good only after N clean runs (%(default)s)")
    for name in ("--fs", "--device", "--engine"):
        parser.add_argument(name, default="", metavar=name[2:].upper(), help="as for `run` (that of the earlier run)")
    parser.add_argument("--crash", default="", metavar="WHERE", help="as for `run` (that of the earlier run)")
    for name in ("--evictions", "--seed"):
        parser.add_argument(name, type=int, metavar="N", help="as for `run` (that of the earlier run)")
    _take(parser, "--modules", "--accel", "--qemu")


def _build_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="small", metavar="CONFIG",
                        help="small: what daxcheck needs and no more; debian: as the newest cached Debian kernel; or "
                             "the path of a .config; what daxcheck needs is always built in (%(default)s)")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="where to build (a directory of the cache)")
    parser.add_argument("--jobs", type=int, metavar="N", help="compilers at a time (one per processor)")


def _dispatch(options: argparse.Namespace) -> int:
    """Carry out the command in its module of harness.commands, and import no other: `--help` and `list` stay quick."""
    module = importlib.import_module(f"harness.commands.{_MODULES.get(options.command, options.command)}")
    return int(module.main(options))
