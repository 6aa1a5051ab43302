/* SPDX-License-Identifier: BSD-2-Clause */
/* An engine: made, limited, ended. */
#include "engine/engine.h"

const char *skep_version(void)
{
	return SKEP_VERSION;
}

int options_copy(void *to, size_t known, const void *from)
{
	size_t size;

	memset(to, 0, known);
	if (!from)
		return 0;
	memcpy(&size, from, sizeof(size));
	if (size < sizeof(size))
		return -EINVAL;
	for (size_t i = known; i < size; i++)
		if (((const u8 *)from)[i])
			return -EINVAL; /* asks for what this library does not know */
	memcpy(to, from, MIN(size, known));
	return 0;
}

int skep_open(struct skep **out, const struct skep_options *opts)
{
	enum { DEFAULT_WINDOW_SHIFT = 36, VERIFY_OFF_KNOWN = 2 * SKEP_VERIFY_ALL_PRECISE - 1 };
	struct skep_options o;
	struct skep *k;
	struct mem mem;
	int err = options_copy(&o, sizeof(o), opts);

	if (err || !out || o.engine > SKEP_ENGINE_JIT || o.verify_off & ~(u32)VERIFY_OFF_KNOWN)
		return -EINVAL;
	mem = o.alloc ? (struct mem){o.alloc, o.alloc_ud} : mem_libc;
	k = mem_alloc(&mem, sizeof(*k));
	if (!k)
		return -ENOMEM;
	k->mem = mem;
	k->options = o;
	k->inotify = k->jitdump_fd = -1;
	k->map_host = map_host_ops;
	k->map_host.ud = k;
	run_host_open(k);
	err = window_open(&k->window, o.window ? o.window : (size_t)1 << DEFAULT_WINDOW_SHIFT);
	if (!err) {
		k->domain = domain_open(&k->mem, &k->window);
		err = k->domain ? objects_open(k) : -ENOMEM;
	}
	err = err ? err : kernel_btf_open(k);
	err = err ? err : kernel_memory_open(&k->kernel, &k->window);
	if (!err) {
		heap_open(&k->heap, k->domain, kernel_memory_heap(&k->kernel));
		k->run_host.heap = &k->heap;
	}
	k->run_host.kernel_base = (u64)(uintptr_t)k->kernel.region.base;
	k->run_host.kernel_size = k->kernel.region.size;
	err = err ? err : hooks_open(k);
	err = err ? err : profile_open(k);
	if (err) {
		skep_close(k);
		return err;
	}
	*out = k;
	return 0;
}

void skep_close(struct skep *k)
{
	struct mem mem;

	if (!k)
		return;
	objects_close(k);
	arena_store_close(&k->verify_memory, &k->mem);
	kernel_btf_close(k);
	hooks_close(k);
	kernel_memory_close(&k->kernel);
	for (u32 i = 0; i < k->own_types.n; i++) {
		mem_free(&k->mem, k->own_types.at[i]->fields, (k->own_types.at[i]->fields ? k->own_types.at[i]->ctx.n_fields : 0) * sizeof(struct ctx_field));
		mem_free(&k->mem, k->own_types.at[i], sizeof(struct own_type));
	}
	for (u32 i = 0; i < k->own_helpers.n; i++)
		mem_free(&k->mem, k->own_helpers.at[i], sizeof(struct own_helper));
	vec_free(&k->mem, &k->own_types);
	vec_free(&k->mem, &k->own_helpers);
	trace_close(k);
	profile_close(k);
	domain_close(k->domain);
	window_close(&k->window);
	mem = k->mem;
	mem_free(&mem, k, sizeof(*k));
}
