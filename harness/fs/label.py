"""Marks the file systems that daxcheck makes, so that it knows its own."""

LABEL = "daxcheck"
"""The label of every file system that daxcheck makes on a device (mkfs -L)."""
UUID_PREFIX = "64617863-6865-636b-"
"""The start of the UUID of every such file system: "daxcheck" in ASCII."""
ARMED_PREFIX = f"{UUID_PREFIX}f"
"""The start of the UUID of a file system that `daxcheck arm` makes. No other UUID of ours has this digit there: it
stands for a variant of UUIDs that is not in use (RFC 9562, 4.1), and a random UUID has 8 to b."""
