"""Runs a shell command in a replica of this machine that has persistent memory (harness/targets/replica.py)."""

import argparse
import dataclasses
import sys

from harness.cells import guests
from harness.errors import DaxcheckError
from harness.model.setting.hardware import PmemKind
from harness.targets.replica import COMMAND, HARDWARE, Replica
from harness.vm.machine import find_qemu


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/box", description=__doc__)
    parser.add_argument("--kernel", default="", metavar="SPEC", help="the guest's kernel (the newest cached)")
    parser.add_argument("--device", default="nvdimm", choices=list(PmemKind), help="its pmem (%(default)s)")
    parser.add_argument("--append", default="", metavar="WORDS", help="for its kernel's command line")
    parser.add_argument("--raw", action="store_true", help="leave the NVDIMM without a namespace in fsdax mode")
    parser.add_argument("--seconds", type=float, default=COMMAND, metavar="N", help="for the command (%(default)g)")
    parser.add_argument("commands", nargs="+", metavar="COMMAND", help="one after the other, up to the first to fail")
    options = parser.parse_args()
    hardware = dataclasses.replace(HARDWARE, device=PmemKind(options.device))
    try:
        kernel = guests.choose(options.kernel, None, print)[0]
        with Replica(
            kernel, find_qemu(), hardware=hardware, append=options.append, fsdax=not options.raw
        ) as box:
            for command in options.commands:
                code, output = box.run(command, options.seconds)
                print(output, end="", flush=True)
                if code:
                    return code if code > 0 else 128 - code
    except DaxcheckError as error:
        print(f"box: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
