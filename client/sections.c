/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Section names that came after the libbpf that is linked. libbpf asks registered handlers before its own table, so a libbpf that
 * knows these names itself does no harm.
 */
#include "client/skep-bpf.h"

#include "abi/abi.h"

#include <bpf/libbpf.h>

static int set_flags(struct bpf_program *prog, long flags)
{
	return bpf_program__set_flags(prog, bpf_program__flags(prog) | (__u32)flags);
}

int skep_bpf_sections(void)
{
	u32 n;
	const struct section *s = sections(&n);

	for (u32 i = 0; i < n; i++) {
		LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .cookie = (long)s[i].flags, .prog_setup_fn = set_flags);
		int id = 0;

		if (s[i].newer) /* the others libbpf also attaches, which it does not do for a handler's */
			id = libbpf_register_prog_handler(s[i].name, (enum bpf_prog_type)s[i].prog_type,
							  (enum bpf_attach_type)s[i].attach_type, &opts);
		if (id < 0)
			return id;
	}
	return 0;
}
