"""The formats in which a run is told to other programs and to people elsewhere: a module and a row of `table` each."""
