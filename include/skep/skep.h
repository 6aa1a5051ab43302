/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libskep: eBPF without the kernel.
 *
 * A struct skep is one engine, a "user-space kernel": its maps, programs, links, BTF and ids. A process may hold
 * many; an engine may be used by many threads at the same time. Nothing is global.
 *
 * Functions return 0 (or a value >= 0) on success and -errno on failure. Option structs begin with their own
 * size: set it with sizeof, leave what you do not need zero; newer libraries accept older, smaller structs, and
 * a larger struct whose unknown tail is zero.
 */
#ifndef SKEP_SKEP_H
#define SKEP_SKEP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SKEP_API __attribute__((visibility("default")))
#else
#define SKEP_API
#endif

struct skep;
union bpf_attr;

/** What a caller may set when it creates an engine. All zero is a good default. */
struct skep_options {
	size_t size; /* sizeof(struct skep_options) */
	/** Allocator: fn(ud, NULL, 0, n) allocates, fn(ud, p, old, n) resizes, fn(ud, p, old, 0) frees. Default: libc. */
	void *(*alloc)(void *ud, void *ptr, size_t old_size, size_t new_size);
	void *alloc_ud;
	/** Receives one line per message of the engine, without a newline. Default: none; the library never prints. */
	void (*log)(void *ud, const char *line);
	void *log_ud;
	/** Clock: nanoseconds of a clockid_t. Default: clock_gettime(2). */
	uint64_t (*clock)(void *ud, int clock_id);
	void *clock_ud;
	/** Bytes of address space to reserve for maps. Default: 64 GiB. */
	size_t window;
	/** Instructions one run may execute; 0: 1,000,000,000. */
	uint64_t max_insns;
	/** Bytes that maps may take in all; 0: no limit. Exceeding it gives -ENOMEM. */
	uint64_t max_map_bytes;
	/** File with the run slots of all engines that share pinned maps; NULL: one per user. */
	const char *domain;
};

/** Creates an engine. -EINVAL: options of an unknown shape; -ENOMEM; -EMFILE. */
SKEP_API int skep_open(struct skep **out, const struct skep_options *opts);
/** Ends an engine. No call may be under way in another thread. Pinned maps stay. */
SKEP_API void skep_close(struct skep *k);

/**
 * bpf(2), as documented in its man page and in linux/bpf.h: same commands, structures, descriptors and errors, but
 * the error is returned as -errno. `size` follows the system call's rule: larger than known is accepted when
 * the tail is zero, otherwise -E2BIG.
 */
SKEP_API int skep_bpf(struct skep *k, int cmd, union bpf_attr *attr, unsigned int size);

/* The rest of the typed API (load, run, own helpers and program types) follows in this file. */

SKEP_API const char *skep_version(void);

#ifdef __cplusplus
}
#endif
#endif
