"""Makes Programs of what other tools write: operation logs, scripts, workloads."""
