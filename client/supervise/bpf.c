/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bpf(2) of another process. sys/cmd.def says which fields of a command are pointers and descriptors: what they point to is copied into memory of
 * this process, descriptors become the engine's, the command runs, and what it changed goes back. Nothing is read twice from the client.
 *
 * Descriptors also hide in instructions, in fd_array and in the values of maps; OBJ_GET_INFO_BY_FD has pointers inside of what it points
 * to (info.c).
 */
#include "client/supervise/transport.h"

#include "hook/tasks.h"

#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define PTR(x) ((void *)(uintptr_t)(x))

enum { MOST_BYTES = 256 << 20 /* of all copies of one call */, MOST_PROBES = 1 << 20, UPROBE_MULTI = 48 /* BPF_TRACE_UPROBE_MULTI */ };

/* ---- copies ---- */

/* A byte more than is needed, so that even nothing has an address. Pages that nobody touches cost nothing: logs are asked for with megabytes. */
static u8 *make_room(struct transport *t, struct copy *c, size_t room)
{
	u8 *p = t->small + t->small_used;

	if (room <= sizeof(t->small) - t->small_used) {
		t->small_used += (u32)ALIGN_UP(room, 8);
		t->small_used = MIN(t->small_used, (u32)sizeof(t->small));
		*p = 0;
		return p;
	}
	c->room = room;
	p = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	return p == MAP_FAILED ? NULL : p;
}

struct copy *transport_copy(struct transport *t, u64 remote, u64 size, enum copy_way way)
{
	struct copy *c;
	int err;

	if (t->n_copies == ARRAY_SIZE(t->copies) || size > MOST_BYTES - t->bytes) {
		t->error = -ENOMEM;
		return NULL;
	}
	c = &t->copies[t->n_copies];
	*c = (struct copy){.remote = remote, .size = size, .way = way};
	c->local = make_room(t, c, (size_t)size * (way == COPY_BOTH ? 2 : 1) + 1);
	if (!c->local) {
		t->error = -ENOMEM;
		return NULL;
	}
	t->n_copies++;
	t->bytes += size;
	err = way == COPY_TEXT_OUT || way == COPY_FRAME_OUT ? 0 : remote_get(t->call->tid, remote, c->local, size);
	if (err) {
		t->error = -EFAULT;
		if (err == -EPERM)
			transport_unreadable(t);
		return NULL;
	}
	if (way == COPY_BOTH)
		memcpy(c->local + size, c->local, size);
	return c;
}

void transport_unreadable(struct transport *t)
{
	struct super *s = t->call->s;
	bool say;

	pthread_mutex_lock(&s->lock);
	say = !s->said_memory;
	s->said_memory = true;
	pthread_mutex_unlock(&s->lock);
	if (say)
		super_say(s, "process %d keeps its memory to itself, so its bpf calls fail; `skep doctor` says what this host allows", t->call->tid);
}

/* The bytes from the first to the last that differ: others may be another thread's to write. */
static int put_changes(pid_t tid, u64 remote, const u8 *now, const u8 *before, u64 size)
{
	u64 from = 0, to = size;

	if (!memcmp(now, before, size))
		return 0;
	while (now[from] == before[from])
		from++;
	while (now[to - 1] == before[to - 1])
		to--;
	return remote_put(tid, remote + from, now + from, to - from);
}

static int copies_back(struct transport *t)
{
	int err = 0;

	for (u32 i = 0; i < t->n_copies; i++) {
		const struct copy *c = &t->copies[i];
		u64 len = 0;

		if (c->way == COPY_BOTH && put_changes(t->call->tid, c->remote, c->local, c->local + c->size, c->size))
			err = -EFAULT;
		if (c->way == COPY_FRAME_OUT) {
			len = MIN((u64)((const struct attr_test_run *)(const void *)t->attr)->data_size_out, c->size);
			err = remote_put(t->call->tid, c->remote, c->local, len) ? -EFAULT : err;
		}
		if (c->way != COPY_TEXT_OUT)
			continue;
		len = strnlen((const char *)c->local, c->size);
		if (c->size && remote_put(t->call->tid, c->remote, c->local, len < c->size ? len + 1 : len))
			err = -EFAULT;
	}
	return err;
}

static void copies_free(struct transport *t)
{
	for (u32 i = 0; i < t->n_copies; i++)
		if (t->copies[i].room)
			munmap(t->copies[i].local, t->copies[i].room);
	for (u32 i = 0; i < t->n_fds; i++)
		local_fd_close(&t->fds[i]);
	free(t->fds);
}

/* ---- descriptors ---- */

int transport_fd(struct transport *t, int fd, struct obj **o)
{
	struct local_fd *grown, l;

	if (o)
		*o = NULL;
	local_fd_open(t->call, fd, &l);
	if (!l.o && !l.own)
		return l.fd;
	grown = realloc(t->fds, (t->n_fds + 1) * sizeof(*grown));
	if (!grown) {
		local_fd_close(&l);
		t->error = -ENOMEM;
		return -1;
	}
	t->fds = grown;
	t->fds[t->n_fds++] = l;
	if (o)
		*o = l.o;
	return l.fd;
}

/* 0 is "none" in most places; it is translated only where the client's descriptor 0 is an object. Numbers that are no descriptor of the
 * client may mean something else (a network device): they stay. */
static void translate_field(struct transport *t, u32 offset)
{
	s32 fd = LOAD_AS(s32, t->attr + offset);
	struct obj *o;
	int local;

	if (offset + sizeof(u32) > t->size || fd < 0)
		return;
	local = transport_fd(t, fd, &o);
	if (o && t->n_fields < ARRAY_SIZE(t->fields)) {
		if (o->type == OBJ_MAP && !t->map)
			t->map = obj_map(o);
		if (!t->object)
			t->object = o;
	} else if (!o && fd == 0) {
		return;
	}
	if (t->n_fields == ARRAY_SIZE(t->fields))
		return;
	t->fields[t->n_fields++] = (struct field){offset, 4, (u32)fd, (u32)local};
	STORE_AS(s32, t->attr + offset, local);
}

/* The number of a network device, which may be that of a descriptor, too. */
static bool is_device(const struct transport *t, u32 offset)
{
	switch (t->cmd) {
	case SYS_PROG_ATTACH:
	case SYS_PROG_DETACH:
		return offset == offsetof(struct attr_prog_attach, target) &&
		       attach_names_device(((const struct attr_prog_attach *)(const void *)t->attr)->attach_type);
	case SYS_PROG_QUERY:
		return offset == offsetof(struct attr_prog_query, target) &&
		       attach_names_device(((const struct attr_prog_query *)(const void *)t->attr)->attach_type);
	case SYS_LINK_CREATE:
		return offset == offsetof(struct attr_link_create, target) &&
		       attach_names_device(((const struct attr_link_create *)(const void *)t->attr)->attach_type);
	default: return false;
	}
}

static void translate_fields(struct transport *t)
{
	for (const struct cmd_fd *f = cmd_descriptors((u32)t->cmd); f && f->offset != UINT32_MAX; f++)
		if (f->offset != CMD_FD_RESULT && !is_device(t, f->offset))
			translate_field(t, f->offset);
}

static bool gives_fd(int cmd)
{
	for (const struct cmd_fd *f = cmd_descriptors((u32)cmd); f && f->offset != UINT32_MAX; f++)
		if (f->offset == CMD_FD_RESULT)
			return true;
	return false;
}

/* Maps and BTF that instructions name. */
static void translate_insns(struct transport *t, const struct copy *c)
{
	for (u64 i = 0; c && i + 1 < c->size / sizeof(struct bpf_insn); i++) {
		struct bpf_insn *insn = (struct bpf_insn *)(void *)c->local + i;

		if (insn->code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		if (insn->src_reg == BPF_PSEUDO_MAP_FD || insn->src_reg == BPF_PSEUDO_MAP_VALUE)
			insn->imm = transport_fd(t, insn->imm, NULL);
		else if (insn->src_reg == BPF_PSEUDO_BTF_ID && insn[1].imm)
			insn[1].imm = transport_fd(t, insn[1].imm, NULL);
	}
}

/* How much of fd_array instructions use. A count that no array has is refused before anybody looks into it. */
static u32 fd_array_entries(const struct transport *t)
{
	const struct attr_prog_load *a = (const struct attr_prog_load *)(const void *)t->attr;
	u32 n = a->fd_array_cnt < UINT32_MAX / sizeof(s32) ? a->fd_array_cnt : 0;

	for (u32 i = 0; t->insns && i < t->insns->size / sizeof(struct bpf_insn); i++) {
		const struct bpf_insn *insn = (const struct bpf_insn *)(const void *)t->insns->local + i;

		if (insn->code == (BPF_LD | BPF_IMM | BPF_DW) && (insn->src_reg == BPF_PSEUDO_MAP_IDX || insn->src_reg == BPF_PSEUDO_MAP_IDX_VALUE))
			n = MAX(n, (u32)insn->imm + 1);
		if (insn->code == (BPF_JMP | BPF_CALL) && insn->src_reg == BPF_PSEUDO_KFUNC_CALL && insn->off > 0)
			n = MAX(n, (u32)insn->off + 1);
	}
	return n;
}

static void translate_array(struct transport *t, const struct copy *c)
{
	for (u64 i = 0; c && i < c->size / sizeof(s32); i++)
		((s32 *)(void *)c->local)[i] = transport_fd(t, ((s32 *)(void *)c->local)[i], NULL);
}

/* Values that are, or carry, descriptors (map/kinds.def). A program to run behind a device or CPU map follows a word of its own. */
static void translate_values(struct transport *t, const struct copy *c)
{
	const struct map *m = t->map;
	u64 each = map_value_bytes(m), at = 0;
	const struct map_rules *rules = map_rules(m->spec.kind);
	bool follows = m->ops->traits & KIND_PROGRAMS && !(m->ops->traits & KIND_FD_VALUES);
	bool socket = rules && (rules->gives == GIVES_SOCKET || rules->gives == GIVES_XDP_SOCKET || map_allows(m->spec.kind, MAP_USE_select_sock));

	if (!c || (!(m->ops->traits & KIND_FD_VALUES) && !follows && !socket) || (follows && each != 8))
		return;
	for (at = follows ? 4 : 0; at + 4 <= c->size; at += each) {
		s32 fd = LOAD_AS(s32, c->local + at);

		if (!follows || fd > 0)
			STORE_AS(s32, c->local + at, transport_fd(t, fd, NULL));
	}
}

/* ---- lengths, as cmd.def names them ---- */

enum { NO_LENGTH = UINT32_MAX };

static u64 field_length(const struct transport *t, const char *name)
{
	static const struct {
		const char *name;
		u32 offset;
	} fields[] = {
		{"data_size_in", offsetof(struct attr_test_run, data_size_in)}, {"data_size_out", offsetof(struct attr_test_run, data_size_out)},
		{"ctx_size_in", offsetof(struct attr_test_run, ctx_size_in)},	{"ctx_size_out", offsetof(struct attr_test_run, ctx_size_out)},
		{"info_len", offsetof(struct attr_info, info_len)},		{"btf_size", offsetof(struct attr_btf_load, btf_size)},
		{"btf_log_size", offsetof(struct attr_btf_load, btf_log_size)},
	};

	for (u32 i = 0; i < ARRAY_SIZE(fields); i++)
		if (!strcmp(fields[i].name, name))
			return LOAD_AS(u32, t->attr + fields[i].offset);
	return NO_LENGTH;
}

/* Names are no longer than paths, however much room a client says that it has: bpftool says so of memory that it has not set. */
static u64 name_length(const struct transport *t)
{
	return MIN(((const struct attr_task_fd_query *)(const void *)t->attr)->buf_len, (u32)PATH_MAX + 1);
}

static u64 length_of(const struct transport *t, const char *name)
{
	const struct attr_prog_load *load = (const struct attr_prog_load *)(const void *)t->attr;
	const struct attr_map_batch *batch = (const struct attr_map_batch *)(const void *)t->attr;
	u64 key = t->map ? t->map->spec.key_size : 0, value = t->map ? map_value_bytes(t->map) : 0;

	if (!strcmp(name, "KEY"))
		return key;
	if (!strcmp(name, "VALUE"))
		return value;
	if (!strcmp(name, "KEYS"))
		return key * batch->count;
	if (!strcmp(name, "VALUES"))
		return value * batch->count;
	if (!strcmp(name, "CURSOR"))
		return MAX(key, sizeof(u32));
	if (!strcmp(name, "LOG"))
		return load->log_size;
	if (!strcmp(name, "INSNS")) /* longer ones are refused before they are looked at */
		return load->insn_cnt > PROG_MAX_INSNS ? 0 : load->insn_cnt * sizeof(struct bpf_insn);
	if (!strcmp(name, "FUNC_INFO"))
		return (u64)load->func_info_cnt * load->func_info_rec_size;
	if (!strcmp(name, "LINE_INFO"))
		return (u64)load->line_info_cnt * load->line_info_rec_size;
	if (!strcmp(name, "CORE_RELOS"))
		return (u64)load->core_relo_cnt * load->core_relo_rec_size;
	if (!strcmp(name, "MULTI_ARRAY")) { /* as with instructions */
		u32 n = ((const struct attr_link_create *)(const void *)t->attr)->multi.n;

		return n > MOST_PROBES ? 0 : (u64)n * sizeof(u64);
	}
	if (!strcmp(name, "buf_len"))
		return name_length(t);
	if (!strcmp(name, "FD_ARRAY"))
		return (u64)fd_array_entries(t) * sizeof(s32);
	return field_length(t, name);
}

static struct copy *copy_text(struct transport *t, u64 remote)
{
	char text[PATH_MAX];
	int n = remote_text(t->call->tid, remote, text, sizeof(text));
	struct copy *c;

	if (n < 0) {
		t->error = n == -ENAMETOOLONG ? n : -EFAULT;
		return NULL;
	}
	c = transport_copy(t, remote, (u64)n + 1, COPY_IN);
	if (c) /* what was read first counts */
		memcpy(c->local, text, (size_t)n + 1);
	return c;
}

static void translate_pointer(struct transport *t, const struct cmd_ptr *p)
{
	enum { FRAME_MOST = 1 << 18 }; /* packets do not grow beyond */
	bool multi = !strncmp(p->length, "MULTI_", 6); /* fields that mean something else in other links */
	bool text = !strcmp(p->length, "STRING") || !strcmp(p->length, "MULTI_PATH"), log = strstr(p->length, "LOG") || strstr(p->length, "log") || !strcmp(p->length, "buf_len");
	bool frame = !strcmp(p->length, "data_size_out") && !length_of(t, p->length); /* as much as there is */
	u64 remote = LOAD_AS(u64, t->attr + p->offset);
	struct copy *c;

	if (multi && ((const struct attr_link_create *)(const void *)t->attr)->attach_type != UPROBE_MULTI)
		return;
	if (!remote || p->offset + sizeof(u64) > t->size || t->error || t->n_fields == ARRAY_SIZE(t->fields))
		return;
	c = text    ? copy_text(t, remote)
	    : frame ? transport_copy(t, remote, FRAME_MOST, COPY_FRAME_OUT)
		    : transport_copy(t, remote, length_of(t, p->length), !p->out ? COPY_IN : log ? COPY_TEXT_OUT : COPY_BOTH);
	if (!c)
		return;
	t->fields[t->n_fields++] = (struct field){p->offset, 8, remote, (u64)(uintptr_t)c->local};
	STORE_AS(u64, t->attr + p->offset, (u64)(uintptr_t)c->local);
	if (!strcmp(p->length, "INSNS")) {
		t->insns = c;
		translate_insns(t, c);
	}
	if (!strcmp(p->length, "FD_ARRAY"))
		translate_array(t, c);
	if (!p->out && t->map && (!strcmp(p->length, "VALUE") || !strcmp(p->length, "VALUES")))
		translate_values(t, c);
}

static void translate_pointers(struct transport *t)
{
	for (const struct cmd_ptr *p = cmd_pointers((u32)t->cmd); p && p->length; p++)
		translate_pointer(t, p);
}

/* ---- commands with more to them ---- */

/* Of the process that asks; what others have mapped is found by nobody, and programs are safe from it all the same (map_freeze()). */
static int freeze(struct transport *t)
{
	int fd = (int)((struct attr_map_elem *)(void *)t->attr)->map_fd;

	if (t->map && !t->map->frozen && os_maps_writable(remote_tgid(t->call->tid), fd, NULL, 0))
		return -EBUSY;
	return skep_bpf(t->call->s->k, t->cmd, (union bpf_attr *)(void *)t->attr, t->size);
}

static int test_run(struct transport *t)
{
	struct task_info who;
	int err;

	acting_begin(t->call->s, t->call->tid, &who);
	err = skep_bpf(t->call->s->k, t->cmd, (union bpf_attr *)(void *)t->attr, t->size);
	acting_end(t->call->s);
	return err;
}

static int run(struct transport *t)
{
	if (t->error)
		return t->error;
	switch (t->cmd) {
	case SYS_OBJ_GET_INFO_BY_FD: return transport_info(t);
	case SYS_MAP_FREEZE: return freeze(t);
	case SYS_OBJ_PIN:
	case SYS_OBJ_GET: return transport_pin(t);
	case SYS_PROG_TEST_RUN: return test_run(t);
	default: return skep_bpf(t->call->s->k, t->cmd, (union bpf_attr *)(void *)t->attr, t->size);
	}
}

/* Pointers and descriptors become the client's again; where the command wrote over one, its result stays. */
static void restore_fields(struct transport *t)
{
	for (u32 i = 0; i < t->n_fields; i++) {
		const struct field *f = &t->fields[i];

		if (f->size == 8 && LOAD_AS(u64, t->attr + f->offset) == f->local)
			STORE_AS(u64, t->attr + f->offset, f->remote);
		if (f->size == 4 && LOAD_AS(u32, t->attr + f->offset) == (u32)f->local)
			STORE_AS(u32, t->attr + f->offset, (u32)f->remote);
	}
}

static int read_attr(struct transport *t, u8 *before)
{
	const struct call *c = t->call;
	int err;

	if (c->args[2] > 4096 && (u32)c->args[2] > 4096)
		return -E2BIG;
	t->size = (u32)c->args[2];
	err = remote_get(c->tid, c->args[1], t->attr, t->size);
	if (err) {
		if (err == -EPERM)
			transport_unreadable(t);
		return -EFAULT;
	}
	memcpy(before, t->attr, t->size);
	return 0;
}

struct answer serve_bpf(struct call *c)
{
	u8 attr[4096 + 8] __attribute__((aligned(8))), before[4096];
	struct transport t;
	struct answer a;
	int ret;

	if (serve_element(c, &a))
		return a;
	if (c->args[0] == BPF_ASKS_INSIDE)
		return answer_value(-EBUSY);
	call_slow(c);
	memset(attr, 0, sizeof(attr));
	memset(&t, 0, offsetof(struct transport, small));
	t.call = c;
	t.attr = attr;
	t.cmd = (int)c->args[0];
	ret = read_attr(&t, before);

	atomic_fetch_add(&c->s->calls, 1);
	if (ret)
		return answer_value(ret);
	client_seen(c->s, c->tid);
	translate_fields(&t);
	translate_pointers(&t);
	ret = run(&t);
	restore_fields(&t);
	if (copies_back(&t) && ret >= 0 && !gives_fd(t.cmd))
		ret = -EFAULT;
	if (t.size && put_changes(c->tid, c->args[1], attr, before, t.size) && ret >= 0 && !gives_fd(t.cmd))
		ret = -EFAULT;
	copies_free(&t);
	return ret >= 0 && gives_fd(t.cmd) ? answer_fd(ret, true) : answer_value(ret);
}
