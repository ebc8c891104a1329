"""Finds the Debian mirror that the host's own apt uses, and the keys that it trusts for it."""

import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfraError, SetupError

ASK = 60.0
"""Seconds that apt may take to tell its configuration."""
_KEYRINGS = ("debian-archive-keyring.gpg", "debian-archive-keyring.pgp")
_FORMAT = "$(REPO_URI)|$(RELEASE)|$(CODENAME)|$(ORIGIN)"


@dataclass(frozen=True, slots=True)
class SuiteEntry:
    """One suite that the host's apt is configured for."""

    uri: str
    suite: str
    codename: str
    origin: str


@dataclass(frozen=True, slots=True)
class Mirror:
    """The place to fetch a suite from. `signed_by` is the text of a Signed-By field; empty: the host's trusted keys."""

    uri: str
    signed_by: str

    def sources(self, suite: str) -> str:
        """The deb822 source of one suite, package lists only. Format: sources.list(5)."""
        lines = ["Types: deb", f"URIs: {self.uri}", f"Suites: {suite}", "Components: main", "Architectures: amd64",
                 "Targets: Packages"]  # fmt: skip
        if self.signed_by:
            lines.append(f"Signed-By:{self.signed_by}")
        return "\n".join(lines) + "\n"


def find(suite: str) -> Mirror:
    """The mirror to fetch `suite` from: the host's own one for that suite, else its main Debian mirror.

    Raises SetupError when the host's apt knows no Debian mirror.
    """
    entries = [entry for entry in _listed() or _configured() if _is_debian(entry)]
    entry = choose(entries, suite)
    if entry is None:
        remedy = "add a Debian source for apt, or name a kernel by its path"
        raise SetupError(f"debian:{suite}: this machine's apt has no Debian mirror configured: {remedy}")
    return Mirror(entry.uri, _signed_by(entry.uri))


def choose(entries: list[SuiteEntry], suite: str) -> SuiteEntry | None:
    """The entry of that suite by either of its names; else a plain one: security archives hold no other suites."""
    for entry in entries:
        if suite in (entry.suite, entry.codename):
            return entry
    security = suite.endswith("-security")
    return next((entry for entry in entries if entry.suite.endswith("-security") == security), None)


def _is_debian(entry: SuiteEntry) -> bool:
    return entry.origin.startswith("Debian") or (not entry.origin and _host("ID") == "debian")


def _host(key: str) -> str:
    text = _text(Path("/etc/os-release"))
    found = re.search(rf'^{key}="?([^"\n]*)"?$', text, re.MULTILINE)
    return found[1] if found else ""


def _listed() -> list[SuiteEntry]:
    """Suites whose lists the host has downloaded, with the origin that the signed Release file states."""
    text = _ask(["apt-get", "indextargets", "--format", _FORMAT, "Identifier: Packages"])
    entries = [SuiteEntry(*line.split("|")) for line in text.splitlines() if line.count("|") == 3]
    return [SuiteEntry(e.uri.rstrip("/"), e.suite, e.codename, e.origin) for e in entries]


def _configured() -> list[SuiteEntry]:
    """Return the suites that the host would download; indextargets names none while /var/lib/apt/lists is empty."""
    with tempfile.TemporaryDirectory() as lists:
        (Path(lists) / "partial").mkdir()
        text = _ask(["apt-get", "update", "--print-uris", "-o", f"Dir::State::lists={lists}"])
    return parse_uris(text, _host("VERSION_CODENAME"))


def parse_uris(text: str, codename: str) -> list[SuiteEntry]:
    """Entries of `apt-get update --print-uris` whose suite is of the host's release; others may be anyone's."""
    found = re.findall(r"^'(\S+)/dists/(\S+)/InRelease'", text, re.MULTILINE)
    known = (codename, "stable", "oldstable", "testing", "unstable", "sid")
    return [SuiteEntry(uri, suite, suite, "") for uri, suite in found if suite.split("-")[0] in known]


def _ask(argv: list[str]) -> str:
    environment = {**os.environ, "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, errors="replace", timeout=ASK, env=environment)
    except subprocess.TimeoutExpired as error:
        raise InfraError(f"{' '.join(argv[:2])} does not end within {ASK:g} s: run it by hand to see why") from error
    if done.returncode:
        words = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise SetupError(f"{' '.join(argv[:2])} failed ({words}): repair the apt sources of this machine")
    return done.stdout


def _signed_by(uri: str) -> str:
    """The keys for a mirror: those that the host names for it and the archive's own keyring.

    The host may name a key of its own release only, which has not signed the other suites.
    """
    named = [value for found, value in host_keys() if found == uri.rstrip("/")]
    paths = [word for value in named for word in re.split(r"[\s,]+", value.strip()) if word.startswith("/")]
    paths += [f"/usr/share/keyrings/{name}" for name in _KEYRINGS]
    usable = list(dict.fromkeys(str(path) for path in map(Path, paths) if os.access(path, os.R_OK)))
    # Two names of one keyring (.gpg is a link to .pgp since Debian 13) are named once.
    distinct = {os.path.realpath(path): path for path in reversed(usable)}
    if distinct:
        return " " + ", ".join(sorted(distinct.values()))
    return next((value for value in named if "BEGIN PGP" in value), "")


def host_keys() -> list[tuple[str, str]]:
    """(URI, text of Signed-By) of every source the host has, in both formats of sources.list(5)."""
    shell = _ask(["apt-config", "shell", "LIST", "Dir::Etc::sourcelist/f", "PARTS", "Dir::Etc::sourceparts/d"])
    places = dict(re.findall(r"^(\w+)='(.*)'$", shell, re.MULTILINE))
    found: list[tuple[str, str]] = []
    parts = sorted(Path(places["PARTS"]).glob("*")) if "PARTS" in places else []
    for path in [Path(places["LIST"]), *parts] if "LIST" in places else parts:
        if path.suffix == ".sources":
            found += parse_deb822(_text(path))
        elif path.suffix == ".list":
            found += parse_lines(_text(path))
    return found


def parse_deb822(text: str) -> list[tuple[str, str]]:
    """(URI, Signed-By) of each stanza; an embedded key keeps its lines."""
    found = []
    for stanza in re.split(r"\n(?:[ \t]*\n)+", re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)):
        pairs = re.findall(r"^([A-Za-z-]+):((?:.*)(?:\n[ \t].*)*)", stanza, re.MULTILINE)
        fields = {key.lower(): value for key, value in pairs}
        found += [(uri.rstrip("/"), fields.get("signed-by", "").rstrip()) for uri in fields.get("uris", "").split()]
    return found


def parse_lines(text: str) -> list[tuple[str, str]]:
    """(URI, signed-by) of each one-line source."""
    found = []
    for options, uri in re.findall(r"^\s*deb\s+(?:\[([^]]*)\]\s*)?(\S+)", text, re.MULTILINE):
        key = re.search(r"signed-by=(\S+)", options)
        found.append((uri.rstrip("/"), key[1] if key else ""))
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
