"""Faults of what makes things durable: system calls that sync, journals, and the device below."""

from harness.exam.fault import Area, PlantedFault
from harness.exam.patch import Bytes, Calls, Returns, Skips
from harness.model.setting.hardware import PmemKind

SYNC = (
    PlantedFault(
        "fsync-no-writeback", Area.SYNC, "fsync on ext4 commits the journal, and flushes no data",
        (Skips("ext4_sync_file", "file_write_and_wait_range"),), ("ext4",), ("sync_calls",),
    ),
    PlantedFault(
        "fsync-no-writeback-xfs", Area.SYNC, "the same on xfs", (Skips("xfs_file_fsync", "file_write_and_wait_range"),),
        ("xfs",), ("sync_calls",),
    ),
    PlantedFault(
        "msync-nothing", Area.SYNC, "msync does nothing", (Skips("__do_sys_msync", "vfs_fsync_range"),),
        families=("sync_calls",),
    ),
    PlantedFault(
        "syncfs-no-commit", Area.SYNC, "sync and syncfs on ext4 flush the data, and commit nothing",
        (Returns("ext4_sync_fs", 0),), ("ext4",), ("sync_calls", "names"),
    ),
    PlantedFault(
        "syncfs-no-commit-xfs", Area.SYNC, "the same on xfs", (Returns("xfs_fs_sync_fs", 0),), ("xfs",),
        ("sync_calls", "names"),
    ),
    PlantedFault(
        "sync-forgets-inode", Area.SYNC, "a store through a mapping puts its inode on no list: sync passes it over",
        (Skips("dax_insert_entry", "__mark_inode_dirty"), Returns("file_update_time", 0)), families=("sync_calls",),
    ),
    PlantedFault(
        "sync-no-inodes", Area.SYNC, "sync and syncfs write no inode", (Returns("sync_inodes_sb"),),
        families=("sync_calls",),
    ),
    PlantedFault(
        "freeze-no-sync", Area.SYNC, "a file system that is frozen was not synced before",
        (Skips("freeze_super", "sync_filesystem"),), families=("sync_calls", "remap"),
    ),
    PlantedFault(
        "umount-no-sync", Area.SYNC, "umount drops dirty entries without a flush",
        (Skips("generic_shutdown_super", "sync_filesystem"),), families=("sync_calls", "remap"),
    ),
)  # fmt: skip
JOURNAL = (
    PlantedFault(
        "no-commit", Area.JOURNAL, "fsync on ext4 waits for no commit",
        (Returns("ext4_fc_commit", 0), Returns("ext4_force_commit", 0)), ("ext4",), ("names", "sync_calls"),
    ),
    PlantedFault(
        "no-commit-xfs", Area.JOURNAL, "fsync on xfs waits for no commit", (Returns("xfs_log_force_seq", 0),), ("xfs",),
        ("names", "sync_calls"),
    ),
    PlantedFault(
        "journal-cached", Area.JOURNAL, "what goes through the block layer, such as the journal, stays in the cache",
        (Calls("pmem_do_write", "__memcpy_flushcache", "__memcpy"),), families=("names", "sync_calls"),
    ),
    PlantedFault(
        "journal-not-replayed", Area.JOURNAL, "a mount after a crash does not replay the journal of ext4",
        (Returns("jbd2_journal_recover", 0),), ("ext4",), ("names", "sync_calls"), recovery=True,
    ),
    PlantedFault(
        "journal-not-replayed-xfs", Area.JOURNAL, "the same on xfs", (Returns("xlog_recover", 0),), ("xfs",),
        ("names", "sync_calls"), recovery=True,
    ),
)  # fmt: skip
DEVICE = (
    PlantedFault(
        "no-fence-on-flush", Area.DEVICE,
        "a flush request executes no fence; the next locked instruction is one, so nothing can be lost by this alone",
        (Returns("nvdimm_flush", 0),), families=("sync_calls",),
    ),
    PlantedFault(
        "virtio-flush-ignored", Area.DEVICE, "virtio-pmem answers a flush request itself: the host never gets it",
        (Returns("virtio_pmem_flush", 0),), families=("sync_calls",), device=PmemKind.VIRTIO_PMEM,
    ),
    PlantedFault(
        "virtio-flush-not-sent-xfs", Area.DEVICE, "fsync on xfs sends no flush request where nothing was logged",
        (Skips("xfs_file_fsync", "blkdev_issue_flush"),), ("xfs",), ("sync_calls", "mixed"),
        device=PmemKind.VIRTIO_PMEM,
    ),
    PlantedFault(
        "virtio-flush-not-sent", Area.DEVICE, "fsync on ext4 sends no flush request where nothing was logged",
        (Skips("ext4_sync_file", "blkdev_issue_flush"), Skips("ext4_fc_commit", "blkdev_issue_flush")), ("ext4",),
        ("sync_calls", "mixed"), device=PmemKind.VIRTIO_PMEM,
    ),
    PlantedFault(
        "no-write-cache", Area.DEVICE, "the kernel takes the device for one that needs no flush",
        # test $DAXDEV_WRITE_CACHE, %al; je RETURN becomes jmp RETURN
        (Bytes("dax_flush", "a8 02 74 05", "a8 02 eb 05"),), families=("sync_calls",),
    ),
    PlantedFault(
        "poison-unnoticed", Area.DEVICE, "a load of a page that has failed is not answered by a signal",
        (Skips("memory_failure", "unmap_and_kill"),), families=("memory_failure",),
    ),
)  # fmt: skip
ALL = SYNC + JOURNAL + DEVICE
