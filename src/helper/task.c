/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The task whose event runs the program: its identity, its place among cgroups and namespaces, its stack, signals to it. Memory of its own is basic.c's probes.
 * Outside of any event it is the thread that runs the program.
 */
#include "helper/body.h"
#include "map/frames.h"

enum { MOST_CGROUPS = 32, MOST_SIGNAL = 64 };

static const struct run_task *who(struct run *r)
{
	return r->host->task(r->host->ud, r);
}

/* ---- identity ---- */

u64 helper_get_current_task(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)a, (void)b, (void)c, (void)d, (void)e;
	return r->host->task_object ? r->host->task_object(r->host->ud, r) : 0;
}

u64 helper_get_current_task_btf(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	return helper_get_current_task(r, a, b, c, d, e);
}

/* Root first, its own last. */
static u32 cgroups(struct run *r, u64 ids[MOST_CGROUPS])
{
	u32 n = r->host->cgroups ? r->host->cgroups(r->host->ud, r, ids, MOST_CGROUPS) : 0;
	const struct run_task *t;

	if (n)
		return n;
	t = who(r);
	n = MIN(t->n_ancestors, (u32)MOST_CGROUPS);
	if (n)
		memcpy(ids, t->ancestors, n * sizeof(*ids));
	if (!n && t->cgroup)
		ids[n++] = t->cgroup;
	return n;
}

u64 helper_get_current_cgroup_id(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	u64 ids[MOST_CGROUPS];
	u32 n = cgroups(r, ids);

	(void)a, (void)b, (void)c, (void)d, (void)e;
	return n ? ids[n - 1] : 0;
}

u64 helper_get_current_ancestor_cgroup_id(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	u64 ids[MOST_CGROUPS];

	(void)b, (void)c, (void)d, (void)e;
	return (u32)a < cgroups(r, ids) ? ids[(u32)a] : 0;
}

u64 helper_current_task_under_cgroup(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct map *m = PTR(a);
	u64 id, ids[MOST_CGROUPS];

	(void)c, (void)d, (void)e;
	if ((u32)b >= m->spec.max_entries)
		return RESULT(-E2BIG);
	id = m->ops->cgroup_at(m, (u32)b);
	if (!id)
		return RESULT(-EAGAIN);
	for (u32 i = 0, n = cgroups(r, ids); i < n; i++)
		if (ids[i] == id)
			return 1;
	return 0;
}

u64 helper_get_ns_current_pid_tgid(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct run_task *t = who(r);
	struct bpf_pidns_info *to = PTR(c);

	(void)e;
	if (d != sizeof(*to) || !t->ns_ino || t->ns_dev != a || t->ns_ino != b) {
		memset(to, 0, d);
		return RESULT(-EINVAL);
	}
	to->pid = (u32)t->ns_pid_tgid;
	to->tgid = (u32)(t->ns_pid_tgid >> 32);
	return 0;
}

u64 helper_get_attach_cookie(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)a, (void)b, (void)c, (void)d, (void)e;
	return r->cookie;
}

u64 helper_get_func_ip(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)a, (void)b, (void)c, (void)d, (void)e;
	return r->func_ip;
}

/* ---- what is done to it ---- */

u64 helper_probe_write_user(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	s64 n;

	(void)d, (void)e;
	if (!r->current || !r->host->user_write)
		return RESULT(-EPERM);
	n = r->host->user_write(r->host->ud, r, a, PTR(b), c);
	return n == (s64)c ? 0 : n == -EPERM ? RESULT(-EPERM) : RESULT(-EFAULT);
}

static u64 send(struct run *r, u64 sig, bool thread)
{
	if ((u32)sig > MOST_SIGNAL)
		return RESULT(-EINVAL);
	if (!r->current && !(u32)sig) /* none: whether one could be sent */
		return 0;
	if (!r->current || !r->host->send_signal)
		return RESULT(-EPERM);
	return RESULT(r->host->send_signal(r->host->ud, r, (int)sig, thread));
}

u64 helper_send_signal(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)b, (void)c, (void)d, (void)e;
	return send(r, a, false);
}

u64 helper_send_signal_thread(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	(void)b, (void)c, (void)d, (void)e;
	return send(r, a, true);
}

/* ---- stacks: the instruction pointer, then return addresses along the chain of frame pointers ---- */

static bool user_pair(void *ud, u64 from, u64 to[2])
{
	struct run *r = ud;

	return r->host->user_read(r->host->ud, r, from, to, 2 * sizeof(*to)) == 2 * sizeof(*to);
}

static s64 user_frames(struct run *r, u64 *out, u32 most)
{
	struct run_regs regs;

	if (!r->current || !r->host->user_regs || r->host->user_regs(r->host->ud, r, &regs))
		return -EFAULT;
	return frames_walk(regs.ip, regs.bp, out, most, user_pair, r);
}

u64 helper_get_stackid(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	struct map *m = PTR(b);
	u32 skip = c & BPF_F_SKIP_FIELD_MASK;
	u64 frames[FRAMES_MOST];
	s64 n = frames_id_refused(c);

	(void)a, (void)d, (void)e;
	if (n)
		return RESULT(n);
	n = user_frames(r, frames, FRAMES_MOST);
	if (n < 0 || n <= (s64)skip)
		return RESULT(-EFAULT);
	return RESULT(m->ops->stack_id(m, r->hold, frames + skip, (u32)n - skip, c));
}

/* Of the current task only: another one's registers are not at hand while it runs. */
u64 helper_get_task_stack(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	if (!(d & BPF_F_USER_STACK) || a == helper_get_current_task(r, 0, 0, 0, 0, 0))
		return helper_get_stack(r, a, b, c, d, e);
	memset(PTR(b), 0, c);
	return RESULT(-EOPNOTSUPP);
}

u64 helper_get_stack(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	u32 skip = d & BPF_F_SKIP_FIELD_MASK, room;
	s64 each = frames_copy_each(d, c), n;
	u64 frames[FRAMES_MOST];

	(void)a, (void)e;
	memset(PTR(b), 0, c);
	if (each < 0)
		return RESULT(each);
	room = (u32)(c / (u64)each);
	n = user_frames(r, frames, MIN(room + skip, (u32)FRAMES_MOST));
	return RESULT(n < 0 ? n : frames_copy(PTR(b), room, (u32)each, frames, (u32)n, skip));
}

/* No processor records branches for an engine. The room is cleared, so that nothing old is read there. */
BODY(helper_get_branch_snapshot)
{
	(void)r, UNUSED_FROM_C;
	memset(PTR(a), 0, b);
	return RESULT(-ENOENT);
}
