"""Who may be talked to: loopback, or TLS, or what the user has named insecure. And the real thing over TLS."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import UsageError
from tests.unit.cluster import staff

pytest.importorskip("distributed")
from harness.cluster import exposure


@pytest.mark.parametrize(
    ("address", "listen", "insecure", "expected"),
    [
        ("tcp://127.0.0.1:8786", "", False, "127.0.0.1"), ("tcp://localhost:8786", "", False, "127.0.0.1"),
        ("tcp://[::1]:8786", "127.0.0.2", False, "127.0.0.2"), ("tls://192.0.2.1:8786", "", False, ""),
        ("tls://192.0.2.1:8786", "192.0.2.2", False, "192.0.2.2"), ("tcp://192.0.2.1:8786", "", True, ""),
        ("tcp://192.0.2.1:8786", "192.0.2.2", True, "192.0.2.2"),
    ],
)  # fmt: skip
def test_a_worker_listens(address: str, listen: str, insecure: bool, expected: str) -> None:
    """On loopback without TLS, and elsewhere only with it or by --insecure."""
    assert exposure.listening(exposure.address_of(address), listen, insecure=insecure) == expected


@pytest.mark.parametrize(
    ("address", "listen"),
    [("tcp://192.0.2.1:8786", ""), ("tcp://127.0.0.1:8786", "0.0.0.0"), ("tcp://127.0.0.1:8786", "192.0.2.2")],
)
def test_a_worker_refuses(address: str, listen: str) -> None:
    """A scheduler or an address that others reach, without TLS: a usage error that names both ways out."""
    with pytest.raises(UsageError, match=r"tls://.*--insecure"):
        exposure.listening(exposure.address_of(address), listen, insecure=False)


@pytest.mark.parametrize("text", ["", "nowhere", "tcp://:8786", "http://x:1", "tcp://x:0", "tcp://x:99999", "tcp://x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    """The remedy stands beside it."""
    with pytest.raises(UsageError, match="write tcp://HOST:PORT"):
        exposure.address_of(text)


def options(*paths: Path | None) -> argparse.Namespace:
    return argparse.Namespace(**dict(zip(("tls_ca_file", "tls_cert", "tls_key"), paths, strict=True)))


def test_keys_that_are_missing_are_told(tmp_path: Path) -> None:
    """tls:// without keys, with a file that is not there, and keys for tcp://."""
    with pytest.raises(UsageError, match="needs --tls-ca-file"):
        exposure.security(options(None, None, None), "tls://x:1")
    gone = tmp_path / "gone.pem"
    with pytest.raises(UsageError, match="name PEM files"):
        exposure.security(options(gone, gone, gone), "tls://x:1")
    with pytest.raises(UsageError, match="are for tls://"):
        exposure.security(options(gone, gone, gone), "tcp://x:1")


def test_the_command_refuses_in_one_line() -> None:
    """`daxcheck worker` ends with 2 before it has connected anywhere."""
    main = "import sys; from harness.cli import main; sys.exit(main())"
    done = subprocess.run([sys.executable, "-c", main, "worker", "tcp://192.0.2.1:8786"], capture_output=True,
                          text=True, env={**os.environ, "PYTHONPATH": str(staff.ROOT)})  # fmt: skip
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "--insecure" in done.stderr, done.stderr
