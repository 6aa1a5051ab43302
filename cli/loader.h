/* SPDX-License-Identifier: BSD-2-Clause */
/* What loaders do with an object before they load it, where skep stands in for them: loader.c. */
#ifndef SKEP_CLI_LOADER_H
#define SKEP_CLI_LOADER_H

#include "cli/cli.h"

#include <bpf/libbpf.h>

struct bpf_object *loader_open(const char *path, const struct bytes *image); /* named as libbpf names what it opens by a path: names of global data's maps begin so; NULL: errno says why */
/* Loads prog, and what maps of the object name, as libbpf puts it into them: programs in the slots of a program array. No other, which may need what this build lacks. */
void loader_only(struct bpf_object *obj, const struct bytes *image, const struct bpf_program *prog);
void loader_prepare(struct bpf_object *obj); /* sizes of maps that a loader sets at run time are the smallest there are; pins are other loaders' */

#endif
