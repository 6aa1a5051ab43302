/* SPDX-License-Identifier: BSD-2-Clause */
/* The very last step of PROG_LOAD: machine code for what the verifier accepted, as far as the engine's options want it. */
#include "engine/engine.h"
#include "jit/jit.h"

int load_compile(struct load *l)
{
	struct skep *k = l->k;
	struct jit_options o = {.host = &k->run_host, .window = &k->window, .facts = &l->p->facts, .poll = k->options.max_insns != 0};
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
		if (err == -ENOMEM)
			why = "no memory";
	}
	if (!err)
		return 0;
	l->p->interpreted_for = why ? why : "";
	if (k->options.engine == SKEP_ENGINE_JIT)
		return load_refuse(l, -ENOTSUP, "the program cannot be compiled: %s", l->p->interpreted_for);
	return 0;
}
