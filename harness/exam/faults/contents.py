"""Faults of contents: blocks that are not zeroed, and views of a file that differ."""

from harness.exam.fault import Area, Fix, PlantedFault
from harness.exam.patch import Bytes, Overwrites, Returns, Skips

ZEROING = (
    PlantedFault(
        "new-blocks-not-zeroed", Area.ZEROING, "ext4 does not zero the blocks that a fault or a write allocates",
        (Skips("ext4_map_blocks", "ext4_issue_zeroout"),), ("ext4",), ("names", "truncate", "space", "shift"),
        Fix("12735f881952", "ext4: pre-zero allocated blocks for DAX IO"),
    ),
    PlantedFault(
        "new-blocks-not-zeroed-xfs", Area.ZEROING, "xfs does not zero the blocks that a fault or a write allocates",
        (Skips("xfs_bmapi_allocate", "xfs_zero_extent"), Skips("xfs_bmapi_convert_unwritten", "xfs_zero_extent")),
        ("xfs",), ("names", "truncate", "space", "shift"),
    ),
    PlantedFault(
        "edges-not-zeroed", Area.ZEROING, "a hole or a zeroed range leaves its first and last partial block as it was",
        (Returns("ext4_zero_partial_blocks", 0),), ("ext4",), ("punch_hole", "zero_range", "unaligned"),
    ),
    PlantedFault(
        "edges-not-zeroed-xfs", Area.ZEROING, "the same on xfs", (Skips("xfs_free_file_space", "xfs_zero_range"),),
        ("xfs",), ("punch_hole", "zero_range", "unaligned"),
    ),
    PlantedFault(
        "zeroes-not-flushed", Area.ZEROING, "zeroes that the kernel writes into a part of a block stay in the cache",
        (Skips("dax_zero_range", "dax_flush"),), ("ext4", "xfs"), ("punch_hole", "zero_range", "truncate"),
    ),
)  # fmt: skip
COHERENCY = (
    PlantedFault(
        "mappings-stay", Area.COHERENCY, "what is taken out of a file stays mapped",
        (Returns("unmap_mapping_pages"), Returns("unmap_mapping_range")),
        families=("punch_hole", "truncate", "zero_range", "shift"),
    ),
    PlantedFault(
        "read-copies-nothing", Area.COHERENCY, "read(2) leaves the buffer of the caller as it was",
        (Overwrites("dax_copy_to_iter", "4889c8 c3"),),  # mov %rcx, %rax; ret: all of it
        families=("mixed", "direct_io"),
    ),
    PlantedFault(
        "invalidation-drops-dirty", Area.COHERENCY,
        "an invalidation takes dirty entries out of the page tree, which nobody has flushed",
        # xor %edx, %edx becomes mov $1, %dl: as a truncation would
        (Bytes("dax_invalidate_mapping_entry_sync", "31 d2", "b2 01"),), families=("mixed", "direct_io", "conversion"),
        undoes=Fix("c6dcf52c23d2", "mm: Invalidate DAX radix tree entries only if appropriate"),
    ),
    PlantedFault(
        "private-copy-empty", Area.COHERENCY, "the copy of a page for a MAP_PRIVATE mapping is not made",
        (Skips("dax_fault_iter", "copy_page"),), families=("private",),
    ),
    PlantedFault(
        "mremap-takes-pmd-for-table", Area.COHERENCY,
        "mremap takes a PMD entry for a page table, and moves what the page holds as though it were entries",
        # mov $DEVMAP, %rsi; test %rsi, %rax; jne HUGE becomes nothing
        (
            Bytes(
                "move_page_tables", "48 85 f0 0f 85 ?? ?? ?? ?? 48 81 7c 24 08",
                "48 85 f0 66 0f 1f 44 00 00 48 81 7c 24 08",
            ),
        ),
        families=("remap",), undoes=Fix("5bfea2d9b17f", "mm: Fix mremap not considering huge pmd devmap"),
    ),
    PlantedFault(
        "seek-finds-no-data", Area.COHERENCY, "SEEK_DATA finds no data in any file",
        (Returns("iomap_seek_data", -6),), families=("punch_hole", "sync_calls"),
    ),
    PlantedFault(
        "direct-io-pins-ignored", Area.COHERENCY, "ext4 frees blocks into which a device still writes",
        (Returns("ext4_break_layouts", 0),), ("ext4",), ("direct_io", "truncate", "punch_hole"),
        Fix("430657b6be89", "ext4: handle layout changes to pinned DAX mappings"),
    ),
    PlantedFault(
        "direct-io-pins-ignored-xfs", Area.COHERENCY, "xfs frees blocks into which a device still writes",
        (Returns("xfs_break_dax_layouts", 0),), ("xfs",), ("direct_io", "truncate", "punch_hole"),
        Fix("d6dc57e251a4", "xfs, dax: introduce xfs_break_dax_layouts()"),
    ),
)  # fmt: skip
ALL = ZEROING + COHERENCY
