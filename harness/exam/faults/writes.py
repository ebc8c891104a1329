"""Faults of MAP_SYNC and of write(2)."""

from harness.exam.fault import Area, Fix, PlantedFault
from harness.exam.patch import Bytes, Overwrites, Returns, Skips
from harness.model.setting.hardware import PmemKind

MAP_SYNC = (
    PlantedFault(
        "map-sync-no-fsync", Area.MAP_SYNC, "a MAP_SYNC fault does not commit the blocks that it maps",
        (Skips("dax_finish_sync_fault", "vfs_fsync_range"),), families=("mapsync",),
    ),
    PlantedFault(
        "map-sync-clean-extent", Area.MAP_SYNC, "ext4 calls an extent that is not committed clean",
        (Bytes("ext4_set_iomap", "83 c8 02 66 89 43 1a", "83 c8 00 66 89 43 1a"),), ("ext4",), ("mapsync",),
    ),
    PlantedFault(
        "map-sync-not-dirty", Area.MAP_SYNC, "a MAP_SYNC fault leaves its entry of the page tree clean",
        (Skips("dax_finish_sync_fault", "xas_set_mark"),), families=("mapsync",),
    ),
    PlantedFault(
        "map-sync-on-virtio", Area.MAP_SYNC, "virtio-pmem, which needs a flush request, takes MAP_SYNC mappings",
        (Returns("dax_synchronous", 1),), families=("mapsync",),
        undoes=Fix("fefc1d97fa4b", "libnvdimm: add dax_dev sync flag"), device=PmemKind.VIRTIO_PMEM,
    ),
)  # fmt: skip
WRITE = (
    PlantedFault(
        "write-cached", Area.WRITE, "write(2) copies as to any memory: nothing of it leaves the cache",
        (Overwrites("__copy_user_flushcache", "e9 @_copy_from_user"),), families=("unaligned", "mixed"),
    ),
    PlantedFault(
        "write-edges-cached", Area.WRITE, "the edges of a write that is not aligned to words are not flushed",
        (Skips("__copy_user_flushcache", "clean_cache_range"),), families=("unaligned",),
    ),
    PlantedFault(
        "write-tail-cached", Area.WRITE, "the last bytes of a write, after its last word, are not flushed",
        (Skips("__copy_user_flushcache", "clean_cache_range", which=(1,)),), families=("unaligned",),
    ),
    PlantedFault(
        "write-few-bytes-over-a-line", Area.WRITE,
        "of a write of fewer than 8 bytes across two cache lines only the first line is flushed",
        # cmp $4, %ebx; je OUT; mov %ebx, %esi; mov %rbp, %rdi becomes mov $1, %esi; mov %rbp, %rdi
        (
            Bytes(
                "__copy_user_flushcache", "83 fb 04 74 0a 89 de 48 89 ef", "be 01 00 00 00 48 89 ef 66 90",
            ),
        ),
        families=("unaligned",),
        undoes=Fix("a1cd6c2ae47e", "arch/x86/lib/usercopy_64.c: fix __copy_user_flushcache() cache writeback"),
    ),
    PlantedFault(
        "write-leaves-old-mappings", Area.WRITE,
        "a write into a hole leaves the zero page mapped that a load had put there",
        (Skips("dax_iomap_rw", "invalidate_inode_pages2_range"),), families=("mixed", "conversion"),
        undoes=Fix("e3fce68cdbed", "dax: Avoid page invalidation races and unnecessary radix tree traversals"),
    ),
    PlantedFault(
        "write-size-not-logged", Area.WRITE, "xfs does not log the size of a file that a write has extended",
        (Skips("xfs_file_dax_write", "xfs_setfilesize"),), ("xfs",), ("mixed", "unaligned", "sync_calls"),
    ),
    PlantedFault(
        "write-dsync-no-sync", Area.WRITE, "a write with O_DSYNC returns before anything is committed",
        (Skips("ext4_file_write_iter", "vfs_fsync_range"),), ("ext4",), ("direct_io", "sync_calls"),
    ),
    PlantedFault(
        "write-dsync-no-sync-xfs", Area.WRITE, "the same on xfs", (Skips("xfs_file_dax_write", "vfs_fsync_range"),),
        ("xfs",), ("direct_io", "sync_calls"),
    ),
)  # fmt: skip
ALL = MAP_SYNC + WRITE
