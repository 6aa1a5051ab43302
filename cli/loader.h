/* SPDX-License-Identifier: BSD-2-Clause */
/* What loaders do with an object before they load it, where skep stands in for them: loader.c. */
#ifndef SKEP_CLI_LOADER_H
#define SKEP_CLI_LOADER_H

#include "cli/cli.h"

#include <bpf/libbpf.h>

struct bpf_object *loader_open(const char *path, const struct bytes *image); /* named as libbpf names what it opens by a path: names of global data's maps begin so; NULL: errno says why */
/* Loads prog, and what maps of the object name, as libbpf puts it into them: programs in the slots of a program array. No other, which may need what this build lacks. */
void loader_only(struct bpf_object *obj, const struct bytes *image, const struct bpf_program *prog);
void loader_fixed_sizes(struct bpf_object *obj); /* of maps whose kind leaves no choice: others' loaders set them, whatever the object says of keys and values */
bool loader_unpin(struct bpf_object *obj); /* maps that were to be pinned below /sys, where the kernel's alone can be; true: there were some */
void loader_prepare(struct bpf_object *obj); /* sizes of maps that a loader sets at run time are the smallest there are; pins are other loaders' */

struct skep;
union bpf_attr;
/* What a program of a struct of functions implements, put into the attributes of its load. 0: done, or a program of another type; -ENOENT: why */
int loader_fill(struct skep *k, const struct bytes *image, const struct bpf_object *obj, const char *program, union bpf_attr *attr, char *why, size_t why_size);

/* externs.c: kernel functions that the object calls and the engine's kernel has not become weak. How many, and their names as far as there is room */
u32 externs_weaken(struct skep *k, struct bytes *image, char *names, size_t size);

/* structs.c: structs of functions (sched_ext_ops, tcp_congestion_ops, ...) in an object. libbpf would fill in only those that it knows the section of and
 * the kernel the type, and refuse all of the object otherwise: they are hidden from it. */
struct struct_member {
	char type[128], name[128]; /* of the struct, of the member */
};
void structs_hide(struct bytes *image);
bool structs_member(const struct bytes *image, const struct bpf_object *obj, const char *program, struct struct_member *m);

#endif
