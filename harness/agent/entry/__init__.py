"""The programs that start an agent: as init of a guest, on a box, and as a box that a guest plays."""
