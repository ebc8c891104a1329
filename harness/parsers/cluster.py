"""The words of the command that works for a cluster: worker."""

import argparse

from harness.parsers.shared import take

EPILOG = """\
examples:
  daxcheck worker tcp://127.0.0.1:8786
  daxcheck worker tcp://127.0.0.1:8786 --target /dev/pmem0 --erase /dev/pmem0
  daxcheck worker tls://scheduler:8786 -n 8 --tls-ca-file ca.pem --tls-cert me.pem --tls-key me.key
"""


def worker(parser: argparse.ArgumentParser) -> None:
    """Declare the words of `daxcheck worker`."""
    parser.description = "Run cells for the clients of a Dask scheduler until Ctrl-C. See docs/cluster.md."
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("scheduler", metavar="SCHEDULER", help="where it is: tcp://HOST:PORT or tls://HOST:PORT")
    parser.add_argument("-n", dest="workers", default="auto", metavar="N", help="guests in parallel (as many as fit)")
    parser.add_argument("--listen", default="", metavar="HOST",
                        help="the address of this machine that the scheduler and other workers reach (127.0.0.1; with "
                             "TLS the one from which the scheduler is reached)")  # fmt: skip
    parser.add_argument("--insecure", action="store_true",
                        help="without TLS take a scheduler or --listen that is not loopback: whoever reaches these "
                             "may run commands as this user")  # fmt: skip
    take(parser, "--target", "--erase", "--erase-signature")
    take(parser, "--tls-ca-file", "--tls-cert", "--tls-key", "--qemu")
