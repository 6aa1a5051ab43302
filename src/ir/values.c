/* SPDX-License-Identifier: BSD-2-Clause */
/* Helpers whose result is a constant, or lies in the run. */
#include "ir/build.h"

#define RUN_FIELD(f) (s64)offsetof(struct run, f)

/* Of the task whose event this is, once the run knows it; until then the helper finds it out. */
static const struct run_value {
	u32 id;
	bool of_task;
	s64 at;
} values[] = {
	{HELPER_get_attach_cookie, false, RUN_FIELD(cookie)},
	{HELPER_get_func_ip, false, RUN_FIELD(func_ip)},
	{HELPER_get_current_pid_tgid, true, RUN_FIELD(task.pid_tgid)},
	{HELPER_get_current_uid_gid, true, RUN_FIELD(task.uid_gid)},
};

static u32 value_of_task(struct builder *b, const struct run_value *val)
{
	const struct run_host *host = b->f->host;
	const void *fn = val->id < host->n_bodies ? (const void *)(uintptr_t)host->bodies[val->id] : NULL;
	u32 known = build_run_load(b, RUN_FIELD(has_task), 1, 0), there, ask, done, x, y;

	if (!fn)
		return 0;
	there = build_block(b);
	ask = build_block(b);
	done = build_block(b);
	b->f->block[ask].cold = true;
	build_branch(b, OP_JNE, 32, known, ir_const(b->f, 0), there, ask);
	b->at = there;
	x = build_run_load(b, val->at, 8, 0);
	build_jump(b, done);
	b->at = ask;
	y = build_call(b, fn, 0, NULL);
	build_jump(b, done);
	b->at = done;
	return build_phi2(b, done, x, y);
}

u32 build_value(struct builder *b, u32 helper)
{
	if (helper == HELPER_get_numa_node_id)
		return ir_const(b->f, 0);
	for (u32 i = 0; i < ARRAY_SIZE(values); i++)
		if (values[i].id == helper)
			return values[i].of_task ? value_of_task(b, &values[i]) : build_run_load(b, values[i].at, 8, 0);
	return 0;
}
