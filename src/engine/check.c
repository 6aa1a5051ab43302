/* SPDX-License-Identifier: BSD-2-Clause */
/* What the verifier has to say about a program, for callers who ask for more than a descriptor. */
#include "engine/engine.h"
#include "verify/verify.h"

#include <linux/bpf.h>
#include <stdio.h>

int skep_prog_check(struct skep *k, union bpf_attr *attr, unsigned int attr_size, struct skep_check *out)
{
	struct skep_check c = {.size = sizeof(c)};
	size_t size = out ? out->size : 0;
	int fd;

	if (size < offsetof(struct skep_check, as_linux) || size > sizeof(c))
		return -EINVAL;
	c.as_linux.insn = c.safe.insn = c.as_linux.lost_at = c.safe.lost_at = UINT32_MAX;
	c.as_linux.reg = c.safe.reg = -1;
	fd = sys_bpf(k, BPF_PROG_LOAD, attr, attr_size, &c, NULL);
	/* Attributes that are refused before there is a program leave no verdict. */
	if (fd < 0 && !c.as_linux.error && !c.safe.error)
		c.as_linux.error = c.safe.error = fd;
	memcpy(out, &c, size);
	out->size = size;
	return fd;
}

void skep_set_unprivileged(struct skep *k, int on)
{
	atomic_store(&k->unprivileged, on != 0);
}

const char *skep_kernel_btf(const struct skep *k)
{
	return k->kernel_btf_file;
}

u32 source_line(const struct prog *p, u32 insn, char *file, size_t size)
{
	const struct bpf_line_info *lines = p->line_info, *at = NULL;

	for (u32 i = 0; insn != UINT32_MAX && i < p->n_line_info && lines[i].insn_off <= insn; i++)
		at = &lines[i];
	if (!at)
		return 0;
	if (file)
		snprintf(file, size, "%s", btf_string(p->btf, at->file_name_off));
	return BPF_LINE_INFO_LINE_NUM(at->line_col);
}

/* The last line that says something: what came before it is the way there. */
static void last_line(const struct text *log, char *to, size_t size)
{
	const char *s = text_str(log);
	size_t end = log->len, from;

	for (;;) {
		while (end && s[end - 1] == '\n')
			end--;
		for (from = end; from && s[from - 1] != '\n';)
			from--;
		if (!from || strncmp(s + from, "processed ", 10))
			break;
		end = from;
	}
	snprintf(to, size, "%.*s", (int)MIN(end - from, size - 1), s + from);
}

void check_undecided(struct load *l, int err)
{
	struct skep_verdict v = {.error = err, .insn = l->refused_insn, .reg = -1, .lost_at = UINT32_MAX};

	v.time_us = (os_clock_ns(1 /* CLOCK_MONOTONIC */) - l->started_ns) / 1000;
	if (err && l->refused_code)
		snprintf(v.code, sizeof(v.code), "%s", reject_name(l->refused_code));
	if (err && l->log.text.len)
		last_line(&l->log.text, v.message, sizeof(v.message));
	v.line = source_line(l->p, v.insn, v.file, sizeof(v.file));
	l->check->insns = l->p->n ? l->p->n : l->attr->insn_cnt;
	l->check->as_linux = l->check->safe = v;
}
