"""Names what ran a Program: the build of the kernel, and the tools around it whose versions a report must name."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KernelBuild:
    """One build of a kernel. Two builds of one release differ by `digest` (hex, of the kernel's contents).

    `digest` is empty where only the release is known, such as for a kernel that ran before a power cut.
    """

    release: str
    digest: str


@dataclass(frozen=True, slots=True)
class Environment:
    """The kernel and the tools with which a target runs Programs.

    `target` names the kind of target. `qemu` is QEMU's version, `plugin` the build of the persistence plugin; each is
    empty where the target has none.
    """

    target: str
    kernel: KernelBuild
    qemu: str = ""
    plugin: str = ""
