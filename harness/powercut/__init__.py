"""A real power cut: what outlives it on this machine, and how the device is judged afterwards."""
