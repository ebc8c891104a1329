"""The words of the commands that run something: run, exec, shell, arm, judge."""

import argparse
from pathlib import Path

from harness.parsers.shared import guest_options, take
from harness.pytestplugin.options import RUN, unfilled

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


def run(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck run`."""
    parser.description = "Run scenarios, cut the power, recover, judge: `pytest scenarios`, with these options."
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="scenario or .prog files (all scenarios)")
    parser.add_argument("-k", dest="expression", default="", metavar="EXPR", help="scenarios that match (pytest -k)")
    parser.add_argument("-m", dest="mark", default="", metavar="MARK", help="scenarios with this mark, such as quick")
    parser.add_argument("-n", dest="workers", default="0", metavar="N", help="guests in parallel; auto: as many as fit")
    parser.add_argument("-x", dest="first", action="store_true", help="stop at the first violation or error")
    parser.add_argument("-v", dest="verbose", action="store_true", help="end with the words of every failing cell")
    parser.add_argument("--judged", action="store_true", help="exit 0 when every cell was judged")
    for name, settings in RUN:
        parser.add_argument(name, **unfilled(name, settings))


def exec(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck exec`."""
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
    take(parser, "--evictions", "--seed")
    guest_options(parser)


def shell(shell: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck shell`."""
    shell.description = "A shell in a guest whose /mnt is a DAX file system: on this terminal, or for a script."
    shell.epilog = ("Where standard input is no terminal it is the script. The exit code is that of the command or "
                    "script; what daxcheck itself has to say goes to standard error.")  # fmt: skip
    shell.add_argument("-c", dest="shell_command", default=None, metavar="COMMAND",
                       help="carry this out and end; its standard input is empty")  # fmt: skip
    shell.add_argument("--file", dest="files", action="append", default=[], type=Path, metavar="FILE",
                       help="copy it to /tmp of the guest, executable; may be repeated")  # fmt: skip
    guest_options(shell)


def arm(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck arm`."""
    parser.description = "Run a scenario on a real device up to its cut, and wait for the power to go. Then: judge."
    parser.add_argument("scenario", metavar="SCENARIO", help="a name that `daxcheck list` tells, or a .prog file")
    for name, settings in RUN:
        if name in {"--target", "--erase", "--erase-signature", "--seed"}:
            parser.add_argument(name, **unfilled(name, settings), required=name == "--target")
    parser.add_argument("--fs", metavar="FS", help="the file system, such as xfs:reflink (that of the file, or ext4)")
    parser.add_argument("--state", type=Path, required=True, metavar="DIR",
                        help="for what the verdict needs: on a disk that outlives the cut, not the device")  # fmt: skip
    parser.add_argument("--power", default="", metavar="COMMAND",
                        help="takes the power and gives it back: labgrid-client -p PLACE power cycle")  # fmt: skip
