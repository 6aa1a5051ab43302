/* SPDX-License-Identifier: BSD-2-Clause */
/* The kernel's types: the file that skep_options.kernel_btf names, or the engine's own, become a BTF object "vmlinux" when they are first needed, and stay one. */
#include "sys/sys.h"

#include <stdio.h>

static struct obj *open_types(struct skep *k)
{
	struct btf_obj *b = mem_alloc(&k->mem, sizeof(*b));
	struct obj *o = NULL;
	int err;

	if (!b)
		return NULL;
	err = k->options.kernel_btf ? btf_open_file(&b->btf, &k->mem, k->options.kernel_btf, NULL) :
				      btf_open_bytes(&b->btf, &k->mem, kernel_btf_bytes, kernel_btf_size);
	if (err)
		log_line(k, "kernel types: %s: %s", k->options.kernel_btf ? k->options.kernel_btf : "the engine's own", strerror(-err));
	if (!err) {
		snprintf(b->name, sizeof(b->name), "vmlinux");
		o = obj_new(k, OBJ_BTF, b);
		if (!o)
			btf_free(&b->btf);
	}
	if (!o)
		mem_free(&k->mem, b, sizeof(*b));
	return o;
}

static struct obj *kernel_object(struct skep *k)
{
	struct obj *o = atomic_load(&k->kernel_btf);

	if (o)
		return o;
	plain_lock_take(&k->kernel_btf_lock);
	o = atomic_load(&k->kernel_btf);
	if (!o && !k->kernel_btf_tried) {
		o = open_types(k);
		k->kernel_btf_tried = true;
		atomic_store(&k->kernel_btf, o);
	}
	plain_lock_drop(&k->kernel_btf_lock);
	return o;
}

const struct btf *kernel_btf(struct skep *k)
{
	const struct obj *o = kernel_object(k);

	return o ? o->body : NULL;
}

u32 kernel_btf_id(struct skep *k)
{
	const struct obj *o = kernel_object(k);

	return o ? o->id : 0;
}

static const struct btf *get(void *ud)
{
	return kernel_btf(ud);
}

struct btf_kernel kernel_btf_source(struct skep *k)
{
	return (struct btf_kernel){get, k};
}
