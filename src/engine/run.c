/* SPDX-License-Identifier: BSD-2-Clause */
/* What the engine does for runs: clock, trace pipe, the current task, programs for tail calls; and the account of runs. */
#include "engine/engine.h"

#include <stdio.h>
#include <sys/syscall.h>
#include <sys/prctl.h>
#include <unistd.h>

static u64 host_clock(void *ud, int clock_id)
{
	struct skep *k = ud;

	return k->options.clock ? k->options.clock(k->options.clock_ud, clock_id) : os_clock_ns(clock_id);
}

static const struct run_task *host_task(void *ud, struct run *r)
{
	if (!r->has_task && !task_outside(ud, &r->task)) {
		r->task.pid_tgid = (u64)(u32)getpid() << 32 | (u32)syscall(SYS_gettid);
		r->task.uid_gid = (u64)getgid() << 32 | getuid();
		prctl(PR_GET_NAME, r->task.comm);
	}
	r->has_task = true;
	return &r->task;
}

/* One line as the trace pipe of Linux shows it. */
static void host_trace(void *ud, struct run *r, const char *text, size_t len)
{
	struct skep *k = ud;
	const struct run_task *t = host_task(ud, r);
	u64 now = host_clock(ud, 1 /* CLOCK_MONOTONIC */);
	char head[96];
	int n = snprintf(head, sizeof(head), "%16s-%-7u [%03u] ....1 %5llu.%06llu: bpf_trace_printk: ", t->comm, (u32)t->pid_tgid,
			 r->hold ? r->hold->index : 0, (unsigned long long)(now / 1000000000u),
			 (unsigned long long)(now / 1000 % 1000000));

	trace_write(k, head, (size_t)n);
	trace_write(k, text, len);
	if (!len || text[len - 1] != '\n')
		trace_write(k, "\n", 1);
}

static u64 call_own(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e)
{
	const struct own_helper *own = (const struct own_helper *)r->own;

	return own->fn(own->ud, a, b, c, d, e);
}

/* Own helpers are found by their prototype, which is their first member. */
static helper_fn *host_own_body(void *ud, struct run *r, const struct helper_proto *proto)
{
	(void)ud;
	r->own = proto;
	return call_own;
}

void run_host_open(struct skep *k)
{
	k->run_host = (struct run_host){
		.ud = k, .clock = host_clock, .trace = host_trace, .task = host_task,
		.own_body = host_own_body, .window = &k->window, .cookie_secret = {os_random(), os_random()},
	};
	k->run_host.vdso_clock = k->options.clock ? NULL : os_vdso_clock();
	k->run_host.bodies = helper_bodies(&k->run_host.n_bodies);
}

void run_prepare(struct skep *k, struct run *r, struct prog *p)
{
	memset(r, 0, sizeof(*r));
	r->prog = p;
	r->host = &k->run_host;
	r->watch = k->run_host.watch;
	r->budget = k->options.max_insns ? k->options.max_insns : 1000000000;
}

bool run_context_short(struct skep *k, const struct prog *p, u32 bytes)
{
	if (bytes >= p->reach[REACH_CTX])
		return false;
	log_line(k, "%s: accesses %u bytes of its context, the run brings %u", prog_name(p), p->reach[REACH_CTX], bytes);
	return true;
}

int run_begin(struct skep *k, const struct prog *p, struct hold *h, struct hold **held)
{
	int err;

	*held = NULL;
	if (p->needs) {
		log_line(k, "%s: needs %s, which skep cannot run yet", prog_name(p), p->needs);
		return -EOPNOTSUPP;
	}
	if (!p->needs_slot)
		return 0;
	err = hold_take(k->domain, h);
	if (!err)
		*held = h;
	return err;
}

void run_account(struct skep *k, struct prog *p, u64 runs, u64 ns)
{
	if (!atomic_load_explicit(&k->stats_users, memory_order_relaxed))
		return;
	atomic_fetch_add(&p->run_count, runs);
	atomic_fetch_add(&p->run_ns, ns);
}

/* ---- the trace pipe: a ring of text; what is not read in time is lost from its beginning ---- */

enum { TRACE_BYTES = 1 << 18 };

void trace_write(struct skep *k, const char *text, size_t len)
{
	if (plain_lock_mine(&k->trace.lock))
		return; /* a signal handler, in the middle of another line */
	plain_lock_take(&k->trace.lock);
	if (!k->trace.at)
		k->trace.at = mem_alloc(&k->mem, TRACE_BYTES);
	for (size_t i = 0; k->trace.at && i < len; i++)
		k->trace.at[k->trace.head++ % TRACE_BYTES] = text[i];
	if (k->trace.head - k->trace.tail > TRACE_BYTES)
		k->trace.tail = k->trace.head - TRACE_BYTES;
	plain_lock_drop(&k->trace.lock);
}

size_t skep_trace_read(struct skep *k, char *buf, size_t size)
{
	size_t n = 0;

	plain_lock_take(&k->trace.lock);
	while (n < size && k->trace.tail < k->trace.head)
		buf[n++] = k->trace.at[k->trace.tail++ % TRACE_BYTES];
	plain_lock_drop(&k->trace.lock);
	return n;
}

void trace_close(struct skep *k)
{
	mem_free(&k->mem, k->trace.at, k->trace.at ? TRACE_BYTES : 0);
}
