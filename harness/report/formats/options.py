"""The options of reports, for all formats alike: each format takes those that concern it."""

import re
from dataclasses import dataclass

from harness.errors import UsageError

_ORIGIN = "[a-z0-9_]{1,60}"
_ID = re.compile(rf"{_ORIGIN}:\S{{1,200}}|[^\s:]{{1,200}}")


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """`finding` is the id of the one finding to tell, or empty for all. The others are of KCIDB: `origin` names the
    system that sends the report; `build` and `checkout` are ids there, made from the kernel where they are empty.

    Raises UsageError for what KCIDB does not take as an origin or an id.
    """

    finding: str = ""
    origin: str = "daxcheck"
    build: str = ""
    checkout: str = ""

    def __post_init__(self) -> None:
        if not re.fullmatch(_ORIGIN, self.origin):
            raise UsageError(f"--origin {self.origin!r}: write lower-case letters, digits and _, such as mylab")
        for option, one in (("--build-id", self.build), ("--checkout-id", self.checkout)):
            if one and (not one.isprintable() or not _ID.fullmatch(one)):
                raise UsageError(f"{option} {one!r}: write ORIGIN:ID without spaces, such as mylab:6.12-rc1")

    def refuse(self, kernels: int) -> None:
        """Raises UsageError where a build is named and that many kernels were, or are to be, tested."""
        if self.build and kernels > 1:
            raise UsageError(f"--build-id {self.build} names one build, and there are {kernels} kernels: report each")
