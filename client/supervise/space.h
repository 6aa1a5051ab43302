/* SPDX-License-Identifier: BSD-2-Clause */
/* The probes of an address space: breaks.c, inside.c. */
#ifndef SKEP_SUPERVISE_SPACE_H
#define SKEP_SUPERVISE_SPACE_H

#include "client/supervise/traced.h"

#include <sys/user.h>

enum { INT3 = 0xcc, BRK_CODE = 32, BRK_JUMP = 5, BRK_FIRST_TRY = 8 };

/* One stays in the table when it is taken out, for tasks that have met it and are yet to stop. */
struct brk {
	u64 at;
	u64 dev, ino, offset; /* entries */
	bool set, entry, back; /* back: something is returned to here */
	bool found; /* by the scan under way */
	u8 code[BRK_CODE]; /* the text as it was */
	u32 n_code, stepping; /* tasks that execute it in place: the byte is out */
	/* inside.c */
	u64 aside; /* where its first instructions are a second time; 0: nowhere */
	bool returns_among; /* they went, or go, on where a jump would lie */
	u64 resume; /* where the instructions went that a jump has replaced; 0: it is a breakpoint */
	u8 jump[BRK_JUMP];
	u64 points; /* that the jump leads to: inside_points() */
	u64 version; /* of what the engine wants, when they were compared last */
	u32 hits, try_at; /* how often it was met, when to try next; UINT32_MAX: not as long as the points stay */
};

struct counted {
	u64 id, at;
};

struct inside_space;

struct space {
	u32 users;
	pid_t tgid;
	struct brk *brk;
	u32 n, room;
	struct counted *counted; /* counters that were raised */
	u32 n_counted;
	struct inside_space *inside; /* NULL: no program ran in it */
	struct guard *guard; /* the tree's */
};

/* ---- breaks.c ---- */
int space_poke(pid_t tid, u64 at, const void *from, size_t size, bool write); /* bytes, or -errno */
u32 space_code(const struct space *s, pid_t tid, u64 at, u8 *code, u32 size); /* as the program has it, whatever lies in it; bytes */
bool space_point(const struct tree *t, const struct space *s, const struct brk *b, const struct task_probe *p); /* is p there, for this process? */

/*
 * ---- inside.c: programs that run inside of the process ----
 *
 * What was met a few times as a breakpoint becomes a jump to a stub near it: that saves the registers on the task's own stack, calls the programs (task_probe_code()),
 * and goes on with the instructions that the jump has replaced. Stubs, code and maps stay when the jump is taken out, for tasks that are in there.
 *
 *  1. The jump lies over a breakpoint, whose byte changes first and last, and only while no thread stands among its bytes.
 *  2. No instruction branches to its other bytes, as far as can be seen.
 *  3. Where anything is not as it is known to be (another filter of system calls, a shadow stack, goroutines), the breakpoint stays.
 */
void inside_try(struct tree *t, struct traced *p, struct brk *b, const struct user_regs_struct *regs); /* p has met b, and stands there */
u64 inside_aside(struct tree *t, struct traced *p, struct brk *b, const struct user_regs_struct *regs); /* for p to go on: b->aside; 0: it must be stepped */
u64 inside_points(const struct tree *t, const struct space *s, const struct brk *b); /* says which points are there */
bool inside_is_set(pid_t tid, const struct brk *b);
void inside_back(pid_t tid, struct brk *const *jumps, u32 n); /* they become breakpoints again */
void inside_forked(const struct tree *t, const struct traced *parent, struct traced *child); /* another memory, of the same contents */
void inside_name(struct traced *p); /* a stopped task, which its space is told of */
void inside_renamed(struct traced *p); /* stopped; its task says how it is called now */
void inside_left(struct tree *t, const struct traced *p); /* it ends, or gets another space */
bool inside_asks(struct tree *t, struct traced *p, u64 at, struct user_regs_struct *regs); /* p met a breakpoint at `at`: was it a routine's, which goes on? */
bool inside_faults(struct tree *t, struct traced *p); /* p has a signal of a bad address: was it a routine that reads, which goes on? */
bool inside_quiet(const struct traced *p, bool quiet); /* its process asks for nothing any more; false: it did not, or it cannot be told */
void inside_leave(struct traced *p); /* stopped, and let go after this: it is to meet none of them */
struct inside_space *inside_copy(const struct inside_space *from);
void inside_free(struct inside_space *in);

bool is_filtered(const struct tree *t, const struct traced *p); /* by a filter of the program's own, which would see calls that are made for it */

/* ---- clear.c: rules 1 and 2; at: of a jump that covers so many bytes of instructions ---- */
bool jump_entered(const struct space *s, pid_t tid, u64 low, u64 high, u64 at, u32 covered); /* low, high: of the mapping that holds it */
bool jump_alone(const struct space *s, const struct brk *b, u32 covered); /* no other breakpoint is among them */
/* Is there an address of [from, to) on a stack that ends at sp? signal: such that a signal's handler returns there. */
bool stack_names(pid_t tid, u64 sp, u64 from, u64 to, bool signal);
bool jump_clear(struct tree *t, struct traced *p, u64 at); /* no thread is; those that run are stopped for it, unless that takes long */

/* ---- inject.c ---- */
struct injection {
	struct tree *t;
	struct traced *p; /* stopped in user code */
	const struct user_regs_struct *regs; /* of then */
	u64 at; /* of a `syscall` in the process */
	u64 mask; /* of its signals */
	bool began, stop; /* stop: it was told to, meanwhile */
};
bool inject_begin(struct injection *i, struct tree *t, struct traced *p, const struct user_regs_struct *regs);
s64 inject_call(struct injection *i, long nr, const u64 args[6]); /* the call's result */
int inject_open(struct injection *i, int fd, bool writes); /* a file of ours: the descriptor there, or -errno */
int inject_enter(struct injection *i, int fd); /* its current directory becomes the one that fd is here: 0 or -errno */
void inject_end(struct injection *i); /* registers are as before */
u64 inject_vdso(pid_t tid, const char *symbol); /* address of one of its functions; NULL: of a `syscall`; 0: none */

#endif
