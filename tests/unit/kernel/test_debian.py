"""Laws of harness.kernel.debian and apt, held against the real apt and dpkg on a repository made here."""

import hashlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from harness import cachedir
from harness.errors import InfraError, UsageError
from harness.kernel import debian, mirror, modules, source
from harness.kernel.apt import Package
from harness.kernel.debian import Offer, parse, pick, place
from harness.kernel.mirror import Mirror

RELEASE = "6.12.1-test"
OFFERS = tuple(
    Offer(release, Package(f"linux-image-{release}", version, (), 1))
    for release, version in [
        ("6.12.95+deb12-amd64", "6.12.95-1~bpo12+1"),
        ("6.12.95+deb12-cloud-amd64", "6.12.95-1~bpo12+1"),
        ("6.12.43+deb12-amd64", "6.12.43-1~bpo12+1"),
        ("6.1.0-50-amd64", "6.1.176-1"),
    ]
)


@pytest.mark.parametrize(
    ("wanted", "release"),
    [
        ("", "6.12.95+deb12-amd64"),
        ("6.12.4", None),
        ("6.12.43", "6.12.43+deb12-amd64"),
        ("linux-image-6.12.43+deb12-amd64", "6.12.43+deb12-amd64"),
        ("6.1.176-1", "6.1.0-50-amd64"),
        ("6.1.0-50", "6.1.0-50-amd64"),
        ("6.12.95+deb12-cloud-amd64", "6.12.95+deb12-cloud-amd64"),
        ("6.13", None),
    ],
)
def test_version_picks_by_package_release_or_version(wanted: str, release: str | None) -> None:
    """Package name, release and package version all name a kernel; flavours only in full; an unknown one lists all."""
    if release is not None:
        assert pick("debian:x", wanted, OFFERS).release == release
        return
    with pytest.raises(UsageError, match="no such kernel in the suite; there are: ") as caught:
        pick(f"debian:x/{wanted}", wanted, OFFERS)
    assert "6.12.43+deb12-amd64 (6.12.43-1~bpo12+1), 6.1.0-50-amd64 (6.1.176-1)" in str(caught.value)
    assert "cloud" not in str(caught.value)


def test_suite_chooses_its_own_series() -> None:
    """Without a version it is the kernel that the suite's own meta package wants, not a newer one beside it."""
    assert pick("debian:x", "", OFFERS, ("linux-image-6.1.0-50-amd64",)).release == "6.1.0-50-amd64"


@pytest.mark.parametrize("spec", ["debian:", "debian:/1", "debian:a b", "debian:../up", "trixie"])
def test_malformed_spec(spec: str) -> None:
    """What names no suite is refused before apt sees it."""
    with pytest.raises(UsageError, match="names no Debian suite"):
        parse(spec)


def test_both_layouts_end_in_one() -> None:
    """Files of both package layouts get the same places; what is not needed or of another release gets none."""
    for base in ("./lib/modules/R/", "./usr/lib/modules/R/"):
        assert place(f"{base}kernel/fs/ext4/ext4.ko.xz", "R") == "modules/kernel/fs/ext4/ext4.ko.xz"
        assert place(f"{base}modules.builtin", "R") == "modules/modules.builtin"
        assert place(f"{base}kernel/sound/snd.ko", "R") is None
        assert place(f"{base}kernel/lib/test_bpf.ko", "R") is None
    assert place("./boot/vmlinuz-R", "R") == place("./usr/lib/modules/R/vmlinuz", "R") == "vmlinuz"
    assert place("./boot/config-R", "R") == place("./usr/lib/modules/R/config", "R") == "config"
    assert place("./boot/vmlinuz-S", "R") is None


class Repository:
    """A Debian repository of one suite, "test", in a directory; signed when it is given a key."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.packages: list[str] = []

    def add(self, name: str, version: str, depends: str, files: dict[str, bytes]) -> None:
        tree = self.root / "trees" / f"{name}-{version}"
        (tree / "DEBIAN").mkdir(parents=True)
        control = f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody <n@example.org>\n"
        control += f"Depends: {depends}\n" if depends else ""
        (tree / "DEBIAN/control").write_text(f"{control}Description: test\n")
        for path, data in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
        deb = self.root / "pool" / f"{name}_{version}_amd64.deb"
        deb.parent.mkdir(exist_ok=True)
        run("dpkg-deb", "--root-owner-group", "-b", str(tree), str(deb))
        digest = hashlib.sha256(deb.read_bytes()).hexdigest()
        place = f"Filename: pool/{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n"
        self.packages.append(f"{control}{place}Description: test\n")

    def publish(self, key: Path | None) -> None:
        dist = self.root / "dists/test"
        index = dist / "main/binary-amd64/Packages"
        index.parent.mkdir(parents=True, exist_ok=True)
        index.write_text("\n".join(self.packages))
        data = index.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        (dist / "Release").write_text(
            "Origin: Debian\nSuite: test\nCodename: test\nArchitectures: amd64\nComponents: main\n"
            "Date: Sat, 01 Jan 2022 00:00:00 UTC\n"
            f"SHA256:\n {digest} {len(data)} main/binary-amd64/Packages\n"
        )
        if key:
            gpg(key, "--clearsign", "-o", str(dist / "InRelease"), str(dist / "Release"))


GPG_TRIES = 5
"""gpg waits 5 s for the agent that it starts, and gives up where a busy machine has not run it by then."""


def run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True, timeout=60)


def gpg(home: Path, *arguments: str) -> None:
    quiet = ("--batch", "--yes", "--pinentry-mode", "loopback", "--passphrase", "")
    command = ("gpg", "--homedir", str(home), *quiet, *arguments)
    for _ in range(GPG_TRIES):
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        if b"agent" not in done.stderr or not done.returncode:
            break
    assert not done.returncode, done.stderr
    run("gpgconf", "--homedir", str(home), "--kill", "gpg-agent")


@pytest.fixture
def repository(tmp_path: Path, make_image: Callable[..., bytes], modules_tree: Path) -> Repository:
    """One kernel in the old layout, 6.1, one in the new, 7.3, and one that lost its modules package, 7.4."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        pytest.skip("no apt on this machine")
    repository = Repository(tmp_path / "repository")
    tree = {str(p.relative_to(modules_tree)): p.read_bytes() for p in modules_tree.rglob("*") if p.is_file()}
    old, new, gone = "6.1.0-1-amd64", "7.3.4+deb13-amd64", "7.4.0+deb13-amd64"
    files = {f"boot/vmlinuz-{old}": make_image(old), f"boot/config-{old}": b"CONFIG_A=y\n"}
    files |= {f"lib/modules/{old}/{name}": data for name, data in tree.items()}
    repository.add(f"linux-image-{old}", "6.1.1-1", "kmod", files)
    own = f"(= 7.3.4-1), linux-modules-{new} (= 7.3.4-1)"
    repository.add(f"linux-image-{new}", "7.3.4-1", f"kmod, linux-binary-{new} {own}", {})
    repository.add(f"linux-binary-{new}", "7.3.4-1", "", {f"usr/lib/modules/{new}/vmlinuz": make_image(new)})
    repository.add(f"linux-modules-{new}", "7.3.4-1", "", {f"usr/lib/modules/{new}/{k}": v for k, v in tree.items()})
    repository.add(f"linux-image-{gone}", "7.4.0-1", f"linux-modules-{gone} (= 7.4.0-1)", {})
    repository.add(f"linux-image-{old}-dbg", "6.1.1-1", "", {})
    return repository


@pytest.fixture
def signed(tmp_path: Path, repository: Repository, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """The repository signed by a key made here, and the mirror's place taken by it."""
    if not shutil.which("gpg"):
        pytest.skip("gpg is not installed")
    home = tmp_path / "gpg"
    home.mkdir(mode=0o700)
    gpg(home, "--quick-gen-key", "test@example.org", "ed25519", "sign", "never")
    keyring = tmp_path / "key.gpg"
    gpg(home, "-o", str(keyring), "--export")
    repository.publish(home)
    use(repository, f" {keyring}", monkeypatch)
    return repository


def use(repository: Repository, signed_by: str, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.root.chmod(0o755)
    monkeypatch.setattr(mirror, "find", lambda suite: Mirror(f"file:{repository.root}", signed_by))


def test_fetch_both_layouts(signed: Repository) -> None:
    """A fetched kernel has its image, configuration and modules whatever the layout, and is found again offline."""
    said: list[str] = []
    old = source.fetch("debian:test/6.1", said.append)
    assert (old.release, old.source) == ("6.1.0-1-amd64", "debian:test/6.1.1-1")
    assert old.config is not None
    new = source.fetch("debian:test", said.append)
    assert new.release == "7.3.4+deb13-amd64"
    for kernel in (old, new):
        assert kernel.modules is not None
        assert not (kernel.modules / "kernel/sound").exists()
        assert "ext4" in [module.name for module in modules.closure(kernel)]
    assert any("unpacking linux-modules-7.3.4" in line for line in said)
    shutil.rmtree(signed.root)
    assert source.resolve("debian:test", said.append) == new
    assert source.resolve("debian:test/6.1.1-1", said.append) == old


def test_kernel_without_its_modules_package_is_not_offered(signed: Repository) -> None:
    """A suite may keep a linux-image longer than its linux-modules: the newest whole kernel is meant, and listed."""
    with pytest.raises(UsageError) as caught:
        source.fetch("debian:test/7.4", print)
    assert str(caught.value).endswith("there are: 7.3.4+deb13-amd64 (7.3.4-1), 6.1.0-1-amd64 (6.1.1-1)")


def test_damaged_kernel_is_fetched_again(signed: Repository) -> None:
    """A damaged entry that came from a package is told of and replaced, whichever way it was named."""
    kernel = source.fetch("debian:test", print)
    for spec in ("debian:test", "7.3"):
        kernel.image.write_bytes(b"broken")
        said: list[str] = []
        assert source.resolve(spec, said.append) == kernel
        assert any("is damaged" in line and "vmlinuz" in line for line in said)
        assert kernel.image.stat().st_size > 60000


def test_what_is_cached_is_not_downloaded_again(signed: Repository) -> None:
    """Fetching what the suite still offers asks for its lists and for no package."""
    first = source.fetch("debian:test", print)
    told: list[str] = []
    assert source.fetch("debian:test", told.append) == first
    assert not [line for line in told if line.startswith("unpacking")]


def test_unknown_suite(signed: Repository) -> None:
    """A suite that the mirror lacks is the user's error, and leaves no state behind."""
    with pytest.raises(UsageError, match=r"debian:nosuch: the mirror file:\S+ has no such suite"):
        source.fetch("debian:nosuch", print)
    assert not (cachedir.root() / "apt/nosuch").exists()


@pytest.mark.parametrize("trick", ["unsigned", "other key", "altered index", "altered package"])
def test_signatures_are_checked(trick: str, tmp_path: Path, repository: Repository, request: pytest.FixtureRequest,
                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Nothing enters the cache that is not covered by a signature of the right key."""
    if trick == "unsigned":
        repository.publish(None)
        use(repository, "", monkeypatch)
    else:
        request.getfixturevalue("signed")
    if trick == "other key":
        (tmp_path / "other").mkdir(mode=0o700)
        gpg(tmp_path / "other", "--quick-gen-key", "evil@example.org", "ed25519", "sign", "never")
        repository.publish(tmp_path / "other")
    elif trick == "altered index":
        index = repository.root / "dists/test/main/binary-amd64/Packages"
        index.write_text(index.read_text().replace("7.3.4-1", "9.9.9-9"))
    elif trick == "altered package":
        for deb in (repository.root / "pool").glob("*.deb"):
            deb.write_bytes(deb.read_bytes()[:-1] + b"!")
    with pytest.raises(InfraError, match=r"not signed|NO_PUBKEY|Hash Sum mismatch|unexpected size"):
        source.fetch("debian:test", print)
    assert cachedir.keys("kernels") == []


def test_host_apt_is_untouched(signed: Repository) -> None:
    """A fetch writes nothing into the host's apt directories."""
    places = [Path("/var/lib/apt/lists"), Path("/var/cache/apt"), Path("/etc/apt")]
    before = [(path, path.stat().st_mtime_ns) for place in places for path in (place, *place.glob("*"))]
    source.fetch("debian:test", print)
    assert before == [(path, path.stat().st_mtime_ns) for place in places for path in (place, *place.glob("*"))]


def test_truncated_package_is_named(repository: Repository, tmp_path: Path) -> None:
    """Half a package file is told by name with what dpkg-deb says."""
    deb = next((repository.root / "pool").glob("linux-modules*"))
    deb.write_bytes(deb.read_bytes()[:-300])
    room = tmp_path / "room"
    room.mkdir()
    with pytest.raises(InfraError, match=r"^linux-modules-7.3.4\S+: .*run again to download it anew"):
        debian.unpack(deb, "7.3.4+deb13-amd64", room)


def packed(name: str, release: str = "6.12.1-test") -> IO[bytes]:
    """The archive that dpkg-deb would give of a package with one file, to be called `name`."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w|") as archive:
        member = tarfile.TarInfo(name.format(release=release))
        member.size = 8
        archive.addfile(member, io.BytesIO(b"stranger"))
    stream.seek(0)
    return stream


@pytest.mark.parametrize(
    "name",
    [
        "./lib/modules/{release}/kernel/fs/../../../x.ko", "usr/lib/modules/{release}/kernel/lib/../../../../x.ko",
        "/lib/modules/{release}/kernel/fs/ext4/x.ko", "../lib/modules/{release}/kernel/fs/ext4/x.ko",
        "./lib//modules/{release}/kernel/fs/ext4/x.ko",
    ],
)  # fmt: skip
def test_a_package_cannot_lead_out(tmp_path: Path, name: str) -> None:
    """A file of a package that is called like a kept module and leads elsewhere is refused; nothing is written."""
    room = tmp_path / "a" / "room"
    room.mkdir(parents=True)
    with pytest.raises(InfraError, match="leads out of it"):
        debian._extract(packed(name), "6.12.1-test", room)
    assert not list(tmp_path.rglob("x.ko"))


def test_a_package_keeps_its_modules(tmp_path: Path) -> None:
    """The same name without a dotted part is kept, where it belongs."""
    debian._extract(packed("./lib/modules/{release}/kernel/fs/ext4/x.ko"), "6.12.1-test", tmp_path)
    assert (tmp_path / "modules/kernel/fs/ext4/x.ko").read_bytes() == b"stranger"
