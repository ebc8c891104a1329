"""Options that several commands share."""

import argparse
from pathlib import Path

from harness.pytestplugin.options import RUN


def take(parser: argparse.ArgumentParser, *names: str) -> None:
    """Give a command these options of `run`."""
    for name, settings in RUN:
        if name in names:
            parser.add_argument(name, **settings)


def guest_options(parser: argparse.ArgumentParser) -> None:
    """Give a command the options that choose its one guest."""
    parser.add_argument("--kernel", default="", metavar="SPEC",
                        help="a cached release or prefix, debian:SUITE, or path (the newest cached)")  # fmt: skip
    parser.add_argument("--modules", type=Path, metavar="DIR", help="where the modules of a --kernel path lie")
    parser.add_argument("--fs", default="ext4", help="file system to mount (%(default)s)")
    parser.add_argument("--device", default="nvdimm", help="what it lies on: nvdimm, eadr, virtio-pmem (%(default)s)")
    parser.add_argument("--qemu", default="qemu-system-x86_64", metavar="PATH", help="the QEMU to use (%(default)s)")
