"""The digest of the running kernel tells builds apart."""

from pathlib import Path

from harness.linux import running


def test_two_builds_of_the_running_kernel_differ(tmp_path: Path) -> None:
    """On real pmem too a kernel that was built and booted again is another, whatever its release."""
    assert running.digest() == running.digest()
    digests = set()
    for build, notes in ((b"#1 SMP", b"id"), (b"#2 SMP", b"id"), (b"#2 SMP", b"another id")):
        for name, text in (("proc/version", b"Linux version 6.1.0 " + build), ("sys/kernel/notes", notes)):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(text)
        digests.add(running.digest(tmp_path))
    assert len(digests) == 3
