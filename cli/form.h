/* SPDX-License-Identifier: BSD-2-Clause */
/* Is a file an object that can be loaded: form.c. */
#ifndef SKEP_CLI_FORM_H
#define SKEP_CLI_FORM_H

#include <stdbool.h>
#include <stddef.h>

enum { FORM_MACHINE_BPF = 247 };

bool form_is_bitcode(const void *bytes, size_t n);
const char *form_refused(const void *bytes, size_t n); /* why the bytes are no BPF object, and what to do; NULL: they look like one */
const char *form_hint(const char *said); /* what to do about something that libbpf has said; NULL: nothing is known */

#endif
