"""Locates the files that daxcheck brings and that are no modules of it: scenarios, and the plugin's sources."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def place(name: str) -> Path:
    """The file or directory `name`, a path such as qemu/plugin: below the package where daxcheck was installed from a
    wheel (pyproject.toml, package-dir), beside the package in a checkout. It is missing where an installation is torn.
    """
    # The package first: beside an installed one lie other distributions, which may have a directory of the same name.
    inside = PACKAGE / name
    return inside if inside.exists() else PACKAGE.parent / name
