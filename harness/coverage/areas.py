"""The functions of the kernel whose blocks are recorded, by area; those of Linux 6.1 to 7.x together.

A kernel has not all of them: its compiler may have put one into its callers, and names change from version to version.
Then the function is absent, which is not the same as never entered. The lists are made from the sources of fs/dax.c and
the other files named here, without what DAX cannot reach, such as buffered write-back.
"""

from collections.abc import Mapping

_DAX = """
    __dax_clear_dirty_range __dax_invalidate_entry copy_cow_page_dax dax_associate_entry dax_break_layout
    dax_break_layout_final dax_busy_folio dax_busy_page dax_dedupe_file_range_compare dax_delete_mapping_entry
    dax_delete_mapping_range dax_disassociate_entry dax_end_pfn dax_entry_order dax_entry_size dax_entry_waitqueue
    dax_fault_check_fallback dax_fault_cow_page dax_fault_is_cow dax_fault_is_synchronous dax_fault_iter
    dax_fault_return dax_fault_synchronous_pfnp dax_file_unshare dax_finish_sync_fault dax_folio_init
    dax_folio_is_shared dax_folio_make_shared dax_folio_put dax_insert_entry dax_insert_pfn_mkwrite
    dax_invalidate_mapping_entry_sync dax_iomap_copy_around dax_iomap_cow_copy dax_iomap_direct_access
    dax_iomap_fault dax_iomap_iter dax_iomap_pgoff dax_iomap_pmd_fault dax_iomap_pte_fault dax_iomap_rw
    dax_is_conflict dax_is_empty_entry dax_is_locked dax_is_pmd_entry dax_is_pte_entry dax_is_zero_entry
    dax_layout_busy_page dax_layout_busy_page_range dax_load_hole dax_lock_entry dax_lock_folio
    dax_lock_mapping_entry dax_lock_page dax_make_entry dax_mapping_is_cow dax_mapping_set_cow dax_memzero
    dax_page_is_shared dax_page_share_get dax_page_share_put dax_pmd_load_hole dax_range_compare_iter
    dax_remap_file_range_prep dax_to_pfn dax_truncate_page dax_unlock_entry dax_unlock_folio
    dax_unlock_mapping_entry dax_unlock_page dax_unshare_iter dax_wake_entry dax_writeback_mapping_range
    dax_writeback_one dax_zero_iter dax_zero_range get_unlocked_entry grab_mapping_entry put_unlocked_entry
    wait_entry_unlocked wait_page_idle wait_page_idle_uncond wake_exceptional_entry_func
"""
# fs/dax.c: entries of the mapping, faults, read and write, write-back, zeroing, layouts that are busy.

_PMEM = """
    __copy_user_flushcache __copy_user_nocache __memcpy_flushcache __pmem_direct_access _copy_from_iter_flushcache
    arch_wb_cache_pmem async_pmem_flush clean_cache_range copy_mc_to_user copy_user_nocache dax_copy_from_iter
    dax_copy_to_iter dax_direct_access dax_flush dax_holder_notify_failure dax_recovery_write dax_write_cache
    dax_write_cache_enabled dax_zero_page_range generic_nvdimm_flush linear_dax_direct_access
    linear_dax_recovery_write linear_dax_zero_page_range nvdimm_flush pmem_copy_from_iter pmem_dax_direct_access
    pmem_dax_zero_page_range pmem_do_write pmem_pagemap_memory_failure pmem_recovery_write pmem_submit_bio
    stripe_dax_direct_access stripe_dax_zero_page_range virtio_pmem_flush write_pmem xfs_dax_failure_fn
    xfs_dax_notify_ddev_failure xfs_dax_notify_failure
"""
# the driver, the device below the file system, and the copies and flushes that it makes.

_IOMAP = """
    __iomap_dio_rw iomap_bmap iomap_dio_rw iomap_fiemap iomap_fiemap_iter iomap_file_unshare iomap_fill_dirty_folios
    iomap_iter iomap_iter_advance iomap_iter_advance_full iomap_iter_done iomap_seek_data iomap_seek_data_iter
    iomap_seek_hole iomap_seek_hole_iter iomap_swapfile_activate iomap_to_fiemap iomap_truncate_page
    iomap_unshare_iter iomap_write_begin iomap_write_end iomap_zero_iter iomap_zero_iter_flush_and_stale
    iomap_zero_range
"""
# fs/iomap, as far as DAX comes there: the iterator, zeroing, unsharing, seek, fiemap.

_EXT4 = """
    __ext4_block_zero_page_range __ext4_ext_check __ext4_ext_dirty __read_extent_tree_block check_igot_inode
    convert_initialized_extent ext4_alloc_file_blocks ext4_begin_ordered_truncate ext4_block_truncate_page
    ext4_block_zero_page_range ext4_break_layouts ext4_buffered_write_iter ext4_cache_extents
    ext4_can_extents_be_merged ext4_can_truncate ext4_change_inode_journal_flag ext4_clu_mapped ext4_collapse_range
    ext4_convert_unwritten_extents ext4_convert_unwritten_extents_endio ext4_convert_unwritten_io_end_vec
    ext4_datasem_ensure_credits ext4_dax_dontcache ext4_dax_fault ext4_dax_huge_fault ext4_dax_read_iter
    ext4_dax_write_iter ext4_dax_writepages ext4_determine_insert_hole ext4_dio_read_iter ext4_dio_write_checks
    ext4_dio_write_end_io ext4_dio_write_iter ext4_dirty_inode ext4_do_fallocate ext4_es_cache_extent
    ext4_es_insert_extent ext4_es_lookup_extent ext4_es_remove_extent ext4_evict_inode ext4_ext_binsearch
    ext4_ext_binsearch_idx ext4_ext_calc_credits_for_single_extent ext4_ext_check_inode ext4_ext_check_overlap
    ext4_ext_clear_bb ext4_ext_convert_to_initialized ext4_ext_correct_indexes ext4_ext_create_new_leaf
    ext4_ext_determine_insert_hole ext4_ext_drop_refs ext4_ext_find_goal ext4_ext_find_hole ext4_ext_get_access
    ext4_ext_grow_indepth ext4_ext_handle_unwritten_extents ext4_ext_index_trans_blocks ext4_ext_init
    ext4_ext_insert_extent ext4_ext_insert_index ext4_ext_map_blocks ext4_ext_max_entries ext4_ext_more_to_rm
    ext4_ext_new_meta_block ext4_ext_next_allocated_block ext4_ext_next_leaf_block ext4_ext_path_brelse
    ext4_ext_precache ext4_ext_release ext4_ext_remove_space ext4_ext_rm_idx ext4_ext_rm_leaf ext4_ext_search_left
    ext4_ext_search_right ext4_ext_shift_extents ext4_ext_shift_path_extents ext4_ext_space_block
    ext4_ext_space_block_idx ext4_ext_space_root ext4_ext_space_root_idx ext4_ext_split ext4_ext_tree_init
    ext4_ext_trunc_restart_fn ext4_ext_truncate ext4_ext_try_to_merge ext4_ext_try_to_merge_right
    ext4_ext_try_to_merge_up ext4_ext_zeroout ext4_extending_io ext4_extent_block_csum ext4_extent_block_csum_set
    ext4_extent_block_csum_verify ext4_fallocate ext4_fiemap ext4_fiemap_check_ranges ext4_file_mmap ext4_file_open
    ext4_file_read_iter ext4_file_splice_read ext4_file_write_iter ext4_fill_es_cache_info ext4_find_extent
    ext4_force_split_extent_at ext4_free_ext_path ext4_fsync_journal ext4_fsync_nojournal ext4_generic_write_checks
    ext4_get_es_cache ext4_handle_inode_extension ext4_ind_map_blocks ext4_ind_remove_space ext4_ind_truncate
    ext4_inode_attach_jinode ext4_inode_datasync_dirty ext4_inode_extension_cleanup ext4_inode_journal_mode
    ext4_insert_range ext4_ioctl_setflags ext4_iomap_alloc ext4_iomap_begin ext4_iomap_begin_report ext4_iomap_end
    ext4_iomap_overwrite_begin ext4_iomap_xattr_begin ext4_iomap_xattr_fiemap ext4_issue_zeroout ext4_llseek
    ext4_map_blocks ext4_map_blocks_es_recheck ext4_map_create_blocks ext4_map_query_blocks ext4_move_extents
    ext4_overwrite_io ext4_punch_hole ext4_release_file ext4_remove_blocks ext4_rereserve_cluster
    ext4_sample_last_mounted ext4_set_aops ext4_set_inode_flags ext4_set_iomap ext4_setattr ext4_should_enable_dax
    ext4_should_use_dio ext4_split_convert_extents ext4_split_extent ext4_split_extent_at ext4_swap_extents
    ext4_sync_file ext4_sync_parent ext4_truncate ext4_truncate_folio ext4_truncate_page_cache_block_range
    ext4_unaligned_io ext4_update_disksize_before_punch ext4_valid_extent ext4_valid_extent_entries
    ext4_valid_extent_idx ext4_wait_dax_page ext4_write_checks ext4_write_inode ext4_zero_partial_blocks
    ext4_zero_range ext4_zeroout_es get_default_free_blocks_flags get_implied_cluster_alloc mext_check_coverage
    mext_insert_across_blocks mext_move_begin mext_move_extent move_extent_per_page skip_hole swap_inode_boot_loader
"""
# fs/ext4: file operations, fallocate and extents, block mapping, truncate, DAX.

_XFS = """
    __xfs_filemap_fault imap_needs_alloc imap_needs_cow imap_spans_range xfs_alert_fsblock_zero xfs_alloc_file_space
    xfs_bmap_count_blocks xfs_bmap_count_leaves xfs_bmap_punch_delalloc_range xfs_bmap_rtalloc xfs_bmbt_to_iomap
    xfs_break_dax_layouts xfs_break_layouts xfs_buffered_write_delalloc_punch xfs_buffered_write_iomap_begin
    xfs_buffered_write_iomap_end xfs_can_free_eofblocks xfs_collapse_file_space xfs_dax_fault xfs_dax_fault_locked
    xfs_dax_read_fault xfs_dax_write_iomap_end xfs_dax_writepages xfs_dio_write_end_io xfs_direct_write_iomap_begin
    xfs_eof_alignment xfs_falloc_allocate_range xfs_falloc_collapse_range xfs_falloc_force_zero
    xfs_falloc_insert_range xfs_falloc_newsize xfs_falloc_setsize xfs_falloc_unshare_range xfs_falloc_write_zeroes
    xfs_falloc_zero_range xfs_file_buffered_read xfs_file_buffered_write xfs_file_dax_read xfs_file_dax_write
    xfs_file_dio_read xfs_file_dio_write xfs_file_dio_write_aligned xfs_file_dio_write_unaligned xfs_file_fadvise
    xfs_file_fallocate xfs_file_fsync xfs_file_llseek xfs_file_mmap xfs_file_open xfs_file_read_iter
    xfs_file_release xfs_file_splice_read xfs_file_sync_writes xfs_file_write_checks xfs_file_write_iter
    xfs_file_write_zero_eof xfs_fileattr_set xfs_filemap_fault xfs_filemap_huge_fault xfs_filemap_map_pages
    xfs_filemap_page_mkwrite xfs_filemap_pfn_mkwrite xfs_flush_unmap_range xfs_free_eofblocks xfs_free_file_space
    xfs_fsb_to_db xfs_fsync_flush_log xfs_fsync_seq xfs_getbmap xfs_getbmap_full xfs_getbmap_next_rec
    xfs_getbmap_report_hole xfs_getbmap_report_one xfs_hole_to_iomap xfs_ilock_for_iomap xfs_ilock_for_write_fault
    xfs_ilock_iocb xfs_ilock_iocb_for_write xfs_inactive xfs_inactive_truncate xfs_inode_should_enable_dax
    xfs_inode_supports_dax xfs_insert_file_space xfs_ioctl_setattr xfs_ioctl_setattr_prepare_dax xfs_iomap_end_fsb
    xfs_iomap_eof_align_last_fsb xfs_iomap_freesp xfs_iomap_inode_sequence xfs_iomap_prealloc_size xfs_iomap_valid
    xfs_iomap_write_direct xfs_iomap_write_unwritten xfs_is_falloc_aligned xfs_is_write_fault
    xfs_itruncate_extents_flags xfs_prepare_shift xfs_quota_calc_throttle xfs_quota_need_throttle
    xfs_read_iomap_begin xfs_release xfs_seek_iomap_begin xfs_setattr_size xfs_swap_change_owner
    xfs_swap_extent_flush xfs_swap_extent_forks xfs_swap_extent_rmap xfs_swap_extents xfs_truncate_page
    xfs_unmap_extent xfs_vn_setattr_size xfs_wait_dax_page xfs_write_fault xfs_xattr_iomap_begin xfs_zero_extent
    xfs_zero_range
"""
# fs/xfs: file operations, fallocate, block mapping, truncate, DAX.

_BMAP = """
    __xfs_bmap_add xfs_bmap_add_extent_delay_real xfs_bmap_add_extent_hole_real xfs_bmap_adjacent_valid
    xfs_bmap_alloc_account xfs_bmap_alloc_userdata xfs_bmap_btalloc xfs_bmap_btalloc_accounting
    xfs_bmap_btalloc_at_eof xfs_bmap_btalloc_best_length xfs_bmap_btalloc_low_space xfs_bmap_btalloc_nullfb
    xfs_bmap_btalloc_select_lengths xfs_bmap_can_insert_extents xfs_bmap_collapse_extents
    xfs_bmap_compute_alignments xfs_bmap_del_extent_cow xfs_bmap_del_extent_delay xfs_bmap_exact_minlen_extent_alloc
    xfs_bmap_finish_one xfs_bmap_get_bp xfs_bmap_insert_extents xfs_bmap_is_update_needed xfs_bmap_isaeof
    xfs_bmap_last_extent xfs_bmap_last_offset xfs_bmap_local_to_extents xfs_bmap_local_to_extents_empty
    xfs_bmap_longest_free_extent xfs_bmap_map_extent xfs_bmap_needs_btree xfs_bmap_process_allocated_extent
    xfs_bmap_query_all xfs_bmap_query_range_helper xfs_bmap_select_minlen xfs_bmap_shift_update_extent
    xfs_bmap_split_extent xfs_bmap_unmap_extent xfs_bmap_validate_extent xfs_bmap_validate_extent_raw
    xfs_bmap_validate_ret xfs_bmap_wants_extents xfs_bmapi_allocate xfs_bmapi_convert_delalloc
    xfs_bmapi_convert_one_delalloc xfs_bmapi_convert_unwritten xfs_bmapi_finish xfs_bmapi_minleft xfs_bmapi_read
    xfs_bmapi_remap xfs_bmapi_reserve_delalloc xfs_bmapi_trim_map xfs_bmapi_update_map xfs_bmbt_update xfs_bunmapi
    xfs_bunmapi_range xfs_check_block xfs_get_cowextsz_hint xfs_get_extsz_hint xfs_iread_bmbt_block
    xfs_iread_extents xfs_trim_extent
"""
# fs/xfs/libxfs/xfs_bmap.c: the extents of a file.

_REFLINK = """
    __generic_remap_file_range_prep allow_file_dedupe do_clone_file_range generic_remap_check_len
    generic_remap_checks generic_remap_file_range_prep may_dedupe_file remap_verify_area vfs_clone_file_range
    vfs_dedupe_file_range vfs_dedupe_file_range_compare vfs_dedupe_file_range_one vfs_dedupe_get_folio
    vfs_lock_two_folios vfs_unlock_two_folios xfs_bmap_trim_cow xfs_exchange_mappings xfs_exchange_range
    xfs_exchange_range_checks xfs_exchange_range_finish xfs_exchange_range_flush xfs_exchange_range_prep
    xfs_exchmaps_finish_one xfs_exchmaps_one_step xfs_exchrange_check_freshness xfs_exchrange_check_rtalign
    xfs_exchrange_contents xfs_exchrange_estimate xfs_exchrange_ilock xfs_exchrange_iunlock xfs_exchrange_mappings
    xfs_exchrange_prep xfs_exchrange_reserve_quota xfs_file_remap_range xfs_find_trim_cow_extent xfs_ilock2_io_mmap
    xfs_ioc_commit_range xfs_ioc_exchange_range xfs_ioc_start_commit xfs_iolock_two_inodes_and_break_layout
    xfs_iunlock2_io_mmap xfs_iunlock2_remapping xfs_mmaplock_two_inodes_and_break_dax_layout
    xfs_reflink_ag_has_free_space xfs_reflink_allocate_cow xfs_reflink_cancel_cow_blocks
    xfs_reflink_cancel_cow_range xfs_reflink_clear_inode_flag xfs_reflink_convert_cow xfs_reflink_convert_cow_locked
    xfs_reflink_convert_unwritten xfs_reflink_end_cow xfs_reflink_end_cow_extent xfs_reflink_fill_cow_hole
    xfs_reflink_fill_delalloc xfs_reflink_find_shared xfs_reflink_inode_has_shared_extents xfs_reflink_recover_cow
    xfs_reflink_remap_blocks xfs_reflink_remap_extent xfs_reflink_remap_prep xfs_reflink_set_inode_flag
    xfs_reflink_trim_around_shared xfs_reflink_try_clear_inode_flag xfs_reflink_unshare xfs_reflink_update_dest
    xfs_reflink_zero_posteof
"""
# shared extents: clone, dedupe, exchange, copy on write.

_TRUNCATE = """
    __clear_shadow_entry clear_shadow_entries clear_shadow_entry folio_invalidate folio_launder
    generic_error_remove_folio generic_error_remove_page invalidate_complete_folio2 invalidate_exceptional_entry
    invalidate_exceptional_entry2 invalidate_inode_page invalidate_inode_pages2 invalidate_inode_pages2_range
    invalidate_mapping_pages invalidate_mapping_pagevec mapping_evict_folio mapping_try_invalidate
    pagecache_isize_extended truncate_cleanup_folio truncate_folio_batch_exceptionals truncate_inode_folio
    truncate_inode_pages truncate_inode_pages_final truncate_inode_pages_range truncate_inode_partial_folio
    truncate_pagecache truncate_pagecache_range truncate_setsize try_folio_split_or_unmap
"""
# mm/truncate.c: what takes entries out of a mapping.

_FILEMAP = """
    __filemap_fdatawait_range __filemap_fdatawrite __filemap_fdatawrite_range __filemap_remove_folio
    __filemap_set_wb_err __generic_file_write_iter delete_from_page_cache_batch dio_warn_stale_pagecache
    file_check_and_advance_wb_err file_fdatawait_range file_write_and_wait_range filemap_cachestat
    filemap_check_and_keep_errors filemap_check_errors filemap_fault filemap_fault_recheck_pte_none
    filemap_fdatawait_keep_errors filemap_fdatawait_range filemap_fdatawait_range_keep_errors filemap_fdatawrite
    filemap_fdatawrite_range filemap_fdatawrite_wbc filemap_flush filemap_get_entry filemap_invalidate_inode
    filemap_invalidate_lock_two filemap_invalidate_pages filemap_invalidate_unlock_two filemap_map_folio_range
    filemap_map_order0_folio filemap_map_pages filemap_map_pmd filemap_page_mkwrite filemap_range_has_page
    filemap_range_has_writeback filemap_release_folio filemap_remove_folio filemap_splice_read
    filemap_unaccount_folio filemap_write_and_wait_range find_get_entries find_get_entry find_lock_entries
    generic_file_direct_write generic_file_mmap generic_file_read_iter generic_file_readonly_mmap
    generic_file_write_iter kiocb_invalidate_pages kiocb_invalidate_post_direct_write kiocb_write_and_wait
    mapping_needs_writeback mapping_seek_hole_data page_cache_delete page_cache_delete_batch
"""
# mm/filemap.c, as far as it writes back, looks up and removes.

_MAPPING = """
    __do_fault __do_munmap __folio_add_file_rmap __split_huge_pmd __split_huge_pmd_locked __vm_insert_mixed
    change_huge_pmd change_pmd_range change_protection change_pte_range clean_record_pte collect_procs_file
    collect_procs_fsdax copy_huge_page_from_user copy_huge_pmd copy_page_range copy_pmd_range copy_present_page
    copy_present_pte copy_present_ptes copy_pte_range create_huge_pmd create_huge_pud do_cow_fault do_fault
    do_fault_around do_mlock do_page_mkwrite do_pte_missing do_read_fault do_set_pmd do_set_pte do_shared_fault
    do_vmi_align_munmap do_vmi_munmap do_wp_page fault_dirty_shared_page faultin_page faultin_page_range
    finish_fault finish_mkwrite_fault folio_add_file_rmap_pmd folio_add_file_rmap_ptes folio_mkclean
    follow_devmap_pmd follow_page_pte get_user_pages_fast gup_fast_fallback handle_pte_fault huge_pmd_set_accessed
    insert_page insert_page_in_batch_locked insert_page_into_pte_locked insert_pages insert_pfn insert_pfn_pmd
    insert_pmd insert_pud internal_get_user_pages_fast invalid_mkclean_vma madvise_cold madvise_dontneed_free
    madvise_dontneed_single_vma madvise_inject_error madvise_pageout madvise_populate madvise_remove memory_failure
    memory_failure_dev_pagemap mf_dax_kill_procs mf_generic_kill_procs mlock_fixup mlock_pte_range move_huge_pmd
    move_normal_pmd move_page_tables move_pgt_pmd move_ptes move_vma mprotect_fixup mremap_to page_add_file_rmap
    page_mkclean_one page_remove_file_rmap page_vma_mkclean_one pfn_mkclean_range pin_user_pages pin_user_pages_fast
    populate_vma_page_range process_vm_rw_core remap_file_pages rmap_walk rmap_walk_anon rmap_walk_anon_lock
    rmap_walk_file rmap_walk_locked should_zap_cows should_zap_folio should_zap_page split_huge_pmd_address
    touch_pmd try_to_unmap try_to_unmap_flush try_to_unmap_flush_dirty try_to_unmap_one unmap_mapping_folio
    unmap_mapping_pages unmap_mapping_range unmap_mapping_range_tree unmap_mapping_range_vma unmap_page_range
    unmap_region unmap_single_vma unmap_vmas validate_page_before_insert vm_insert_page vm_insert_pages vm_mixed_ok
    vm_mixed_zeropage_allowed vm_normal_folio vm_normal_folio_pmd vm_normal_page vm_normal_page_pmd
    vma_adjust_trans_huge vmf_insert_folio_pmd vmf_insert_folio_pud vmf_insert_mixed vmf_insert_mixed_mkwrite
    vmf_insert_mixed_prot vmf_insert_page_mkwrite vmf_insert_pfn vmf_insert_pfn_pmd vmf_insert_pfn_pmd_prot
    vmf_insert_pfn_prot vmf_insert_pfn_pud wp_can_reuse_anon_folio wp_clean_pmd_entry wp_clean_post_vma wp_huge_pmd
    wp_huge_pud wp_page_copy wp_page_reuse wp_page_shared wp_pfn_shared zap_drop_file_uffd_wp zap_huge_pmd
    zap_install_uffd_wp_if_needed zap_p4d_range zap_page_range zap_page_range_single zap_pmd_range
    zap_present_folio_ptes zap_present_ptes zap_pte_range zap_pud_range zap_vma_ptes
"""
# page tables: faults, PTE and PMD entries, write protection, unmapping, madvise, memory failure.

_CALLS = """
    __do_sys_msync __mark_inode_dirty __writeback_single_inode __x64_sys_copy_file_range __x64_sys_fadvise64
    __x64_sys_fallocate __x64_sys_fdatasync __x64_sys_fsync __x64_sys_ftruncate __x64_sys_madvise __x64_sys_mlock
    __x64_sys_mlock2 __x64_sys_mprotect __x64_sys_mremap __x64_sys_msync __x64_sys_munmap __x64_sys_sync
    __x64_sys_sync_file_range __x64_sys_syncfs __x64_sys_truncate do_fsync do_ftruncate do_splice_direct
    do_sync_work do_sys_ftruncate do_sys_truncate do_truncate do_vfs_ioctl do_writepages emergency_sync
    file_modified file_remove_privs file_update_time generic_copy_file_range generic_fadvise ioctl_fiemap
    ioctl_file_clone ioctl_fssetxattr ioctl_preallocate ioctl_setflags ksys_fallocate ksys_sync ksys_sync_file_range
    splice_file_range sync_file_range sync_filesystem sync_fs_one_sb sync_inode_metadata sync_inodes_one_sb
    vfs_copy_file_range vfs_fallocate vfs_fileattr_set vfs_fsync vfs_fsync_range vfs_truncate write_inode_now
    writeback_sb_inodes
"""
# system calls and the write-back of inodes.

AREAS: Mapping[str, frozenset[str]] = {
    "dax": frozenset(_DAX.split()),
    "pmem": frozenset(_PMEM.split()),
    "iomap": frozenset(_IOMAP.split()),
    "ext4": frozenset(_EXT4.split()),
    "xfs": frozenset(_XFS.split()),
    "bmap": frozenset(_BMAP.split()),
    "reflink": frozenset(_REFLINK.split()),
    "truncate": frozenset(_TRUNCATE.split()),
    "filemap": frozenset(_FILEMAP.split()),
    "mapping": frozenset(_MAPPING.split()),
    "calls": frozenset(_CALLS.split()),
}
"""The names of the functions of each area; no function is in two."""
FUNCTIONS: frozenset[str] = frozenset().union(*AREAS.values())
"""The names of all of them."""
