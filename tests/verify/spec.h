/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * spec: what a selftest program says about itself in BTF declaration tags ("comment:test_...") on its function: verdict, messages,
 * flags, value returned, with and without privileges. Strings point into the object's BTF.
 */
#ifndef TESTS_VERIFY_SPEC_H
#define TESTS_VERIFY_SPEC_H

#include <bpf/btf.h>
#include <stdbool.h>
#include <stdint.h>

enum { SPEC_MESSAGES = 64 };

struct spec_message {
	unsigned order;
	const char *text;
};

struct spec_mode {
	bool used; /* the program is to be tried in this mode */
	bool failure;
	bool runs; /* the value it returns is known */
	bool any_value; /* ... but differs from run to run */
	int64_t retval;
	unsigned n;
	struct spec_message messages[SPEC_MESSAGES];
};

struct spec {
	bool annotated, auxiliary, auxiliary_unpriv, other_arch;
	struct spec_mode mode[2]; /* with privileges, without */
	uint32_t flags, log_level;
	const char *btf_path; /* relative to the object's folder; NULL: none */
};

void spec_read(struct spec *s, const struct btf *btf, const char *func);
/* All messages, in this order, somewhere in the log? Otherwise the first one that is missing. */
const char *spec_missing(const struct spec_mode *m, const char *log);

#endif
