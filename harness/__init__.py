"""daxcheck: finds lost, stale and incoherent data in Linux file-system DAX on persistent memory."""

__version__ = "0.1.0"
