"""The order in which cells are sent."""

from harness.cluster.order import longest_first


def test_longest_first_and_the_unknown_before_all() -> None:
    """Equals keep their order."""
    took = {"short": 0.5, "long": 90.0, "mean": 3.0, "also": 3.0}
    assert longest_first(["short", "new", "mean", "long", "also", "other"], took.get) == [
        "new", "other", "long", "mean", "also", "short",
    ]  # fmt: skip
