/* SPDX-License-Identifier: BSD-2-Clause */
/* The order of the passes. */
#include "opt/passes.h"

const char *opt_name(enum opt_pass p)
{
	static const char *const names[] = {
#define PASS(name, doc) [OPT_##name] = #name,
#include "opt/passes.def"
	};

	return p < OPT_COUNT ? names[p] : NULL;
}

static int look(struct ir *f, const char *after, bool check, struct text *dump, const char **why)
{
	if (f->failed)
		return -ENOMEM;
	if (f->unsupported) {
		*why = f->unsupported;
		return -ENOTSUP;
	}
	if (dump) {
		text_addf(dump, "-- %s: after %s\n", f->prog->subprogs[f->subprog].name, after);
		ir_dump(f, dump);
	}
	if (check && (*why = ir_check(f)))
		return -EINVAL;
	arena_reset(f->scratch);
	return 0;
}

static int one(struct ir *f, u32 without, bool check, struct text *dump, const char **why)
{
	static const struct {
		enum opt_pass pass;
		void (*run)(struct ir *f);
	} passes[] = {
		{OPT_COUNT, opt_kinds},
		{OPT_promote, opt_promote},
		{OPT_simplify, opt_simplify},
		{OPT_COUNT, opt_context},
		{OPT_gvn, opt_gvn},
		{OPT_straighten, opt_straighten},
		{OPT_thread, opt_thread},
		{OPT_straighten, opt_straighten},
		{OPT_simplify, opt_simplify},
		{OPT_switch, opt_switch},
		{OPT_merge, opt_merge},
		{OPT_copy, opt_copy},
		{OPT_convert, opt_convert},
		{OPT_straighten, opt_straighten},
		{OPT_simplify, opt_simplify},
		{OPT_gvn, opt_gvn},
		{OPT_polls, opt_polls},
		{OPT_unroll, opt_unroll},
		{OPT_straighten, opt_straighten},
		{OPT_balance, opt_balance},
		{OPT_licm, opt_licm},
		{OPT_gather, opt_gather},
	};
	int err = 0;

	for (u32 i = 0; i < ARRAY_SIZE(passes) && !err; i++) {
		if (passes[i].pass != OPT_COUNT && without >> passes[i].pass & 1)
			continue;
		passes[i].run(f);
		err = look(f, passes[i].pass == OPT_COUNT ? "kinds" : opt_name(passes[i].pass), check, dump, why);
	}
	if (!err)
		opt_frame(f);
	arena_reset(f->scratch);
	return err;
}

int opt_program(struct ir *f, u32 n, u32 without, bool check, struct text *dump, const char **why)
{
	bool probes = false;
	int err = 0;

	for (u32 i = 0; i < n && !err; i++)
		err = look(&f[i], "build", check, dump, why);
	for (u32 i = 0; i < n; i++)
		probes |= f[i].probes;
	for (u32 i = 0; i < n; i++)
		f[i].probes = probes;
	if (!err && !opt_kinds_of_program(f, n))
		err = -ENOMEM;
	/* functions that call no others first: what became of them may be copied into the others */
	for (u32 i = 0; i < n && !err; i++)
		if (opt_calls_none(&f[i]))
			err = one(&f[i], without, check, dump, why);
	for (u32 i = 0; i < n && !err; i++) {
		if (opt_calls_none(&f[i]))
			continue;
		if (!(without >> OPT_inline & 1)) {
			opt_inline(&f[i], f);
			err = look(&f[i], opt_name(OPT_inline), check, dump, why);
		}
		if (!err)
			err = one(&f[i], without, check, dump, why);
	}
	return err;
}
