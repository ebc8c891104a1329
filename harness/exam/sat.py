"""The result of one fault in the exam, as data: a line of exam.jsonl."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.model.wire import checked

QUICK, FULL = "quick", "full"
"""The sets that a scenario may be of: the small one, and all others."""
SEEN, UNSEEN = "yes", "no"
"""The answers of another way to look, beside a reason why it could not be asked."""
_TEXTS = ("fault", "kernel", "killer", "fs", "part", "culprit", "kinds", "program", "reread")


@dataclass(frozen=True, slots=True)
class Sat:
    """The suite's verdict on one fault.

    `killer` is the first scenario that fails with the fault and passes without it, on `fs`, of the set `part`; all are
    empty for a fault that survived. It took so many `seconds` and `cells` to get there, of which `errors` gave no
    verdict. `culprit` is the function that the suite blames, empty if it blames none; `kinds` are what it saw, joined
    by commas. `program` is the text of the killer's Program, and `reread` says whether the fault shows in it with the
    power on. `others` says by name what other ways to look saw on it.
    `fuzzed` says what a campaign of random Programs saw: empty if none was asked for.
    """

    fault: str
    kernel: str
    killer: str = ""
    fs: str = ""
    part: str = ""
    seconds: float = 0.0
    cells: int = 0
    errors: int = 0
    culprit: str = ""
    kinds: str = ""
    program: str = ""
    reread: str = ""
    others: Mapping[str, str] = field(default_factory=dict)
    fuzzed: str = ""

    @property
    def killed(self) -> bool:
        """True if a scenario has seen the fault."""
        return bool(self.killer)

    def to_json(self) -> dict[str, Any]:
        """The object of its line."""
        return {**asdict(self), "others": dict(self.others)}

    @classmethod
    def from_json(cls, value: object) -> "Sat":
        """Read an object that to_json gave. Raises ValueError for anything else."""
        found = checked.fields_of(value, tuple(asdict(cls("", ""))))
        texts = {name: str(found[name]) for name in (*_TEXTS, "fuzzed")}
        others = found["others"]
        if not isinstance(others, dict) or not isinstance(found["seconds"], int | float):
            raise ValueError("others is no object, or seconds is no number")
        return cls(
            **texts, seconds=float(found["seconds"]), cells=checked.integer("cells", found["cells"], 0, 1 << 20),
            errors=checked.integer("errors", found["errors"], 0, 1 << 20),
            others={str(name): str(one) for name, one in others.items()},
        )  # fmt: skip
