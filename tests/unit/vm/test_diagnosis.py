"""Laws of harness.vm.diagnosis: a boot that failed for want of an option is told by that option."""

from typing import Any

import pytest

from harness.agent.entry import init
from harness.errors import GuestDied, GuestHang, SetupError
from harness.linux import features
from harness.vm import diagnosis

BANNER = "[    0.000000] Linux version 6.12.95 (someone@example.org) (gcc) #1 SMP\n"


def test_agent_with_nothing_to_say() -> None:
    """A guest without problems, or of an agent that tells none, is accepted."""
    answers: tuple[dict[str, Any], ...] = ({"features": {"problems": []}}, {"features": {}}, {}, {"features": 7})
    for answer in answers:
        diagnosis.check_agent(answer)


def test_problems_are_one_line() -> None:
    """What the agent misses is told with the kernel's release, at bounded length."""
    answer = {"release": "6.12.95", "features": {"problems": ["it lacks CONFIG_ACPI_NFIT (no x)", "y" * 9999, 7, 8]}}
    with pytest.raises(SetupError) as raised:
        diagnosis.check_agent(answer)
    text = str(raised.value)
    assert text.startswith("kernel 6.12.95: it lacks CONFIG_ACPI_NFIT (no x); yyy")
    assert len(text) < 1000


def test_last_words_of_the_agent() -> None:
    """An agent without a channel speaks on the console; what init writes is what is looked for."""
    words = f"{init.LAST_WORDS}it lacks {features.CHANNEL[1][1]} (no path)"
    console = f"{BANNER}{words}\n[    1.2] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000100\n"
    error = diagnosis.boot_failure(GuestDied("the guest died"), console)
    assert isinstance(error, SetupError)
    assert str(error).startswith("kernel 6.12.95: it lacks CONFIG_VIRTIO_CONSOLE")


@pytest.mark.parametrize(
    ("line", "option"),
    [
        ("Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)", "CONFIG_BLK_DEV_INITRD"),
        ("Failed to execute /init (error -8)", "CONFIG_BINFMT_SCRIPT"),
    ],
)
def test_signs_on_the_console(line: str, option: str) -> None:
    """A kernel that cannot start user space is told by the option that it seems to miss."""
    error = diagnosis.boot_failure(GuestDied("the guest died"), f"{BANNER}[    1.0] {line}\n")
    assert isinstance(error, SetupError)
    assert option in str(error)
    assert line in str(error)


def test_other_ends_stay_what_they_are() -> None:
    """A death with no known sign is still a death, with what PID 1 said; a hang is still one, with a hint."""
    fatal = f"{BANNER}Fatal Python error: no random numbers\nKernel panic - not syncing: Attempted to kill init!\n"
    assert str(diagnosis.boot_failure(GuestDied("it died"), fatal)).endswith("Fatal Python error: no random numbers")
    died = GuestDied("the guest died during hello: Oops")
    assert diagnosis.boot_failure(died, BANNER) is died
    hang = diagnosis.boot_failure(GuestHang("silent"), BANNER)
    assert isinstance(hang, GuestHang)
    assert "qemu/kernel.config" in str(hang)
