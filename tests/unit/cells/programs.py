"""Programs that several tests of verdicts run on a toy machine."""

TWO_SYNCS = """\
create f data
pwrite f 0 8K
fsync f
fsyncdir
mmap m f 0 8K align=4K
store m 0 8K
msync m 0 8K
store m 4K 4K
fsync f
cut_power"""
"""Two pages, synced by msync and, of one of them, once more by fsync: a sound machine passes at every moment."""
