/* SPDX-License-Identifier: BSD-2-Clause */
/* Is a file an object that can be loaded: form.c. */
#ifndef SKEP_CLI_FORM_H
#define SKEP_CLI_FORM_H

#include <stdbool.h>
#include <stddef.h>

enum { FORM_MACHINE_BPF = 247, FORM_WHY = 128 };

bool form_is_bitcode(const void *bytes, size_t n);
const char *form_header_refused(const void *bytes, size_t n); /* why they do not begin as a BPF object does, and what to do; NULL: they do */
/* The same, and whether the types in it can be read: before libbpf (1.1) sees an object, which takes them to be right. */
const char *form_refused(const void *bytes, size_t n, char why[FORM_WHY]);
const char *form_hint(const char *said); /* what to do about something that libbpf has said; NULL: nothing is known */

#endif
