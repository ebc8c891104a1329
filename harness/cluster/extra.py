"""Tells whether Dask distributed is installed, before a module that imports it is loaded."""

import importlib.util
import logging

from harness.errors import UsageError

PACKAGE = "distributed"
_LOUD = (PACKAGE, "tornado", "asyncio", "dask")


def check() -> None:
    """Raises UsageError, with the remedy, when distributed is missing. Otherwise quiets it: what daxcheck has to say of
    a lost worker or scheduler is a line of its own, and not a trace of Dask."""
    if importlib.util.find_spec(PACKAGE) is None:
        raise UsageError("--cluster and `daxcheck worker` need Dask distributed: pip install 'daxcheck[cluster]'")
    import distributed  # noqa: F401  its loggers are there from now on

    for name in [*_LOUD, *logging.root.manager.loggerDict]:
        if name.split(".")[0] in _LOUD:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
