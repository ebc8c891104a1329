"""The history: every cell that was judged, kept in one SQLite file over all runs."""
