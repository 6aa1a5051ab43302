/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: calls of bpf(2) one after the other, with attrs that are partly sensible, and what else a
 * client can do with its descriptors. Buffers are exactly as large as cmd.def says, so that it is cmd.def
 * that is tested as well.
 */
#include "hook/tasks.h"
#include "sys/fuzz.h"
#include "sys/sys.h"

#include <linux/btf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

enum { FDS = 16, CALLS = 24, BUFFERS = 8, SCRATCH = 1 << 17, OTHERS = 8, COMMANDS = 38, ENGINE_LASTS = 4000 };

struct input {
	const u8 *at, *end;
};

struct held {
	s32 fd;	  /* -1: none */
	u32 type; /* enum obj_type */
};

static struct skep *k;
static struct held held[FDS];
static u8 *scratch; /* what info structs point to */
static char folder[] = "/tmp/skep-fuzz-XXXXXX";

static u8 byte(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static u32 number(struct input *in)
{
	static const u32 special[] = {0,	1,	   2,	     4,		 8,
				      16,	64,	   255,	     4096,	 65536,
				      1u << 30, INT32_MAX, 1u << 31, UINT32_MAX, UINT32_MAX - 1,
				      14};
	u8 b = byte(in);

	return b < 128 ? b : b < 192 ? special[b & 15] : (u32)byte(in) << (b & 31);
}

/* ---- descriptors ---- */

static void take(s32 fd, u32 type, u8 where)
{
	struct held *h = &held[where % FDS];

	if (h->fd >= 0)
		close(h->fd);
	*h = (struct held){fd, type};
}

static struct held some(struct input *in, u32 type)
{
	u8 from = byte(in);

	for (u32 i = 0; i < FDS && from < 240; i++) {
		struct held h = held[(from + i) % FDS];

		if (h.fd >= 0 && (!type || h.type == type))
			return h;
	}
	return from & 1 ? held[from % FDS] : (struct held){(s32)from - 250, 0};
}

static u32 given_type(int cmd)
{
	switch (cmd) {
	case SYS_MAP_CREATE:
	case SYS_MAP_GET_FD_BY_ID:
	case SYS_OBJ_GET:
		return OBJ_MAP;
	case SYS_PROG_LOAD:
	case SYS_PROG_GET_FD_BY_ID:
		return OBJ_PROG;
	case SYS_BTF_LOAD:
	case SYS_BTF_GET_FD_BY_ID:
		return OBJ_BTF;
	default:
		return 0;
	}
}

static bool gives_descriptor(int cmd)
{
	return given_type(cmd) || cmd == SYS_LINK_CREATE || cmd == SYS_RAW_TRACEPOINT_OPEN ||
	       cmd == SYS_LINK_GET_FD_BY_ID || cmd == SYS_ENABLE_STATS || cmd == SYS_ITER_CREATE ||
	       cmd == SYS_TOKEN_CREATE;
}

/* ---- attrs ---- */

struct call {
	u64 attr[sizeof(struct attr_prog_load) / 8];
	struct bpf_map_info map; /* of the map that it is about */
	u32 type;		 /* of the object that it is about */
	void *buffer[BUFFERS];
	u32 n;
};

static void *own(struct call *c, size_t size)
{
	void *p = c->n < BUFFERS ? calloc(1, size ? size : 1) : NULL;

	if (!p)
		abort();
	c->buffer[c->n++] = p;
	return p;
}

static u64 value_bytes(const struct bpf_map_info *m)
{
	bool per_cpu = m->type == BPF_MAP_TYPE_PERCPU_ARRAY || m->type == BPF_MAP_TYPE_PERCPU_HASH ||
		       m->type == BPF_MAP_TYPE_LRU_PERCPU_HASH ||
		       m->type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE;

	return per_cpu ? (u64)((m->value_size + 7) & ~7u) * possible_cpus() : m->value_size;
}

/* A field of the attr that is a length, cut to what a buffer here is given. */
static u32 bounded(struct call *c, u32 offset, u32 most)
{
	u32 *at = (u32 *)(void *)((u8 *)c->attr + offset);

	if (*at > most)
		*at %= most + 1;
	return *at;
}

#define BOUNDED(c, attr_name, field, most) bounded(c, offsetof(struct attr_##attr_name, field), most)

static u64 records(struct call *c, u32 count_at, u32 size_at)
{
	return (u64)bounded(c, count_at, 64) * bounded(c, size_at, 64);
}

static u64 length(struct call *c, const char *name)
{
	static const struct {
		const char *name;
		u32 offset, most;
	} fields[] = {
	    {"data_size_in", offsetof(struct attr_test_run, data_size_in), 70000},
	    {"data_size_out", offsetof(struct attr_test_run, data_size_out), 70000},
	    {"ctx_size_in", offsetof(struct attr_test_run, ctx_size_in), 70000},
	    {"ctx_size_out", offsetof(struct attr_test_run, ctx_size_out), 4096},
	    {"info_len", offsetof(struct attr_info, info_len), 5000},
	    {"btf_size", offsetof(struct attr_btf_load, btf_size), 5000},
	    {"btf_log_size", offsetof(struct attr_btf_load, btf_log_size), 5000},
	    {"buf_len", offsetof(struct attr_task_fd_query, buf_len), 256},
	    {"LOG", offsetof(struct attr_prog_load, log_size), 5000},
	};
	if (!strcmp(name, "KEY"))
		return c->map.key_size;
	if (!strcmp(name, "VALUE"))
		return value_bytes(&c->map);
	if (!strcmp(name, "KEYS"))
		return (u64)BOUNDED(c, map_batch, count, 40) * c->map.key_size;
	if (!strcmp(name, "VALUES"))
		return BOUNDED(c, map_batch, count, 40) * value_bytes(&c->map);
	if (!strcmp(name, "CURSOR"))
		return MAX(c->map.key_size, 4u);
	if (!strcmp(name, "FUNC_INFO"))
		return records(c, offsetof(struct attr_prog_load, func_info_cnt),
			       offsetof(struct attr_prog_load, func_info_rec_size));
	if (!strcmp(name, "LINE_INFO"))
		return records(c, offsetof(struct attr_prog_load, line_info_cnt),
			       offsetof(struct attr_prog_load, line_info_rec_size));
	if (!strcmp(name, "CORE_RELOS"))
		return records(c, offsetof(struct attr_prog_load, core_relo_cnt),
			       offsetof(struct attr_prog_load, core_relo_rec_size));
	if (!strcmp(name, "MULTI_ARRAY"))
		return (u64)BOUNDED(c, link_create, multi.n, 64) * 8;
	if (!strcmp(name, "FD_ARRAY"))
		return FDS * sizeof(s32);
	if (!strcmp(name, "INSNS"))
		return (u64)BOUNDED(c, prog_load, insn_cnt, 512) * 8;
	for (u32 i = 0; i < ARRAY_SIZE(fields); i++)
		if (!strcmp(fields[i].name, name))
			return bounded(c, fields[i].offset, fields[i].most);
	abort(); /* cmd.def has a length that is not known here */
}

/* Types that most maps' keys and values can have. */
static void put_types(void *at)
{
	static const struct {
		struct btf_header head;
		u32 type[4];
		char strings[8];
	} types = {{.magic = 0xeb9f,
		    .version = 1,
		    .hdr_len = sizeof(struct btf_header),
		    .type_len = 16,
		    .str_off = 16,
		    .str_len = 8},
		   {1, BTF_KIND_INT << 24, 4, 32},
		   "\0int"};

	memcpy(at, &types, sizeof(types));
}

/* Indices into the array of descriptors stay in what is there: the call does not bound them. */
static void put_program(struct call *c, struct input *in, struct bpf_insn *code, u32 most)
{
	struct attr_prog_load *a = (struct attr_prog_load *)(void *)c->attr;

	a->insn_cnt =
	    shape_program(code, most, a->prog_type, in->at, MIN((size_t)(in->end - in->at), (size_t)64));
	for (u32 i = 0; i < a->insn_cnt; i++)
		if (code[i].code == (BPF_LD | BPF_IMM | BPF_DW))
			code[i].imm &= FDS - 1;
}

static void fill_buffer(struct call *c, struct input *in, int cmd, const char *name, u8 *at, u64 size)
{
	if (!strcmp(name, "FD_ARRAY"))
		for (u32 i = 0; i < FDS; i++)
			((s32 *)(void *)at)[i] = held[i].fd;
	else if (!strcmp(name, "INSNS"))
		put_program(c, in, (struct bpf_insn *)(void *)at, (u32)size / 8);
	else if (!strcmp(name, "btf_size") && size >= 64 && byte(in) & 1)
		put_types(at);
	else if (!strcmp(name, "VALUE") && cmd == SYS_MAP_UPDATE_ELEM && c->map.value_size == 4 &&
		 byte(in) & 1)
		*(s32 *)(void *)at = some(in, 0).fd;
	else
		for (u64 i = 0; i < MIN(size, (u64)12); i++)
			at[i] = byte(in);
}

/* Pointers in the struct of OBJ_GET_INFO_BY_FD: to room for whatever fits the counts. */
static void fill_info(const struct call *c, struct input *in, u8 *at, u64 size)
{
	struct bpf_prog_info prog = {0};
	struct bpf_btf_info btf = {0};

	if (c->type == OBJ_PROG) {
		prog.map_ids = prog.xlated_prog_insns = prog.jited_prog_insns = prog.func_info =
		    prog.line_info = prog.jited_ksyms = ADDRESS(scratch);
		prog.jited_func_lens = prog.jited_line_info = prog.prog_tags = ADDRESS(scratch);
		prog.nr_map_ids = byte(in);
		prog.xlated_prog_len = prog.jited_prog_len = byte(in) * 16u;
		prog.nr_func_info = prog.nr_line_info = prog.nr_jited_ksyms = byte(in);
		prog.func_info_rec_size = byte(in) & 1 ? 8 : 0;
		memcpy(at, &prog, MIN(size, sizeof(prog)));
	} else if (c->type == OBJ_BTF) {
		btf.btf = byte(in) & 1 ? ADDRESS(scratch) : 0;
		btf.name = byte(in) & 1 ? ADDRESS(scratch) : 0;
		btf.btf_size = btf.name_len = byte(in);
		if (!btf.btf)
			btf.btf_size = 0;
		memcpy(at, &btf, MIN(size, sizeof(btf)));
	}
}

static bool many_probes(const struct call *c)
{
	enum { UPROBE_MULTI = 48 /* BPF_TRACE_UPROBE_MULTI */ };

	return ((const struct attr_link_create *)(const void *)c->attr)->attach_type == UPROBE_MULTI;
}

static void put_pointers(struct call *c, struct input *in, int cmd)
{
	for (const struct cmd_ptr *p = cmd_pointers((u32)cmd); p && p->length; p++) {
		u64 *field = (u64 *)(void *)((u8 *)c->attr + p->offset), size;
		bool whole = !strcmp(p->length, "data_size_out");
		u8 *at;

		if (!strncmp(p->length, "MULTI_", 6) && !many_probes(c))
			continue; /* other links have other fields there */
		if (!strcmp(p->length, "STRING") || !strcmp(p->length, "MULTI_PATH")) {
			at = own(c, 64);
			snprintf((char *)at, 64, cmd == SYS_PROG_LOAD ? "GPL" : "%s/%u", folder,
				 byte(in) & 3);
			*field = ADDRESS(at);
			continue;
		}
		size = length(c, p->length);
		*field = 0;
		if (byte(in) >= 250)
			continue; /* nowhere */
		at =
		    own(c, whole && !size ? (size_t)SCRATCH : size); /* without a size, as much as there is */
		if (cmd == SYS_OBJ_GET_INFO_BY_FD) /* an unknown object's holds no pointers */
			fill_info(c, in, at, size);
		else
			fill_buffer(c, in, cmd, p->length, at, size);
		*field = ADDRESS(at);
	}
}

/* Nothing for what is no map: another object's info has other fields in the places of sizes. */
static void ask_map(struct call *c, s32 fd)
{
	struct attr_info a = {.bpf_fd = (u32)fd, .info_len = sizeof(c->map), .info = ADDRESS(&c->map)};
	struct obj *map;

	if (obj_by_fd(k, fd, OBJ_MAP, 0, &map))
		return;
	obj_put(map);
	skep_bpf(k, BPF_OBJ_GET_INFO_BY_FD, (union bpf_attr *)(void *)&a, sizeof(a));
}

static void put_descriptors(struct call *c, struct input *in, int cmd)
{
	bool first = true;

	for (const struct cmd_fd *f = cmd_descriptors((u32)cmd); f && f->offset != UINT32_MAX; f++) {
		struct held h;

		if (f->offset >= sizeof(c->attr))
			continue; /* what it returns */
		h = some(in, cmd == SYS_PROG_TEST_RUN ? (u32)OBJ_PROG : 0);
		*(s32 *)(void *)((u8 *)c->attr + f->offset) = h.fd;
		if (first && h.fd >= 0) {
			c->type = h.type;
			if (h.type == OBJ_MAP)
				ask_map(c, h.fd);
		}
		first = false;
	}
}

static void defaults(struct call *c, struct input *in, int cmd)
{
	struct attr_map_create *m = (struct attr_map_create *)(void *)c->attr;
	struct attr_prog_load *p = (struct attr_prog_load *)(void *)c->attr;

	switch (cmd) {
	case SYS_MAP_CREATE: {
		static const u32 keys[] = {4, 4, 0, 8, 4, 12, 4, 1};

		m->map_type = byte(in) % 34;
		m->key_size = keys[byte(in) & 7];
		m->value_size = byte(in) % 72;
		m->max_entries = m->map_type == BPF_MAP_TYPE_RINGBUF ? 4096 : byte(in) % 20;
		m->map_flags = byte(in) & 1 ? BPF_F_NO_PREALLOC : byte(in) & 1 ? BPF_F_MMAPABLE : 0;
		break;
	}
	case SYS_PROG_LOAD:
		p->prog_type = side_type(byte(in) % 7u);
		p->insn_cnt = 64 + byte(in);
		p->prog_flags = p->prog_type == BPF_PROG_TYPE_SYSCALL ? BPF_F_SLEEPABLE : 0;
		p->log_level = byte(in) & 1;
		p->log_size = p->log_level * 300;
		break;
	case SYS_BTF_LOAD:
		((struct attr_btf_load *)(void *)c->attr)->btf_size = 64;
		break;
	case SYS_PROG_TEST_RUN:
		((struct attr_test_run *)(void *)c->attr)->data_size_in = 64;
		((struct attr_test_run *)(void *)c->attr)->data_size_out = byte(in) * 4u;
		break;
	case SYS_OBJ_GET_INFO_BY_FD:
		((struct attr_info *)(void *)c->attr)->info_len = byte(in) * 2u;
		break;
	default:
		break;
	}
}

static void one_command(struct input *in, int cmd)
{
	struct call c = {0};
	u32 size = sizeof(c.attr), edits = byte(in) % 4u, most = cmd == SYS_LINK_CREATE ? 4 : 37;
	int ret;

	defaults(&c, in, cmd);
	put_descriptors(&c, in, cmd);
	for (u32 i = 0; i < edits; i++) {
		u32 where = byte(in) % most;

		((u32 *)(void *)c.attr)[where] = number(in);
	}
	if (cmd == SYS_PROG_TEST_RUN)
		BOUNDED(&c, test_run, repeat, 4);
	if (given_type(cmd) == OBJ_MAP) {
		BOUNDED(&c, map_create, max_entries, 70000);
		BOUNDED(&c, map_create, value_size, 5000);
	}
	if (cmd == SYS_LINK_CREATE && many_probes(&c))
		((struct attr_link_create *)(void *)c.attr)->multi.n = byte(in) % 8u;
	/* A descriptor that was changed may be another map's. */
	if (cmd_descriptors((u32)cmd) && cmd_descriptors((u32)cmd)->offset < sizeof(c.attr) && edits) {
		c.map = (struct bpf_map_info){0};
		ask_map(&c, *(s32 *)(void *)((u8 *)c.attr + cmd_descriptors((u32)cmd)->offset));
		c.type = 0;
	}
	put_pointers(&c, in, cmd);
	if (byte(in) > 240)
		size = byte(in) & ~7u; /* whole pointers */
	ret = skep_bpf(k, cmd, (union bpf_attr *)(void *)c.attr, size);
	if (ret >= 0 && gives_descriptor(cmd))
		take(ret, given_type(cmd), byte(in));
	while (c.n)
		free(c.buffer[--c.n]);
}

/* ---- what else a client does ---- */

static void scribble(struct input *in, s32 fd)
{
	int access = byte(in) & 1 ? PROT_READ | PROT_WRITE : PROT_READ;
	off_t from = (off_t)(byte(in) & 3) * 4096;
	u8 *p = mmap(NULL, 8192, access, MAP_SHARED, fd, from);
	volatile u8 *at = p;
	off_t size = lseek(fd, 0, SEEK_END);

	if (p == MAP_FAILED)
		return;
	if (size >= from + 8192 && !mprotect(p, 8192, PROT_READ | PROT_WRITE))
		for (u32 i = 0; i < 4; i++)
			at[byte(in) * 32u % 8192] = byte(in);
	munmap(p, 8192);
}

static void run(struct input *in, s32 fd)
{
	u8 frame[64] = {0}, ctx[96] = {0};
	struct skep_packet p = {.data = frame, .size = 14 + byte(in) % 50u};
	struct skep_run r = {.size = sizeof(r), .ctx = ctx, .ctx_size = byte(in) % 97u};

	if (skep_run_packets(k, fd, &p, 1, NULL, NULL) == -EINVAL)
		skep_run(k, fd, &r);
}

static void other(struct input *in, u32 what)
{
	struct held h = some(in, 0);
	u64 bytes = (u64)number(in) << 32 | number(in);

	if (h.fd < 3)
		return;
	switch (what) {
	case 0:
		take(-1, 0, byte(in));
		break;
	case 1:
		take(dup(h.fd), h.type, byte(in));
		break;
	case 2:
		(void)!pwrite(h.fd, &bytes, 8, byte(in) * 64);
		break;
	case 3:
		scribble(in, h.fd);
		break;
	case 4:
		(void)!ftruncate(h.fd, (off_t)number(in));
		break;
	case 5:
		run(in, h.fd);
		break;
	case 6:
		skep_poll_fd(k, h.fd);
		break;
	default: {
		char text[256];

		skep_trace_read(k, text, sizeof(text));
	}
	}
}

/* Programs can be attached to what tasks do; nothing happens. */
static void start(void)
{
	static const struct task_door door = {0};
	struct skep_options opts = {.size = sizeof(opts),
				    .max_insns = 20000,
				    .window = 1u << 30,
				    .max_map_bytes = 1u << 26,
				    .max_verify_bytes = 4 << 20};

	if (skep_open(&k, &opts) || (!scratch && (!(scratch = malloc(SCRATCH)) || !mkdtemp(folder))))
		abort();
	tasks_door(k, &door);
	for (u32 i = 0; i < FDS; i++)
		held[i].fd = -1;
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input in = {data, data + size};
	static u32 inputs;

	if (!k)
		start();
	for (u32 i = 0; i < CALLS && in.at < in.end; i++) {
		u32 what = byte(&in) % (COMMANDS + OTHERS);

		if (what < COMMANDS)
			one_command(&in, (int)what);
		else
			other(&in, what - COMMANDS);
	}
	for (u32 i = 0; i < FDS; i++)
		take(-1, 0, (u8)i);
	for (u32 i = 0; i < 4; i++) {
		char path[64];

		snprintf(path, sizeof(path), "%s/%u", folder, i);
		unlink(path);
	}
	if (++inputs % ENGINE_LASTS == 0) {
		skep_close(k);
		k = NULL;
	}
	return 0;
}
