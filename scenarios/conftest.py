"""Brings the fixture `dax` and the options --kernel, --fs, ...; only here, so that the unit tests need no kernel."""

pytest_plugins = ["harness.pytest_plugin"]
