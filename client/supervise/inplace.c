/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lookups that clients answer themselves: see inplace.h. The thread that answers a client's call asks for a visit (visit.c), in which what is needed is mapped
 * there. Nothing is kept here of any process: what it has is seen in its memory.
 */
#include "client/supervise/inplace.h"

#include "client/supervise/space.h"
#include "sys/sys.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { OFTEN = 64 /* lookups before the first try */, USER_CS = 0x33, JUMP = 12 };

/* ---- asking: any thread ---- */

static bool suits_map(const struct obj *o)
{
	static const u64 kinds = 1u << BPF_MAP_TYPE_HASH | 1u << BPF_MAP_TYPE_ARRAY | 1u << BPF_MAP_TYPE_PERCPU_HASH | 1u << BPF_MAP_TYPE_PERCPU_ARRAY |
				 1u << BPF_MAP_TYPE_LRU_HASH | 1u << BPF_MAP_TYPE_LRU_PERCPU_HASH;
	const struct map *m = obj_map(o);

	return kinds >> m->spec.kind & 1 && !m->record.n && !m->client.base && m->meta.fd >= 0 && m->pin_fd <= 0 && !m->settled && !o->limited &&
	       m->spec.key_size <= INPLACE_KEY && map_value_bytes(m) <= INPLACE_VALUE;
}

/* How often so far: threads that count at the same time may lose some. */
static u32 count(struct inplace_want *w, const struct call *c, const struct obj *o)
{
	u64 mix = (o->ino ^ (u64)c->tid << 32) * 0x9e3779b97f4a7c15ull, who = mix >> 32 << 32, x;
	_Atomic u64 *found = &w->found[mix >> 32 & (ARRAY_SIZE(w->found) - 1)];

	x = atomic_load_explicit(found, memory_order_relaxed);
	x = (x >> 32 << 32 == who ? x : who) + 1;
	atomic_store_explicit(found, x, memory_order_relaxed);
	return (u32)x;
}

void inplace_found(struct call *c, struct obj *o)
{
	u32 times = c->ip ? count(&c->s->inplace, c, o) : 0;

	if (times < OFTEN || times & (times - 1) || !suits_map(o) || !visit_begin(c, 0))
		return;
	c->s->visit.object = o;
	obj_get(o);
	visit_ask(c);
}

/* ---- is it glibc's syscall(3), and as it was or as it was left here? ---- */

static const u8 begins[JUMP] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x48, 0x89, 0xca}; /* mov %rdi, %rax .. mov %rcx, %rdx */
static const u8 goes_on[] = {0x4d, 0x89, 0xc2, 0x4d, 0x89, 0xc8, 0x4c, 0x8b, 0x4c, 0x24, 8, /* mov %r8, %r10; mov %r9, %r8; mov 8(%rsp), %r9 */
			     0x0f, 0x05, 0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff}; /* syscall; cmp $-4095, %rax */
enum { TO_CALL = JUMP + 13 };

struct site {
	pid_t tid;
	u64 at; /* of the function */
	u64 base; /* of the code; 0: not there yet */
};

static u64 table_at(const struct site *s)
{
	return s->base + INPLACE_CODE;
}

static bool find_site(struct site *s, pid_t tid, u64 ip)
{
	u8 code[JUMP + sizeof(goes_on)];
	u64 entry;

	*s = (struct site){.tid = tid, .at = ip - TO_CALL};
	if (remote_get(tid, s->at, code, sizeof(code)) || memcmp(code + JUMP, goes_on, sizeof(goes_on)))
		return false;
	if (!memcmp(code, begins, JUMP))
		return true;
	entry = LOAD_AS(u64, code + 2);
	s->base = entry - (u64)(inplace_entry - __start_skep_inplace);
	return code[0] == 0x48 && code[1] == 0xb8 && code[10] == 0xff && code[11] == 0xe0 &&
	       !remote_get(tid, table_at(s) + offsetof(struct inplace, mark), &entry, sizeof(entry)) && entry == INPLACE_SECTION;
}

/* ---- what the client gets ---- */

static bool is_error(u64 result)
{
	return result > -4096ull;
}

/* A file of ours, for reading only: its address there; 0: failed. */
static u64 map_file(struct injection *i, int fd, u64 size)
{
	int there = inject_open(i, fd, false);
	u64 at;

	if (there < 0)
		return 0;
	at = (u64)inject_call(i, SYS_mmap, (u64[6]){0, size, PROT_READ, MAP_SHARED, (u64)there, 0});
	inject_call(i, SYS_close, (u64[6]){(u64)there});
	return is_error(at) ? 0 : at;
}

static bool open_switch(struct tree *t)
{
	struct inplace_want *w = &t->s->inplace;
	int fd;

	if (w->on)
		return true;
	fd = os_memfd("skep-inplace", 4096, F_SEAL_SHRINK | F_SEAL_GROW);
	if (fd < 0)
		return false;
	w->on = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (w->on == MAP_FAILED || fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE)) {
		w->on = NULL;
		close(fd);
		return false;
	}
	w->on_fd = fd;
	atomic_store(w->on, !t->unplaced);
	return true;
}

void inplace_switch(struct tree *t, bool off)
{
	t->unplaced = off;
	if (t->s->inplace.on)
		atomic_store(t->s->inplace.on, !off);
}

static bool write_code(struct injection *i, struct site *s, u64 base)
{
	u64 size = (u64)(__stop_skep_inplace - __start_skep_inplace), on = map_file(i, i->t->s->inplace.on_fd, 4096);
	struct proc_stat st;
	struct inplace head = {.back = s->at + JUMP, .mark = INPLACE_SECTION, .on = (const _Atomic u32 *)(uintptr_t)on};
	u8 jump[JUMP] = {0x48, 0xb8, [10] = 0xff, 0xe0}; /* movabs $entry, %rax; jmp *%rax */

	if (!on || !proc_stat(s->tid, &st))
		return false;
	head.stack_end = st.stack;
	STORE_AS(u64, jump + 2, base + (u64)(inplace_entry - __start_skep_inplace));
	if (remote_put(s->tid, base, __start_skep_inplace, size) || remote_put(s->tid, base + INPLACE_CODE, &head, offsetof(struct inplace, map)) ||
	    inject_call(i, SYS_mprotect, (u64[6]){base, INPLACE_CODE, PROT_READ | PROT_EXEC}))
		return false;
	s->base = base;
	return space_poke(s->tid, s->at, jump, JUMP, true) == JUMP;
}

/* While another thread might stand among the bytes, or a signal's return might lead there, they stay. */
static bool place_code(struct injection *i, struct site *s)
{
	const u64 size = INPLACE_CODE + ALIGN_UP(sizeof(struct inplace), (u64)4096);
	struct proc_stat st;
	u64 base;

	if (!proc_stat(s->tid, &st) || st.threads != 1 || stack_names(s->tid, i->regs->rsp, s->at + 1, s->at + JUMP, true) || !open_switch(i->t))
		return false;
	base = (u64)inject_call(i, SYS_mmap, (u64[6]){0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, (u64)-1, 0});
	if (is_error(base))
		return false;
	if (write_code(i, s, base))
		return true;
	inject_call(i, SYS_munmap, (u64[6]){base, size});
	return false;
}

static const u8 *moved(const struct map *m, u64 there, const void *at)
{
	return (const u8 *)(uintptr_t)(there + (u64)((const u8 *)at - m->meta.base));
}

static void describe(const struct obj *o, u64 there, struct inplace_map *out)
{
	const struct map *m = obj_map(o);
	bool per_cpu = m->ops->traits & KIND_PER_CPU;

	*out = (struct inplace_map){.dev = o->dev, .ino = o->ino, .head = (const struct map_header *)(uintptr_t)there, .size = m->meta.size, .key_size = m->spec.key_size,
				    .max_entries = m->spec.max_entries, .elem_size = m->elem_size};
	out->pieces = per_cpu ? domain_cpus(m->domain) : 1;
	out->piece = per_cpu ? m->elem_size : m->spec.value_size;
	out->stride = m->ops->traits & KIND_INDEXED ? m->cpu_stride : m->elem_size;
	if (m->ops->traits & KIND_INDEXED) {
		out->values = moved(m, there, m->values);
		return;
	}
	out->hash = *hash_of(m);
	out->hash.buckets = (struct hash_bucket *)(uintptr_t)moved(m, there, out->hash.buckets);
	out->hash.nodes = (u8 *)(uintptr_t)moved(m, there, out->hash.nodes);
}

/* No thread may be at it, nor one that a signal has interrupted. */
static bool clear_map(struct injection *i, const struct site *s, u64 at)
{
	u64 ino = 0, head, size;
	struct proc_stat st;

	if (!proc_stat(s->tid, &st) || st.threads != 1 || stack_names(s->tid, i->regs->rsp, s->base, s->base + INPLACE_CODE, true) ||
	    remote_put(s->tid, at + offsetof(struct inplace_map, ino), &ino, sizeof(ino)) ||
	    remote_get(s->tid, at + offsetof(struct inplace_map, head), &head, sizeof(head)) ||
	    remote_get(s->tid, at + offsetof(struct inplace_map, size), &size, sizeof(size)))
		return false;
	return !inject_call(i, SYS_munmap, (u64[6]){head, size});
}

static bool has_left(const struct site *s, const struct inplace_map *m)
{
	u32 left;

	return !remote_get(s->tid, (u64)(uintptr_t)m->head + offsetof(struct map_header, left), &left, sizeof(left)) && left;
}

/* A place in the table, the n-th or that of a map that has left; INPLACE_MAPS: there is none, or it has a place. */
static u32 find_place(struct injection *i, const struct site *s, const struct obj *o, u32 n)
{
	u64 at = table_at(s) + offsetof(struct inplace, map);
	u32 place = n;

	for (u32 k = 0; k < n; k++) {
		struct inplace_map m;

		if (remote_get(s->tid, at + k * sizeof(m), &m, offsetof(struct inplace_map, hash)))
			return INPLACE_MAPS;
		if (has_left(s, &m))
			place = k;
		else if (m.ino == o->ino && m.dev == o->dev)
			return INPLACE_MAPS;
	}
	return place < n && !clear_map(i, s, at + place * sizeof(struct inplace_map)) ? INPLACE_MAPS : place;
}

/* The table is the client's: what it says is believed as far as it harms the client only. */
static void place_map(struct injection *i, const struct site *s, const struct obj *o)
{
	u64 n_at = table_at(s) + offsetof(struct inplace, n), there;
	struct inplace_map m;
	u32 n, place;

	if (remote_get(s->tid, n_at, &n, sizeof(n)) || n > INPLACE_MAPS)
		return;
	place = find_place(i, s, o, n);
	there = place < INPLACE_MAPS ? map_file(i, obj_map(o)->meta.fd, obj_map(o)->meta.size) : 0;
	if (!there)
		return;
	describe(o, there, &m);
	if (remote_put(s->tid, table_at(s) + offsetof(struct inplace, map) + place * sizeof(m), &m, sizeof(m)) || place < n)
		return;
	n++;
	remote_put(s->tid, n_at, &n, sizeof(n));
}

void inplace_stopped(struct tree *t, struct traced *p)
{
	const struct visit *w = &t->s->visit;
	struct user_regs_struct regs;
	struct injection i = {0};
	struct site s;

	if (!t->unplaced && !ptrace(PTRACE_GETREGS, p->tid, 0, &regs) && regs.cs == USER_CS && regs.rip == w->ip && suits_map(w->object) &&
	    find_site(&s, p->tid, w->ip) && !is_filtered(t, p) && inject_begin(&i, t, p, &regs) && (s.base || place_code(&i, &s)))
		place_map(&i, &s, w->object);
	inject_end(&i);
}
