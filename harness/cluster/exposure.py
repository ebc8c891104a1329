"""Says over which addresses a cluster may talk, and with what keys: TLS by Dask's own options, or this machine alone.

Whoever can reach a Dask worker or scheduler that speaks plain TCP runs what he likes there, as its user. With TLS only
peers with a certificate of the same authority are heard (distributed.dask.org, "TLS/SSL").
"""

import argparse
import ipaddress
import re
import socket

from distributed import Security

from harness.errors import UsageError
from harness.plain import clipped

_ADDRESS = re.compile(r"(tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[\w.-]+):(\d{1,5})")
OWN = "127.0.0.1"
"""The address that a worker without TLS listens on."""


def address_of(text: str) -> str:
    """The address of a scheduler. Raises UsageError for what is none."""
    found = _ADDRESS.fullmatch(text)
    if found is None or not 0 < int(found[3]) < 1 << 16:
        raise UsageError(f"{clipped(text, 80)}: is no scheduler: write tcp://HOST:PORT, or tls://HOST:PORT")
    return text


def host_of(address: str) -> str:
    """The host of an address that `address_of` has taken."""
    found = _ADDRESS.fullmatch(address)
    assert found is not None
    return found[2].strip("[]")


def security(options: argparse.Namespace, address: str) -> Security:
    """The keys for talking to `address`: those of --tls-*, else those that Dask's configuration names.

    Raises UsageError where some are missing for tls://, or cannot be read.
    """
    named = {"ca_file": options.tls_ca_file, "cert": options.tls_cert, "key": options.tls_key}
    given = {name: str(path) for name, path in named.items() if path}
    parts = {f"tls_{role}_{name}": given[name] for role in ("client", "worker", "scheduler") for name in ("cert", "key")
             if name in given}  # fmt: skip
    keys = Security(**({"tls_ca_file": given["ca_file"]} if "ca_file" in given else {}), **parts)
    if address.startswith("tcp://"):
        if given:
            raise UsageError(f"{address}: the --tls options are for tls://: name the scheduler so")
        return keys
    if not (keys.tls_ca_file and keys.tls_worker_cert and keys.tls_worker_key):
        raise UsageError(f"{address}: TLS needs --tls-ca-file, --tls-cert and --tls-key, or Dask's own configuration")
    keys = Security(require_encryption=True, tls_ca_file=keys.tls_ca_file, **{
        f"tls_{role}_{part}": getattr(keys, f"tls_{role}_{part}") for role in ("client", "worker", "scheduler")
        for part in ("cert", "key") if getattr(keys, f"tls_{role}_{part}")})  # fmt: skip
    try:
        keys.get_connection_args("worker")
    except OSError as error:
        raise UsageError(f"{error.filename or 'a --tls file'}: {error.strerror}: name PEM files") from error
    return keys


def listening(address: str, listen: str, *, insecure: bool) -> str:
    """The address that a worker listens on. Raises UsageError where that, or its scheduler, could be talked to from
    another machine without TLS, unless the user says so by --insecure."""
    if address.startswith("tls://"):
        return listen
    for host, what in ((host_of(address), "the scheduler"), (listen or OWN, "--listen")):
        if not insecure and not is_loopback(host):
            raise UsageError(f"{what} {clipped(host, 80)}: is not this machine's loopback, and without TLS all who can "
                             "reach it may run commands here: use tls:// and --tls-*, or add --insecure")  # fmt: skip
    return listen or (OWN if is_loopback(host_of(address)) else "")


def is_loopback(host: str) -> bool:
    """Say whether a host is this machine, and cannot be reached from another. Raises UsageError for an unknown name."""
    try:
        found = [ipaddress.ip_address(host)]
    except ValueError:
        try:
            found = [ipaddress.ip_address(one[4][0]) for one in socket.getaddrinfo(host, None)]
        except OSError as error:
            raise UsageError(f"{clipped(host, 80)}: {error.strerror}: name a host that is known") from error
    return all(one.is_loopback for one in found)
