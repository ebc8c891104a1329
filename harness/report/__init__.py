"""Writes results for people and programs, from result dataclasses only."""
