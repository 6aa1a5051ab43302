/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Relocations that PROG_LOAD applies: a row is one instruction with one relocation of it, against types of
 * the kernel that is running. Where bpf() answers, the same program goes there: errno, what the log says
 * about the relocation and the instruction that came out must be equal. Engines whose kernel is a few types
 * made by hand show the rest: what an answer is when several types fit, or none.
 */
#include "engine/engine.h"

#include "../kernel.h"
#include "../host.h"
#include "build.h"

#include "skep/skep.h"

#include <linux/bpf.h>
#include <stdlib.h>

enum { LOG_BYTES = 1 << 20 };

/* ---- the program's types ---- */

enum {
	T_INT = 1,
	T_LONG,
	T_CHAR,
	T_INDEX,
	T_COMM, /* char[16] */
	T_TASK,
	T_TASK_FLAVOR,
	T_NONE,
	T_SKB,
	T_LIST,
	T_LIST_PTR,
	T_ENUM,
	T_TYPEDEF,
	T_MISFIT,
	T_MISFIT_INT,
	T_ANON,
	T_CALLBACK,
	T_UNSIGNED,
	T_SHORT_LIST,
	T_ENUM_OTHER,
	T_FLEX,
	T_FLEX_ARRAY,
	T_CONST_TASK,
	T_PROTO,
	T_MAIN
};

static void local_types(struct build *b)
{
	build_open(b);
	build_int(b, "int", 4);
	build_type(b, "unsigned long", BTF_KIND_INT, 0, 0, 8);
	build_word(b, 64);
	build_int(b, "char", 1);
	build_int(b, "index", 4);
	build_array(b, T_CHAR, T_INDEX, 16);
	build_type(b, "task_struct", BTF_KIND_STRUCT, 5, 0, 64);
	build_member(b, "pid", T_INT, 64);
	build_member(b, "comm", T_COMM, 128);
	build_member(b, "flags", T_LONG, 256);
	build_member(b, "prio", T_LONG, 320);
	build_member(b, "no_such_field", T_INT, 384);
	build_type(b, "task_struct___old", BTF_KIND_STRUCT, 1, 0, 8);
	build_member(b, "tgid", T_INT, 0);
	build_type(b, "no_such_struct", BTF_KIND_STRUCT, 1, 0, 4);
	build_member(b, "x", T_INT, 0);
	build_type(b, "sk_buff", BTF_KIND_STRUCT, 3, 1, 16); /* with bit fields */
	build_member(b, "len", T_UNSIGNED, 0);
	build_member(b, "pkt_type", T_UNSIGNED, 3u << 24 | 32);
	build_member(b, "protocol", T_UNSIGNED, 64);
	build_type(b, "list_head", BTF_KIND_STRUCT, 2, 0, 16);
	build_member(b, "next", T_LIST_PTR, 0);
	build_member(b, "prev", T_LIST_PTR, 64);
	build_type(b, "", BTF_KIND_PTR, 0, 0, T_LIST);
	build_type(b, "pid_type", BTF_KIND_ENUM, 3, 0, 4);
	build_word(b, build_string(b, "PIDTYPE_PGID"));
	build_word(b, 77);
	build_word(b, build_string(b, "PIDTYPE_NONE_SUCH"));
	build_word(b, 5);
	build_word(b, build_string(b, "PIDTYPE_SID___mine"));
	build_word(b, 9);
	build_type(b, "pid_t", BTF_KIND_TYPEDEF, 0, 0, T_INT);
	build_type(b, "hlist_head", BTF_KIND_STRUCT, 1, 0, 8);
	build_member(b, "first", T_MISFIT_INT, 0);
	build_int(b, "long", 8);
	build_type(b, "", BTF_KIND_STRUCT, 1, 0, 4);
	build_member(b, "x", T_INT, 0);
	build_type(b, "work_func_t", BTF_KIND_TYPEDEF, 0, 0, T_LIST_PTR);
	build_type(b, "unsigned int", BTF_KIND_INT, 0, 0, 4);
	build_word(b, 32);
	build_type(b, "list_head___short", BTF_KIND_STRUCT, 1, 0, 8);
	build_member(b, "next", T_LIST_PTR, 0);
	build_type(b, "pid_type___mine", BTF_KIND_ENUM, 1, 0, 4);
	build_word(b, build_string(b, "PIDTYPE_PID"));
	build_word(b, 3);
	build_type(b, "bpf_prog", BTF_KIND_STRUCT, 2, 0, 16);
	build_member(b, "len", T_UNSIGNED, 32);
	build_member(b, "insnsi", T_FLEX_ARRAY, 64);
	build_array(b, T_LIST, T_INDEX, 0);
	build_type(b, "", BTF_KIND_CONST, 0, 0, T_TASK);
	build_type(b, "", BTF_KIND_FUNC_PROTO, 0, 0, T_INT);
	build_type(b, "main", BTF_KIND_FUNC, BTF_FUNC_STATIC, 0, T_PROTO);
}

/* ---- rows ---- */

enum {
	MOV = 0xb7,
	MOV32 = 0xb4,
	ADD_REG = 0x0f,
	LDXW = 0x61,
	LDXDW = 0x79,
	LDXB = 0x71,
	STW = 0x62,
	LD64 = 0x18,
	EXIT = 0x95,
	MOV_REG = 0xbf
};

struct row {
	const char *name;
	u32 kind, type;
	const char *access;
	u8 code;
	s32 value;		      /* the immediate, or the offset, as the compiler left it */
	u32 insn_off, rec_size, tail; /* 0: of the instruction, as it is, none */
};

static const struct row rows[] = {
    {"offset of a field", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", MOV, 8, 0, 0, 0},
    {"offset of a field, in 32 bits", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", MOV32, 8, 0, 0, 0},
    {"offset of a field that is not what it was", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", MOV, 9, 0, 0, 0},
    {"offset of a field of a flavor", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK_FLAVOR, "0:0", MOV, 0, 0, 0, 0},
    {"offset in the second of two", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "1:0", MOV, 72, 0, 0, 0},
    {"offset of an element", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:1:3", MOV, 19, 0, 0, 0},
    {"offset of an element that is not there", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:1:16", MOV, 32, 0, 0,
     0},
    {"offset through a modifier", BPF_CORE_FIELD_BYTE_OFFSET, T_CONST_TASK, "0:0", MOV, 8, 0, 0, 0},
    {"offset of a missing field", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:4", MOV, 48, 0, 0, 0},
    {"offset of a missing struct", BPF_CORE_FIELD_BYTE_OFFSET, T_NONE, "0:0", MOV, 0, 0, 0, 0},
    {"offset of a field of another kind", BPF_CORE_FIELD_BYTE_OFFSET, T_MISFIT, "0:0", MOV, 0, 0, 0, 0},
    {"offset of a bit field", BPF_CORE_FIELD_BYTE_OFFSET, T_SKB, "0:1", MOV, 4, 0, 0, 0},
    {"offset behind a flexible array", BPF_CORE_FIELD_BYTE_OFFSET, T_FLEX, "0:1:2", MOV, 40, 0, 0, 0},
    {"size of a field", BPF_CORE_FIELD_BYTE_SIZE, T_TASK, "0:1", MOV, 16, 0, 0, 0},
    {"size of an element", BPF_CORE_FIELD_BYTE_SIZE, T_TASK, "0:1:2", MOV, 1, 0, 0, 0},
    {"size of a bit field", BPF_CORE_FIELD_BYTE_SIZE, T_SKB, "0:1", MOV, 4, 0, 0, 0},
    {"size of a field that became smaller", BPF_CORE_FIELD_BYTE_SIZE, T_TASK, "0:2", MOV, 8, 0, 0, 0},
    {"a field exists", BPF_CORE_FIELD_EXISTS, T_TASK, "0:0", MOV, 1, 0, 0, 0},
    {"a field does not exist", BPF_CORE_FIELD_EXISTS, T_TASK, "0:4", MOV, 1, 0, 0, 0},
    {"a field of no struct does not exist", BPF_CORE_FIELD_EXISTS, T_NONE, "0:0", MOV, 1, 0, 0, 0},
    {"a field in a union without a name exists", BPF_CORE_FIELD_EXISTS, T_SKB, "0:2", MOV, 1, 0, 0, 0},
    {"signed", BPF_CORE_FIELD_SIGNED, T_TASK, "0:0", MOV, 1, 0, 0, 0},
    {"not signed", BPF_CORE_FIELD_SIGNED, T_SKB, "0:0", MOV, 0, 0, 0, 0},
    {"signedness that changed", BPF_CORE_FIELD_SIGNED, T_TASK, "0:3", MOV, 0, 0, 0, 0},
    {"left shift of a field", BPF_CORE_FIELD_LSHIFT_U64, T_TASK, "0:0", MOV, 32, 0, 0, 0},
    {"left shift of a bit field", BPF_CORE_FIELD_LSHIFT_U64, T_SKB, "0:1", MOV, 61, 0, 0, 0},
    {"right shift of a bit field", BPF_CORE_FIELD_RSHIFT_U64, T_SKB, "0:1", MOV, 61, 0, 0, 0},
    {"right shift of a field", BPF_CORE_FIELD_RSHIFT_U64, T_TASK, "0:0", MOV, 32, 0, 0, 0},
    {"shift of an element", BPF_CORE_FIELD_LSHIFT_U64, T_TASK, "0:1:2", MOV, 0, 0, 0, 0},
    {"id of a type of the program", BPF_CORE_TYPE_ID_LOCAL, T_TASK, "0", MOV, 1234, 0, 0, 0},
    {"id of void", BPF_CORE_TYPE_ID_LOCAL, 0, "0", MOV, 1234, 0, 0, 0},
    {"id of a type of the kernel", BPF_CORE_TYPE_ID_TARGET, T_LIST, "0", MOV, 1234, 0, 0, 0},
    {"id of a type of the kernel, 64 bits", BPF_CORE_TYPE_ID_TARGET, T_LIST, "0", LD64, 1234, 0, 0, 0},
    {"id of a missing type", BPF_CORE_TYPE_ID_TARGET, T_NONE, "0", MOV, 1234, 0, 0, 0},
    {"a type exists", BPF_CORE_TYPE_EXISTS, T_TASK, "0", MOV, 1, 0, 0, 0},
    {"a type exists under its flavor", BPF_CORE_TYPE_EXISTS, T_TASK_FLAVOR, "0", MOV, 1, 0, 0, 0},
    {"a typedef exists", BPF_CORE_TYPE_EXISTS, T_TYPEDEF, "0", MOV, 1, 0, 0, 0},
    {"a typedef of another kind", BPF_CORE_TYPE_EXISTS, T_CALLBACK, "0", MOV, 1, 0, 0, 0},
    {"an enum exists", BPF_CORE_TYPE_EXISTS, T_ENUM, "0", MOV, 1, 0, 0, 0},
    {"a type does not exist", BPF_CORE_TYPE_EXISTS, T_NONE, "0", MOV, 1, 0, 0, 0},
    {"a type without a name", BPF_CORE_TYPE_EXISTS, T_ANON, "0", MOV, 1, 0, 0, 0},
    {"size of a type", BPF_CORE_TYPE_SIZE, T_TASK, "0", MOV, 64, 0, 0, 0},
    {"size of a missing type", BPF_CORE_TYPE_SIZE, T_NONE, "0", MOV, 4, 0, 0, 0},
    {"a type matches", BPF_CORE_TYPE_MATCHES, T_LIST, "0", MOV, 1, 0, 0, 0},
    {"a part of a type matches", BPF_CORE_TYPE_MATCHES, T_SHORT_LIST, "0", MOV, 1, 0, 0, 0},
    {"a type does not match", BPF_CORE_TYPE_MATCHES, T_TASK, "0", MOV, 1, 0, 0, 0},
    {"a type of other members does not match", BPF_CORE_TYPE_MATCHES, T_MISFIT, "0", MOV, 1, 0, 0, 0},
    {"an enum matches", BPF_CORE_TYPE_MATCHES, T_ENUM_OTHER, "0", MOV, 1, 0, 0, 0},
    {"an enum with a value of its own", BPF_CORE_TYPE_MATCHES, T_ENUM, "0", MOV, 1, 0, 0, 0},
    {"a typedef matches", BPF_CORE_TYPE_MATCHES, T_TYPEDEF, "0", MOV, 1, 0, 0, 0},
    {"a value exists", BPF_CORE_ENUMVAL_EXISTS, T_ENUM, "0", MOV, 1, 0, 0, 0},
    {"a value does not exist", BPF_CORE_ENUMVAL_EXISTS, T_ENUM, "1", MOV, 1, 0, 0, 0},
    {"a value of a flavor exists", BPF_CORE_ENUMVAL_EXISTS, T_ENUM, "2", MOV, 1, 0, 0, 0},
    {"a value", BPF_CORE_ENUMVAL_VALUE, T_ENUM, "0", MOV, 77, 0, 0, 0},
    {"a value, 64 bits", BPF_CORE_ENUMVAL_VALUE, T_ENUM, "0", LD64, 77, 0, 0, 0},
    {"a value that is not what it was", BPF_CORE_ENUMVAL_VALUE, T_ENUM, "0", LD64, 78, 0, 0, 0},
    {"a missing value", BPF_CORE_ENUMVAL_VALUE, T_ENUM, "1", MOV, 5, 0, 0, 0},
    {"a missing value, 64 bits", BPF_CORE_ENUMVAL_VALUE, T_ENUM, "1", LD64, 5, 0, 0, 0},
    {"a value that the enum has not", BPF_CORE_ENUMVAL_VALUE, T_ENUM, "3", MOV, 5, 0, 0, 0},
    {"a value of a value", BPF_CORE_ENUMVAL_VALUE, T_ENUM, "0:0", MOV, 5, 0, 0, 0},
    {"a value of a struct", BPF_CORE_ENUMVAL_VALUE, T_TASK, "0", MOV, 5, 0, 0, 0},
    {"a load", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", LDXW, 8, 0, 0, 0},
    {"a load at another place", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", LDXW, 12, 0, 0, 0},
    {"a load of a field that became smaller", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:2", LDXDW, 32, 0, 0, 0},
    {"a load of a part of a field that became smaller", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:2", LDXW, 32,
     0, 0, 0},
    {"a load of a field that became smaller and signed", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:3", LDXDW, 40,
     0, 0, 0},
    {"a load of a missing field", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:4", LDXW, 48, 0, 0, 0},
    {"a load of an element", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:1:3", LDXB, 19, 0, 0, 0},
    {"a store", BPF_CORE_FIELD_BYTE_OFFSET, T_LIST, "0:1", STW, 8, 0, 0, 0},
    {"a store too far away", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "9:0", STW, 584, 0, 0, 0},
    {"an instruction without a number", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", EXIT, 0, 0, 0, 0},
    {"an instruction on two registers", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", MOV_REG, 0, 0, 0, 0},
    {"no access string", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "", MOV, 8, 0, 0, 0},
    {"a colon first", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, ":0", MOV, 8, 0, 0, 0},
    {"letters", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:a", MOV, 8, 0, 0, 0},
    {"below zero", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:-1", MOV, 8, 0, 0, 0},
    {"a member that the struct has not", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:5", MOV, 8, 0, 0, 0},
    {"a member of a number", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0:0", MOV, 8, 0, 0, 0},
    {"a path that is too long", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK,
     "0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:0:"
     "0:0:0:0:0:0:0:0:0:0:0:0:0:0:0",
     MOV, 8, 0, 0, 0},
    {"a type with a path", BPF_CORE_TYPE_EXISTS, T_TASK, "0:0", MOV, 8, 0, 0, 0},
    {"a type that is none", BPF_CORE_TYPE_EXISTS, 9999, "0", MOV, 8, 0, 0, 0},
    {"void", BPF_CORE_TYPE_EXISTS, 0, "0", MOV, 8, 0, 0, 0},
    {"an unknown kind", 13, T_TASK, "0:0", MOV, 8, 0, 0, 0},
    {"between two instructions", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", MOV, 8, 4, 0, 0},
    {"behind the program", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", MOV, 8, 800, 0, 0},
    {"records that are too short", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", MOV, 8, 0, 12, 0},
    {"records that are longer", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", MOV, 8, 0, 24, 0},
    {"records with something behind", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", MOV, 8, 0, 24, 1},
    {"records of an odd size", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", MOV, 8, 0, 18, 0},
};

/* ---- loading ---- */

static struct skep *k;
static bool kernel;
static char *logs[2];

static int side_bpf(struct skep *side, int cmd, union bpf_attr *a)
{
	return side ? skep_bpf(side, cmd, a, sizeof(*a)) : kernel_bpf(cmd, a, sizeof(*a));
}

static int load(const struct row *r, struct skep *side, char *log)
{
	static struct build b;
	struct raw_insn insns[8] = {{0}};
	struct {
		struct bpf_core_relo relo;
		u32 behind[2];
	} record = {.relo = {.insn_off = 8, .type_id = r->type, .kind = r->kind}};
	struct bpf_func_info info = {.insn_off = 0, .type_id = T_MAIN};
	union bpf_attr a;
	bool memory = (r->code & 7) > 0 && (r->code & 7) < 4;
	u32 n = 0;
	int btf, err;

	local_types(&b);
	record.relo.access_str_off = build_string(&b, r->access);
	record.behind[0] = r->tail;
	if (r->insn_off)
		record.relo.insn_off = r->insn_off;
	build_close(&b);
	memset(&a, 0, sizeof(a));
	a.btf = (u64)(uintptr_t)b.bytes;
	a.btf_size = b.size;
	btf = side_bpf(side, BPF_BTF_LOAD, &a);
	if (btf < 0)
		return btf;
	insns[n++] = (struct raw_insn){.code = MOV_REG, .regs = 0xa2}; /* r2 = r10 */
	insns[n++] = (struct raw_insn){.code = r->code,
				       .regs = memory && (r->code & 7) == 1 ? 0x20
					       : memory			    ? 0x02
					       : r->code == MOV_REG	    ? 0x20
									    : 0,
				       .off = (s16)(memory ? r->value : 0),
				       .imm = memory || r->code == EXIT || r->code == MOV_REG ? 0 : r->value};
	if (r->code == LD64)
		n++;
	insns[n++] = (struct raw_insn){.code = MOV, .imm = 0};
	insns[n++] = (struct raw_insn){.code = EXIT};
	memset(&a, 0, sizeof(a));
	a.prog_type = BPF_PROG_TYPE_SOCKET_FILTER;
	a.insns = (u64)(uintptr_t)insns;
	a.insn_cnt = n;
	a.license = (u64)(uintptr_t) "GPL";
	a.prog_btf_fd = (u32)btf;
	a.func_info = (u64)(uintptr_t)&info;
	a.func_info_cnt = 1;
	a.func_info_rec_size = sizeof(info);
	a.core_relos = (u64)(uintptr_t)&record;
	a.core_relo_cnt = 1;
	a.core_relo_rec_size = r->rec_size ? r->rec_size : sizeof(record.relo);
	a.log_level = 2;
	a.log_buf = (u64)(uintptr_t)log;
	a.log_size = LOG_BYTES;
	log[0] = 0;
	err = side_bpf(side, BPF_PROG_LOAD, &a);
	close(btf);
	if (err >= 0) {
		close(err);
		err = 0;
	}
	return err;
}

/* Lines about the relocation, and the instruction that came out of it; candidates that another load left in
 * the kernel's cache are not ours. */
static bool next_line(const char **p, char *line, size_t size)
{
	static const char *const ours[] = {
	    "prog ''", "CO-RE", "relo ", "target candidate", "1: (", "Invalid core_relo", "nonzero tailing"};

	while (**p) {
		size_t len = strcspn(*p, "\n");
		const char *at = *p;

		*p += len + (at[len] == '\n');
		for (u32 i = 0; i < ARRAY_SIZE(ours); i++)
			if (!strncmp(at, ours[i], strlen(ours[i]))) {
				char *stats;

				snprintf(line, size, "%.*s", (int)MIN(len, strcspn(at, ";")), at);
				stats = strstr(line, "processed "); /* not all of Linux's lines end */
				if (stats)
					*stats = 0;
				for (size_t end = strlen(line); end && line[end - 1] == ' ';)
					line[--end] = 0;
				return true;
			}
	}
	return false;
}

static void compare(const struct row *r, int ours, int theirs)
{
	const char *a = logs[0], *b = logs[1];
	char x[1024], y[1024];

	if (ours != theirs) {
		test_fail(__FILE__, __LINE__, "%s: skep gives %d, Linux %d", r->name, ours, theirs);
		printf("# ours:\n%s# Linux':\n%s", logs[0], logs[1]);
		return;
	}
	for (;;) {
		bool more = next_line(&a, x, sizeof(x)), also = next_line(&b, y, sizeof(y));

		if (more != also || (more && strcmp(x, y)))
			test_fail(__FILE__, __LINE__, "%s: skep says \"%s\", Linux \"%s\"", r->name,
				  more ? x : "(nothing)", also ? y : "(nothing)");
		if (!more || !also)
			return;
	}
}

TEST(relocations_are_as_the_running_kernel_applies_them)
{
	for (u32 i = 0; i < ARRAY_SIZE(rows); i++) {
		int ours = load(&rows[i], k, logs[0]);

		if (kernel)
			compare(&rows[i], ours, load(&rows[i], NULL, logs[1]));
	}
	printf("# %zu rows%s\n", ARRAY_SIZE(rows), kernel ? "" : ", not compared: bpf() does not answer");
}

/* ---- kernels made by hand ---- */

static struct skep *engine_of(struct build *b)
{
	static char path[64];
	struct skep_options opts = {.size = sizeof(opts), .kernel_btf = path};
	struct skep *out = NULL;

	build_close(b);
	file_of(path, b->bytes, b->size);
	if (!*path || skep_open(&out, &opts) || !kernel_btf(out)) /* which opens the file */
		out = NULL;
	unlink(path);
	return out;
}

static void task(struct build *b, const char *name, u32 pid_bits, u32 tgid_bits)
{
	build_type(b, name, BTF_KIND_STRUCT, 2, 0, 128);
	build_member(b, "pid", 1, pid_bits);
	build_member(b, "tgid", 1, tgid_bits);
}

static void expect(struct skep *on, const struct row *r, int err, const char *says)
{
	int got = load(r, on, logs[0]);

	if (got != err || !strstr(logs[0], says))
		test_fail(__FILE__, __LINE__, "%s: %d, expected %d and \"%s\" in:\n%s", r->name, got, err,
			  says, logs[0]);
}

TEST(all_types_of_one_name_must_agree)
{
	static const struct row
	    pid = {"pid", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", MOV, 8, 0, 0, 0},
	    tgid = {"tgid", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK_FLAVOR, "0:0", MOV, 0, 0, 0, 0},
	    size = {"size", BPF_CORE_TYPE_SIZE, T_TASK, "0", MOV, 64, 0, 0, 0},
	    id = {"id", BPF_CORE_TYPE_ID_TARGET, T_TASK, "0", MOV, 1, 0, 0, 0};
	static struct build b;
	struct skep *two;

	build_open(&b);
	build_int(&b, "int", 4);
	task(&b, "task_struct", 320, 352);
	task(&b, "task_struct___2", 320, 384);
	two = engine_of(&b);
	REQUIRE(two != NULL);
	expect(two, &pid, 0, "1: (b7) r0 = 40");
	expect(two, &tgid, -EINVAL, "field offset ambiguity: 384 != 352");
	expect(two, &size, 0, "1: (b7) r0 = 128");
	expect(two, &id, -EINVAL, "relocation decision ambiguity: success 3 != success 2");
	skep_close(two);
}

TEST(without_types_of_a_kernel_the_engines_own_are_the_target)
{
	struct skep_options opts = {.size = sizeof(opts)};
	static const struct row pid = {"pid", BPF_CORE_FIELD_BYTE_OFFSET, T_TASK, "0:0", MOV, 8, 0, 0, 0},
				list = {"list", BPF_CORE_FIELD_BYTE_OFFSET, T_LIST, "0:0", MOV, 8, 0, 0, 0},
				own = {"own", BPF_CORE_TYPE_ID_LOCAL, T_TASK, "0", MOV, 8, 0, 0, 0};
	struct skep *none = NULL;

	REQUIRE(skep_open(&none, &opts) == 0);
	expect(none, &pid, 0, "found target candidate");
	expect(none, &list, -EINVAL, "no matching targets found"); /* it fills no such list */
	expect(none, &own, 0, "1: (b7) r0 = 6");
	skep_close(none);
}

int main(void)
{
	static const char btf[] = "/sys/kernel/btf/vmlinux";
	struct skep_options opts = {.size = sizeof(opts), .kernel_btf = access(btf, R_OK) ? NULL : btf};

	logs[0] = calloc(1, LOG_BYTES);
	logs[1] = calloc(1, LOG_BYTES);
	if (!logs[0] || !logs[1] || skep_open(&k, &opts)) {
		printf("Bail out! no engine\n");
		return 1;
	}
	kernel = opts.kernel_btf && kernel_loads(BPF_PROG_TYPE_SOCKET_FILTER);
	RUN(relocations_are_as_the_running_kernel_applies_them);
	RUN(all_types_of_one_name_must_agree);
	RUN(without_types_of_a_kernel_the_engines_own_are_the_target);
	skep_close(k);
	free(logs[0]);
	free(logs[1]);
	return test_end();
}
