"""The catalogue of planted faults, by area."""
