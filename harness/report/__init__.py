"""How results are told: consumes result dataclasses only."""
