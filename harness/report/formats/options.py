"""The options of reports, for all formats alike: each format takes those that concern it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """`finding` is the id of the one finding to tell, or empty for all. The others are of KCIDB: `origin` names the
    system that sends the report; `build` and `checkout` are ids there, made from the kernel where they are empty."""

    finding: str = ""
    origin: str = "daxcheck"
    build: str = ""
    checkout: str = ""
