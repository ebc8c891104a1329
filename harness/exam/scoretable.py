"""The table of an exam, and its score, as Markdown."""

from collections.abc import Mapping, Sequence

from harness.exam.fault import PlantedFault
from harness.exam.sat import QUICK, Sat

COLUMNS = ("reread", "shutdown", "log-writes", "coverage")
"""The other ways to look, in their order."""
TITLES = ("fault", "area", "undoes", "killed by", "fs", "set", "s", "culprit", "seen as", *COLUMNS, "fuzz")


def table(faults: Sequence[PlantedFault], sats: Mapping[str, Sat]) -> list[str]:
    """The lines of the table: a row for each fault; one that was not examined has no verdict."""
    rows = [TITLES, tuple("---" for _ in TITLES), *(_row(fault, sats.get(fault.id)) for fault in faults)]
    return [f"| {' | '.join(row)} |" for row in rows]


def _row(fault: PlantedFault, sat: Sat | None) -> tuple[str, ...]:
    undoes = f"`{fault.undoes.commit}`" if fault.undoes else ""
    first = f"`{fault.id}`", str(fault.area), undoes
    if sat is None:
        return (*first, "not examined", *("" for _ in TITLES[4:]))
    killer = f"`{sat.killer}`" if sat.killed else "**survives**"
    if not sat.killed and sat.errors:
        killer += f" ({sat.errors} without a verdict)"
    others = tuple(sat.others.get(name, "") for name in COLUMNS)
    return (*first, killer, sat.fs, sat.part, f"{sat.seconds:.0f}", sat.culprit and f"`{sat.culprit}`", sat.kinds,
            *others, sat.fuzzed)  # fmt: skip


def score(faults: Sequence[PlantedFault], sats: Mapping[str, Sat]) -> list[str]:
    """The sentences of the score."""
    found = [sats[fault.id] for fault in faults if fault.id in sats]
    killed = [sat for sat in found if sat.killed]
    quick = [sat for sat in killed if sat.part == QUICK]
    fixes = [fault for fault in faults if fault.undoes and fault.id in sats]
    seen = [fault for fault in fixes if sats[fault.id].killed]
    lines = [
        f"{len(killed)} of {len(found)} faults killed, {len(quick)} of them by the quick set.",
        f"{len(seen)} of {len(fixes)} faults killed that undo a fix of the kernel's history.",
    ]
    for name in COLUMNS:
        told = [sat for sat in killed if name in sat.others]
        yes = sum(sat.others[name] == "yes" for sat in told)
        if told:
            lines.append(f"{name} sees {yes} of {len(told)} on the same sequences.")
    survivors = [f"`{sat.fault}`" for sat in found if not sat.killed]
    if survivors:
        lines.append(f"Survivors: {', '.join(survivors)}.")
    return lines


def catalogue(faults: Sequence[PlantedFault]) -> list[str]:
    """The lines that tell each fault: what it does, where, and which fix it undoes."""
    return [
        f"- `{fault.id}` ({fault.area}; {', '.join(fault.systems)}"
        + (f"; {fault.device}" if fault.device != "nvdimm" else "")
        + (", in recoveries" if fault.recovery else "")
        + f"): {fault.does}. {fault.where}."
        + (f" Undoes {fault.undoes.commit} (\"{fault.undoes.subject}\")." if fault.undoes else "")
        for fault in faults
    ]


BEGIN = "## The last exam"
"""The heading at which the generated part of docs/score.md begins."""


def document(text: str, faults: Sequence[PlantedFault], sats: Mapping[str, Sat]) -> str:
    """The text of docs/score.md with this exam in it: the part from BEGIN on is written anew, the rest stays."""
    kernels = sorted({sat.kernel for sat in sats.values()})
    told = [f"On {', '.join(kernels)}:", "", *(f"- {line}" for line in score(faults, sats))]
    parts = [BEGIN, "\n".join(told if sats else ["None was run in whole yet."]), "\n".join(table(faults, sats)),
             "## The faults", "\n".join(catalogue(faults))]  # fmt: skip
    return text.partition(BEGIN)[0] + "\n\n".join(parts) + "\n"
