"""Laws of harness.kernel.cache and of what --kernel takes."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import cachedir
from harness.errors import SetupError, UsageError
from harness.kernel import cache, source
from harness.kernel.kernel import Kernel, matches, version_key

REPO = Path(__file__).resolve().parents[3]
RELEASES = ("6.1.0-50-amd64", "6.9.1", "6.12.43+deb12-amd64", "6.12.95+deb12-amd64", "7.0-rc3", "7.0")


@pytest.fixture
def several(tmp_path: Path, make_image: Callable[..., bytes]) -> list[Kernel]:
    """Cached kernels of RELEASES, added newest first."""
    kernels = []
    for release in reversed(RELEASES):
        path = tmp_path / f"vmlinuz-{release}"
        path.write_bytes(make_image(release))
        kernels.append(cache.add(path))
    return kernels


def quiet(text: str) -> None:
    """Progress that nobody reads."""


def test_listed_by_version(several: list[Kernel]) -> None:
    """The list goes from the oldest to the newest release, as people count."""
    assert [kernel.release for kernel in cache.cached()] == list(RELEASES)
    assert sorted((kernel.release for kernel in several), key=version_key) == list(RELEASES)


def test_of_one_release_the_last_build(tmp_path: Path, make_image: Callable[..., bytes]) -> None:
    """A release built again and again stands for the build that was added last."""
    path = tmp_path / "bzImage"
    for text in (b"first", b"second", b"third", b"fourth"):
        path.write_bytes(make_image("6.12.95") + text)
        added = cache.add(path)
        assert cache.newest("6.12") == added


@pytest.mark.parametrize(
    ("prefix", "release"),
    [
        ("6.12", "6.12.95+deb12-amd64"),
        ("6.12.43", "6.12.43+deb12-amd64"),
        ("6.1", "6.1.0-50-amd64"),
        ("7", "7.0"),
        ("", "7.0"),
    ],
)
def test_prefix_in_whole_numbers(several: list[Kernel], prefix: str, release: str) -> None:
    """A prefix means whole numbers, so 6.1 is not 6.12; of several that fit the newest is taken."""
    assert cache.find(prefix).release == release
    assert source.resolve(prefix, quiet).release == release if prefix else True


def test_digest_picks_one(several: list[Kernel]) -> None:
    """A kernel is also found by its digest, whole or from eight characters on."""
    for kernel in several:
        assert cache.find(kernel.digest) == cache.find(kernel.digest[:12]) == kernel


def test_unknown_release_lists_what_is_there(several: list[Kernel]) -> None:
    """The error names what is cached and how to get more."""
    with pytest.raises(UsageError, match=r"no cached kernel '5.4'; cached: 6.1.0-50-amd64, .*daxcheck kernel fetch"):
        cache.find("5.4")
    with pytest.raises(UsageError, match=r"no cached kernel '5\.4'"):
        cache.remove("5.4")


def test_same_kernel_twice_is_one_entry(installed: Path) -> None:
    """Adding the same files again keeps one entry under the same digest."""
    assert cache.add(installed) == cache.add(installed)
    assert len(cache.cached()) == 1


@pytest.mark.parametrize("name", ["vmlinuz", "modules/kernel/fs/ext4/ext4.ko"])
@pytest.mark.parametrize("how", ["lost", "cut", "altered"])
def test_damaged_entry_is_named_with_the_remedy(installed: Path, name: str, how: str) -> None:
    """A lost, truncated or altered file makes the entry unusable; the text has the commands that mend it."""
    kernel = cache.add(installed)
    path = kernel.image.parent / name
    data = path.read_bytes()
    path.unlink()
    if how != "lost":
        path.write_bytes(data[:-1] if how == "cut" else data[:-1] + b"\xff")
    remedy = f"daxcheck kernel rm {kernel.digest[:12]} && daxcheck kernel add {installed}"
    with pytest.raises(SetupError, match="is damaged") as caught:
        cache.find("6.12")
    assert name in str(caught.value)
    assert str(caught.value).endswith(remedy)
    assert len(cache.damaged()) == 1
    assert cache.add(installed) == kernel
    assert cache.damaged() == ()
    assert cache.find("6.12") == kernel


def test_entry_without_description_is_told_and_removable(installed: Path) -> None:
    """An entry that says nothing of itself is not listed, but told of, and goes by its digest."""
    kernel = cache.add(installed)
    (kernel.image.parent / "kernel.json").write_text("{")
    assert cache.cached() == ()
    with pytest.raises(UsageError, match=r"kernel.json: .*daxcheck kernel rm"):
        cache.find("6.12")
    assert cache.remove(kernel.digest[:12]) == (kernel.digest[:12],)
    assert cachedir.keys(cache.AREA) == []


def test_remove_by_prefix(several: list[Kernel]) -> None:
    """rm takes every kernel that the prefix names and says which."""
    assert cache.remove("6.12") == ("6.12.43+deb12-amd64", "6.12.95+deb12-amd64")
    assert "6.12" not in " ".join(kernel.release for kernel in cache.cached())


def test_two_harnesses_at_once(installed: Path) -> None:
    """Processes that add, list and remove the same kernel at once never see half of one and end with a whole one."""
    code = f"""
from pathlib import Path
from harness.errors import DaxcheckError
from harness.kernel import cache
for _ in range(10):
    kernel = cache.add(Path({str(installed)!r}))
    for seen in cache.cached():
        assert seen.release == "6.12.1-test", seen
    try:
        cache.remove("6.12")
    except DaxcheckError:
        pass
print(cache.add(Path({str(installed)!r})).digest)"""
    argv = [sys.executable, "-c", code]
    racers = [subprocess.Popen(argv, cwd=REPO, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        outputs = [racer.communicate(timeout=120)[0] for racer in racers]
    finally:
        for racer in racers:
            racer.kill()
            racer.wait()
    assert [racer.returncode for racer in racers] == [0, 0]
    assert len(set(outputs)) == 1


def test_spec_stands_for_what_was_fetched(several: list[Kernel]) -> None:
    """A remembered debian: spec needs no network, and follows the last fetch."""
    cache.remember("debian:suite", several[0])
    assert source.resolve("debian:suite", quiet) == several[0]
    cache.remember("debian:suite", several[1])
    assert source.resolve("debian:suite", quiet) == several[1]
    cache.remove(several[1].digest)
    assert cache.recall("debian:suite") is None


def test_resolve_takes_paths(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path needs no prefix of its own: one with a slash, or the name of a file here."""
    assert source.resolve(str(installed), quiet).release == "6.12.1-test"
    monkeypatch.chdir(installed.parent)
    assert source.resolve(installed.name, quiet).source == str(installed)
    with pytest.raises(UsageError, match="no such file"):
        source.resolve("./none", quiet)
    with pytest.raises(UsageError, match="no kernel named"):
        source.resolve("", quiet)


def test_matches_ends_at_numbers() -> None:
    """A prefix ends where a number does."""
    assert matches("6.1", "6.1.0")
    assert not matches("6.1", "6.12")
    assert matches("6.12.95+deb", "6.12.95+deb12")
    assert matches("", "anything")


@pytest.mark.parametrize("codename", ["bookworm", "trixie"])
def test_defaults_are_three(codename: str) -> None:
    """Debian's releases have three kernels each: their own, their backport's, the next suite's."""
    own, backport, following = source.defaults({"ID": "debian", "VERSION_CODENAME": codename})
    assert own == (f"debian:{codename}",)
    assert backport == (f"debian:{codename}-backports",)
    assert all(spec.startswith("debian:") for spec in following)
    assert len(source.defaults({"ID": "elsewhere"})) == 1


def test_a_run_takes_the_default_that_is_cached(several: list[Kernel], monkeypatch: pytest.MonkeyPatch) -> None:
    """A run asks no mirror where a second choice was fetched before; `kernel fetch default` tries the better one."""
    asked: list[str] = []

    def unknown(spec: str, *_: object) -> Kernel:
        asked.append(spec)
        raise UsageError(f"{spec}: no such suite")

    monkeypatch.setattr(source, "fetch", unknown)
    own, backport, (better, second, _) = source.defaults({"ID": "debian", "VERSION_CODENAME": "trixie"})
    for spec, kernel in zip((*own, *backport, second), (several[0], several[0], several[1]), strict=True):
        cache.remember(spec, kernel)
    release = {"ID": "debian", "VERSION_CODENAME": "trixie"}
    taken = source.resolve_defaults(release, quiet, cached_first=True)
    assert (taken, asked) == ((several[0], several[1]), [])
    assert source.resolve_defaults(release, quiet) == taken
    assert asked == [better]
