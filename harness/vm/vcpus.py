"""Asks QEMU about a guest that no longer gives a sign of life: evidence for people who look for the cause."""

import re

from harness.errors import QemuError
from harness.vm.monitor import Monitor

QUESTIONS = ("info status", "info cpus", "info registers -a", "info lapic 0", "info lapic 1", "info pic")
"""Commands of QEMU's monitor; `info lapic` takes the APIC ID of a vCPU, and needs an APIC that QEMU itself emulates."""
SECONDS = 5.0
"""Seconds for each answer. A QEMU that gives none, such as a stopped process, is asked no more."""
LIMIT = 64 * 1024
"""Characters of one answer that are kept."""
_VCPU = re.compile(r"^CPU#(\d+)$.*?\bHLT=(\d)", re.DOTALL | re.MULTILINE)


def ask(monitor: Monitor) -> tuple[str, str]:
    """Return what its vCPUs do, in a few words, and all answers as text to stand below its console."""
    text = "\n--- no sign of life; QEMU's monitor says ---\n"
    for question in QUESTIONS:
        try:
            answer = monitor.tell(question, SECONDS)
        except QemuError as error:
            return states(text) or str(error), f"{text}{question}: {error}\n"
        text += f"(qemu) {question}\n{answer.strip()[:LIMIT]}\n"
    return states(text), text


def states(registers: str) -> str:
    """Return the state of each vCPU. Example: "vCPU 0 halted, vCPU 1 running"."""
    words = {"1": "halted", "0": "running"}
    return ", ".join(f"vCPU {number} {words.get(halted, '?')}" for number, halted in _VCPU.findall(registers))
