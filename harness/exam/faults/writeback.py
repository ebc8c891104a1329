"""Faults of writeback: what a sync does not flush, and what it does not write-protect."""

from harness.exam.fault import Area, Fix, PlantedFault
from harness.exam.patch import MORE_ROOM, Bytes, Returns, Skips, detour

_SYNCS = ("sync_calls", "redirty", "remap", "conversion")
WRITEBACK = (
    PlantedFault(
        "flush-nothing", Area.WRITEBACK, "dax_flush() flushes nothing", (Returns("dax_flush"),), families=_SYNCS,
    ),
    PlantedFault(
        "writeback-nothing", Area.WRITEBACK, "a sync flushes no entry of the page tree",
        (Returns("dax_writeback_mapping_range", 0),), families=_SYNCS,
    ),
    PlantedFault(
        "clean-nothing", Area.WRITEBACK, "the flush of a range executes no CLWB", (Returns("clean_cache_range"),),
        families=(*_SYNCS, "unaligned"),
    ),
    PlantedFault(
        "flush-first-page-of-pmd", Area.WRITEBACK, "of a dirty PMD entry a sync flushes the first page only",
        (Bytes("dax_writeback_mapping_range", "48 c7 44 24 18 00 00 20 00", "48 c7 44 24 18 00 10 00 00"),),
        families=_SYNCS,
    ),
    PlantedFault(
        "flush-one-page-cleans-pmd", Area.WRITEBACK,
        "of a PMD entry a sync of a smaller range flushes the first page of the range, and cleans all of it",
        (
            # Of a range below PMD, its start in the unused i_acl of the device's inode, made odd; else -1:
            # mov 24(%rdx), %rax; sub 16(%rdx), %rax; cmp $PMD, %rax; mov 16(%rdx), %rax; jb +4; or $-1, %rax;
            # or $1, %rax; mov %rax, 16(%rsi); ret
            *detour(
                "dax_writeback_mapping_range",
                "488b4218 482b4210 483d00002000 488b4210 7204 4883c8ff 4883c801 48894610 c3",
            ),
            # mov 16(%rdi), %rax; cmp $-1, %rax; je ret; and $(PMD - PAGE), %eax; cmp $PMD, %rdx; jne ret;
            # add %rax, %rsi; mov $PAGE, %edx; ret
            *detour(
                "dax_flush", "488b4710 4883f8ff 7416 2500f01f00 4881fa00002000 7508 4801c6 ba00100000 c3", MORE_ROOM
            ),
        ),
        families=_SYNCS,
    ),
    PlantedFault(
        "flush-first-node", Area.WRITEBACK, "a sync ends after the first node of the page tree, 64 pages or PMDs",
        # after the second xas_find_marked(): test %rax, %rax; je END becomes jmp END
        (
            Bytes(
                "dax_writeback_mapping_range", "49 89 c5 48 85 c0 0f 84 ?? ?? ?? ?? 4c 89 eb",
                "49 89 c5 48 85 c0 90 e9 ?? ?? ?? ?? 4c 89 eb",
            ),
        ),
        families=_SYNCS,
    ),
    PlantedFault(
        "flush-short-by-a-line", Area.WRITEBACK, "each flush leaves out the last cache line of its range",
        detour("dax_flush", "4883ea40 c3"),  # sub $64, %rdx; ret
        families=_SYNCS,
    ),
    PlantedFault(
        "flush-not-rounded-down", Area.WRITEBACK,
        "the flush of a range that begins inside a cache line may leave out its last line",
        # and %rcx, %rax, which rounds the start down, is left out
        (Bytes("clean_cache_range", "48 63 c9 48 21 c8", "48 63 c9 0f 1f 00"),), families=("unaligned", "mapsync"),
    ),
    PlantedFault(
        "entry-never-dirty", Area.WRITEBACK, "a write fault leaves its entry of the page tree clean",
        (Skips("dax_insert_entry", "xas_set_mark"),), families=_SYNCS,
    ),
)  # fmt: skip
PROTECTION = (
    PlantedFault(
        "protect-nothing", Area.PROTECTION, "a sync leaves all page-table entries writable",
        (Returns("pfn_mkclean_range", 0),), families=("redirty", "sync_calls"),
    ),
    PlantedFault(
        "protect-pmd-mappings-only", Area.PROTECTION,
        "a sync of a PMD leaves the page-table entries of a mapping that is smaller writable",
        # mov 8(%rcx), %rax; sub (%rcx), %rax; cmp $PMD, %rax; jb +1; ret; pop %rax; xor %eax, %eax; ret
        detour("pfn_mkclean_range", "488b4108 482b01 483d00002000 7201 c3 58 31c0 c3"), families=("redirty",),
        undoes=Fix("06083a0921fd", "dax: fix missing writeprotect the pte entry"),
    ),
    PlantedFault(
        "protect-no-pmd", Area.PROTECTION, "a sync clears the dirty bit of a PMD entry, and leaves it writable",
        # and $~(RW|DIRTY), %rax becomes and $~DIRTY where pmdp_invalidate() comes before
        (
            Bytes(
                "page_vma_mkclean_one", "48 83 e0 bd 48 89 c6 e8 ?? ?? ?? ?? 90 e9",
                "48 83 e0 bf 48 89 c6 e8 ?? ?? ?? ?? 90 e9",
            ),
        ),
        families=("redirty",), undoes=Fix("f729c8c9b24f", "dax: wrprotect pmd_t in dax_mapping_entry_mkclean"),
    ),
    PlantedFault(
        "protect-first-mapping-only", Area.PROTECTION, "a sync write-protects the first of several mappings only",
        # after vma_interval_tree_iter_next(): test %rax, %rax; jne AGAIN becomes nothing
        (
            Bytes(
                "dax_writeback_mapping_range", "49 89 c7 48 85 c0 75 ?? 48 8b 7c 24 10",
                "49 89 c7 48 85 c0 90 90 48 8b 7c 24 10",
            ),
        ),
        families=("redirty", "private"),
    ),
    PlantedFault(
        "mkclean-no-tlb-flush", Area.PROTECTION, "a sync clears the bit in the page table, and flushes no TLB",
        (Skips("ptep_clear_flush", "flush_tlb_mm_range"), Skips("pmdp_invalidate", "flush_tlb_mm_range")),
        families=("redirty", "races", "fault_races"),
    ),
)  # fmt: skip
ALL = WRITEBACK + PROTECTION
