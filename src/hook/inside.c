/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that run inside of other processes. Such a program is compiled a second time, so that it calls nothing of this process: helpers are the few routines
 * below and in inside_code.c, which lie in a region of the window like code and maps, at the same address everywhere. What a program needs besides keeps it here.
 *
 *  1. To be written to, only values are lent: those of arrays, and of hashes with the nodes around them, which nobody trusts who reads them; and outboxes, whose
 *     records are looked at as what a stranger says (inside_ask.c). Nor is the room in the window of what was lent used again.
 *  2. Code, constants, the buckets and locks of hashes, stacks, and the engine's tasks as kernel objects are lent for reading only. Rings are not lent.
 *  3. Routines use general registers only, and of a process only what struct task_inside says.
 */
#include "hook/hooks.h"

#include "hook/inside.h"
#include "jit/jit.h"

#include <fcntl.h>
#include <sys/auxv.h>
#include <stdio.h>
#include <unistd.h>

enum { MOST_STACK = 1024 /* bytes that a program may take of a task's stack, besides its helpers */, MAP_ROOM = 1024 };
_Static_assert(sizeof(struct inside_map) <= MAP_ROOM, "a map's place in a table");
_Static_assert((int)RUN_SENT == (int)INSIDE_RECORD_MOST, "as code is compiled for");

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
extern const u8 inside_image[], inside_image_end[], inside_pid_tgid[], inside_pid_tgid_abi[], inside_ktime[], inside_cookie[], inside_func_ip[], inside_enter[],
	inside_leave[];
_Static_assert(offsetof(struct task_inside, thread) == 64 && offsetof(struct task_inside, call) == 4160 && sizeof(((struct task_inside *)0)->call[0]) == 32 &&
		       (int)TASK_INSIDE_THREADS == 512 && TASK_INSIDE_CALLS / TASK_INSIDE_WAYS == 1024 && (int)TASK_INSIDE_CODE == 16384,
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
	return (u64)(uintptr_t)in->region.base + INSIDE_ROUTINES + (u64)((const u8 *)at - __start_skep_inside);
}
#define FUNCTION(in, name) function(in, (const void *)(uintptr_t)(name))

struct inside_cpus *inside_cpus_of(const struct inside *in)
{
	return (struct inside_cpus *)(void *)(in->maps.base + INSIDE_MAPS * MAP_ROOM);
}

/* ---- helpers ---- */

enum { NEEDS_NAMES = 1, NEEDS_CLOCK = 2, NEEDS_CPU = 4, NEEDS_OUTBOX = 8, NEEDS_KERNEL = 16 };

/* What stands for a helper's body, and what of a process or run it needs. Of get_current_pid_tgid there are two; get_smp_processor_id is compiled otherwise. */
static const struct body {
	u32 helper, needs;
	const void *at;
	bool image; /* it lies in inside_image */
} bodies[] = {
	{HELPER_get_current_pid_tgid, NEEDS_NAMES, inside_pid_tgid, true},
	{HELPER_get_attach_cookie, 0, inside_cookie, true},
	{HELPER_get_func_ip, 0, inside_func_ip, true},
	{HELPER_ktime_get_ns, NEEDS_CLOCK, inside_ktime, true},
#define ROW(helper, needs, fn) {HELPER_##helper, needs, (const void *)(uintptr_t)(fn), false},
	ROW(ktime_get_boot_ns, NEEDS_CLOCK, inside_boot)
	ROW(ktime_get_tai_ns, NEEDS_CLOCK, inside_tai)
	ROW(ktime_get_coarse_ns, NEEDS_CLOCK, inside_coarse)
	ROW(jiffies64, NEEDS_CLOCK, inside_jiffies)
	ROW(get_prandom_u32, NEEDS_CLOCK, inside_random)
	ROW(get_smp_processor_id, NEEDS_CPU, NULL)
	ROW(map_lookup_elem, 0, inside_lookup)
	ROW(map_update_elem, 0, inside_update)
	ROW(map_delete_elem, 0, inside_delete)
	ROW(get_current_comm, NEEDS_NAMES, inside_comm)
	ROW(get_current_uid_gid, 0, inside_uid_gid)
	ROW(get_current_task, NEEDS_NAMES | NEEDS_KERNEL, inside_task)
	ROW(get_current_task_btf, NEEDS_NAMES | NEEDS_KERNEL, inside_task)
	ROW(probe_read_user, 0, inside_read_user)
	ROW(probe_read_user_str, 0, inside_string_user)
	ROW(probe_read_kernel, NEEDS_KERNEL, inside_read_kernel)
	ROW(probe_read_kernel_str, NEEDS_KERNEL, inside_string_kernel)
	ROW(probe_read, 0, inside_read_any)
	ROW(probe_read_str, 0, inside_string_any)
	ROW(copy_from_user, 0, inside_read_user)
	ROW(strncmp, 0, inside_strncmp)
	ROW(trace_printk, NEEDS_KERNEL, inside_printk)
	ROW(trace_vprintk, NEEDS_KERNEL, inside_vprintk)
	ROW(snprintf, NEEDS_KERNEL, inside_snprintf)
	ROW(perf_event_output, NEEDS_OUTBOX, inside_perf_output)
	ROW(ringbuf_output, NEEDS_OUTBOX, inside_ring_output)
	ROW(ringbuf_reserve, NEEDS_OUTBOX, inside_ring_reserve)
	ROW(ringbuf_submit, NEEDS_OUTBOX, inside_ring_submit)
	ROW(ringbuf_discard, NEEDS_OUTBOX, inside_ring_discard)
	ROW(get_stackid, 0, inside_stack_id)
	ROW(get_stack, 0, inside_stack)
#undef ROW
};

static int open_leases(struct skep *k, struct inside *in)
{
	u32 n = domain_cpus(k->domain);
	int err = region_create(&k->window, &in->leases, REGION_CLIENT, "skep-leases", ALIGN_UP(n * sizeof(struct inside_lease), (size_t)4096), in);
	struct inside_cpus *all = inside_cpus_of(in);

	err = err ? err : region_create(&k->window, &in->outboxes, REGION_CLIENT, "skep-outboxes", ALIGN_UP(n * sizeof(struct inside_outbox), (size_t)4096), in);
	if (err)
		return err;
	all->lease = (struct inside_lease *)(void *)in->leases.base;
	all->outbox = (struct inside_outbox *)(void *)in->outboxes.base;
	all->n = n;
	all->by_abi = !task_inside_fsgsbase();
	for (u32 i = 0; i < n; i++)
		all->hold[i].index = all->shared[i].index = i;
	return 0;
}

static void close_inside(struct inside *in)
{
	region_destroy(&in->region);
	region_destroy(&in->maps);
	region_destroy(&in->leases);
	region_destroy(&in->outboxes);
}

static int open_inside(struct skep *k, struct inside *in)
{
	int err = region_create(&k->window, &in->region, REGION_CLIENT, "skep-inside", TASK_INSIDE_CODE + sizeof(struct task_inside), in);

	if (err)
		return err;
	memcpy(in->region.base, inside_image, (size_t)(inside_image_end - inside_image));
	memcpy(in->region.base + INSIDE_ROUTINES, __start_skep_inside, (size_t)(__stop_skep_inside - __start_skep_inside));
	err = region_publish(&in->region);
	err = err ? err : region_create(&k->window, &in->maps, REGION_CLIENT, "skep-inside-maps", INSIDE_MAPS * MAP_ROOM + sizeof(struct inside_cpus), in);
	err = err ? err : open_leases(k, in);
	if (err) {
		close_inside(in);
		return err;
	}
	in->region.lent = in->maps.lent = in->leases.lent = in->outboxes.lent = true;
	for (u32 i = 0; i < ARRAY_SIZE(bodies); i++)
		if (bodies[i].at)
			in->body[bodies[i].helper] = (helper_fn *)(uintptr_t)(bodies[i].image ? routine(in, bodies[i].at) : function(in, bodies[i].at));
	if (!task_inside_fsgsbase())
		in->body[HELPER_get_current_pid_tgid] = (helper_fn *)(uintptr_t)routine(in, inside_pid_tgid_abi);
	in->host = (struct run_host){.window = &k->window, .elsewhere = true, .bodies = in->body, .n_bodies = ARRAY_SIZE(in->body),
				     .kernel_base = (u64)(uintptr_t)k->kernel.region.base, .kernel_size = KERNEL_BYTES};
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
	if (!p->code || p->here_only || p->arena_map || p->exception_callback || k->options.max_insns ||
	    atomic_load_explicit(&k->stats_users, memory_order_relaxed))
		return false;
	for (u32 i = 0; i < p->n_subprogs; i++)
		if (p->subprogs[i].throws)
			return false;
	return true;
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
	int fd = os_memfd_of("skep-constants", r->base, r->size), err;

	if (fd < 0)
		return fd;
	err = lend(out, r, fd, 0, r->size, false, false);
	close(fd);
	return err;
}

/* ---- maps ---- */

static void describe_array(struct inside *in, const struct map *m, struct inside_map *d)
{
	(void)in;
	d->values = m->values;
	d->cpu_stride = m->ops->traits & KIND_PER_CPU ? m->cpu_stride : 0;
}

static int lend_array(struct task_code *out, struct map *m)
{
	struct region *r = m->client.base ? &m->client : &m->meta;
	bool writes = !(m->spec.flags & BPF_F_RDONLY_PROG);

	if (m->record.n || !(m->ops->traits & (KIND_STEADY | KIND_PER_CPU)))
		return -ENOTSUP;
	if (m->settled)
		return lend_copy(out, r);
	if (m->pin_fd > 0)
		return lend(out, r, m->pin_fd, m->client.base ? 0 : m->client.size, r->size, writes, false);
	return r->fd >= 0 ? lend(out, r, r->fd, 0, r->size, writes, false) : -ENOTSUP;
}

static void describe_hash(struct inside *in, const struct map *m, struct inside_map *d)
{
	(void)in;
	d->hash = *hash_of(m);
}

static int lend_hash(struct task_code *out, struct map *m)
{
	struct region *r = &m->meta;
	u64 nodes = (u64)(hash_of(m)->nodes - r->base);
	bool writes = !(m->spec.flags & BPF_F_RDONLY_PROG), notes = hash_of(m)->lru; /* what was looked up */
	int err = r->fd < 0 || m->pin_fd > 0 || (notes && !writes) ? -ENOTSUP : lend_part(out, r, r->fd, 0, 0, nodes, false, false);

	return err ? err : lend_part(out, r, r->fd, nodes, nodes, r->size - nodes, writes, false);
}

static void describe_ring(struct inside *in, const struct map *m, struct inside_map *d)
{
	(void)m;
	d->cpus = inside_cpus_of(in);
}

/* What a program sends goes through outboxes. */
static int lend_ring(struct task_code *out, struct map *m)
{
	(void)out, (void)m;
	return 0;
}

static void describe_stacks(struct inside *in, const struct map *m, struct inside_map *d)
{
	(void)in;
	d->stacks = stack_places_of(m);
}

static int lend_stacks(struct task_code *out, struct map *m)
{
	return m->meta.fd < 0 || m->pin_fd > 0 || m->spec.flags & BPF_F_STACK_BUILD_ID ? -ENOTSUP : lend(out, &m->meta, m->meta.fd, 0, m->meta.size, false, false);
}

/* Kinds that have routines: what these are told of a map, and what of it is lent. */
static const struct kind {
	u64 kinds; /* a bit each */
	void (*describe)(struct inside *in, const struct map *m, struct inside_map *d);
	int (*lend)(struct task_code *out, struct map *m);
} kinds[] = {
#define KIND(name) (1ull << MAP_KIND_##name)
	{KIND(ARRAY) | KIND(PERCPU_ARRAY), describe_array, lend_array},
	{KIND(HASH) | KIND(PERCPU_HASH) | KIND(LRU_HASH) | KIND(LRU_PERCPU_HASH), describe_hash, lend_hash},
	{KIND(RINGBUF) | KIND(PERF_EVENT_ARRAY), describe_ring, lend_ring},
	{KIND(STACK_TRACE), describe_stacks, lend_stacks},
#undef KIND
};

/* NULL: of no use inside; calls with it are not compiled. */
static const struct kind *kind_of(const struct map *m)
{
	for (u32 i = 0; i < ARRAY_SIZE(kinds); i++)
		if (m->spec.kind < 64 && kinds[i].kinds >> m->spec.kind & 1)
			return &kinds[i];
	return NULL;
}

/* What programs get in place of it. */
static int describe(struct inside *in, struct map *m)
{
	const struct kind *kind = kind_of(m);
	struct inside_map *d;

	if (m->inside || !kind)
		return 0;
	if (m->record.n || m->spec.key_size > HASH_MAX_KEY || in->n_maps == INSIDE_MAPS)
		return -ENOTSUP;
	d = (struct inside_map *)(void *)(in->maps.base + in->n_maps * MAP_ROOM);
	*d = (struct inside_map){.key_size = m->spec.key_size, .value_size = m->spec.value_size, .elem_size = m->elem_size, .max_entries = m->spec.max_entries};
	kind->describe(in, m, d);
	m->inside = (u64)(uintptr_t)d;
	in->n_maps++;
	return 0;
}

static int lend_map(struct task_code *out, struct map *m)
{
	const struct kind *kind = kind_of(m);

	return kind ? kind->lend(out, m) : 0;
}

/* ---- programs ---- */

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

/* What it needs of a process or of a run. */
static u32 needs_of(const struct prog *p)
{
	u32 needs = p->probes ? NEEDS_KERNEL : 0;

	for (u32 i = 0; i < p->n; i++) {
		bool call = p->insns[i].op == OP_CALL && p->insns[i].pseudo == CALL_HELPER && p->operand[i];
		u32 helper = call ? ((const struct helper_proto *)(uintptr_t)p->operand[i])->id : 0;

		for (u32 k = 0; call && k < ARRAY_SIZE(bodies); k++)
			needs |= bodies[k].helper == helper ? bodies[k].needs : 0;
	}
	for (u32 i = 0; i < p->n_maps; i++)
		needs |= p->maps[i]->ops->traits & KIND_PER_CPU ? NEEDS_CPU : 0;
	return needs | (needs & NEEDS_OUTBOX ? NEEDS_CPU : 0) | (needs & NEEDS_CPU ? NEEDS_NAMES : 0);
}

static int give(struct skep *k, struct prog *p, struct task_code *out)
{
	u32 needs = needs_of(p);
	struct inside *in;
	struct region *code;
	int err = suits(k, p) ? inside_of(k, &in) : -ENOTSUP;

	err = err ? err : compile(k, in, p);
	if (err)
		return err;
	out->inside = (u64)(uintptr_t)in->region.base;
	out->enter = routine(in, inside_enter);
	out->leave = routine(in, inside_leave);
	out->trap = FUNCTION(in, inside_ask_trap);
	out->ask = FUNCTION(in, inside_ask);
	out->reads = FUNCTION(in, inside_reads);
	out->read_end = FUNCTION(in, inside_read_end);
	out->entry = (u64)(uintptr_t)p->elsewhere->entry[0];
	if (needs & NEEDS_CPU) {
		out->run = needs & NEEDS_OUTBOX ? FUNCTION(in, inside_run_sending) : FUNCTION(in, inside_run);
		out->cpus = (u64)(uintptr_t)inside_cpus_of(in);
	}
	out->window = (u64)(uintptr_t)k->window.base;
	out->window_size = k->window.size;
	out->names_tasks = needs & NEEDS_NAMES;
	out->asks_time = needs & NEEDS_CLOCK;
	code = &((struct prog_code *)(uintptr_t)p->elsewhere)->region;
	err = lend(out, &in->region, in->region.fd, 0, TASK_INSIDE_CODE, false, true);
	err = err ? err : lend(out, &in->maps, in->maps.fd, 0, in->maps.size, false, false);
	err = err ? err : lend(out, &in->leases, in->leases.fd, 0, in->leases.size, true, false);
	if (!err && needs & NEEDS_OUTBOX)
		err = lend(out, &in->outboxes, in->outboxes.fd, 0, in->outboxes.size, true, false);
	if (!err && needs & NEEDS_KERNEL) /* tasks, and not what programs allocate */
		err = k->kernel.region.fd < 0 ? -ENOTSUP : lend_part(out, &k->kernel.region, k->kernel.region.fd, 0, 0, KERNEL_BYTES, false, false);
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

#else

void inside_close(struct skep *k)
{
	(void)k;
}

struct inside_cpus *inside_cpus_of(const struct inside *in)
{
	(void)in;
	return NULL;
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
