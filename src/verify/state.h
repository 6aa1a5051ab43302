/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verifier from inside: what is known at one point of one path (struct state), and the verification as a whole (struct verifier).
 *
 * A state is a stack of frames, each with registers and stack slots; references, locks and sections held belong to the state. The current
 * state is changed in place as the walk goes on; checkpoints are copies, kept per instruction, that later arrivals are compared with (prune.c).
 *
 * Rules:
 *  1. Registers are changed through reg_set_*() or after reg_forget(): a pointer that becomes a scalar keeps no field of the pointer.
 *  2. A register that shares an id with others (linked scalars, packet ranges, NULL checks) loses it when its value changes.
 *  3. What is said to the user goes through reject(): one code of errors.def, the kernel's wording, and the error that PROG_LOAD gives.
 *     A function that returns an int returns 0 or what reject() gave; the caller passes it on at once.
 *  4. No helper, kfunc or map kind is named by its id here: tables give attributes.
 *  5. Stack slots are shared between states until one changes them: stack_at() reads, stack_edit() gives a slot that is the frame's own. What was read
 *     before stack_edit() may be the old slot afterwards. So are registers of callers: regs_edit(). Those of the current frame are its own.
 *  6. Checkpoints do not change but for their marks, which are masks beside the frames.
 *  7. Checkpoints that nothing is compared with any more, but that a path came through, may be bare: with marks and history, without frames.
 *
 * Ownership: everything lies in the verifier's arena, states, frames and chunks of stack on its free lists.
 */
#ifndef SKEP_VERIFY_STATE_H
#define SKEP_VERIFY_STATE_H

#include "btf/btf.h"
#include "verify/scalar.h"
#include "verify/verify.h"

enum { REGS = 11, REG_FP = 10, FRAMES = 8, STACK_BYTES = 512, STACK_SLOTS = STACK_BYTES / 8, SLOT_BYTES = 8 };

/* ---- what a register holds: a base type and flags ---- */
enum reg_type {
	R_NONE, /* not initialised */
	R_SCALAR,
	R_CTX,
	R_MAP, /* a map itself */
	R_MAP_VALUE,
	R_MAP_KEY,
	R_STACK,
	R_PACKET_META, /* from data_meta up to data */
	R_PACKET, /* off from data, range proved */
	R_PACKET_END,
	R_FLOW_KEYS,
	R_SOCKET,
	R_SOCK_COMMON,
	R_TCP_SOCK,
	R_TP_BUFFER, /* raw_tracepoint_writable's buffer */
	R_XDP_SOCK,
	R_BTF, /* a kernel type or, with R_ALLOC, an object of the program's own type */
	R_MEM, /* mem_size bytes */
	R_ARENA,
	R_BUFFER, /* bytes whose size only attaching tells: the largest offset used is noted */
	R_FUNC, /* a function of the program */
	R_DYNPTR, /* a dynptr that a callback was given */
	R_PERCPU_BTF, /* not used on its own: R_BTF with R_PERCPU */
	R_TYPE_MASK = 0xff,
	/* flags */
	R_NULLABLE = 1 << 8,
	R_RDONLY = 1 << 9,
	R_RINGBUF = 1 << 10, /* R_MEM: a reserved ring record */
	R_USER = 1 << 11, /* points into user memory */
	R_PERCPU = 1 << 12,
	R_ALLOC = 1 << 13, /* R_BTF: an object of the program's own (bpf_obj_new) */
	R_UNTRUSTED = 1 << 14,
	R_TRUSTED = 1 << 15,
	R_RCU = 1 << 16,
	R_NON_OWNING = 1 << 17, /* a graph node whose owner is the list or tree, while the lock is held */
	R_FIXED_SIZE = 1 << 18,
	R_SLICE = 1 << 19, /* R_MEM: data of a dynptr (dynptr_id) */
};
static inline u32 reg_base(u32 type)
{
	return type & R_TYPE_MASK;
}

enum iter_state { ITER_NONE, ITER_ACTIVE, ITER_DRAINED };

struct reg {
	u32 type; /* enum reg_type */
	s32 off; /* fixed offset of a pointer; v holds the variable part */
	u32 id; /* scalars: linked; pointers: same variable part (packet), or same NULL check */
	u32 ref; /* of the reference it carries; 0: none */
	union {
		s32 range; /* R_PACKET*: bytes proved from off; PACKET_BEYOND and PACKET_AT from comparisons with the end */
		struct {
			struct map *map; /* R_MAP, R_MAP_VALUE, R_MAP_KEY */
			u32 map_uid; /* tells lookups of inner maps apart; 0: not from a map-in-map */
		};
		struct {
			const struct btf *btf; /* R_BTF */
			u32 btf_id;
		};
		struct {
			u32 mem_size; /* R_MEM */
			u32 dynptr_id; /* R_SLICE: of the dynptr */
		};
		struct {
			u32 kind; /* enum dynptr_kind: R_DYNPTR and slots S_DYNPTR */
			bool first;
		} dynptr;
		struct {
			const struct btf *btf; /* slots S_ITER */
			u32 btf_id;
			u16 state; /* enum iter_state */
			u16 depth; /* iterations so far */
		} iter;
		struct {
			u32 kind; /* slots S_IRQ: which kfunc family saved it */
		} irq;
		u32 subprog; /* R_FUNC */
		u64 raw[2];
	};
	union {
		u32 frame; /* R_STACK: whose stack */
		s32 delta; /* linked scalars: this = base of the id + delta; only with id & ID_DELTA */
	};
	u32 def32; /* scalars: insn that left the upper half zero by a 32-bit write, 0: none */
	struct scalar v;
};
#define ID_DELTA64   0x80000000u /* in id: off by a constant from the others */
#define ID_DELTA32   0x40000000u /* the same, of the low half; the upper one is zero */
#define ID_DELTA     (ID_DELTA64 | ID_DELTA32)
#define PACKET_AT    (-1) /* exactly at the end */
#define PACKET_BEYOND (-2) /* at least at, maybe past the end */

static inline bool reg_is_pointer(const struct reg *r)
{
	return r->type > R_SCALAR;
}
static inline bool reg_is_scalar(const struct reg *r)
{
	return r->type == R_SCALAR;
}
static inline bool reg_is_const(const struct reg *r) /* a known number */
{
	return r->type == R_SCALAR && scalar_is_const(&r->v);
}
static inline bool reg_is_null(const struct reg *r)
{
	return reg_is_const(r) && r->v.bits.value == 0;
}
static inline bool type_is_packet(u32 type)
{
	return reg_base(type) == R_PACKET || reg_base(type) == R_PACKET_META;
}

/* ---- stack slots: eight bytes each, slot 0 is [fp-8, fp) ---- */
enum slot_kind { S_NONE, S_SPILL, S_MISC, S_ZERO, S_DYNPTR, S_ITER, S_IRQ };
struct stack_slot {
	struct reg reg; /* S_SPILL (a spill of n bytes: kind[7] down to kind[8 - n]), S_DYNPTR, S_ITER, S_IRQ */
	u8 kind[SLOT_BYTES]; /* enum slot_kind; kind[i] is the byte at fp - 8 * slot - 1 - i: kind[7] has the lowest address */
};

/* What frames share until one of them changes it. */
struct part {
	u32 sharers; /* further frames that hold it */
	struct part *next; /* on the free list */
};
struct parts {
	struct part *free;
	u32 n; /* of these: taken without asking for memory */
};

enum { CHUNK_SLOTS = 4, STACK_CHUNKS = STACK_SLOTS / CHUNK_SLOTS };
struct stack_chunk {
	struct part part;
	struct stack_slot slot[CHUNK_SLOTS];
};

/* Registers of a frame. Those of callers are shared between states until one changes them: regs_edit(). */
struct reg_file {
	struct part part;
	struct reg regs[REGS];
};

/*
 * Registers of a checkpoint's current frame. They do not change, so only those lie there that are not as plain as many are; and of what nobody reads
 * again there is but a digest, which tells whether a path comes back as it was.
 */
enum { PLAIN_NONE, PLAIN_UNKNOWN, PLAIN_FRAME, PLAIN_KINDS = PLAIN_FRAME + FRAMES };
enum { KEPT_PLAIN = REGS, KEPT_DIGEST = KEPT_PLAIN + PLAIN_KINDS, REG_WORDS = sizeof(struct reg) / 8 };
struct kept_regs {
	struct kept_regs *next; /* free list, of those of the same size */
	u8 at[REGS]; /* its place in reg[]; from KEPT_PLAIN on in plain_regs[], from KEPT_DIGEST on behind reg[] */
	u8 n, words; /* of whole registers; of these and the digests */
	struct reg reg[];
};
extern const struct reg plain_regs[PLAIN_KINDS];
_Static_assert(sizeof(struct reg) % 8 == 0 && REGS * REG_WORDS < 256, "sizes of kept registers fit");

struct frame {
	u32 number; /* 0 is the entry function */
	u32 subprog;
	u32 async_count; /* how many callbacks this path registered to run later */
	const struct callback *callback; /* the frame runs a callback: what it may return */
	s64 cb_ret_min, cb_ret_max;
	bool in_callback, in_async_callback, in_exception_callback;
	u32 callback_depth; /* how often it was entered again on this path */
	u32 refs_on_entry; /* callbacks: of the state; what comes later must be gone at its exit */
	u32 n_slots; /* stack in use: fp - 8 * n_slots */
	struct reg *regs; /* of a struct reg_file; NULL: kept has them */
	struct kept_regs *kept;
	struct stack_chunk *chunk[STACK_CHUNKS]; /* those of the slots in use */
};

static inline const struct reg *reg_at(const struct frame *f, u32 i) /* of any frame; those of paths may be read in regs[], too */
{
	u32 at;

	if (f->regs)
		return &f->regs[i];
	at = f->kept->at[i];
	return at < KEPT_PLAIN ? &f->kept->reg[at] : at < KEPT_DIGEST ? &plain_regs[at - KEPT_PLAIN] : &plain_regs[PLAIN_NONE];
}
bool reg_same(const struct reg *a, const struct reg *b); /* but for their ids */
bool reg_identical(const struct frame *f, u32 i, const struct reg *r); /* also with one of which there is a digest */
static inline const struct stack_slot *stack_at(const struct frame *f, u32 slot)
{
	return &f->chunk[slot / CHUNK_SLOTS]->slot[slot % CHUNK_SLOTS];
}
static inline bool stack_is_spill(const struct stack_slot *s) /* a register, whole or narrow */
{
	return s->kind[SLOT_BYTES - 1] == S_SPILL;
}
static inline bool stack_is_scalar(const struct stack_slot *s) /* a spilled number */
{
	return stack_is_spill(s) && s->reg.type == R_SCALAR;
}

enum ref_kind { REF_PTR = 1, REF_LOCK = 2, REF_RES_LOCK = 4, REF_RES_LOCK_IRQ = 8, REF_IRQ = 16 };
struct ref {
	u32 kind; /* enum ref_kind */
	u32 id;
	u32 insn; /* that acquired it */
	const void *ptr; /* locks: of which map, or object's type */
};

/*
 * One step of a path, for precision: a jump, an access to the stack through a register, registers that share an id. A long path keeps one for each
 * jump, so they are small: what few have, the registers and slots that were linked, lies in an entry of its own before theirs.
 */
struct history {
	u64 insn : 20, prev : 20; /* prev: the instruction walked before it, or PREV_NONE */
	u64 flags : 12; /* enum history_flags */
	u64 walked_regs : 11; /* current state: wanted before the instruction, in the current frame, by walks back that came by */
	u64 has_links : 1; /* the entry before this one holds its links */
	union {
		u64 walked_slots;
		u64 links; /* linked registers and slots: hist_links() */
	};
};
enum { PREV_NONE = (1 << 20) - 1 };
_Static_assert((int)PROG_MAX_INSNS < (int)PREV_NONE && REGS <= 11 && sizeof(struct history) == 16, "what a step of a path has room for");
enum history_flags {
	HIST_FRAME_MASK = 0x7, /* with HIST_STACK: whose stack */
	HIST_SLOT_SHIFT = 3, /* six bits */
	HIST_STACK = 1 << 9, /* a load or store of that slot */
	HIST_DST_POINTER = 1 << 10, /* jumps: this operand is no scalar */
	HIST_SRC_POINTER = 1 << 11,
	HIST_LINKS = 6, /* registers that fit into history.links; more: all scalars become precise */
};

struct state {
	/* what an arrival looks at first, of each checkpoint of the instruction */
	struct state *next; /* checkpoints at the same instruction; free list */
	u32 branches; /* paths under way from here; 0: everything behind it was explored */
	u32 n_frames; /* current frame is n_frames - 1 */
	u32 callsite[FRAMES]; /* insn of the call that entered the frame */
	/* how the path came here from its parent */
	struct state *parent; /* the checkpoint that this path came through last */
	u32 insn, first_insn, last_insn;
	u32 n_hist, cap_hist, n_links; /* n_links: of the entries those that hold links */
	u32 fresh; /* current state: frames entered since the parent */
	struct history *hist; /* from the parent to here */
	u64 stack_written[FRAMES]; /* current state: slots overwritten since the parent */
	struct state *equal; /* back edges: the checkpoint that covered it */
	/* What is below, back edges do not have: back_edge_new(). */
	union {
		struct frame *frame[FRAMES];
		u64 scalar_slots[FRAMES]; /* bare */
	};
	struct ref *refs;
	u32 n_refs, cap_refs;
	u32 active_locks, active_preempt_locks, active_rcu_locks, active_irq_id;
	u32 active_lock_id;
	const void *active_lock_ptr;
	bool speculative, in_sleepable;
	u32 dfs_depth, callback_unroll_depth, may_goto_depth;
	u64 stack_read[FRAMES]; /* slots that some path from here reads before it overwrites them; as Linux walks, by live_stack.c */
	bool cleaned; /* as Linux walks: stack_read is known */
	bool dropped; /* nothing is compared with it any more, but it counts among those that there are */
	u16 precise_regs[FRAMES]; /* checkpoints: scalars on whose bounds an access depended */
	u64 precise_slots[FRAMES];
	u16 scalar_regs[FRAMES]; /* bare */
	bool bare; /* of what it held only the places of scalars are left: state_strip() */
	bool all_precise; /* all scalars are, and those of all checkpoints before it */
	struct state *arrived; /* the last arrival from outside at a loop's head that this path came through, itself included */
	/* checkpoints */
	u32 misses, hits;
	u32 entry; /* at a loop's head: number of the arrival from outside that it belongs to; 0: none */
	bool joined; /* several turns in one: no history leads to it, and its scalars are precise */
	struct state *latest; /* an arrival from outside: the joined state made from it last */
	u32 joins; /* and how many there were */
};

static inline struct frame *cur_frame(const struct state *s)
{
	return s->frame[s->n_frames - 1];
}
/* Where a frame goes on. */
static inline u32 frame_insn(const struct state *s, u32 frame)
{
	return frame + 1 < s->n_frames ? s->callsite[frame + 1] : s->insn;
}
static inline bool same_callsites(const struct state *a, const struct state *b)
{
	bool same = a->n_frames == b->n_frames;

	for (u32 i = a->n_frames; same && i-- > 1;)
		same = a->callsite[i] == b->callsite[i];
	return same;
}

/* ---- per instruction ---- */
struct insn_aux {
	bool prune_point, jump_point, force_checkpoint, calls_callback, jump_target, is_iter_next, seen, nospec, nospec_result;
	u8 facts; /* enum insn_facts */
	u8 access; /* loads, stores, atomics: enum ptr_kinds of the address, over all paths */
	u8 fastcall; /* part of a fastcall pattern (spill or fill); calls: number of pairs */
	u16 live_in; /* registers that may be read from here on */
	u16 differs; /* what told states apart last: frame << 8, and register, or REGS + slot */
	u32 loop; /* smallest loop around it, 0: none or not looked for */
	u32 scc; /* cycle of the control flow that it belongs to, 0: none */
	u32 ptr_type; /* loads, stores, atomics: pointer type of the access on every path; 0 not yet */
	struct state *states; /* checkpoints */
	const struct btf *btf; /* calls of kernel functions, loads of kernel variables: the kernel's, or a module's */
	union {
		struct map *map; /* loads of a map or of its value; calls of helpers: the map that every path passes; MAP_MANY when they differ */
		const struct kfunc *kfunc; /* calls of kernel functions */
		struct {
			u32 ksym_type, ksym_id, ksym_size; /* loads of kernel variables: what the register holds */
		};
		struct {
			u32 alu_state, alu_limit; /* pointer arithmetic of unprivileged programs: how it is sanitised; must be the same on every path */
		};
	};
};
_Static_assert(sizeof(struct insn_aux) == 64, "a line of the cache for each instruction");
#define MAP_MANY ((struct map *)(uintptr_t)-1)

struct subprog_info {
	u32 stack_depth; /* bytes in use */
	bool has_tail_call, tail_call_reachable, has_ld_abs, might_sleep, changes_pkt_data, might_throw;
	bool is_callback, is_async_callback, is_exception_callback, is_global, unreliable; /* unreliable: not called as its prototype says */
	bool no_joins; /* a cycle without a single head */
	u64 indirect_slots; /* stack slots that something wrote through another pointer than R10 */
	bool called; /* global: by something that was walked, so it is verified as well */
	bool args_ready; /* the prototype was read: args, or args_err */
	int args_err;
	struct btf_func_args args;
};

struct pending { /* a branch not yet explored: pending.c */
	struct state *st; /* NULL: packed */
	const u64 *packed;
	u32 insn, prev_insn;
	size_t log_pos; /* length of the log to go back to */
	struct pending *next, *newer;
};

struct id_map {
	u32 old, cur;
};
enum { ID_MAP = (REGS + STACK_SLOTS) * FRAMES };

struct verifier {
	struct prog *prog;
	const struct insn *insns;
	u32 n;
	const struct progtype *kind; /* whose context, packet access and helpers: of the target for program extensions */
	u32 attach_type;
	u32 n_cpus; /* possible_cpus(), once it was asked for */
	const struct verify_options *opts;
	struct text *log;
	u32 log_level;
	struct verify_result *result;
	struct rejection *why;
	struct arena arena;
	/* what the load may do, from opts */
	bool priv; /* CAP_BPF: else no pointer may leak, and only forward knowledge that speculation cannot bypass counts */
	bool allow_ptr_leaks, allow_uninit_stack, bypass_spec_v1, bypass_spec_v4, allow_ptr_to_map_access, strict_align, joins, explore_alu_limits;
	u64 max_insns, max_jumps, look_after; /* look_after: instructions to walk before it is looked whether that can end within max_insns */
	/* the walk */
	struct state *cur;
	u32 insn, prev_insn;
	struct pending *pending, *oldest_whole; /* oldest_whole: those before it are packed */
	u32 n_pending, n_whole;
	struct pack_block *packed, *free_blocks; /* the newest block of packed states; empty ones */
	struct live_stack *live_stack; /* live_stack.c; NULL: the log does not show it */
	struct walked { /* what walks count and see; a walk that is given up takes its part back */
		u64 insns, prev_insns;
		u32 jumps, prev_jumps, ids; /* ids: the last one given */
		bool exception, direct_write;
	} walked;
	u64 live_states;
	bool test_state_freq;
	u32 raw_regno, raw_size; /* MEM_RAW, see mem_raw_commit(); size 0: none */
	u32 cur_hist; /* index + 1 of the entry of the instruction being walked; 0: none yet */
	struct insn_aux *aux;
	u16 *way_back; /* precise.c: per instruction, the registers that the way back stops for */
	struct subprog_info *subs;
	u32 exception_callback; /* subprog, 0: none */
	u32 subprog; /* that is verified now: 0 or a global one */
	/* free lists */
	struct state *free_states, *free_back_edges;
	struct frame *free_frames;
	struct kept_regs *free_kept[REGS * REG_WORDS + 1]; /* by words */
	struct parts files, chunks;
	bool opaque_slots; /* some stack slot held a dynptr, an iterator or saved flags */
	struct pending *free_pending;
	struct id_map ids_map[ID_MAP];
	u32 id_gen;
	/* what is known of the kernel's types */
	const struct btf *types; /* vmlinux() */
	bool types_asked;
	u64 types_ns; /* it took to open them */
	u32 ktype_ids[KTYPE_COUNT]; /* resolved at first use */
	struct {
		const char *name; /* of the struct that the map read last is */
		s32 id;
	} map_struct;
	bool replaces; /* a program extension: its arguments are those of the function that it replaces, its result is that one's */
	const struct btf_type *attach_proto; /* of what it attaches to; NULL: none */
	u32 arg_refs[16]; /* references that the hook's arguments carry */
	struct map *arena_of; /* the program's arena map */
	/* loops: loop.c, join.c */
	struct loop *loops; /* by number, 0 is none */
	u32 n_loops, cap_loops, entries;
	u64 join_after; /* instructions to walk before the other way has its turn */
	struct walks { /* through the function: walks.c */
		u32 n, turns, attempts; /* all of them; how often the other way had its turn; those with joins that lost a proof */
		u64 budget, spent; /* of the way that has its turn, and what earlier walks took of it */
		u64 of_joins; /* the latest budget with joins */
		bool may_join; /* some loop is bounded */
		bool bounded; /* this walk with joins came to one */
		bool over; /* the budget */
		bool turns_end, joins_end; /* turn by turn, and with joins: met a limit */
		bool last;
	} walks;
	u64 insns_given_up, walks_given_up;
	bool safe; /* what is proved is skep's own result, not what Linux would say */
	bool joining; /* this walk joins states */
	bool join_restudy; /* a slot turned out to be written through a pointer: what turns do is looked at again */
	u32 join_lost; /* loop whose joins made the walk fail */
	struct join_snapshot *before_walk;
	struct parked_walk *parked;
	struct scc *sccs; /* prune.c: cycles, by number */
	u32 *list_sizes; /* prune.c: how many states Linux has in each of its lists */
	struct state *dropped; /* checkpoints that nothing is compared with any more */
	u32 n_sccs, n_logged_sccs; /* logged: those that Linux has, too */
	u32 n_ids_map;
	u32 scratched_regs; /* what the instruction changed, for the log */
	u64 scratched_slots;
	u64 read_marks; /* of stack slots, made until now */
	size_t log_mark; /* end of the log after the latest instruction's text */
	u32 log_insn_len; /* the length of that text */
	u32 log_line, log_at; /* line info printed last, + 1; instruction being printed */
	char type_name[96];
};

static inline bool scc_is_logged(const struct verifier *v, u32 scc)
{
	return scc && scc < v->n_logged_sccs;
}

/* Do its bounds count? Without CAP_BPF nobody looks for what they were needed for: all of them do. */
static inline bool all_precise(const struct verifier *v)
{
	return !v->priv || v->opts->switches & VERIFY_ALL_PRECISE;
}
static inline bool reg_precise(const struct verifier *v, const struct state *s, u32 frame, u32 reg)
{
	return s->precise_regs[frame] >> reg & 1 || all_precise(v);
}
static inline bool slot_precise(const struct verifier *v, const struct state *s, u32 frame, u32 slot)
{
	return s->precise_slots[frame] >> slot & 1 || all_precise(v);
}

/* The helper that an instruction calls; NULL: there is none for this type of program. */
static inline const struct helper_proto *helper_at(const struct verifier *v, u32 insn)
{
	return (const struct helper_proto *)(uintptr_t)v->prog->operand[insn];
}

/* Did the path go from a tail call in a function to where that function was called from? next: what was walked after it. */
static inline bool returns_by_tail_call(const struct verifier *v, u32 insn, s64 next)
{
	const struct insn *in = &v->insns[insn];
	const struct helper_proto *h = in->op == OP_CALL && in->pseudo == CALL_HELPER && next != (s64)insn + 1 ? helper_at(v, insn) : NULL;

	return h && h->effects & EFFECT_TAIL_CALL;
}

/* What the tables of hooks call the target: a kernel function, or the struct of a struct_ops program; NULL: none. */
static inline const char *hook_name(const struct verifier *v)
{
	return v->prog->attach_struct ? v->prog->attach_struct : v->prog->attach.name;
}

/* ---- verify.c ---- */
const struct btf *vmlinux(struct verifier *v); /* the kernel's types, opened at first use; NULL: none */
struct btf_kernel kernel_types(struct verifier *v); /* the same for whoever may not need them */

/* ---- reject.c ---- */
/* Notes why and gives the negative errno of the row. The text is the kernel's line; it is added to the log. */
int reject(struct verifier *v, enum reject_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);
/* Same with another errno than the row's. */
int reject_err(struct verifier *v, enum reject_code code, int err, const char *fmt, ...) PRINTF_LIKE(4, 5);
/* Add data to the latest: the register concerned, numbers, a stack slot. */
void reject_reg(struct verifier *v, u32 reg);
void reject_at(struct verifier *v, s32 reg, s64 needed, s64 proved);
void reject_slot(struct verifier *v, u32 frame, u32 slot);
int reject_measured(struct verifier *v, s64 needed, s64 proved); /* numbers alone */
int reject_needs(struct verifier *v, const char *needs); /* words that say more than the row's */
int reject_holds(struct verifier *v, u32 reg, const char *holds); /* a register that was given up since */
void reject_complete(struct verifier *v); /* once the walk has failed: what the rule left unsaid */
void log_add(struct verifier *v, const char *fmt, ...) PRINTF_LIKE(2, 3); /* to the log at level 1 and above */
int bug(struct verifier *v, const char *what); /* skep is wrong: -EFAULT, "verifier bug: ..." */

/* ---- regs.c ---- */
void reg_forget(struct verifier *v, struct reg *r); /* an unknown scalar */
void reg_invalidate(struct verifier *v, struct reg *r); /* what it pointed to is gone: not initialised when the program is not privileged */
bool reg_is_trusted(const struct reg *r); /* R_BTF: trusted, or carries a reference */
void reg_set_const(struct reg *r, u64 value);
void reg_set_unknown(struct verifier *v, struct reg *r);
void reg_set_none(struct reg *r);
void reg_set_pointer(struct reg *r, u32 type); /* offset 0, no id, no reference */
static inline struct reg *reg_of(struct verifier *v, u32 regno) /* of the current frame */
{
	return &cur_frame(v->cur)->regs[regno];
}
u32 new_id(struct verifier *v);
void unlink_scalar(struct reg *r); /* id and delta away */
void assign_scalar_id(struct verifier *v, struct reg *r); /* before it is copied: so that both share an id */
int reg_check_read(struct verifier *v, u32 regno); /* initialised? "R%d !read_ok" */
int reg_check_write(struct verifier *v, u32 regno); /* "frame pointer is read only" */
const char *reg_type_name(struct verifier *v, u32 type); /* "map_value_or_null", "trusted_ptr_", ... */
bool reg_may_be_null(const struct reg *r);
/* Each register and spilled register of all frames of a state; of a spilled one and of callers' fn is given a copy, which is written back where it differs. */
typedef void reg_visit(struct verifier *v, struct reg *r, void *ud);
void each_reg(struct verifier *v, struct state *s, reg_visit *fn, void *ud);

/* ---- state.c ---- */
struct state *state_new(struct verifier *v); /* NULL: out of memory */
struct frame *frame_new(struct verifier *v, u32 callers); /* for a state that has so many other frames */
void state_free(struct verifier *v, struct state *s);
void state_strip(struct verifier *v, struct state *s); /* gives its frames back; what ways back ask for stays */
/* Of these registers or slots of a frame those that hold a scalar. */
u32 scalars_in_regs(const struct state *s, u32 frame, u32 regs);
u64 scalars_in_slots(const struct state *s, u32 frame, u64 slots);
/* to is new. keep: a checkpoint, with these registers of the current frame (and digests of the others); or WHOLE: a path that goes on. */
enum { WHOLE = -1, ALL_REGS = (1 << REGS) - 1 };
int state_copy(struct verifier *v, struct state *to, const struct state *from, s32 keep);
/* How a path that was cut off came to where it was, and nothing of what was known there; NULL: no memory. */
struct state *back_edge_new(struct verifier *v, const struct state *from);
void back_edge_free(struct verifier *v, struct state *s);
/* A packed state gives back its memory, but holds on to what it shares with others; and gets room for what it says it has, own: its buffers till now. */
void state_shelve(struct verifier *v, struct state *s);
int state_unshelve(struct verifier *v, struct state *s, const struct state *own);
int state_resume(struct verifier *v, struct state *s); /* the current state is s from now on, and the old one gone */
int stack_grow(struct verifier *v, struct frame *f, u32 slots);
struct stack_slot *stack_edit(struct verifier *v, struct frame *f, u32 slot); /* of the current state, or of one that was just pushed */
struct reg *regs_edit(struct verifier *v, struct frame *f); /* of a frame that may be a caller's, of the current state or of one that was just pushed */
void stack_clear(struct verifier *v, u32 frame, u32 slot); /* of the current state: the slot holds nothing any more */
void frame_pop(struct verifier *v, struct state *s);
int hist_reserve(struct verifier *v, struct state *s, u32 n);
int async_push(struct verifier *v, u32 insn, u32 prev_insn, u32 subprog, bool sleepable, struct frame **callee); /* a path of its own, to be walked later */
struct state *push_branch(struct verifier *v, u32 insn, u32 prev_insn, bool speculative); /* a copy of the current state, to be walked later */
int ref_acquire(struct verifier *v, u32 insn); /* id, or -ENOMEM */
int ref_acquire_kind(struct verifier *v, enum ref_kind kind, u32 insn, u32 id, const void *ptr);
int ref_release(struct verifier *v, u32 id); /* registers with it become unknown */
int ref_drop(struct state *s, u32 id, enum ref_kind kind, const void *ptr); /* only the entry; -EINVAL */
struct ref *ref_find(const struct state *s, u32 id);

/* ---- pending.c: the branches not yet walked ---- */
struct pending *pending_push(struct verifier *v, struct state *s, u32 insn, u32 prev_insn); /* NULL: no memory */
struct state *pending_pop(struct verifier *v); /* the newest's state; NULL: no memory */
void pending_forget(struct verifier *v); /* all of them */

/* ---- precise.c ---- */
int precise_open(struct verifier *v);
int hist_push(struct verifier *v, struct state *s, u32 flags, u64 linked); /* adds to the entry of the instruction being walked */
static inline u32 hist_stack(u32 frame, u32 slot)
{
	return HIST_STACK | frame | slot << HIST_SLOT_SHIFT;
}
int mark_precise(struct verifier *v, u32 regno); /* the register's bounds matter, from here back to where they came from */
int mark_precise_beyond(struct verifier *v, u32 regno); /* the same where Linux does not mark: in skep's own result */
int mark_precise_slot(struct verifier *v, u32 frame, u32 slot); /* the same of a spilled scalar */
int propagate_precision(struct verifier *v, const struct state *old, struct state *cur, bool *changed); /* what old needs, cur needs */
int mark_joined(struct verifier *v); /* all bounds of the state that arrives at an instruction matter */
int mark_arrived(struct verifier *v, u32 regs, u64 slots); /* those of the current frame */
bool path_scalars_precise(struct state *s); /* all scalars of a checkpoint and of those before it; true: some were not */

struct history *hist_of(const struct state *s, u32 n_hist, u32 insn); /* the entry of an instruction, walking back; NULL: none */
s64 hist_previous(const struct state *s, u32 insn, u32 *n_hist); /* the instruction walked before it in this segment; -1: it was the first */

/* ---- trace.c ---- */
void trace_rejection(struct verifier *v); /* the walk has failed: how it came there, and where the fact was lost */

/* ---- stack masks (live.c) ---- */
void stack_note_read(struct verifier *v, struct state *s, u32 frame, u32 slot); /* one slot */
void stack_look(struct verifier *v, u32 frame, u32 slot); /* the same in the state at hand, and the log shows the slot */
void stack_note_write(struct verifier *v, u32 frame, u32 slot); /* all eight bytes are overwritten, in the state at hand */

/* ---- stack.c ---- */
int stack_read(struct verifier *v, struct reg *ptr, u32 regno, s32 off, u32 size, s32 dst); /* dst < 0: only checked */
int stack_write(struct verifier *v, struct reg *ptr, u32 regno, s32 off, u32 size, s32 value_reg, u32 insn);
/* Helpers' memory: [ptr+off, +size) must be initialised (read) or becomes so (write). meta_raw: NULL, or the call's area that is written */
enum mem_use { MEM_READ = 1, MEM_WRITE = 2, MEM_RAW = 4 /* written by a call, whatever was there before */, MEM_DIRECT = 8 /* by the program itself */ };
int stack_range(struct verifier *v, u32 regno, struct reg *ptr, s32 off, u64 size, bool zero_size, u32 use);
u32 slot_of(s32 off); /* of a fixed offset below 0 */

/* ---- mem.c ---- */
/* One load or store by the program. value_reg: stores, atomics: the register stored, or -1. */
int mem_access(struct verifier *v, u32 insn, u32 regno, s32 off, u32 size, u32 use, s32 value_reg, bool strict, bool sign_extend);
int mem_atomic(struct verifier *v, const struct insn *in);
int mem_ordered(struct verifier *v, const struct insn *in); /* load-acquire, store-release: not everything may be accessed so */
/* A call's memory argument of access_size bytes. */
int mem_region(struct verifier *v, u32 regno, u64 size, u32 use, bool zero_size, const char *who);
/* MEM_RAW notes the area on the stack; once all arguments were checked, the call writes it. */
int mem_raw_commit(struct verifier *v);
int mem_bounds(struct verifier *v, u32 regno, s32 off, s64 size, u32 mem_size, bool zero_size); /* with a variable offset */
int mem_map_value(struct verifier *v, u32 regno, s32 off, s32 size, bool zero_size, u32 use);
int mem_fixed_pointer(struct verifier *v, const struct reg *r, u32 regno, bool fixed_off_ok); /* no variable offset, no negative one */
int mem_aligned(struct verifier *v, u32 regno, s32 off, u32 size, bool strict); /* is the pointer, as far as its kind asks for it? */

/* ---- alu.c, branch.c ---- */
int walk_alu(struct verifier *v, const struct insn *in);
int speculate(struct verifier *v, const struct insn *in, u32 insn); /* a wrong guess of the processor goes on there; in: the jump */
int walk_jump(struct verifier *v, const struct insn *in, u32 *next); /* conditional jumps: both edges; *next: where this path goes on */
void sync_linked(struct verifier *v, struct state *s, const struct reg *known, u64 linked);
void reg_not_null(struct verifier *v, struct reg *r); /* one of an or_null type: what it is when it is not NULL */
void null_checked(struct verifier *v, struct state *s, u32 id, bool is_null); /* all registers of a NULL check */
void packet_forget(struct verifier *v); /* all packet pointers of the current state become invalid */

/* ---- call.c and its family ---- */
bool helper_offered(const struct verifier *v, const struct helper_proto *p); /* to programs of this type and hook, and to who loads it; NULL is not */
int walk_helper(struct verifier *v, const struct insn *in, u32 *next);
int walk_kfunc(struct verifier *v, const struct insn *in, u32 *next); /* of a kfunc whose role is KROLE_THROW: the path ends there */
int kfuncs_resolve(struct verifier *v); /* before anything else: insn_aux.kfunc */
bool kfunc_offered(const struct verifier *v, const struct kfunc *k); /* to programs of this type and hook; NULL is not */
const struct btf_record *special_fields(const struct reg *r); /* of the map value or object that r points to; NULL: none */
int kptr_matches(struct verifier *v, const struct btf_field *field, const struct reg *r, u32 regno); /* may r be stored there? */
int dynptr_overwritten(struct verifier *v, struct frame *f, u32 slot); /* dynptr.c: a store over a dynptr's slot destroys it, or is refused */
/* arguments of helpers, and of global functions */
int arg_offset(struct verifier *v, const struct reg *r, u32 regno, bool release); /* the offset that its type allows */
int arg_mem(struct verifier *v, u32 regno, u32 size); /* bytes that are read and written, or NULL */
/* flags: of enum arg_kind; kinds: enum dynptr_kind that are accepted, or the one that is made; clone_ref: a clone's reference, 0: none */
int arg_dynptr(struct verifier *v, u32 regno, u32 flags, u32 kinds, u32 clone_ref);
/* ---- func.c: functions of the program ---- */
int walk_subprog_call(struct verifier *v, const struct insn *in, u32 *next);
/* Pushes a frame (current state, or an async one) for a callback and goes on in it; the path without a call is walked as well.
 * fill() sets its R1 to R5. */
typedef int callback_fill(struct verifier *v, struct frame *caller, struct frame *callee, void *ud);
int callback_call(struct verifier *v, const struct insn *in, u32 subprog, const struct callback *cb, callback_fill *fill, void *ud, u32 *next);
int walk_function(struct verifier *v, u32 subprog); /* the main function or a global one, from its entry */
int walk_return(struct verifier *v, u32 *next, bool *done); /* exit of a frame; *done: the path is finished */
void main_args(struct verifier *v); /* what the main function's prototype lacks is said, and matters to nothing */
int global_args(struct verifier *v, u32 subprog); /* reads a global function's prototype */
/* Nothing may be held where the program may end: `where` begins the message; exception: all frames end. */
int resources_released(struct verifier *v, const char *where, bool locks_too, bool exception);
int global_arg(struct verifier *v, u32 regno, u32 arg, const struct btf_arg *a); /* call_args.c: does R1 to R5 suit a global function? */
int result_ok(struct verifier *v, u32 regno, const char *name); /* R0 at exit against the type's range */

/* ---- prune.c ---- */
int prune_visit(struct verifier *v, u32 insn, bool *pruned); /* is the current state covered? else maybe a checkpoint */
int path_done(struct verifier *v, struct state *s); /* one of the paths from its parents has ended */
/* Iterators and callbacks: the latest checkpoint at insn on this path, of the same call chain; NULL: first time round. */
struct state *loop_previous(struct verifier *v, const struct state *s, u32 insn);
void loop_widen(struct verifier *v, const struct state *old, struct state *cur); /* scalars that differ and are not precise: unknown */
int prune_open(struct verifier *v);
void prune_forget(struct verifier *v); /* all checkpoints, between functions that are verified on their own */

/* ---- endless.c ---- */
bool walk_is_endless(struct verifier *v); /* for certain; otherwise looks again later */

/* ---- walks.c ---- */
enum { JOIN_RETRY = -EAGAIN }; /* no verdict: the function is walked again, see join_again() */
int join_open(struct verifier *v); /* before a function is walked */
int join_due(struct verifier *v); /* the walk became long: JOIN_RETRY if the other way has its turn, or 0 */
void join_blame(struct verifier *v, int err); /* the walk failed: below a joined state? */
bool join_parks(struct verifier *v, int err); /* the walk was kept, and goes on when its way has its turn again: nothing of it is to be freed */
bool join_resumes(struct verifier *v); /* it is there again, in place of a new one */
void join_close(struct verifier *v); /* once a function has its verdict */
bool join_again(struct verifier *v, int *err); /* whether the function is walked again; what the walk left is undone then */

/* ---- join.c ---- */
bool join_heads(const struct verifier *v, u32 insn); /* a loop begins there */
int join_enter(struct verifier *v, u32 insn, bool *enters); /* at a loop's head: does the path come from outside? Then its turns are bounded */
bool join_inside(const struct verifier *v, const struct state *s); /* the innermost loop around has joined states: it ends */
struct state *join_entry(const struct verifier *v, u32 insn); /* the checkpoint at which this path entered the loop */
/* Makes the current state hold all turns since the entry, with what is precise marked back on the path. *made: false when it cannot be. */
int join_make(struct verifier *v, u32 insn, struct state *entry, bool *made);
void join_tighten(struct verifier *v, u32 insn, const struct state *entry);
bool join_covers(const struct verifier *v, const struct state *old, u32 insn, bool enters); /* the current state lies in old: does it end where old did? */
void join_arrived(struct verifier *v, struct state *s);
void join_made(struct verifier *v, struct state *s, struct state *entry); /* s: the checkpoint of what join_make() gave */
void stack_indirect(struct verifier *v, const struct frame *f, s32 min, s32 max); /* bytes [min, max) are written, not through R10 */

/* ---- walk.c ---- */
int note_pointer_kind(struct verifier *v, u32 type, bool trust_may_differ); /* the instruction accesses memory through that kind */
void note_access(struct verifier *v, const struct reg *r); /* before it: where to */
int walk(struct verifier *v); /* all paths from v->cur at v->insn on */

/* ---- cfg.c ---- */
int cfg_check(struct verifier *v); /* reachable, no fall-through of a function, back edges; prune points, cycles */
int cfg_stack_depth(struct verifier *v); /* combined stack of call chains, recursion */
u32 cfg_successors(const struct verifier *v, u32 insn, u32 to[2]); /* within the function */

/* ---- live.c ---- */
int live_registers(struct verifier *v); /* aux.live_in */
int live_cycles(struct verifier *v); /* aux.scc */

/* ---- live_stack.c: in VERIFY_LINUX, and for the log of level 2 ---- */
int live_stack_open(struct verifier *v);
void live_stack_forget(struct verifier *v); /* the walk is made again */
void live_stack_read(struct verifier *v, u32 frame, u32 slot);
void live_stack_write(struct verifier *v, u32 frame, u32 slot);
void live_stack_before(struct verifier *v); /* an instruction is walked */
void live_stack_after(struct verifier *v);
void live_stack_elsewhere(struct verifier *v); /* the path entered a function */
u64 live_stack_slots(struct verifier *v, const struct state *s, u32 frame); /* of a checkpoint, those that may be read from there on */
void live_stack_update(struct verifier *v); /* a path or a function ends */

/* ---- log.c ---- */
void log_state(struct verifier *v, const struct state *s, u32 frame, bool all);
void log_changes(struct verifier *v, u32 insn); /* what the latest instruction changed, behind its text where nothing came between */
void log_insn(struct verifier *v, u32 insn); /* with what the instruction before it changed */
void log_source(struct verifier *v, u32 insn); /* "; source @ file:line", when it is another than before */
void log_insn_text(struct verifier *v, u32 insn); /* "(b7) r0 = 0" and a newline */
int log_live_registers(struct verifier *v); /* at level 2 */
void log_bounds(struct verifier *v, const struct verify_stats *s); /* at level 2: the loops whose turns were joined */
void log_stats(struct text *log, u32 level, u64 max_insns, u32 functions, const struct verify_stats *s);
/* What a register or a slot holds, as the log says it. */
void log_reg_words(struct verifier *v, const struct frame *f, const struct reg *r, char *out, size_t size);
void log_slot_words(struct verifier *v, const struct state *s, u32 frame, u32 slot, char *out, size_t size);

#endif
