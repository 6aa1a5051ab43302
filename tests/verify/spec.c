/* SPDX-License-Identifier: BSD-2-Clause */
#include "spec.h"

#include <limits.h>
#include <linux/bpf.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TEST_DATA_BYTES = 64 };
static const unsigned F_TEST_REG_INVARIANTS = 1u << 7;

static const char *after(const char *text, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(text, prefix, n) ? NULL : text + n;
}

static uint32_t flag_bits(const char *name)
{
	static const struct {
		const char *name;
		uint32_t bits;
	} known[] = {
		{"BPF_F_STRICT_ALIGNMENT", BPF_F_STRICT_ALIGNMENT},
		{"BPF_F_ANY_ALIGNMENT", BPF_F_ANY_ALIGNMENT},
		{"BPF_F_TEST_RND_HI32", BPF_F_TEST_RND_HI32},
		{"BPF_F_TEST_STATE_FREQ", BPF_F_TEST_STATE_FREQ},
		{"BPF_F_SLEEPABLE", BPF_F_SLEEPABLE},
		{"BPF_F_XDP_HAS_FRAGS", BPF_F_XDP_HAS_FRAGS},
		{"BPF_F_TEST_REG_INVARIANTS", F_TEST_REG_INVARIANTS},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(name, known[i].name))
			return known[i].bits;
	return (uint32_t)strtoul(name, NULL, 0);
}

static void set_value(struct spec_mode *m, const char *text)
{
	m->runs = true;
	if (!strcmp(text, "POINTER_VALUE") || !strcmp(text, "0xcafe4all"))
		m->any_value = true;
	else if (!strcmp(text, "INT_MIN"))
		m->retval = INT_MIN;
	else if (!strcmp(text, "TEST_DATA_LEN"))
		m->retval = TEST_DATA_BYTES;
	else
		m->retval = strtoll(text, NULL, 0);
}

/* "<order>=text" */
static void add_message(struct spec_mode *m, const char *text)
{
	const char *eq = strchr(text, '=');

	if (eq && m->n < SPEC_MESSAGES)
		m->messages[m->n++] = (struct spec_message){(unsigned)strtoul(text, NULL, 10), eq + 1};
}

struct reading {
	bool result[2], value[2];
	uint32_t cleared;
};

static void read_tag(struct spec *s, struct reading *r, const char *tag)
{
	const char *t = after(tag, "comment:test_"), *v;

	if (!t)
		return;
	for (int i = 0; i < 2; i++) {
		const char *end = i ? "_unpriv" : "";
		char word[64];

		snprintf(word, sizeof(word), "expect_success%s", end);
		if (!strcmp(t, word))
			s->mode[i].used = r->result[i] = true;
		snprintf(word, sizeof(word), "expect_failure%s", end);
		if (!strcmp(t, word))
			s->mode[i].used = s->mode[i].failure = r->result[i] = true;
		snprintf(word, sizeof(word), "expect_msg%s=", end);
		v = after(t, word);
		if (v)
			s->mode[i].used = true, add_message(&s->mode[i], v);
		snprintf(word, sizeof(word), "expect_xlated%s=", end);
		s->mode[i].used |= after(t, word) != NULL;
		snprintf(word, sizeof(word), "retval%s=", end);
		v = after(t, word);
		if (v)
			s->mode[i].used = r->value[i] = true, set_value(&s->mode[i], v);
	}
	if (!strcmp(t, "auxiliary"))
		s->auxiliary = true;
	if (!strcmp(t, "auxiliary_unpriv"))
		s->auxiliary_unpriv = true;
	if ((v = after(t, "log_level=")))
		s->log_level = (uint32_t)strtoul(v, NULL, 0);
	if ((v = after(t, "prog_flags=!")))
		r->cleared |= flag_bits(v);
	else if ((v = after(t, "prog_flags=")))
		s->flags |= flag_bits(v);
	if ((v = after(t, "btf_path=")))
		s->btf_path = v;
}

static int by_order(const void *a, const void *b)
{
	const struct spec_message *x = a, *y = b;

	return x->order < y->order ? -1 : x->order > y->order;
}

void spec_read(struct spec *s, const struct btf *btf, const char *func)
{
	struct reading r = {0};
	bool arch = false, here = false;
	int id = btf ? btf__find_by_name_kind(btf, func, BTF_KIND_FUNC) : -1;

	memset(s, 0, sizeof(*s));
	for (uint32_t i = 1; id > 0 && i < btf__type_cnt(btf); i++) {
		const struct btf_type *t = btf__type_by_id(btf, i);
		const char *tag, *name;

		if (!btf_is_decl_tag(t) || (int)t->type != id || btf_decl_tag(t)->component_idx != -1)
			continue;
		tag = btf__name_by_offset(btf, t->name_off);
		read_tag(s, &r, tag);
		name = after(tag, "comment:test_arch=");
		if (name)
			arch = true, here |= !strcmp(name, "X86_64");
	}
	s->other_arch = arch && !here;
	s->annotated = s->mode[0].used || s->mode[1].used;
	/* A success that is said of one mode only is meant for both; without privileges the rest is as with
	 * them, unless said. */
	if (s->mode[1].used && !r.result[1])
		s->mode[1].failure = s->mode[0].failure;
	if (s->mode[1].used && !r.value[1]) {
		s->mode[1].runs = s->mode[0].runs;
		s->mode[1].any_value = s->mode[0].any_value;
		s->mode[1].retval = s->mode[0].retval;
	}
	if (s->mode[1].used && !s->mode[1].n) {
		s->mode[1].n = s->mode[0].n;
		memcpy(s->mode[1].messages, s->mode[0].messages, sizeof(s->mode[0].messages));
	}
	for (int i = 0; i < 2; i++)
		qsort(s->mode[i].messages, s->mode[i].n, sizeof(s->mode[i].messages[0]), by_order);
	if (s->annotated)
		s->flags |= (BPF_F_TEST_RND_HI32 | F_TEST_REG_INVARIANTS) & ~r.cleared;
}

/* ---- messages: plain text with regular expressions in {{ }} ---- */

static bool build_regex(const char *text, char *to, size_t size)
{
	bool inside = false;
	size_t n = 0;

	while (*text && n + 3 < size) {
		if (!inside && !strncmp(text, "{{", 2)) {
			inside = true;
			text += 2;
		} else if (inside && !strncmp(text, "}}", 2)) {
			inside = false;
			text += 2;
		} else {
			if (!inside && strchr(".[]\\()*+?{}|^$", *text))
				to[n++] = '\\';
			to[n++] = *text++;
		}
	}
	to[n] = 0;
	return !*text && !inside;
}

static const char *find_message(const char *text, const char *log)
{
	char pattern[2048];
	regmatch_t match;
	const char *at;
	regex_t re;

	if (!strstr(text, "{{")) {
		at = strstr(log, text);
		return at ? at + strlen(text) : NULL;
	}
	if (!build_regex(text, pattern, sizeof(pattern)) || regcomp(&re, pattern, REG_EXTENDED | REG_NEWLINE))
		return NULL;
	at = regexec(&re, log, 1, &match, 0) ? NULL : log + match.rm_eo;
	regfree(&re);
	return at;
}

const char *spec_missing(const struct spec_mode *m, const char *log)
{
	for (unsigned i = 0; i < m->n; i++) {
		log = find_message(m->messages[i].text, log);
		if (!log)
			return m->messages[i].text;
	}
	return NULL;
}
