/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The tracepoints that exist, numbered from 0: those of kernel/tracepoints.def, then exit and entry of every system call of kernel/syscalls.def. All that
 * is said of one (ids, format files, sizes, arguments) follows from the two tables. Ids are the engine's own and the same in every engine; Linux's depend on
 * how a kernel was built.
 */
#include "hook/hooks.h"

#include <stdio.h>

struct field {
	const char *type, *name, *array; /* array: "[16]" or "" */
	u32 offset, size;
	bool is_signed;
};

#define PARAMS(...)
#define FIELDS(...)	 __VA_ARGS__
#define SIGNED(type)	 (!__builtin_types_compatible_p(type, char) && (type)-1 < (type)1)
#define F(type, name)	 {#type, #name, "", offsetof(T, field_##name), sizeof(type), SIGNED(type)},
#define A(type, name, n) {#type, #name, "[" #n "]", offsetof(T, field_##name), sizeof(type) * n, SIGNED(type)},
#define S(name)		 {"__data_loc char[]", #name, "", offsetof(T, field_##name), 4, false},
#define TRACEPOINT(id, category, name, params, fields, fmt)          \
	static const struct field *fields_##name(u32 *n)             \
	{                                                            \
		typedef struct kernel_trace_event_raw_##name T;      \
		static const struct field rows[] = {fields};         \
		*n = ARRAY_SIZE(rows);                               \
		return rows;                                         \
	}
#include "kernel/tracepoints.def"
#undef F
#undef A
#undef S
#undef FIELDS
#undef PARAMS

static const struct tracepoint {
	u32 id, n_args;
	const char *category, *name, *print;
	const struct field *(*fields)(u32 *n);
} tracepoints[] = {
#define PARAM(type) +1
#define PARAMS(...) __VA_ARGS__
#define FIELDS(...)
#define TRACEPOINT(id, category, name, params, fields, fmt) {id, 0 params, #category, #name, fmt, fields_##name},
#include "kernel/tracepoints.def"
#undef FIELDS
};
_Static_assert(ARRAY_SIZE(tracepoints) == SITE_TRACEPOINTS, "sites of tracepoints come first");

static const struct syscall {
	u32 nr;
	const char *name;
	struct {
		const char *type, *name;
	} args[6]; /* name NULL ends them */
} syscalls[] = {
#define F(type, name) {type, name},
#define FIELDS(...)	     {__VA_ARGS__}
#define SYSCALL(nr, name, fields) {nr, #name, fields},
#include "kernel/syscalls.def"
#undef F
#undef FIELDS
};

enum { SITES = SITE_TRACEPOINTS + 2 * ARRAY_SIZE(syscalls), SYSCALL_IDS = 1000 };
_Static_assert((int)SITES <= (int)SITES_MOST, "room for all of them");

u32 site_count(void)
{
	return SITES;
}

static const struct syscall *syscall_of(u32 site)
{
	return site < SITE_TRACEPOINTS ? NULL : &syscalls[(site - SITE_TRACEPOINTS) / 2];
}

bool site_is_enter(u32 site)
{
	return site >= SITE_TRACEPOINTS && (site - SITE_TRACEPOINTS) % 2;
}

s32 site_syscall(u32 site)
{
	return site < SITE_TRACEPOINTS ? -1 : (s32)syscall_of(site)->nr;
}

s32 site_of_syscall(u64 nr, bool enter)
{
	u32 low = 0, high = ARRAY_SIZE(syscalls);

	while (low < high) {
		u32 mid = (low + high) / 2;

		if (syscalls[mid].nr < nr)
			low = mid + 1;
		else
			high = mid;
	}
	return low < ARRAY_SIZE(syscalls) && syscalls[low].nr == nr ? (s32)(SITE_TRACEPOINTS + 2 * low + enter) : -ENOENT;
}

u32 site_id(u32 site)
{
	return site < SITE_TRACEPOINTS ? tracepoints[site].id : SYSCALL_IDS + 2 * syscall_of(site)->nr + site_is_enter(site);
}

s32 site_by_id(u64 id)
{
	if (id >= SYSCALL_IDS)
		return site_of_syscall((id - SYSCALL_IDS) / 2, (id - SYSCALL_IDS) % 2);
	for (u32 i = 0; i < SITE_TRACEPOINTS; i++)
		if (tracepoints[i].id == id)
			return (s32)i;
	return -ENOENT;
}

const char *site_category(u32 site)
{
	return site < SITE_TRACEPOINTS ? tracepoints[site].category : "syscalls";
}

const char *site_name(u32 site, char name[SITE_NAME])
{
	if (site < SITE_TRACEPOINTS)
		snprintf(name, SITE_NAME, "%s", tracepoints[site].name);
	else
		snprintf(name, SITE_NAME, "sys_%s_%s", site_is_enter(site) ? "enter" : "exit", syscall_of(site)->name);
	return name;
}

s32 site_find(const char *category, const char *name, size_t name_len)
{
	char own[SITE_NAME];

	for (u32 i = 0; i < SITES; i++) {
		site_name(i, own);
		if (strlen(own) == name_len && !memcmp(own, name, name_len) && (!category || !strcmp(site_category(i), category)))
			return (s32)i;
	}
	return -ENOENT;
}

s32 site_raw(const char *name)
{
	for (u32 i = 0; i < SITE_TRACEPOINTS; i++)
		if (!strcmp(tracepoints[i].name, name))
			return (s32)i;
	return -ENOENT;
}

u32 site_args(u32 site)
{
	return site < SITE_TRACEPOINTS ? tracepoints[site].n_args : 0;
}

static u32 syscall_args(const struct syscall *s)
{
	u32 n = 0;

	while (n < ARRAY_SIZE(s->args) && s->args[n].name)
		n++;
	return n;
}

u32 site_record_end(u32 site)
{
	const struct syscall *s = syscall_of(site);
	const struct field *f;
	u32 n;

	if (s && !site_is_enter(site))
		return 24;
	if (s)
		return syscall_args(s) ? 16 + 8 * syscall_args(s) : 12;
	f = tracepoints[site].fields(&n);
	return f[n - 1].offset + f[n - 1].size;
}

/* ---- format files ---- */

static void field_line(struct text *t, const char *type, const char *name, const char *array, u32 offset, u32 size, bool is_signed)
{
	text_addf(t, "\tfield:%s %s%s;\toffset:%u;\tsize:%u;\tsigned:%d;\n", type, name, array, offset, size, is_signed);
}

static void syscall_format(struct text *t, const struct syscall *s, bool enter)
{
	u32 n = syscall_args(s);

	field_line(t, "int", "__syscall_nr", "", 8, 4, true);
	if (!enter) {
		field_line(t, "long", "ret", "", 16, 8, true);
		text_add(t, "\nprint fmt: \"0x%lx\", REC->ret\n");
		return;
	}
	for (u32 i = 0; i < n; i++)
		field_line(t, s->args[i].type, s->args[i].name, "", 16 + 8 * i, 8, false);
	text_add(t, "\nprint fmt: \"");
	for (u32 i = 0; i < n; i++)
		text_addf(t, "%s%s: 0x%%08lx", i ? ", " : "", s->args[i].name);
	text_add(t, "\"");
	for (u32 i = 0; i < n; i++)
		text_addf(t, ", ((unsigned long)(REC->%s))", s->args[i].name);
	text_add(t, "\n");
}

void site_format(u32 site, struct text *t)
{
	char name[SITE_NAME];

	text_addf(t, "name: %s\nID: %u\nformat:\n", site_name(site, name), site_id(site));
	field_line(t, "unsigned short", "common_type", "", 0, 2, false);
	field_line(t, "unsigned char", "common_flags", "", 2, 1, false);
	field_line(t, "unsigned char", "common_preempt_count", "", 3, 1, false);
	field_line(t, "int", "common_pid", "", 4, 4, true);
	text_add(t, "\n");
	if (site >= SITE_TRACEPOINTS) {
		syscall_format(t, syscall_of(site), site_is_enter(site));
		return;
	}
	const struct tracepoint *tp = &tracepoints[site];
	u32 n;
	const struct field *f = tp->fields(&n);

	for (u32 i = 0; i < n; i++)
		field_line(t, f[i].type, f[i].name, f[i].array, f[i].offset, f[i].size, f[i].is_signed);
	text_addf(t, "\nprint fmt: %s\n", tp->print);
}
