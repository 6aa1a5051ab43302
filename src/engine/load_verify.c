/* SPDX-License-Identifier: BSD-2-Clause */
/* The last step of PROG_LOAD: the verifier's verdict. */
#include "engine/engine.h"
#include "verify/verify.h"

#include <linux/bpf.h>
#include <stdio.h>

static void fill(struct load *l, struct skep_verdict *to, const struct verify_result *r, u64 started)
{
	*to = (struct skep_verdict){.error = r->verdict, .insn = UINT32_MAX, .reg = -1, .lost_at = UINT32_MAX};
	if (r->verdict) {
		snprintf(to->code, sizeof(to->code), "%s", reject_name(r->why.code));
		snprintf(to->message, sizeof(to->message), "%s", r->why.text);
		to->insn = r->why.insn;
		to->line = source_line(l->p, to->insn, to->file, sizeof(to->file));
		to->reg = r->why.reg;
		to->measured = r->why.measured;
		to->needed = r->why.needed;
		to->proved = r->why.proved;
		to->lost_at = r->why.lost_at;
		to->lost_at_entry = r->why.lost_at_entry;
		snprintf(to->needs, sizeof(to->needs), "%s", r->why.needs);
		snprintf(to->holds, sizeof(to->holds), "%s", r->why.holds);
		to->lost_line = source_line(l->p, to->lost_at, NULL, 0);
		to->n_path = r->why.n_path;
		for (u32 i = 0; i < to->n_path; i++) {
			to->path[i].from = r->why.path[i].from;
			to->path[i].to = r->why.path[i].to;
		}
	}
	to->processed = r->stats.insns_processed;
	to->given_up = r->stats.insns_given_up;
	to->states = r->stats.total_states;
	to->peak_bytes = r->stats.memory_peak;
	to->time_us = (os_clock_ns(1 /* CLOCK_MONOTONIC */) - started) / 1000;
}

_Static_assert(ARRAY_SIZE(((struct skep_verdict *)0)->path) == REJECT_PATH, "all of the path that the verifier notes");
_Static_assert((int)SKEP_VERIFY_NO_PRUNE == (int)VERIFY_NO_PRUNE && (int)SKEP_VERIFY_NO_REG_LIVENESS == (int)VERIFY_NO_REG_LIVENESS &&
		       (int)SKEP_VERIFY_NO_STACK_LIVENESS == (int)VERIFY_NO_STACK_LIVENESS && (int)SKEP_VERIFY_NO_JOIN == (int)VERIFY_NO_JOIN &&
		       (int)SKEP_VERIFY_ALL_PRECISE == (int)VERIFY_ALL_PRECISE,
	       "the public names of the verifier's switches");

static void take_options(struct load *l, struct verify_options *o)
{
	bool privileged = !atomic_load(&l->k->unprivileged);
	u32 flags = l->p->flags;

	*o = (struct verify_options){
		.mode = VERIFY_SAFE,
		.log_level = l->log.level,
		.cap_bpf = privileged,
		.cap_perfmon = privileged,
		.cap_net_admin = privileged,
		.strict_alignment = flags & BPF_F_STRICT_ALIGNMENT,
		.any_alignment = flags & BPF_F_ANY_ALIGNMENT,
		.test_state_freq = flags & BPF_F_TEST_STATE_FREQ,
		.test_rnd_hi32 = flags & BPF_F_TEST_RND_HI32,
		.reg_invariants = flags & UAPI_F_TEST_REG_INVARIANTS,
		.kernel = kernel_btf_source(l->k),
		.store = &l->k->verify_memory,
		.switches = l->k->options.verify_off,
		.max_bytes = l->k->options.max_verify_bytes,
	};
}

/* All that must hold for the interpreter, which checks the rest as it goes. */
static int frame_pointer_kept(struct load *l)
{
	for (u32 i = 0; i < l->p->n; i++)
		if (insn_destination(&l->p->insns[i]) == 10)
			return load_refuse(l, -EACCES, "%u: frame pointer is read only", i);
	return 0;
}

/* What is verified need not be runnable. */
static int note_lacking(struct load *l, const struct verify_result *result)
{
	if (result->reads_maps && !l->p->needs)
		l->p->needs = "maps that are structs of the kernel";
	if (!result->lacks_kind || l->p->needs)
		return 0;
	l->p->needs = arena_text(&l->p->arena, "maps of kind %s", result->lacks_kind);
	return l->p->needs ? 0 : -ENOMEM;
}

static bool same_verdict(const struct verify_result *a, const struct verify_result *b)
{
	return a->verdict == b->verdict && a->why.code == b->why.code && a->why.insn == b->why.insn && !strcmp(a->why.text, b->why.text);
}

/*
 * What tools match on is Linux's log. Where its walk comes to the same verdict for the same reason, its lines stand for those of the walk that decided, which
 * has fewer ids and states. It is given up where it takes far longer, as where turns were joined; how many turns loops have, which only that one knows, is said at their end.
 */
enum { LOG_INSNS_FREE = 32768, LOG_INSNS_MORE = 4 }; /* for the log alone: that many, and so many times what the walk took that decided */

static void log_as_linux(struct load *l, struct verify_options *o, const struct verify_result *decided, struct text *log)
{
	struct text own = l->log.text;
	struct verify_result result;

	if (!(o->log_level & 2 || (o->log_level & 1 && decided->verdict)) || decided->verdict == -ENOMEM)
		return;
	o->mode = VERIFY_LINUX;
	o->max_insns = MIN(LOG_INSNS_FREE + LOG_INSNS_MORE * (decided->stats.insns_processed + decided->stats.insns_given_up), verify_insns_most(VERIFY_LINUX));
	o->decided = &decided->stats;
	verify_program(l->p, o, log, &result);
	if (log->err || !same_verdict(&result, decided))
		return;
	l->log.text = *log;
	*log = own;
}

/* The verdict that PROG_LOAD goes by. */
static int decide(struct load *l, struct verify_options *o, struct verify_result *result)
{
	struct text again; /* the log until here, for another walk */
	int err;

	text_open(&again, l->log.text.mem);
	again.room = l->log.text.room;
	if (o->log_level & 3)
		text_add(&again, text_str(&l->log.text));
	err = verify_program(l->p, o, &l->log.text, result);
	log_as_linux(l, o, result, &again);
	text_close(&again);
	return err;
}

int load_verify(struct load *l)
{
	struct verify_options o;
	struct verify_result result;
	int err;

	if (l->k->options.unverified)
		return frame_pointer_kept(l);
	take_options(l, &o);
	if (l->check) { /* the kernel's verdict first: it is what the log shows then */
		u64 started = os_clock_ns(1 /* CLOCK_MONOTONIC */);
		struct text silent;

		o.mode = VERIFY_LINUX;
		err = verify_program(l->p, &o, &l->log.text, &result);
		fill(l, &l->check->as_linux, &result, started);
		o.mode = VERIFY_SAFE;
		o.log_level = 0;
		text_open(&silent, &l->k->mem);
		started = os_clock_ns(1 /* CLOCK_MONOTONIC */);
		err = verify_program(l->p, &o, &silent, &result);
		text_close(&silent);
		fill(l, &l->check->safe, &result, started);
		l->check->insns = l->p->n;
		l->check->decided = 1;
		l->refused_insn = result.why.insn;
		return err ? err : note_lacking(l, &result);
	}
	err = decide(l, &o, &result);
	if (err) {
		l->refused_insn = result.why.insn;
		return err;
	}
	memcpy(l->p->reach, result.reach, sizeof(l->p->reach));
	l->p->verified_insns = (u32)result.stats.insns_processed;
	return note_lacking(l, &result);
}

void load_not_verified(struct load *l)
{
	struct verify_options o;

	if (l->k->options.unverified || !l->log.begun)
		return;
	take_options(l, &o);
	if (l->check)
		o.mode = VERIFY_LINUX;
	verify_not_begun(l->p, &o, os_clock_ns(1 /* CLOCK_MONOTONIC */) - l->started_ns, &l->log.text);
}
