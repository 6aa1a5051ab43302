/* SPDX-License-Identifier: BSD-2-Clause */
/* The machine code of stubs: see stub.h. */
#include "client/supervise/stub.h"

#include "client/supervise/insn.h"

enum { USER_CS = 0x33 };

#define PUT(s, ...) put(s, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))
static void put(struct stub *s, const u8 *bytes, size_t n)
{
	if (s->n + n <= sizeof(s->code))
		memcpy(s->code + s->n, bytes, n);
	s->n += (u32)n;
}

static void put64(struct stub *s, u64 x)
{
	put(s, (const u8 *)&x, sizeof(x));
}

/* Registers onto the stack as struct task_regs has them, %rbx points to them; sp: what is to be added to the stack pointer. Then room for a run's head. */
static void put_registers(struct stub *s, u8 sp, u64 function)
{
	PUT(s, 0x6a, 0x2b, 0x54, 0x9c, 0x6a, USER_CS, 0x6a, 0, 0x6a, 0xff, 0x57, 0x56, 0x52, 0x51, 0x50); /* push ss, sp, flags, cs, ip, orig_ax, di .. ax */
	PUT(s, 0x41, 0x50, 0x41, 0x51, 0x41, 0x52, 0x41, 0x53, 0x53, 0x55, 0x41, 0x54, 0x41, 0x55, 0x41, 0x56, 0x41, 0x57); /* push r8 .. r11, bx, bp, r12 .. r15 */
	PUT(s, 0x48, 0x89, 0xe3); /* mov %rsp, %rbx */
	PUT(s, 0x48, 0x81, 0x83, 152, 0, 0, 0, sp, 0, 0, 0); /* addq $sp, 152(%rbx) */
	PUT(s, 0x48, 0xb8); /* movabs $function, %rax */
	put64(s, function);
	PUT(s, 0x48, 0x89, 0x83, 128, 0, 0, 0); /* mov %rax, 128(%rbx) */
	PUT(s, 0x48, 0x83, 0xec, 32, 0x48, 0x83, 0xe4, 0xf0); /* sub $32, %rsp; and $-16, %rsp */
	PUT(s, 0x48, 0xc7, 0x04, 0x24, 0, 0, 0, 0, 0x48, 0x89, 0x44, 0x24, 16); /* movq $0, (%rsp); mov %rax, 16(%rsp) */
	_Static_assert((int)TASK_INSIDE_FRAME <= 32, "room for a run's head");
	_Static_assert(offsetof(struct task_regs, sp) == 152 && offsetof(struct task_regs, ip) == 128 && sizeof(struct task_regs) == 168, "as pushed");
}

static void put_call(struct stub *s, u64 to)
{
	PUT(s, 0x48, 0xb8); /* movabs $to, %rax; call *%rax */
	put64(s, to);
	PUT(s, 0xff, 0xd0);
}

static void put_program(struct stub *s, const struct task_code *c)
{
	PUT(s, 0x48, 0xb8);
	put64(s, c->cookie);
	PUT(s, 0x48, 0x89, 0x44, 0x24, 8, 0x48, 0x89, 0xe7, 0x48, 0x89, 0xde); /* mov %rax, 8(%rsp); mov %rsp, %rdi; mov %rbx, %rsi */
	if (c->run) {
		PUT(s, 0x48, 0xba); /* movabs $entry, %rdx; movabs $cpus, %rcx; movabs $data, %rax; mov (%rax), %r8 */
		put64(s, c->entry);
		PUT(s, 0x48, 0xb9);
		put64(s, c->cpus);
		PUT(s, 0x48, 0xb8);
		put64(s, c->inside + TASK_INSIDE_CODE);
		PUT(s, 0x4c, 0x8b, 0x00);
		_Static_assert(offsetof(struct task_inside, tgid) == 0, "as it is read");
	}
	put_call(s, c->run ? c->run : c->entry);
}

static void put_restored(struct stub *s)
{
	PUT(s, 0x48, 0x89, 0xdc, 0x41, 0x5f, 0x41, 0x5e, 0x41, 0x5d, 0x41, 0x5c, 0x5d, 0x5b); /* mov %rbx, %rsp; pop r15 .. r12, bp, bx */
	PUT(s, 0x41, 0x5b, 0x41, 0x5a, 0x41, 0x59, 0x41, 0x58, 0x58, 0x59, 0x5a, 0x5e, 0x5f); /* pop r11 .. r8, ax, cx, dx, si, di */
	PUT(s, 0x48, 0x8d, 0x64, 0x24, 24, 0x9d); /* lea 24(%rsp), %rsp; popf */
}

/* What is returned to in place of the caller. The return address's place, which ret has left, holds it again in the end. */
static u32 put_return(struct stub *s, const struct point *p, u32 n, u64 function)
{
	u64 own = s->at + s->n;
	u32 begin = s->n;

	PUT(s, 0x6a, 0); /* push $0 */
	put_registers(s, 16, function);
	PUT(s, 0x48, 0x8d, 0xbb, 168, 0, 0, 0, 0x48, 0xbe); /* lea 168(%rbx), %rdi; movabs $own, %rsi */
	put64(s, own);
	put_call(s, p[0].code.leave);
	PUT(s, 0x48, 0x89, 0x83, 128, 0, 0, 0, 0x48, 0x89, 0x83, 168, 0, 0, 0); /* mov %rax, 128(%rbx); mov %rax, 168(%rbx) */
	for (u32 i = 0; i < n; i++)
		if (p[i].probe->at_return)
			put_program(s, &p[i].code);
	put_restored(s);
	PUT(s, 0x48, 0x8d, 0x64, 0x24, 16, 0xc3); /* lea 16(%rsp), %rsp; ret */
	while (s->n % 16)
		PUT(s, INT3);
	return begin;
}

bool stub_build(struct stub *s, const struct brk *b, const struct point *p, u32 n, u32 *entry, u32 *resume)
{
	u8 moved[INSN_MOVED];
	bool returns = false;
	u64 back = s->at;
	u32 covered, size;

	for (u32 i = 0; i < n; i++)
		returns = returns || p[i].probe->at_return;
	if (returns)
		put_return(s, p, n, b->at);
	*entry = s->n;
	PUT(s, 0x48, 0x8d, 0x64, 0x24, 0x80); /* lea -128(%rsp), %rsp: the red zone */
	put_registers(s, 136, b->at);
	for (u32 i = 0; i < n; i++)
		if (!p[i].probe->at_return)
			put_program(s, &p[i].code);
	if (returns) {
		PUT(s, 0x48, 0x8b, 0xbb, 152, 0, 0, 0, 0x48, 0xbe); /* mov 152(%rbx), %rdi; movabs $back, %rsi */
		put64(s, back);
		put_call(s, p[0].code.enter);
	}
	put_restored(s);
	PUT(s, 0x48, 0x8d, 0xa4, 0x24, 144, 0, 0, 0); /* lea 144(%rsp), %rsp */
	*resume = s->n;
	size = insn_move(b->code, b->n_code, b->at, s->at + s->n, BRK_JUMP, moved, &covered);
	put(s, moved, size);
	return size && s->n <= sizeof(s->code);
}
