"""Runs cells on other machines, by Dask distributed; no other room imports that."""
