"""The options of a run, declared once for the command line and for pytest: both take the same words."""

import argparse
from pathlib import Path
from typing import Any

FORMATS = "html, junit, kcidb, ktap, mail, markdown"
"""The report formats, for help texts: those of harness/report/formats, which `--help` does not load."""

RUN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--kernel", {"default": "", "metavar": "SPEC,...",
                  "help": "kernels to test: a cached release or its prefix (6.12), debian:SUITE[/VERSION], a path to a "
                          "bzImage or build tree, or `default`: this distribution's three (the newest cached)"}),
    ("--modules", {"default": None, "type": Path, "metavar": "DIR", "help": "where a --kernel path's modules lie"}),
    ("--fs", {"default": "ext4,xfs", "metavar": "FS,...",
              "help": "file systems to test, each with a format if wanted, such as xfs:reflink, ext4:nojournal+linear "
                      "(ext4,xfs)"}),
    ("--device", {"default": "nvdimm", "metavar": "DEVICE,...",
                  "help": "what the file systems lie on: nvdimm, eadr (an NVDIMM of a machine whose caches survive a "
                          "power failure), virtio-pmem (nvdimm)"}),
    ("--engine", {"default": "", "metavar": "ENGINE,...",
                  "help": "what tells what is durable: plugin (QEMU sees every flush), trace (the kernel's own tracing "
                          "tells its flushes), coverage (as trace, but no power cut: a promise holds if all was "
                          "flushed) (the first of these that works)"}),
    ("--crash", {"default": "end", "metavar": "WHERE",
                 "help": "where the power is cut: end (where the Program says), ops (after every op too), fences (at "
                         "every fence that completed something too), or a number: so many of these, drawn by the seed "
                         "(end)"}),
    ("--evictions", {"default": None, "type": int, "metavar": "N",
                     "help": "crash images at each of these moments, which lose different lines of the CPU caches (3 "
                             "at the Program's own cut, 1 at others)"}),
    ("--accel", {"default": "tcg", "metavar": "ACCEL",
                 "help": "what runs the guests: tcg, or kvm where it works (the plugin engine needs tcg) (tcg)"}),
    ("--target", {"default": "", "metavar": "DEVICE",
                  "help": "run on this pmem device of this machine, under its running kernel, instead of in guests; "
                          "all that it holds is lost; with --cluster, on this device of a worker that offers it"}),
    ("--erase", {"default": "", "metavar": "DEVICE", "help": "the same name again: it may be erased"}),
    ("--erase-signature", {"default": "", "metavar": "TYPE,...",
                           "help": "what it is known to hold and may lose, such as ext4; data is what has no known "
                                   "type, armed a run that is not judged"}),
    ("--qemu", {"default": "qemu-system-x86_64", "metavar": "PATH", "help": "the QEMU to use (qemu-system-x86_64)"}),
    ("--results", {"default": None, "type": Path, "metavar": "DIR", "help": "write results.jsonl, Programs, consoles"}),
    ("--coverage", {"action": "store_true",
                    "help": "note in DIR which blocks of the kernel's functions ran: see `daxcheck coverage DIR`"}),
    ("--resume", {"action": "store_true", "help": "leave out the cells that --results DIR already has a verdict on"}),
    ("--cluster", {"default": "", "metavar": "SCHEDULER",
                   "help": "run the cells on the workers of this Dask scheduler, tcp://HOST:8786 or tls://HOST:8786 "
                           "(see docs/cluster.md)"}),
    ("--tls-ca-file", {"default": None, "type": Path, "metavar": "FILE",
                       "help": "the authority that signed the certificates of a tls:// cluster"}),
    ("--tls-cert", {"default": None, "type": Path, "metavar": "FILE", "help": "the certificate to show there"}),
    ("--tls-key", {"default": None, "type": Path, "metavar": "FILE", "help": "its private key"}),
    ("--known", {"default": [], "action": "append", "type": Path, "metavar": "FILE",
                 "help": "a file of known issues, beside daxcheck's own of Debian's kernels; may be repeated: a cell "
                         "in which nothing else shows is XFAIL"}),
    ("--no-known", {"action": "store_true", "help": "leave out daxcheck's own known issues"}),
    ("--report", {"default": [], "action": "append", "metavar": "FORMAT=FILE",
                  "help": f"write a report when the run ends; may be repeated; formats: {FORMATS}"}),
    ("--origin", {"default": "daxcheck", "metavar": "NAME", "help": "of a kcidb report: who sends it (daxcheck)"}),
    ("--build-id", {"default": "", "metavar": "ID",
                    "help": "of a kcidb report: the build that was tested, ORIGIN:ID (made from the kernel)"}),
    ("--checkout-id", {"default": "", "metavar": "ID",
                       "help": "of a kcidb report: the checkout that was built, ORIGIN:ID (made from the release)"}),
    ("--history", {"default": None, "type": Path, "metavar": "FILE",
                   "help": "the history of all runs ($XDG_STATE_HOME/daxcheck/history.sqlite)"}),
    ("--no-history", {"action": "store_true", "help": "keep the cells of this run out of the history"}),
    ("--seed", {"default": 1, "type": int, "metavar": "N", "help": "seed of the random evictions (1)"}),
    ("--repeat", {"default": 1, "type": int, "metavar": "N", "help": "run every cell N times (1)"}),
)  # fmt: skip


HEADED = frozenset(f"--{name}" for name in ("fs", "device", "engine", "crash", "evictions", "seed", "repeat"))
"""The options that the heading of a .prog file may set. `daxcheck run` and pytest leave them None if not typed, so
that it is known what overrides a heading; precedence.settle fills them in."""
USUAL = {name[2:].replace("-", "_"): settings.get("default", False) for name, settings in RUN}
"""The values of options that are not given, by the name of the attribute."""


def unfilled(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of an option of a run, for a parser that must know whether it was given."""
    return {**settings, "default": None} if name in HEADED else settings


def complete(options: argparse.Namespace, **given: object) -> argparse.Namespace:
    """The options of a command that takes some of those of a run: the others have their defaults, or are `given`."""
    return argparse.Namespace(**{**USUAL, **vars(options), **given})
