"""Faults of what changes the layout of a file: fallocate(2), truncate(2), reflink."""

from harness.exam.fault import Area, Fix, PlantedFault
from harness.exam.patch import Bytes, Overwrites, Returns, Skips

_REFLINK = ("xfs:reflink",)
FALLOCATE = (
    PlantedFault(
        "punch-keeps-entries", Area.FALLOCATE, "a hole leaves the entries and mappings of its pages",
        (Skips("ext4_punch_hole", "truncate_pagecache_range"),), ("ext4",), ("punch_hole",),
    ),
    PlantedFault(
        "punch-no-writeback", Area.FALLOCATE, "a hole drops the dirty entry that it is inside of without a flush",
        (Skips("ext4_punch_hole", "filemap_write_and_wait_range"),), ("ext4",), ("punch_hole",),
    ),
    PlantedFault(
        "punch-keeps-blocks", Area.FALLOCATE, "a hole frees no blocks",
        (Skips("ext4_punch_hole", "ext4_ext_remove_space"),), ("ext4",), ("punch_hole",),
    ),
    PlantedFault(
        "punch-not-in-fdatasync", Area.FALLOCATE, "fdatasync after a hole commits nothing",
        # the commit to wait for is not noted: the jbe that leaves it out for want of a journal becomes jmp
        (
            Bytes(
                "ext4_punch_hole", "49 81 fd ff 0f 00 00 76 ?? 41 f6 45 24 08 75",
                "49 81 fd ff 0f 00 00 eb ?? 41 f6 45 24 08 75",
            ),
        ),
        ("ext4",), ("punch_hole", "sync_calls"),
    ),
    PlantedFault(
        "flush-unmap-no-flush", Area.FALLOCATE, "before xfs changes a layout it drops entries without a flush",
        (Skips("xfs_flush_unmap_range", "filemap_write_and_wait_range"),), ("xfs",),
        ("punch_hole", "zero_range", "shift"),
    ),
    PlantedFault(
        "flush-unmap-no-unmap", Area.FALLOCATE, "before xfs changes a layout it leaves entries and mappings",
        (Skips("xfs_flush_unmap_range", "truncate_pagecache_range"),), ("xfs",), ("punch_hole", "zero_range", "shift"),
    ),
    PlantedFault(
        "collapse-keeps-entries", Area.FALLOCATE, "collapse range leaves the entries and mappings behind it",
        (Skips("ext4_fallocate", "truncate_pagecache", which=(1,)),), ("ext4",), ("shift",),
    ),
    PlantedFault(
        "insert-keeps-entries", Area.FALLOCATE, "insert range leaves the entries and mappings behind it",
        (Skips("ext4_fallocate", "truncate_pagecache", which=(0,)),), ("ext4",), ("shift",),
    ),
    PlantedFault(
        "shift-no-writeback", Area.FALLOCATE, "collapse and insert range drop dirty entries without a flush",
        (Skips("ext4_fallocate", "filemap_write_and_wait_range"),), ("ext4",), ("shift",),
    ),
    PlantedFault(
        "shift-keeps-entries-xfs", Area.FALLOCATE, "before xfs shifts extents it leaves entries and mappings",
        (Skips("xfs_prepare_shift", "xfs_flush_unmap_range"),), ("xfs",), ("shift",),
        Fix("7f9f71be84bc", "xfs: extent shifting doesn't fully invalidate page cache"),
    ),
    PlantedFault(
        "zero-keeps-entries", Area.FALLOCATE, "zero range leaves the entries and mappings of its pages",
        (Skips("ext4_fallocate", "truncate_pagecache_range"),), ("ext4",), ("zero_range",),
    ),
    PlantedFault(
        "zero-edges", Area.FALLOCATE, "zero range leaves its first and last partial block as it was",
        (Skips("ext4_fallocate", "ext4_zero_partial_blocks"),), ("ext4",), ("zero_range", "unaligned"),
    ),
)  # fmt: skip
TRUNCATE = (
    PlantedFault(
        "truncate-tail-not-zeroed", Area.TRUNCATE, "the last block of a file that is cut keeps what was behind the end",
        (Skips("ext4_truncate", "ext4_block_zero_page_range"),), ("ext4",), ("truncate",),
    ),
    PlantedFault(
        "truncate-tail-not-zeroed-xfs", Area.TRUNCATE, "the same on xfs",
        (Skips("xfs_setattr_size", "xfs_truncate_page"),), ("xfs",), ("truncate",),
    ),
    PlantedFault(
        "truncate-keeps-entries", Area.TRUNCATE, "a file that is cut leaves entries and mappings behind its end",
        (Skips("ext4_setattr", "truncate_pagecache"),), ("ext4",), ("truncate",),
    ),
    PlantedFault(
        "truncate-frees-nothing", Area.TRUNCATE, "a file that is cut keeps its blocks",
        (Skips("ext4_setattr", "ext4_truncate"),), ("ext4",), ("truncate",),
    ),
    PlantedFault(
        "grow-not-zeroed", Area.TRUNCATE, "xfs does not zero behind the old end of a file that grows",
        (Skips("xfs_setattr_size", "xfs_zero_range"),), ("xfs",), ("truncate",),
    ),
)  # fmt: skip
REFLINK = (
    PlantedFault(
        "cow-copies-nothing", Area.REFLINK, "a partial write to a shared block does not copy the rest of the block",
        (Returns("dax_iomap_cow_copy", 0),), _REFLINK, ("reflink",),
    ),
    PlantedFault(
        "cow-not-remapped", Area.REFLINK, "a write to a shared block goes to a copy that the file never gets",
        (Skips("xfs_dax_write_iomap_end", "xfs_reflink_end_cow"),), _REFLINK, ("reflink",),
    ),
    PlantedFault(
        "clone-keeps-entries", Area.REFLINK, "a clone leaves entries and mappings of what it replaces",
        (Skips("xfs_reflink_remap_prep", "xfs_flush_unmap_range"),), _REFLINK, ("reflink",),
        Fix("2c307174ab77", "xfs: flush removing page cache in xfs_reflink_remap_prep"),
    ),
    PlantedFault(
        "clone-past-end-not-zeroed", Area.REFLINK, "a clone behind the end of a file leaves old data in between",
        (Skips("xfs_reflink_remap_prep", "xfs_zero_range"),), _REFLINK, ("reflink", "truncate"),
        Fix("410fdc72b05a", "xfs: zero posteof blocks when cloning above eof"),
    ),
    PlantedFault(
        "dedupe-compares-nothing", Area.REFLINK, "dedupe takes any two ranges for the same",
        # movb $1, (%r9); xor %eax, %eax; ret
        (Overwrites("dax_dedupe_file_range_compare", "41c60101 31c0 c3"),), _REFLINK, ("reflink",),
    ),
    PlantedFault(
        "shift-keeps-cow-extents", Area.REFLINK, "a shift of extents leaves copies that are under way where they were",
        (Skips("xfs_prepare_shift", "xfs_reflink_cancel_cow_range"),), _REFLINK, ("reflink", "shift"),
        Fix("3af423b03435", "xfs: evict CoW fork extents when performing finsert/fcollapse"),
    ),
    PlantedFault(
        "unshare-copies-nothing", Area.REFLINK, "unshare gives the file new blocks, and copies nothing into them",
        (Skips("dax_file_unshare", "copy_mc_to_kernel"),), _REFLINK, ("reflink",),
    ),
    PlantedFault(
        "unshare-copies-part-of-blocks", Area.REFLINK,
        "unshare of a range that is not aligned copies a part of its first and last block only",
        # and $0xfff, REGISTER; je ALIGNED becomes jmp ALIGNED, for the start and for the end
        (
            Bytes("dax_file_unshare", "81 e2 ff 0f 00 00 74 ?? 89 d2", "81 e2 ff 0f 00 00 eb ?? 89 d2"),
            Bytes("dax_file_unshare", "25 ff 0f 00 00 74 ?? 48 81 c3", "25 ff 0f 00 00 eb ?? 48 81 c3"),
        ),
        _REFLINK, ("reflink",), Fix("50793801fc7f", "fsdax: dax_unshare_iter needs to copy entire blocks"),
    ),
)  # fmt: skip
ALL = FALLOCATE + TRUNCATE + REFLINK
