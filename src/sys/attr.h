/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What each bpf(2) command reads from and writes to its attr: layouts of Linux up to 6.18, one struct per command.
 * sys.c hands commands a copy, padded with zeros to the full size, so that callers with older structs are served.
 */
#ifndef SKEP_SYS_ATTR_H
#define SKEP_SYS_ATTR_H

#include "base/base.h"

typedef u64 attr_ptr __attribute__((aligned(8)));

struct attr_map_create {
	u32 map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node;
	char map_name[16];
	u32 map_ifindex, btf_fd, btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id;
	u64 map_extra __attribute__((aligned(8)));
	s32 value_type_btf_obj_fd, map_token_fd;
	attr_ptr excl_prog_hash;
	u32 excl_prog_hash_size;
};

struct attr_map_elem {
	u32 map_fd;
	attr_ptr key, value; /* next_key for MAP_GET_NEXT_KEY */
	u64 flags __attribute__((aligned(8)));
};

struct attr_map_batch {
	attr_ptr in_batch, out_batch, keys, values;
	u32 count, map_fd;
	u64 elem_flags __attribute__((aligned(8)));
	u64 flags;
};

struct attr_prog_load {
	u32 prog_type, insn_cnt;
	attr_ptr insns, license;
	u32 log_level, log_size;
	attr_ptr log_buf;
	u32 kern_version, prog_flags;
	char prog_name[16];
	u32 prog_ifindex, expected_attach_type, prog_btf_fd, func_info_rec_size;
	attr_ptr func_info;
	u32 func_info_cnt, line_info_rec_size;
	attr_ptr line_info;
	u32 line_info_cnt, attach_btf_id, attach_btf_obj_fd, core_relo_cnt;
	attr_ptr fd_array, core_relos;
	u32 core_relo_rec_size, log_true_size;
	s32 prog_token_fd;
	u32 fd_array_cnt;
	attr_ptr signature;
	u32 signature_size;
	s32 keyring_id;
};

struct attr_obj {
	attr_ptr pathname;
	u32 bpf_fd, file_flags;
	s32 path_fd;
};

struct attr_prog_attach {
	u32 target, attach_bpf_fd, attach_type, attach_flags, replace_bpf_fd, relative;
	u64 expected_revision __attribute__((aligned(8)));
};

struct attr_test_run {
	u32 prog_fd, retval, data_size_in, data_size_out;
	attr_ptr data_in, data_out;
	u32 repeat, duration, ctx_size_in, ctx_size_out;
	attr_ptr ctx_in, ctx_out;
	u32 flags, cpu, batch_size;
};

struct attr_get_id {
	u32 id, next_id, open_flags;
	s32 fd_by_id_token_fd;
};

struct attr_info {
	u32 bpf_fd, info_len;
	attr_ptr info;
};

struct attr_btf_load {
	attr_ptr btf, btf_log_buf;
	u32 btf_size, btf_log_size, btf_log_level, btf_log_true_size, btf_flags;
	s32 btf_token_fd;
};

struct attr_link_create {
	u32 prog_fd, target, attach_type, flags;
	union {
		u32 specific[11];
		struct { /* BPF_TRACE_UPROBE_MULTI */
			u64 path, offsets, counters, cookies;
			u32 n, flags, pid;
		} __attribute__((packed, aligned(4))) multi;
	};
};

struct attr_link_update {
	u32 link_fd, new_prog_fd, flags, old_prog_fd;
};

struct attr_link_detach {
	u32 link_fd;
};

struct attr_bind_map {
	u32 prog_fd, map_fd, flags;
};

struct attr_raw_tracepoint {
	attr_ptr name;
	u32 prog_fd;
	u64 cookie __attribute__((aligned(8)));
};

struct attr_task_fd_query {
	u32 pid, fd, flags, buf_len;
	attr_ptr buf;
	u32 prog_id, fd_type;
	u64 probe_offset __attribute__((aligned(8))), probe_addr;
};

struct attr_prog_query {
	u32 target, attach_type, query_flags, attach_flags;
	attr_ptr prog_ids;
	u32 count;
	attr_ptr prog_attach_flags, link_ids, link_attach_flags;
	u64 revision __attribute__((aligned(8)));
};

struct attr_enable_stats {
	u32 type;
};

struct attr_iter_create {
	u32 link_fd, flags;
};

struct attr_token_create {
	u32 flags, bpffs_fd;
};

struct attr_stream_read {
	attr_ptr stream_buf;
	u32 stream_buf_len, stream_id, prog_fd;
};

_Static_assert(offsetof(struct attr_prog_load, log_true_size) == 140, "Linux's layout");
_Static_assert(offsetof(struct attr_map_create, map_extra) == 64, "Linux's layout");
_Static_assert(offsetof(struct attr_test_run, batch_size) == 72, "Linux's layout");
_Static_assert(offsetof(struct attr_map_batch, flags) == 48, "Linux's layout");
_Static_assert(offsetof(struct attr_prog_query, revision) == 56, "Linux's layout");
_Static_assert(offsetof(struct attr_btf_load, btf_log_true_size) == 28, "Linux's layout");

#endif
