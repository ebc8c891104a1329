"""Laws of harness.kernel.config: a kernel that cannot run is refused by the option it misses, before it boots."""

import re
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.kernel import config, modules
from harness.kernel.kernel import Kernel
from harness.linux import features

ROOT = Path(__file__).resolve().parents[3]
FRAGMENT = (ROOT / "qemu/kernel.config").read_text()
IMPLIED = {"CONFIG_ACPI"}
"""Options that others in the table cannot be set without."""


def kernel(path: Path, text: str, tree: Path | None = None) -> Kernel:
    (path / "config").write_text(text)
    return Kernel("6.12.1-test", Path("vmlinuz"), tree, "/src/linux", "0" * 64, path / "config")


def everything(value: str = "y") -> str:
    return "".join(f"{name}={value}\n" for name in (*config.NEEDED, *config.FILE_SYSTEMS.values()))


def test_fragment_has_all_that_is_needed() -> None:
    """qemu/kernel.config switches on every option that a kernel can be refused for, all built in."""
    given = config.parse(FRAGMENT)
    assert set(config.NEEDED) | set(config.FILE_SYSTEMS.values()) <= given.keys()
    assert set(given.values()) == {"y"}
    assert len(given) == len(re.findall(r"^CONFIG_", FRAGMENT, re.MULTILINE)), "an option stands there twice"


def test_agent_and_host_name_the_same_options() -> None:
    """What the agent misses in a running kernel is what the host looks for in its configuration."""
    told = {option for _, option in (*features.CHANNEL, *features.PMEM)}
    assert told <= set(config.NEEDED) | IMPLIED
    assert config.FILE_SYSTEMS == features.FILE_SYSTEMS
    assert tuple(config.FILE_SYSTEMS) == modules.FILE_SYSTEMS


def test_a_whole_configuration_passes(tmp_path: Path) -> None:
    """With everything on nothing is said; nor is it without a configuration to read."""
    config.check(kernel(tmp_path, everything()), ("ext4", "xfs"))
    config.check(Kernel("6.12.1-test", Path("vmlinuz"), None, "test", "0" * 64), ("ext4", "xfs"))


@pytest.mark.parametrize("name", config.NEEDED)
def test_each_option_is_missed(tmp_path: Path, name: str) -> None:
    """One option off, and the error names it, the reason and the kernel, in one line."""
    lacking = everything().replace(f"{name}=y\n", f"# {name} is not set\n")
    with pytest.raises(UsageError) as raised:
        config.check(kernel(tmp_path, lacking))
    text = str(raised.value)
    assert f"{name} ({config.NEEDED[name]})" in text
    assert text.startswith("kernel 6.12.1-test (/src/linux) was built without")
    assert "\n" not in text


def test_only_the_file_systems_under_test_count(tmp_path: Path) -> None:
    """A kernel without XFS can be tested on ext4."""
    lacking = everything().replace("CONFIG_XFS_FS=y\n", "")
    config.check(kernel(tmp_path, lacking), ("ext4",))
    with pytest.raises(UsageError, match=r"without CONFIG_XFS_FS \(the file system xfs\)"):
        config.check(kernel(tmp_path, lacking), ("ext4", "xfs"))


def test_modules_without_their_files(tmp_path: Path) -> None:
    """An option set to m is fine where the modules are, and told where they are not."""
    modular = everything().replace("CONFIG_EXT4_FS=y", "CONFIG_EXT4_FS=m")
    config.check(kernel(tmp_path, modular, tmp_path), ("ext4",))
    with pytest.raises(UsageError, match=r"has CONFIG_EXT4_FS=m, but no modules lie beside it: .* --modules"):
        config.check(kernel(tmp_path, modular), ("ext4",))


def test_an_empty_configuration_is_told_shortly(tmp_path: Path) -> None:
    """Many missing options are counted, not all named."""
    with pytest.raises(UsageError, match=rf" and {len(config.NEEDED) - config.SHOWN} more: build it"):
        config.check(kernel(tmp_path, "# nothing is set\n"))
