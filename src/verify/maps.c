/* SPDX-License-Identifier: BSD-2-Clause */
/* Which maps a program may use at all: by its type, by what their values hold, and by whether it sleeps. */
#include "verify/state.h"

static int special_values(struct verifier *v, const struct map *m)
{
	u32 flags = v->prog->kind->flags, kinds = m->record.kinds;

	if (kinds & (BTF_LIST_HEAD | BTF_RB_ROOT) && flags & PT_TRACING)
		return reject(v, REJECT_MAP_OF_PROGRAM, "tracing progs cannot use bpf_{list_head,rb_root} yet");
	if (kinds & (BTF_SPIN_LOCK | BTF_RES_SPIN_LOCK)) {
		if (flags & PT_NO_LOCKS)
			return reject(v, REJECT_MAP_OF_PROGRAM, "socket filter progs cannot use bpf_spin_lock yet");
		if (flags & PT_TRACING)
			return reject(v, REJECT_MAP_OF_PROGRAM, "tracing progs cannot use bpf_spin_lock yet");
	}
	if (kinds & BTF_TIMER && flags & PT_TRACING)
		return reject(v, REJECT_MAP_OF_PROGRAM, "tracing progs cannot use bpf_timer yet");
	if (kinds & BTF_WORKQUEUE && flags & PT_TRACING)
		return reject(v, REJECT_MAP_OF_PROGRAM, "tracing progs cannot use bpf_wq yet");
	return 0;
}

static int arena(struct verifier *v, const struct map *m, const struct map **only)
{
	if (*only && *only != m)
		return reject_err(v, REJECT_MAP_OF_PROGRAM, EBUSY, "Only one arena per program");
	*only = m;
	if (!v->allow_ptr_leaks || !v->priv)
		return reject_err(v, REJECT_MAP_OF_PROGRAM, EPERM, "CAP_BPF and CAP_PERFMON are required to use arena");
	return 0;
}

int maps_allowed(struct verifier *v)
{
	const struct prog *p = v->prog;
	const struct map *only = NULL;

	for (u32 i = 0; i < p->n_maps; i++) {
		const struct map *m = p->maps[i];
		const struct map_rules *rules = map_rules(m->spec.kind);
		int err = special_values(v, m);

		v->insn = 0;
		if (err)
			return err;
		if (rules && !rules->uses && m->ops->traits & KIND_KERNEL_TYPE)
			return reject(v, REJECT_MAP_OF_PROGRAM, "bpf_struct_ops map cannot be used in prog");
		if (p->sleepable && rules && !rules->sleepable)
			return reject(v, REJECT_MAP_OF_PROGRAM, "Sleepable programs can only use array, hash, ringbuf and local storage maps");
		err = m->ops->traits & KIND_ARENA ? arena(v, m, &only) : 0;
		if (err)
			return err;
	}
	return 0;
}
