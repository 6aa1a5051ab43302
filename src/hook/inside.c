/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that run inside of other processes. Such a program is compiled a second time, so that it calls nothing of this process: helpers are the few routines
 * below, which lie in a region of the window like code and maps, at the same address everywhere. What a program needs besides keeps it here.
 *
 *  1. Only memory that any client could be given is lent: values of arrays. Nothing that was lent is trusted, nor is its room in the window used again.
 *  2. Code and constants are lent for reading only.
 *  3. Routines use general registers only, and of a process only what struct task_inside says.
 */
#include "hook/hooks.h"

#include "jit/jit.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

enum { MOST_STACK = 1024 /* bytes that a program may take of a task's stack */ };

struct inside {
	plain_lock lock; /* guards compiling */
	struct region region; /* the routines, and room for what each process has behind them */
	struct run_host host;
	helper_fn *body[HELPER_get_attach_cookie + 1];
};

#ifdef __x86_64__

/* enter: %rdi, %rsi; a return is remembered in one of the four places that its slot hashes to, so that it is found without knowing the thread. */
__asm__(".pushsection .rodata\n"
	".balign 64\n"
	"inside_image:\n"
	"inside_pid_tgid:\n"
	"	rdfsbase %rax\n"
	"	shl $16, %rax\n"
	"	movabs $0x9e3779b97f4a7c15, %rcx\n"
	"	imul %rax, %rcx\n"
	"	shr $55, %rcx\n"
	"	lea inside_image+4096(%rip), %rdx\n"
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
	"	lea inside_image+4096(%rip), %rax\n"
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
	"	lea inside_image+4096(%rip), %r8\n"
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
	"	lea inside_image+4096+4160(%rip), %r9\n"
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
extern const u8 inside_image[], inside_image_end[], inside_pid_tgid[], inside_ktime[], inside_cookie[], inside_func_ip[], inside_enter[], inside_leave[];
_Static_assert(offsetof(struct task_inside, thread) == 64 && offsetof(struct task_inside, call) == 4160 && sizeof(((struct task_inside *)0)->call[0]) == 32 &&
		       (int)TASK_INSIDE_THREADS == 512 && TASK_INSIDE_CALLS / TASK_INSIDE_WAYS == 1024 && (int)TASK_INSIDE_CODE == 4096,
	       "as the routines have it");
_Static_assert(offsetof(struct run, hold) == 0 && offsetof(struct run, cookie) == 8 && offsetof(struct run, func_ip) == 16 && (int)RUN_HEAD == (int)TASK_INSIDE_FRAME,
	       "as the routines have it");

static u64 routine(const struct inside *in, const u8 *at)
{
	return (u64)(uintptr_t)in->region.base + (u64)(at - inside_image);
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
	err = region_publish(&in->region);
	if (err) {
		region_destroy(&in->region);
		return err;
	}
	in->region.lent = true;
	for (u32 i = 0; i < ARRAY_SIZE(bodies); i++)
		in->body[bodies[i].helper] = (helper_fn *)(uintptr_t)routine(in, bodies[i].at);
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
			h->inside = in;
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
	region_destroy(&in->region);
	mem_free(&k->mem, in, sizeof(*in));
	k->hooks->inside = NULL;
}

static bool suits(const struct skep *k, const struct prog *p)
{
	if (!p->code || p->here_only || p->needs_slot || p->probes || p->arena_map || p->exception_callback || k->options.max_insns ||
	    atomic_load_explicit(&k->stats_users, memory_order_relaxed))
		return false;
	for (u32 i = 0; i < p->n_subprogs; i++)
		if (p->subprogs[i].throws)
			return false;
	return true;
}

static int compile(struct skep *k, struct inside *in, struct prog *p)
{
	struct jit_options o = {.host = &in->host, .window = &k->window, .facts = &p->facts, .without = k->options.compile_off};
	const char *why;
	u32 stack = 0;
	int err = 0;

	plain_lock_take(&in->lock);
	if (!p->elsewhere && !p->here_only) {
		err = jit_compile(p, &o, NULL, &why);
		for (u32 i = 0; !err && i < p->n_subprogs; i++)
			stack += p->elsewhere->func[i].up + 8;
		p->here_only = err || stack > MOST_STACK;
	}
	if (p->here_only)
		err = -ENOTSUP;
	plain_lock_drop(&in->lock);
	return err;
}

static int lend(struct task_code *out, struct region *r, int fd, u64 offset, u64 size, bool writes, bool runs)
{
	int copy;

	if (out->n == ARRAY_SIZE(out->map))
		return -ENOTSUP;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	if (copy < 0)
		return -errno;
	r->lent = true;
	out->map[out->n++] = (struct task_code_map){(u64)(uintptr_t)r->base, size, offset, copy, writes, runs};
	return 0;
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

/* Of other kinds nothing is used: there are no routines for them. */
static int lend_map(struct task_code *out, struct map *m)
{
	struct region *r = m->client.base ? &m->client : &m->meta;
	bool writes = !(m->spec.flags & BPF_F_RDONLY_PROG);

	if (!(m->ops->traits & KIND_INDEXED) || m->ops->traits & KIND_PER_CPU)
		return 0;
	if (m->record.n || !(m->ops->traits & KIND_STEADY))
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
	out->entry = (u64)(uintptr_t)p->elsewhere->entry[0];
	out->names_tasks = calls(p, HELPER_get_current_pid_tgid);
	out->asks_time = calls(p, HELPER_ktime_get_ns);
	code = &((struct prog_code *)(uintptr_t)p->elsewhere)->region;
	err = lend(out, &in->region, in->region.fd, 0, TASK_INSIDE_CODE, false, true);
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
