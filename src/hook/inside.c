/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that run inside of other processes. Such a program is compiled a second time, so that it calls nothing of this process: helpers are the few routines
 * below and in inside_code.c, which lie in a region of the window like code and maps, at the same address everywhere. What a program needs besides keeps it here.
 *
 *  1. To be written to, only values are lent: those of arrays, and of hashes with the nodes around them, which nobody trusts who reads them. Nor is the room
 *     in the window of what was lent used again.
 *  2. Code, constants, and the buckets and locks of hashes are lent for reading only.
 *  3. Routines use general registers only, and of a process only what struct task_inside says.
 */
#include "hook/hooks.h"

#include "hook/inside_code.h"
#include "jit/jit.h"

#include <fcntl.h>
#include <sys/auxv.h>
#include <stdio.h>
#include <unistd.h>

enum { MOST_STACK = 1024 /* bytes that a program may take of a task's stack */, ROUTINES = 4096 /* bytes of those in assembly */, MAPS = 512, MAP_ROOM = 1024 };
_Static_assert(sizeof(struct inside_map) <= MAP_ROOM, "a map's place in a table");

struct inside {
	plain_lock lock; /* guards compiling */
	struct region region; /* the routines, and room for what each process has behind them */
	struct region maps; /* struct inside_map, MAP_ROOM bytes each; behind them struct inside_cpus */
	struct region leases;
	u32 n_maps;
	struct run_host host;
	helper_fn *body[HELPER_get_attach_cookie + 1];
};

#ifdef __x86_64__

#define DATA "16384"
/* enter: %rdi, %rsi; a return is remembered in one of the four places that its slot hashes to, so that it is found without knowing the thread. */
__asm__(".pushsection .rodata\n"
	".balign 64\n"
	"inside_image:\n"
	"inside_pid_tgid_abi:\n"
	"	mov %fs:0, %rax\n"
	"	jmp 3f\n"
	".balign 16\n"
	"inside_pid_tgid:\n"
	"	rdfsbase %rax\n"
	"3:	shl $16, %rax\n"
	"	movabs $0x9e3779b97f4a7c15, %rcx\n"
	"	imul %rax, %rcx\n"
	"	shr $55, %rcx\n"
	"	lea inside_image+" DATA "(%rip), %rdx\n"
	"	mov 64(%rdx,%rcx,8), %rsi\n"
	"	xor %rax, %rsi\n"
	"	mov %rsi, %rdi\n"
	"	shr $22, %rdi\n"
	"	jz 1f\n"
	"	xor $1, %ecx\n"
	"	mov 64(%rdx,%rcx,8), %rsi\n"
	"	xor %rax, %rsi\n"
	"	mov %rsi, %rdi\n"
	"	shr $22, %rdi\n"
	"	jnz 2f\n"
	"1:	mov %rsi, %rax\n"
	"	test %rsi, %rsi\n"
	"	jz 2f\n"
	"	or (%rdx), %rax\n"
	"	ret\n"
	"2:	mov $39, %eax\n" /* getpid(2), gettid(2) */
	"	syscall\n"
	"	mov %rax, %rdi\n"
	"	shl $32, %rdi\n"
	"	mov $186, %eax\n"
	"	syscall\n"
	"	or %rdi, %rax\n"
	"	ret\n"
	".balign 16\n"
	"inside_ktime:\n"
	"	sub $24, %rsp\n"
	"	lea inside_image+" DATA "(%rip), %rax\n"
	"	mov %rsp, %rsi\n"
	"	mov $1, %edi\n"
	"	call *8(%rax)\n"
	"	imul $1000000000, (%rsp), %rax\n"
	"	add 8(%rsp), %rax\n"
	"	add $24, %rsp\n"
	"	ret\n"
	".balign 16\n"
	"inside_cookie:\n"
	"	mov 8(%rdi), %rax\n"
	"	ret\n"
	".balign 16\n"
	"inside_func_ip:\n"
	"	mov 16(%rdi), %rax\n"
	"	ret\n"
	".balign 16\n"
	"inside_ask:\n" /* a call that the engine answers, unless it is about to leave */
	"	mov $-16, %rax\n"
	"	cmpl $0, inside_image+" DATA "+24(%rip)\n"
	"	jne 1f\n"
	"inside_ask_trap:\n"
	"	int3\n"
	"1:	ret\n"
	".balign 16\n"
	"inside_enter:\n"
	"	mov (%rdi), %rdx\n"
	"	cmp %rsi, %rdx\n" /* it jumped to itself */
	"	je 4f\n"
	"	movabs $0x9e3779b97f4a7c15, %rcx\n"
	"	imul %rdi, %rcx\n"
	"	shr $54, %rcx\n"
	"	shl $7, %rcx\n"
	"	lea inside_image+" DATA "(%rip), %r8\n"
	"	lea 4160(%r8,%rcx), %r9\n"
	"	lea 128(%r9), %r10\n"
	"1:	cmp %rdi, (%r9)\n" /* what longjmp() left behind */
	"	jne 2f\n"
	"	cmp %rsi, 8(%r9)\n"
	"	je 3f\n"
	"2:	add $32, %r9\n"
	"	cmp %r10, %r9\n"
	"	jne 1b\n"
	"	add $-128, %r9\n"
	"5:	xor %eax, %eax\n"
	"	cmp %rax, (%r9)\n"
	"	jne 6f\n"
	"	lock cmpxchg %rdi, (%r9)\n"
	"	je 3f\n"
	"6:	add $32, %r9\n"
	"	cmp %r10, %r9\n"
	"	jne 5b\n"
	"	lock incq 16(%r8)\n"
	"4:	ret\n"
	"3:	mov %rdx, 16(%r9)\n"
	"	mov %rsi, 8(%r9)\n"
	"	mov %rsi, (%rdi)\n"
	"	ret\n"
	".balign 16\n"
	"inside_leave:\n"
	"	movabs $0x9e3779b97f4a7c15, %rcx\n"
	"	imul %rdi, %rcx\n"
	"	shr $54, %rcx\n"
	"	shl $7, %rcx\n"
	"	lea inside_image+" DATA "+4160(%rip), %r9\n"
	"	add %rcx, %r9\n"
	"	mov $4, %ecx\n"
	"1:	cmp %rdi, (%r9)\n"
	"	jne 2f\n"
	"	cmp %rsi, 8(%r9)\n"
	"	je 3f\n"
	"2:	add $32, %r9\n"
	"	dec %ecx\n"
	"	jnz 1b\n"
	"	ud2\n" /* nobody knows where to go */
	"3:	mov 16(%r9), %rax\n"
	"	movq $0, (%r9)\n"
	"	ret\n"
	"inside_image_end:\n"
	".popsection\n");
extern const u8 inside_image[], inside_image_end[], inside_pid_tgid[], inside_pid_tgid_abi[], inside_ktime[], inside_cookie[], inside_func_ip[], inside_ask[], inside_ask_trap[], inside_enter[],
	inside_leave[];
_Static_assert(offsetof(struct task_inside, thread) == 64 && offsetof(struct task_inside, call) == 4160 && sizeof(((struct task_inside *)0)->call[0]) == 32 &&
		       (int)TASK_INSIDE_THREADS == 512 && TASK_INSIDE_CALLS / TASK_INSIDE_WAYS == 1024 && (int)TASK_INSIDE_CODE == 16384 &&
		       offsetof(struct task_inside, quiet) == 24,
	       "as the routines have it");
_Static_assert(offsetof(struct run, hold) == 0 && offsetof(struct run, cookie) == 8 && offsetof(struct run, func_ip) == 16 && (int)RUN_HEAD == (int)TASK_INSIDE_FRAME,
	       "as the routines have it");

bool task_inside_fsgsbase(void)
{
	enum { FSGSBASE = 2 };

	return getauxval(AT_HWCAP2) & FSGSBASE;
}

static u64 routine(const struct inside *in, const u8 *at)
{
	return (u64)(uintptr_t)in->region.base + (u64)(at - inside_image);
}

static u64 function(const struct inside *in, const void *at)
{
	return (u64)(uintptr_t)in->region.base + ROUTINES + (u64)((const u8 *)at - __start_skep_inside);
}
#define FUNCTION(in, name) function(in, (const void *)(uintptr_t)(name))

static struct inside_cpus *cpus_of(const struct inside *in)
{
	return (struct inside_cpus *)(void *)(in->maps.base + MAPS * MAP_ROOM);
}

static struct inside_lease *leases_of(const struct inside *in)
{
	return (struct inside_lease *)(void *)in->leases.base;
}

static int open_leases(struct skep *k, struct inside *in)
{
	u32 n = domain_cpus(k->domain);
	int err = region_create(&k->window, &in->leases, REGION_CLIENT, "skep-leases", ALIGN_UP(n * sizeof(struct inside_lease), (size_t)4096), in);
	struct inside_cpus *all = cpus_of(in);

	if (err)
		return err;
	all->lease = leases_of(in);
	all->n = n;
	all->by_abi = !task_inside_fsgsbase();
	for (u32 i = 0; i < n; i++)
		all->hold[i].index = i;
	return 0;
}

static void close_inside(struct inside *in)
{
	region_destroy(&in->region);
	region_destroy(&in->maps);
	region_destroy(&in->leases);
}

static int open_inside(struct skep *k, struct inside *in)
{
	static const struct {
		u32 helper;
		const u8 *at;
	} bodies[] = {{HELPER_get_current_pid_tgid, inside_pid_tgid},
		      {HELPER_ktime_get_ns, inside_ktime},
		      {HELPER_get_attach_cookie, inside_cookie},
		      {HELPER_get_func_ip, inside_func_ip}};
	int err = region_create(&k->window, &in->region, REGION_CLIENT, "skep-inside", TASK_INSIDE_CODE + sizeof(struct task_inside), in);

	if (err)
		return err;
	memcpy(in->region.base, inside_image, (size_t)(inside_image_end - inside_image));
	memcpy(in->region.base + ROUTINES, __start_skep_inside, (size_t)(__stop_skep_inside - __start_skep_inside));
	err = region_publish(&in->region);
	err = err ? err : region_create(&k->window, &in->maps, REGION_CLIENT, "skep-inside-maps", MAPS * MAP_ROOM + sizeof(struct inside_cpus), in);
	err = err ? err : open_leases(k, in);
	if (err) {
		close_inside(in);
		return err;
	}
	in->region.lent = in->maps.lent = in->leases.lent = true;
	for (u32 i = 0; i < ARRAY_SIZE(bodies); i++)
		in->body[bodies[i].helper] = (helper_fn *)(uintptr_t)routine(in, bodies[i].at);
	if (!task_inside_fsgsbase())
		in->body[HELPER_get_current_pid_tgid] = (helper_fn *)(uintptr_t)routine(in, inside_pid_tgid_abi);
	in->body[HELPER_map_lookup_elem] = (helper_fn *)(uintptr_t)FUNCTION(in, inside_lookup);
	in->body[HELPER_map_update_elem] = (helper_fn *)(uintptr_t)FUNCTION(in, inside_update);
	in->body[HELPER_map_delete_elem] = (helper_fn *)(uintptr_t)FUNCTION(in, inside_delete);
	in->host = (struct run_host){.window = &k->window, .elsewhere = true, .bodies = in->body, .n_bodies = ARRAY_SIZE(in->body)};
	return 0;
}

static int inside_of(struct skep *k, struct inside **out)
{
	struct hooks *h = k->hooks;
	int err = 0;

	plain_lock_take(&h->lock);
	if (!h->inside) {
		struct inside *in = mem_alloc(&k->mem, sizeof(*in));

		err = in ? open_inside(k, in) : -ENOMEM;
		if (err)
			mem_free(&k->mem, in, sizeof(*in));
		else
			atomic_store(&h->inside, in);
	}
	*out = h->inside;
	plain_lock_drop(&h->lock);
	return err;
}

void inside_close(struct skep *k)
{
	struct inside *in = k->hooks->inside;

	if (!in)
		return;
	close_inside(in);
	mem_free(&k->mem, in, sizeof(*in));
	k->hooks->inside = NULL;
}

static bool suits(const struct skep *k, const struct prog *p)
{
	if (!p->code || p->here_only || p->probes || p->arena_map || p->exception_callback || k->options.max_insns ||
	    atomic_load_explicit(&k->stats_users, memory_order_relaxed))
		return false;
	for (u32 i = 0; i < p->n_subprogs; i++)
		if (p->subprogs[i].throws)
			return false;
	return true;
}

static bool is_hash(const struct map *m)
{
	static const u64 kinds = 1u << MAP_KIND_HASH | 1u << MAP_KIND_PERCPU_HASH | 1u << MAP_KIND_LRU_HASH | 1u << MAP_KIND_LRU_PERCPU_HASH;

	return m->spec.kind < 64 && kinds >> m->spec.kind & 1;
}

/* What programs get in place of it; a kind that has no routines gets nothing, and calls with it are not compiled. */
static int describe(struct inside *in, struct map *m)
{
	bool per_cpu = m->ops->traits & KIND_PER_CPU;
	struct inside_map *d;

	if (m->inside || !(m->ops->traits & KIND_INDEXED || is_hash(m)))
		return 0;
	if (m->record.n || m->spec.key_size > HASH_MAX_KEY || in->n_maps == MAPS)
		return -ENOTSUP;
	d = (struct inside_map *)(void *)(in->maps.base + in->n_maps * MAP_ROOM);
	*d = (struct inside_map){.ask = routine(in, inside_ask), .key_size = m->spec.key_size, .value_size = m->spec.value_size, .elem_size = m->elem_size,
				 .max_entries = m->spec.max_entries, .values = m->values, .cpu_stride = per_cpu ? m->cpu_stride : 0};
	if (is_hash(m))
		d->hash = *hash_of(m);
	m->inside = (u64)(uintptr_t)d;
	in->n_maps++;
	return 0;
}

static int compile(struct skep *k, struct inside *in, struct prog *p)
{
	struct jit_options o = {.host = &in->host, .window = &k->window, .facts = &p->facts, .without = k->options.compile_off};
	const char *why;
	u32 stack = 0;
	int err = 0;

	plain_lock_take(&in->lock);
	if (!p->elsewhere && !p->here_only) {
		for (u32 i = 0; !err && i < p->n_maps; i++)
			err = describe(in, p->maps[i]);
		err = err ? err : jit_compile(p, &o, NULL, &why);
		for (u32 i = 0; !err && i < p->n_subprogs; i++)
			stack += p->elsewhere->func[i].up + 8;
		p->here_only = err || stack > MOST_STACK;
	}
	if (p->here_only)
		err = -ENOTSUP;
	plain_lock_drop(&in->lock);
	return err;
}

/* [from, from + size) of the region, which lies at `offset` in the file. */
static int lend_part(struct task_code *out, struct region *r, int fd, u64 from, u64 offset, u64 size, bool writes, bool runs)
{
	int copy;

	if (out->n == ARRAY_SIZE(out->map))
		return -ENOTSUP;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	r->lent = true;
	out->map[out->n++] = (struct task_code_map){(u64)(uintptr_t)r->base + from, size, offset, copy, writes, runs};
	return 0;
}

static int lend(struct task_code *out, struct region *r, int fd, u64 offset, u64 size, bool writes, bool runs)
{
	return lend_part(out, r, fd, 0, offset, size, writes, runs);
}

/* Constants that are this process's alone: a file with a copy. */
static int lend_copy(struct task_code *out, struct region *r)
{
	int fd = os_memfd("skep-constants", r->size, F_SEAL_SHRINK | F_SEAL_GROW), err;

	if (fd < 0)
		return fd;
	err = pwrite(fd, r->base, r->size, 0) == (ssize_t)r->size && !fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE) ? lend(out, r, fd, 0, r->size, false, false) : -ENOMEM;
	close(fd);
	return err;
}

static int lend_hash(struct task_code *out, struct map *m)
{
	struct region *r = &m->meta;
	u64 nodes = (u64)(hash_of(m)->nodes - r->base);
	bool writes = !(m->spec.flags & BPF_F_RDONLY_PROG), notes = hash_of(m)->lru; /* what was looked up */
	int err = r->fd < 0 || m->pin_fd > 0 || (notes && !writes) ? -ENOTSUP : lend_part(out, r, r->fd, 0, 0, nodes, false, false);

	return err ? err : lend_part(out, r, r->fd, nodes, nodes, r->size - nodes, writes, false);
}

/* Of other kinds nothing is used: there are no routines for them. */
static int lend_map(struct task_code *out, struct map *m)
{
	struct region *r = m->client.base ? &m->client : &m->meta;
	bool writes = !(m->spec.flags & BPF_F_RDONLY_PROG);

	if (is_hash(m))
		return lend_hash(out, m);
	if (!(m->ops->traits & KIND_INDEXED))
		return 0;
	if (m->record.n || !(m->ops->traits & (KIND_STEADY | KIND_PER_CPU)))
		return -ENOTSUP;
	if (m->settled)
		return lend_copy(out, r);
	if (m->pin_fd > 0)
		return lend(out, r, m->pin_fd, m->client.base ? 0 : m->client.size, r->size, writes, false);
	return r->fd >= 0 ? lend(out, r, r->fd, 0, r->size, writes, false) : -ENOTSUP;
}

static bool calls(const struct prog *p, u32 helper)
{
	for (u32 i = 0; i < p->n; i++)
		if (p->insns[i].op == OP_CALL && p->insns[i].pseudo == CALL_HELPER && p->operand[i] &&
		    ((const struct helper_proto *)(uintptr_t)p->operand[i])->id == helper)
			return true;
	return false;
}

static bool has_cpu(const struct prog *p)
{
	bool has = calls(p, HELPER_get_smp_processor_id);

	for (u32 i = 0; i < p->n_maps; i++)
		has = has || p->maps[i]->ops->traits & KIND_PER_CPU;
	return has;
}

static int give(struct skep *k, struct prog *p, struct task_code *out)
{
	struct inside *in;
	struct region *code;
	int err = suits(k, p) ? inside_of(k, &in) : -ENOTSUP;

	err = err ? err : compile(k, in, p);
	if (err)
		return err;
	out->inside = (u64)(uintptr_t)in->region.base;
	out->enter = routine(in, inside_enter);
	out->leave = routine(in, inside_leave);
	out->trap = routine(in, inside_ask_trap);
	out->ask = routine(in, inside_ask);
	out->entry = (u64)(uintptr_t)p->elsewhere->entry[0];
	if (has_cpu(p)) {
		out->run = FUNCTION(in, inside_run);
		out->cpus = (u64)(uintptr_t)cpus_of(in);
	}
	out->names_tasks = out->run || calls(p, HELPER_get_current_pid_tgid);
	out->asks_time = calls(p, HELPER_ktime_get_ns);
	code = &((struct prog_code *)(uintptr_t)p->elsewhere)->region;
	err = lend(out, &in->region, in->region.fd, 0, TASK_INSIDE_CODE, false, true);
	err = err ? err : lend(out, &in->maps, in->maps.fd, 0, in->maps.size, false, false);
	err = err ? err : lend(out, &in->leases, in->leases.fd, 0, in->leases.size, true, false);
	err = err ? err : lend(out, code, code->fd, 0, code->size, false, true);
	for (u32 i = 0; !err && i < p->n_maps; i++)
		err = lend_map(out, p->maps[i]);
	return err;
}

int task_probe_code(struct skep *k, u64 id, struct task_code *out)
{
	struct obj *prog = NULL;
	int err;

	*out = (struct task_code){0};
	plain_lock_take(&k->hooks->lock);
	for (const struct perf_event *e = k->hooks->probes; e && !prog; e = e->next)
		if (e->probe.id == id && e->at) {
			prog = e->at->prog;
			out->cookie = e->at->cookie;
			obj_get(prog);
		}
	plain_lock_drop(&k->hooks->lock);
	if (!prog)
		return -ENOENT;
	err = give(k, prog->body, out);
	if (err)
		task_code_close(out);
	obj_put(prog);
	return err;
}

/* ---- what programs inside ask for ---- */

/* The program that has the map; referenced. */
static struct obj *asker(struct skep *k, u64 at, struct map **map)
{
	struct obj *found = NULL;

	plain_lock_take(&k->hooks->lock);
	for (const struct perf_event *e = k->hooks->probes; e && !found; e = e->next) {
		const struct prog *p = e->at ? e->at->prog->body : NULL;

		for (u32 i = 0; p && i < p->n_maps && !found; i++)
			if (at && p->maps[i]->inside == at) {
				*map = p->maps[i];
				found = e->at->prog;
				obj_get(found);
			}
	}
	plain_lock_drop(&k->hooks->lock);
	return found;
}

static bool fetch(const struct task_door *door, const struct task *t, u64 from, void *to, u64 size)
{
	return door && door->read && door->read(door->ud, t->info.tid, from, to, size) == (s64)size;
}

static s64 answer(struct skep *k, const struct task *t, struct map *m, const struct task_ask *a)
{
	const struct task_door *door = atomic_load(&k->hooks->door);
	bool update = a->helper == HELPER_map_update_elem;
	u64 key[HASH_MAX_KEY / 8];
	struct hold h;
	void *value;
	s64 err;

	if (!update && a->helper != HELPER_map_delete_elem)
		return -EINVAL;
	if (m->spec.flags & BPF_F_RDONLY_PROG) /* its program does not: the process does */
		return -EPERM;
	value = mem_alloc(&k->mem, m->spec.value_size);
	if (!value)
		return -ENOMEM;
	if (!fetch(door, t, a->key, key, m->spec.key_size) || (update && !fetch(door, t, a->value, value, m->spec.value_size)))
		err = -EFAULT;
	else
		err = hold_take_at(k->domain, &h, (u32)a->cpu);
	if (!err) {
		err = update ? m->ops->update(m, &h, key, value, a->flags) : m->ops->remove(m, &h, key);
		hold_drop(&h);
	}
	mem_free(&k->mem, value, m->spec.value_size);
	return err;
}

s64 task_inside_ask(struct skep *k, struct task *t, const struct task_ask *a)
{
	struct map *m = NULL;
	struct obj *prog = asker(k, a->map, &m);
	s64 result = prog ? answer(k, t, m, a) : -EBUSY;

	if (prog)
		obj_put(prog);
	return result;
}

bool inside_lease_take(struct skep *k, const struct hold *h)
{
	enum { TURNS = 64 };
	const struct inside *in = atomic_load_explicit(&k->hooks->inside, memory_order_relaxed);
	struct inside_lease *l = in ? &leases_of(in)[h->index] : NULL;
	u64 owner = 0;

	for (u32 i = 0; l && i < TURNS; i++) {
		owner = 0;
		if (atomic_compare_exchange_strong(&l->owner, &owner, INSIDE_ENGINE))
			return true;
		os_yield();
	}
	if (l && owner != INSIDE_ENGINE && !task_find(k, (u32)(owner >> 32))) /* nobody's: it was scribbled on */
		atomic_compare_exchange_strong(&l->owner, &owner, 0);
	return false;
}

void inside_lease_drop(struct skep *k, const struct hold *h)
{
	atomic_store_explicit(&leases_of(k->hooks->inside)[h->index].owner, 0, memory_order_release);
}

void task_inside_gone(struct skep *k, u32 tgid)
{
	const struct inside *in = atomic_load_explicit(&k->hooks->inside, memory_order_relaxed);

	for (u32 i = 0; in && i < domain_cpus(k->domain); i++) {
		u64 owner = atomic_load(&leases_of(in)[i].owner);

		if (owner >> 32 == tgid)
			atomic_compare_exchange_strong(&leases_of(in)[i].owner, &owner, 0);
	}
}

#else

void inside_close(struct skep *k)
{
	(void)k;
}

s64 task_inside_ask(struct skep *k, struct task *t, const struct task_ask *a)
{
	(void)k, (void)t, (void)a;
	return -ENOTSUP;
}

void task_inside_gone(struct skep *k, u32 tgid)
{
	(void)k, (void)tgid;
}

bool inside_lease_take(struct skep *k, const struct hold *h)
{
	(void)k, (void)h;
	return false;
}

void inside_lease_drop(struct skep *k, const struct hold *h)
{
	(void)k, (void)h;
}

int task_probe_code(struct skep *k, u64 id, struct task_code *out)
{
	(void)k, (void)id;
	*out = (struct task_code){0};
	return -ENOTSUP;
}

#endif

void task_code_close(struct task_code *c)
{
	for (u32 i = 0; i < c->n; i++)
		close(c->map[i].fd);
	c->n = 0;
}
