"""Draws random legal Programs, changes them, and makes smaller ones of them. It is pure: the seed decides all."""
