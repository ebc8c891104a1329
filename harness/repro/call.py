"""Describes the C of one op as data: an expression, what it returns, and the helpers that it needs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Call:
    """A C expression.

    `good` is what its value must be, such as "== 0"; empty for an expression without a value, as that of a store.
    `bad` is its value when errno tells why it failed. `once` is the expression that makes one system call, where
    `made` repeats it for what is left. `before` and `after` are statements around it, which stay out of a forked child.
    """

    made: str
    good: str = "== 0"
    bad: str = "== -1"
    once: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    helpers: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
