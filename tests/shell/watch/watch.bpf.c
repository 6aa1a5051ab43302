/* SPDX-License-Identifier: BSD-2-Clause */
/* What the clients of tests/shell/clients load: who opens which file, as records of a ring, and how often, in a map. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct event {
	__u32 tgid;
	char comm[16], path[64];
};

struct enter_openat { /* format of syscalls:sys_enter_openat */
	__u64 common;
	long nr, dir;
	const char *path;
	long flags, mode;
};

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

const volatile char suffix = 0; /* the path's last byte must be this one; 0: any */

SEC("tracepoint/syscalls/sys_enter_openat")
int on_open(struct enter_openat *ctx)
{
	__u32 tgid = (__u32)(bpf_get_current_pid_tgid() >> 32);
	__u64 one = 1, *count = bpf_map_lookup_elem(&counts, &tgid);
	struct event *e;
	long n;

	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&counts, &tgid, &one, BPF_ANY);
	e = bpf_ringbuf_reserve(&events, sizeof(*e), 0);
	if (!e)
		return 0;
	e->tgid = tgid;
	bpf_get_current_comm(e->comm, sizeof(e->comm));
	n = bpf_probe_read_user_str(e->path, sizeof(e->path), ctx->path);
	if (n < 2 || n > (long)sizeof(e->path) || (suffix && e->path[(n - 2) & 63] != suffix))
		bpf_ringbuf_discard(e, 0);
	else
		bpf_ringbuf_submit(e, 0);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
