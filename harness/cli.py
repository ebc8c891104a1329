"""The command line. Exit codes: 0 clean, 1 a violation was found, 2 usage or set-up, 3 infrastructure."""

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from harness import __version__, ending
from harness.errors import EXIT_INFRA, EXIT_USAGE
from harness.parsers import cluster, importing, kernels, results, running, searching, shared

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


_MODULES = {"run": "suite", "list": "suite", "kernel": "kernels", "bisect-step": "bisect", "enumerate": "fuzz",
            "import": "imports"}  # fmt: skip
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
    listed = commands.add_parser("ops", help="list what a .prog file may say, each op with its arguments")
    listed.add_argument("--markdown", action="store_true", help="as the tables of docs/program.md")
    check = commands.add_parser("check", help="read .prog files, and say what is wrong with them; nothing is run")
    check.add_argument("files", nargs="+", type=Path, metavar="FILE", help="a .prog file")
    commands.add_parser("cleanup", help="undo what a killed run on a real device has left behind")
    running.arm(commands.add_parser("arm", help="run a scenario on a real device up to a cut of this machine's power"))
    judge = commands.add_parser("judge", help="judge what a real power cut left of an armed run")
    judge.add_argument("state", type=Path, metavar="DIR", help="the directory that `daxcheck arm` was given as --state")
    judge.add_argument("--results", type=Path, metavar="DIR", help="write results.jsonl, Program, console")
    shared.take(judge, "--known", "--no-known", "--history", "--no-history")
    results.coverage(commands.add_parser("coverage", help="which functions of the kernel were entered, which never"))
    results.diff(commands.add_parser("diff", help="compare two runs: what is new, fixed, changed, flaky, not run"))
    results.history(commands.add_parser("history", help="when findings were seen and scenarios failed, over all runs"))
    importing.importing(commands.add_parser("import", help="make a Program of a log or script of fsx, xfs_io or ACE"))
    kernels.kernel(commands.add_parser("kernel", help="fetch, build, list, add and remove kernels"))
    results.known(commands.add_parser("known", help="list the known issues, or draft entries from a run"))
    results.report(commands.add_parser("report", help="write a report of a results directory"))
    results.repro(commands.add_parser("repro", help="write a C program that shows what a .prog file loses"))
    kernels.bisect(commands.add_parser(BISECT, help="say for `git bisect run` whether a kernel has a finding"))
    running.run(commands.add_parser("run", help="run scenarios or .prog files"))
    searching.fuzz(commands.add_parser("fuzz", help="run random Programs, and make what fails as small as it can be"))
    searching.enumerate(commands.add_parser("enumerate", help="run all Programs of a small scope"))
    searching.shrink(commands.add_parser("shrink", help="find the smallest Program that fails as a .prog file does"))
    running.shell(commands.add_parser("shell", help="a shell in a guest with a DAX mount at /mnt"))
    cluster.worker(commands.add_parser("worker", help="run cells for the clients of a cluster"))
    running.exec(commands.add_parser("exec", help="run a program of your own, cut its power, verify what is left"))
    return parser


def _dispatch(options: argparse.Namespace) -> int:
    """Carry out the command in its module of harness.commands, and import no other: `--help` and `list` stay quick."""
    module = importlib.import_module(f"harness.commands.{_MODULES.get(options.command, options.command)}")
    return int(module.main(options))
