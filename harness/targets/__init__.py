"""Where a Program runs, and the steps of one run."""
