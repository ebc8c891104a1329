"""`daxcheck kernel`: the cache of kernels under test."""

import argparse
import platform
import shlex

from harness import ending
from harness.errors import EXIT_CLEAN
from harness.kernel import build, buildconfig, cache, source
from harness.kernel.build import BuildOrder
from harness.kernel.kernel import Kernel


def main(options: argparse.Namespace) -> int:
    """Carry out one action. Raises UsageError, SetupError."""
    match options.action:
        case "fetch":
            for spec in options.specs:
                _fetch(spec)
        case "add":
            _show(cache.add(options.path, options.modules))
        case "build":
            out = build.build(ordered(options), _say)
            _say(f"built; to run it: daxcheck run --kernel {shlex.quote(str(out))}")
        case "rm":
            for release in options.releases:
                _say(f"removed {', '.join(cache.remove(release))}")
        case _:
            kernels = cache.cached()
            for kernel in kernels:
                _show(kernel)
            if not kernels:
                _say("no kernels cached: daxcheck kernel fetch default")
    return EXIT_CLEAN


def ordered(options: argparse.Namespace) -> BuildOrder:
    """The build that the options TREE, --config, --out and --jobs ask for. Raises UsageError."""
    return BuildOrder.checked(options.tree, buildconfig.choose(options.config), options.out, options.jobs)


def _fetch(spec: str) -> None:
    if spec == "default":
        for kernel in source.resolve_defaults(platform.freedesktop_os_release(), _say):
            _show(kernel)
    else:
        _show(source.fetch(spec, _say))


def _show(kernel: Kernel) -> None:
    _say(f"{kernel.release:28} {kernel.source:32} {kernel.digest[:12]}")


def _say(text: str) -> None:
    ending.say(text)
