"""Typed errors. Each carries the exit code that the command line answers with."""

from typing import ClassVar

from harness.plain import plain

EXIT_CLEAN = 0
EXIT_VIOLATION = 1
EXIT_USAGE = 2
EXIT_INFRA = 3


class DaxcheckError(Exception):
    """Base of every error that daxcheck raises on purpose; its text is one line for the user.

    It may quote a guest or a file, so `str` gives it plain.
    """

    exit_code: ClassVar[int] = EXIT_INFRA

    def __str__(self) -> str:
        return plain(super().__str__())


class UsageError(DaxcheckError):
    """The user named something that does not exist or cannot be used; the text holds the remedy."""

    exit_code = EXIT_USAGE


class SetupError(DaxcheckError):
    """This machine lacks something daxcheck needs; the text holds the command that brings it."""

    exit_code = EXIT_USAGE


class Refused(SetupError):
    """The kernel under test, or this mkfs, does not take a format or layout that another may: its cells are SKIP."""


class InfraError(DaxcheckError):
    """The harness or the virtual machine failed: never a verdict on the kernel under test."""

    console: str = ""
    """The text of the guest's console, if there was a guest."""


class QemuError(InfraError):
    """QEMU did not start, died, or refused a command."""


class StartError(QemuError):
    """QEMU refused its command line: the same would fail again."""


class ChannelError(InfraError):
    """The guest sent something that is no message, or closed the channel."""


class GuestHang(InfraError):
    """The guest did not answer before its deadline."""


class SilentGuest(GuestHang):
    """The guest gave no sign of life, though this machine let it: its kernel runs no more, or not on all processors."""


class GuestDied(InfraError):
    """The guest's kernel stopped (panic, triple fault, power-off) while it was wanted."""
