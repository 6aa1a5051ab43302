/* SPDX-License-Identifier: BSD-2-Clause */
/* bpf(2)'s front: which command, how large an attr, what must be zero. Everything here is derived from cmd.def. */
#include "sys/sys.h"

#define END_OF(attr, field) (offsetof(struct attr_##attr, field) + sizeof(((struct attr_##attr *)0)->field))

enum { ATTR_MAX = sizeof(struct attr_prog_load), CMD_COUNT = 38 }; /* Linux's union is as large as its largest member */

static const struct cmd_info infos[] = {
#define CMD(id, name, attr, last, handler, since, fds, ptrs) {id, #name, since, handler, END_OF(attr, last)},
#include "sys/cmd.def"
};
_Static_assert(ARRAY_SIZE(infos) == CMD_COUNT, "a row per command, in the order of their ids");

const struct cmd_info *cmd_infos(u32 *n)
{
	*n = ARRAY_SIZE(infos);
	return infos;
}

/* The fields of a command's attr that another process's memory and descriptors hide in. */
#define FDS(...)       __VA_ARGS__
#define PTRS(...)      __VA_ARGS__
#define FD(field)      {offsetof(A, field)},
#define RESULT         {CMD_FD_RESULT},
#define IN(field, len) {offsetof(A, field), false, #len},
#define OUT(field, len) {offsetof(A, field), true, #len},

const struct cmd_ptr *cmd_pointers(u32 cmd)
{
	switch (cmd) {
#define CMD(id, name, attr, last, handler, since, fds, ptrs)                                                     \
	case id: {                                                                                               \
		typedef struct attr_##attr A __attribute__((unused));                                            \
		static const struct cmd_ptr list[] = {ptrs{0, false, NULL}};                                     \
		return list;                                                                                     \
	}
#include "sys/cmd.def"
	default: return NULL;
	}
}

const struct cmd_fd *cmd_descriptors(u32 cmd)
{
	switch (cmd) {
#define CMD(id, name, attr, last, handler, since, fds, ptrs)                                                     \
	case id: {                                                                                               \
		typedef struct attr_##attr A __attribute__((unused));                                            \
		static const struct cmd_fd list[] = {fds{UINT32_MAX}};                                           \
		return list;                                                                                     \
	}
#include "sys/cmd.def"
	default: return NULL;
	}
}

static bool all_zero(const u8 *p, u32 n)
{
	for (u32 i = 0; i < n; i++)
		if (p[i])
			return false;
	return true;
}

int sys_bpf(struct skep *k, int cmd, union bpf_attr *attr, unsigned int size, struct skep_check *check, struct test_told *told)
{
	u64 copy[ATTR_MAX / 8] = {0};
	struct sys_call call = {.k = k, .attr = copy, .size = MIN(size, (unsigned)ATTR_MAX), .check = check, .told = told};
	int ret;

	if (size > 4096)
		return -E2BIG;
	if (size && !attr)
		return -EFAULT;
	/* A newer caller's attr is accepted as long as it does not use what is not known here. */
	if (size > ATTR_MAX && !all_zero((const u8 *)attr + ATTR_MAX, size - ATTR_MAX))
		return -E2BIG;
	if (cmd < 0 || cmd >= CMD_COUNT)
		return -EINVAL;
	call.name = infos[cmd].name;
	memcpy(copy, attr, call.size);
	if (!all_zero((u8 *)copy + infos[cmd].last, ATTR_MAX - infos[cmd].last))
		return -EINVAL;
	if (plain_lock_mine(&k->lock))
		return -EBUSY; /* a signal handler, in the middle of another call */
	objects_drain(k);
	if (k->n_shared && k->n_shared >= k->next_sweep)
		objects_sweep(k);
	ret = infos[cmd].handler(&call);
	if (ret == -ENOMEM) /* what ended makes room for the next try */
		objects_sweep(k);
	/* Results lie in the attr itself; nothing beyond what the caller passed is touched. */
	if (memcmp(copy, attr, call.size))
		memcpy(attr, copy, call.size);
	objects_reap(k);
	return ret;
}

int skep_bpf(struct skep *k, int cmd, union bpf_attr *attr, unsigned int size)
{
	return sys_bpf(k, cmd, attr, size, NULL, NULL);
}

/* ---- commands that have nothing behind them here ---- */

int sys_unsupported(struct sys_call *c)
{
	log_line(c->k, "%s: not supported by skep %s", c->name, skep_version());
	return -EINVAL;
}
