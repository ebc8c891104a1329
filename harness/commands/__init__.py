"""Carries out the commands of the command line."""
