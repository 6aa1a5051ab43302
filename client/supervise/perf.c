/* SPDX-License-Identifier: BSD-2-Clause */
/* perf_event_open(2), and mmap(2) and ioctl(2) on what it gives. */
#include "client/supervise/supervise.h"

#include "hook/hooks.h"

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

/* The caller's struct may be older or newer than ours; 0 stands for the first version's size. */
static int read_event(struct call *c, struct perf_event_attr *a)
{
	u8 tail[4096];
	u32 size;
	int err = remote_get(c->tid, c->args[0] + offsetof(struct perf_event_attr, size), &size, sizeof(size));

	if (err)
		return -EFAULT;
	if (size == 0)
		size = PERF_ATTR_SIZE_VER0;
	if (size < PERF_ATTR_SIZE_VER0 || size > sizeof(tail))
		return -E2BIG;
	if (remote_get(c->tid, c->args[0], tail, size))
		return -EFAULT;
	for (u32 i = sizeof(*a); i < size; i++)
		if (tail[i])
			return -E2BIG;
	memset(a, 0, sizeof(*a));
	memcpy(a, tail, MIN(size, sizeof(*a)));
	a->size = sizeof(*a);
	return 0;
}

static int read_path(struct call *c, struct perf_event_attr *a, char *path, size_t size)
{
	size_t own = a->config1 ? (size_t)snprintf(path, size, "/proc/%d/cwd/", c->tid) : 0;
	int n;

	if (!a->config1)
		return -EFAULT;
	n = remote_text(c->tid, a->config1, path + own, size - own);
	if (n < 0)
		return n;
	a->config1 = (u64)(uintptr_t)(path + (path[own] == '/' ? own : 0));
	return 0;
}

struct answer serve_perf_open(struct call *c)
{
	struct perf_event_attr a;
	struct local_fd group = {.fd = -1};
	int fd = read_event(c, &a), pid = (int)c->args[1];
	char path[PATH_MAX];

	call_slow(c);
	if (!fd && a.type == PMU_UPROBE) /* a file's path is the caller's memory */
		fd = read_path(c, &a, path, sizeof(path));
	if (fd)
		return answer_value(fd);
	client_seen(c->s, c->tid);
	if ((int)c->args[3] >= 0)
		local_fd_open(c, (int)c->args[3], &group);
	fd = skep_perf_event_open(c->s->k, &a, pid ? pid : c->tid, (int)c->args[2], (int)c->args[3] < 0 ? -1 : group.fd, (unsigned long)c->args[4]);
	local_fd_close(&group);
	return answer_fd(fd, c->args[4] & PERF_FLAG_FD_CLOEXEC);
}

/* A perf ring has no size until it is mapped; the mapping itself is an ordinary one of a memfd. */
struct answer serve_mmap(struct call *c)
{
	struct obj *o = remote_object(c->s, c->tid, (int)c->args[4], OBJ_PERF);
	int err;

	if (!o)
		return answer_continue();
	call_slow(c);
	err = c->args[5] ? 0 : skep_perf_mmap(c->s->k, o->fd, (size_t)c->args[1]);
	obj_put(o);
	return err ? answer_value(err) : answer_continue();
}

/* Requests whose argument is a pointer: how many bytes lie there. */
static u64 pointed_to(struct call *c)
{
	struct perf_event_query_bpf q;

	switch ((u32)c->args[1]) {
	case (u32)PERF_EVENT_IOC_ID: return sizeof(u64);
	case (u32)PERF_EVENT_IOC_PERIOD: return sizeof(u64);
	case (u32)PERF_EVENT_IOC_QUERY_BPF:
		return remote_get(c->tid, c->args[2], &q, sizeof(q)) ? 0 : sizeof(q) + MIN(q.ids_len, 1024u) * sizeof(u32);
	default: return 0;
	}
}

static int ioctl_at(struct call *c, int fd, u64 size)
{
	u8 bytes[sizeof(struct perf_event_query_bpf) + 1024 * sizeof(u32)] __attribute__((aligned(8)));
	int ret;

	if (remote_get(c->tid, c->args[2], bytes, size))
		return -EFAULT;
	ret = skep_perf_ioctl(c->s->k, fd, (unsigned long)(u32)c->args[1], (unsigned long)(uintptr_t)bytes);
	return remote_put(c->tid, c->args[2], bytes, size) ? -EFAULT : ret;
}

struct answer serve_ioctl(struct call *c)
{
	struct obj *o = remote_object(c->s, c->tid, (int)c->args[0], OBJ_PERF);
	u64 size = o ? pointed_to(c) : 0;
	struct local_fd program = {.fd = -1};
	int ret;

	if (!o)
		return answer_continue();
	call_slow(c);
	atomic_fetch_add(&c->s->calls, 1);
	if (size) {
		ret = ioctl_at(c, o->fd, size);
	} else if ((u32)c->args[1] == PERF_EVENT_IOC_SET_BPF) {
		local_fd_open(c, (int)c->args[2], &program);
		ret = skep_perf_ioctl(c->s->k, o->fd, PERF_EVENT_IOC_SET_BPF, (unsigned long)program.fd);
		local_fd_close(&program);
	} else {
		ret = skep_perf_ioctl(c->s->k, o->fd, (unsigned long)(u32)c->args[1], (unsigned long)c->args[2]);
	}
	obj_put(o);
	return answer_value(ret);
}
