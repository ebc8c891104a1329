"""Laws of harness.kernel.mirror: every way in which hosts are told of their Debian mirror."""

from harness.kernel.mirror import Mirror, SuiteEntry, choose, parse_deb822, parse_lines, parse_uris

DEB822 = """\
# a comment
Types: deb
URIs: http://mirror.example/debian/ http://other.example/debian
Suites: trixie trixie-updates
Components: main
# inside
Signed-By: /usr/share/keyrings/a.pgp

Types: deb
URIs: http://mirror.example/security
Suites: trixie-security
Components: main
signed-by:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----

Types: deb
URIs: file:/plain
Suites: ./
"""

LINES = """\
# deb http://commented.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/b.gpg] http://mirror.example/debian bookworm main
deb-src http://source.example/debian bookworm main
deb http://plain.example/debian/ bookworm main contrib
"""


def test_keys_of_deb822_sources() -> None:
    """Each URI of each stanza has its Signed-By, a path, an embedded key or nothing."""
    first, second, third, fourth = parse_deb822(DEB822)
    assert (first[0], first[1].strip()) == ("http://mirror.example/debian", "/usr/share/keyrings/a.pgp")
    assert second[0] == "http://other.example/debian"
    assert third[0] == "http://mirror.example/security"
    assert "\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n" in third[1]
    assert fourth == ("file:/plain", "")


def test_keys_of_one_line_sources() -> None:
    """Comments and sources of sources are no mirrors."""
    assert parse_lines(LINES) == [
        ("http://mirror.example/debian", "/usr/share/keyrings/b.gpg"),
        ("http://plain.example/debian", ""),
    ]


def test_uris_without_lists() -> None:
    """A machine that never updated its lists has a mirror all the same; third parties are not taken for it."""
    text = (
        "'http://mirror.example/debian/dists/bookworm-updates/InRelease' name 0 \n"
        "'http://mirror.example/debian/dists/bookworm/main/binary-amd64/Packages.xz' name 0 \n"
        "'http://third.example/dists/nodistro/InRelease' name 0 \n"
    )
    assert parse_uris(text, "bookworm") == [
        SuiteEntry("http://mirror.example/debian", "bookworm-updates", "bookworm-updates", "")
    ]


def test_the_suite_itself_before_the_main_mirror() -> None:
    """A suite that the host has comes from there; another from the main mirror, never from a security archive."""
    security = SuiteEntry("http://s", "oldstable-security", "bookworm-security", "Debian")
    main = SuiteEntry("http://m", "oldstable", "bookworm", "Debian")
    backports = SuiteEntry("http://b", "bookworm-backports", "bookworm-backports", "Debian Backports")
    entries = [security, main, backports]
    assert choose(entries, "bookworm-backports") == backports
    assert choose(entries, "oldstable") == choose(entries, "bookworm") == main
    assert choose(entries, "trixie-backports") == main
    assert choose(entries, "trixie-security") == security
    assert choose([], "sid") is None
    assert choose([main], "trixie-security") is None


def test_source_of_one_suite() -> None:
    """The private source names one suite, and keys only where there are any to name."""
    text = Mirror("http://m", " /usr/share/keyrings/a.gpg").sources("sid")
    assert "Suites: sid\n" in text
    assert text.endswith("Signed-By: /usr/share/keyrings/a.gpg\n")
    assert "Signed-By" not in Mirror("http://m", "").sources("sid")
