/* SPDX-License-Identifier: BSD-2-Clause */
/* The very last step of PROG_LOAD: machine code for what the verifier accepted, as far as the engine's options want it. */
#include "engine/engine.h"
#include "jit/jit.h"

static struct jit_options options_of(const struct load *l)
{
	struct skep *k = l->k;
	u32 test = k->options.compile_test;

	return (struct jit_options){
		.host = &k->run_host,
		.window = &k->window,
		.facts = test & SKEP_COMPILE_NO_FACTS ? NULL : &l->p->facts,
		.poll = k->options.max_insns != 0,
		.without = k->options.compile_off,
		.registers = test & SKEP_COMPILE_FEW_REGISTERS ? target_x64.scratch : 0,
		.poison = test & SKEP_COMPILE_POISON,
		.baseline = test & SKEP_COMPILE_BASELINE,
		.check = test & SKEP_COMPILE_CHECK,
		.anonymous = k->options.profile & SKEP_PROFILE_PERF_MAP,
		.lines = k->options.profile & SKEP_PROFILE_JITDUMP,
	};
}

static int compile(struct load *l)
{
	struct skep *k = l->k;
	struct jit_options o = options_of(l);
	const char *why = NULL;
	int err;

	if (k->options.engine == SKEP_ENGINE_INTERP)
		why = "the engine's option";
	else if (k->options.unverified)
		why = "it was not verified";
	else if (l->p->needs)
		why = l->p->needs;
	if (why) {
		err = -ENOTSUP;
	} else {
		err = jit_compile(l->p, &o, NULL, &why);
		if (err && !why)
			why = err == -ENOMEM ? "no memory" : arena_text(&l->p->arena, "there is no place for its code: %s", strerror(-err));
	}
	if (!err) {
		profile_add(k, l->p);
		return 0;
	}
	l->p->interpreted_for = why ? why : "";
	if (k->options.engine == SKEP_ENGINE_JIT)
		return load_refuse(l, -ENOTSUP, "the program cannot be compiled: %s", l->p->interpreted_for);
	return 0;
}

int load_compile(struct load *l)
{
	struct prog *p = l->p;
	int err = compile(l);

	p->tail_entry = p->code ? p->code->entry[0] : vm_continue;
	p->tail_reach = p->reach[REACH_BUFFER] ? UINT32_MAX : p->reach[REACH_CTX];
	return err;
}
