/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vm: the interpreter, which is the reference semantics. Every access of a program that is not verified is
 * checked against what the program may touch: its stack frames, context, packet, map values, ring records and
 * the spans that its host lends it. A fault ends the run; it never reaches the host.
 *
 * Ownership: the caller owns struct run and all that it points to, for the time of the run.
 */
#ifndef SKEP_VM_H
#define SKEP_VM_H

#include "abi/abi.h"
#include "prog/prog.h"

struct run;
typedef u64 helper_fn(struct run *r, u64 a, u64 b, u64 c, u64 d, u64 e);

/* What bpf_skb_set_tunnel_key() and bpf_skb_set_tunnel_opt() have said of the tunnel that a packet is to take. */
struct tunnel {
	bool set, has_options;
	u8 n_options, options[255];
	u64 flags; /* BPF_F_* */
	struct bpf_tunnel_key key;
};

enum { LOOPBACK = 1 }; /* the number of the interface that packets come in by, where nothing else is said */

/* A packet buffer: head <= meta <= data <= tail <= end. Room before data is headroom. */
struct packet {
	u8 *head, *meta, *data, *tail, *end;
	u32 frags; /* bytes behind tail that only helpers reach: Linux has them in fragments */
	bool read_only; /* direct access may not write */
	bool encapsulated; /* bpf_skb_adjust_room() put a header in front of another */
	u32 ifindex, rx_queue, protocol; /* protocol in network order, as __sk_buff has it */
	u8 *mac, *network; /* where the link-layer and the network header begin */
	struct tunnel *tunnel; /* NULL: XDP */
	struct way {
		enum { WAY_NONE, WAY_DEVICE, WAY_MAP } kind;
		u32 target; /* an interface, or a key */
	} way; /* where the redirect helpers sent it last */
	struct bpf_sock *sock; /* the one it belongs to; NULL: none */
};

enum { PACKET_FRAGMENT = 4096 /* bytes of one, the last may have fewer */ };
static inline u64 packet_bytes(const struct packet *p)
{
	return (u64)(p->tail - p->data) + p->frags;
}

struct run_ctx {
	const struct ctx_type *type;
	u8 *bytes; /* the uapi struct; what R1 holds */
	u32 size;
	bool has_second; /* bare bytecode: R2 holds `second` */
	u64 second;
	struct packet *packet; /* NULL when the type has none */
};

enum fault_code {
	FAULT_NONE,
	FAULT_ACCESS, /* address not in anything the program may touch */
	FAULT_READ_ONLY,
	FAULT_CTX, /* offset or size that the context type does not have */
	FAULT_ARGUMENT, /* helper argument is not what its prototype says */
	FAULT_HELPER, /* helper unknown, or not for this program type */
	FAULT_KFUNC,
	FAULT_CALL_DEPTH,
	FAULT_BUDGET, /* instruction budget used up */
	FAULT_STOPPED, /* the host asked it to stop */
	FAULT_ALIGN, /* atomic access not naturally aligned */
	FAULT_UNREACHABLE, /* ran off the end or into an instruction that has no meaning here */
	FAULT_UNINIT, /* read of a stack byte or register never written */
	FAULT_RESOURCE, /* left a record or lock behind */
};
struct fault {
	enum fault_code code;
	u32 insn;
	u64 address;
	u32 size;
	char text[192]; /* "insn 5: load of 4 bytes at 0x... : outside of the packet (14 bytes)" */
};

struct run_task {
	u64 pid_tgid, uid_gid;
	char comm[16];
	u64 cgroup; /* id; 0: unknown */
	const u64 *ancestors; /* ids of the cgroups that it is below, root first, its own last */
	u32 n_ancestors;
	u64 ns_dev, ns_ino, ns_pid_tgid; /* its pid namespace, and its numbers there; 0: unknown */
};
struct run_regs {
	u64 ip, sp, bp;
};

/* Sees every instruction before it is executed; runs are interpreted then. vm/state.h has what it may look at. */
struct run_watch {
	void (*step)(void *ud, const struct run *r);
	void *ud;
};

/* What the engine does for a run. */
struct timespec;
struct run_host {
	void *ud;
	u64 (*clock)(void *ud, int clock_id); /* ns */
	int (*vdso_clock)(int clock_id, struct timespec *to); /* gives the same without detours; NULL: there is none */
	void (*trace)(void *ud, struct run *r, const char *text, size_t len); /* bpf_trace_printk */
	const struct run_task *(*task)(void *ud, struct run *r); /* whose event this is; never NULL */
	u64 (*task_object)(void *ud, struct run *r); /* that task as a kernel object; 0: none. May be NULL, as the following */
	/* Memory and registers of r->current, which is not NULL. Bytes copied from the start on, or -errno. */
	s64 (*user_read)(void *ud, struct run *r, u64 from, void *to, u64 size);
	s64 (*user_write)(void *ud, struct run *r, u64 to, const void *from, u64 size);
	int (*user_regs)(void *ud, struct run *r, struct run_regs *out);
	u32 (*cgroups)(void *ud, struct run *r, u64 *ids, u32 most); /* that it is in now, root first, its own last; 0: as task() says */
	int (*send_signal)(void *ud, struct run *r, int sig, bool thread);
	helper_fn *const *bodies; /* indexed by helper id */
	u32 n_bodies;
	helper_fn *(*own_body)(void *ud, struct run *r, const struct helper_proto *proto); /* an embedder's helper; may be NULL */
	const struct window *window;
	u64 kernel_base, kernel_size; /* the engine's kernel objects: all that loads through pointers to them may read */
	struct heap *heap; /* objects of programs; they lie among the engine's */
	const struct run_watch *watch; /* of all runs; NULL: none */
	bool elsewhere; /* compiled code is for another process: it calls no function of this one but `bodies`, and uses of struct run its head only */
	u64 cookie_secret[2]; /* of SYN cookies */
	int (*output_packet)(void *ud, struct run *r, struct packet *p, u32 ifindex, u64 flags); /* clone_redirect; NULL: none */
};

struct run_span {
	u64 start, size;
	bool writable;
	const char *what;
};

struct run_record {
	void *at;
	struct map *map;
	u64 size;
};

/* Where compiled code's frames are, for helpers that look whether an address may be read: written before each call of such a helper, and of one that
 * calls functions of the program back. Frames that wait for such a callback hang on `up`. */
struct run_frames {
	u64 sp; /* of the function that calls; its return address lies below */
	const struct run_frames *up;
};

/* A tail call from a function of a program keeps the frames of its callers: each may add one. */
enum { RUN_CALLS = 8, RUN_TAIL_CALLS = 33, RUN_FRAMES = RUN_CALLS + RUN_TAIL_CALLS, RUN_STACK = 512, RUN_SPANS = 8, RUN_RECORDS = 16, RUN_INNER = 64, RUN_OWNED = 8, RUN_SENT = 32768 /* bytes of a record that is sent from elsewhere */ };

struct run {
	struct hold *hold; /* NULL when no slot was taken */
	u64 cookie; /* of the attachment */
	u64 func_ip; /* address of the probed function; 0: none */
	/* the head ends */
	struct prog *prog; /* changes with tail calls */
	const struct run_host *host;
	struct run_ctx ctx;
	struct run_span spans[RUN_SPANS]; /* extra memory lent to the program */
	u32 n_spans;
	u64 budget; /* instructions; 0: no limit */
	const _Atomic bool *stop; /* optional: set by another thread to end the run */
	struct fault fault;
	u64 insns; /* executed; while compiled code runs, what it was given to execute */
	s64 fuel; /* of that, not yet executed: while no function with loops has it in a register */
	u32 tail_calls;
	struct run_record records[RUN_RECORDS]; /* ring records reserved and not yet released */
	u32 n_records;
	struct map *inner[RUN_INNER]; /* maps that this run found in maps of maps */
	u32 n_inner;
	bool thrown; /* bpf_throw() was called: functions return until the program's first one has, */
	u64 thrown_with; /* whose result its handler makes of this */
	void *lock_held; /* the bpf_spin_lock that the program holds */
	/* References to objects that the program has: dropped if the run ends before it. More than fit here are in an object. */
	u64 *owned, owned_first[RUN_OWNED];
	u32 n_owned, room_owned;
	_Atomic u8 *coverage; /* optional: one byte per slot, set to 1 when executed */
	const struct run_watch *watch; /* optional */
	void *vm; /* the interpreter's private state for this run; NULL: compiled code runs */
	bool interpreted; /* compiled code is not used */
	struct run_frames frames; /* compiled code runs */
	u64 rng;
	const struct helper_proto *own; /* the embedder's helper that is being called */
	struct run_task task; /* filled by host->task() on first use */
	bool has_task;
	void *current; /* the engine's task that the event is of; NULL: whoever runs the program */
};
enum { RUN_HEAD = offsetof(struct run, prog) };

/* 0 and *result, or -EFAULT with r->fault filled in. The caller sets prog, host, hold, ctx, spans, budget. */
int vm_run(struct run *r, u64 *result);
/* From a helper: calls the program's function at slot `insn` with up to five arguments. 0 or -EFAULT. */
int vm_call(struct run *r, u32 insn, const u64 args[5], u64 *result);
/* References that the program got and gave away. An address may be that of a node in an object. */
void vm_own(struct run *r, u64 object);
void vm_disown(struct run *r, u64 object);
/* Does the run bring all the memory that a verified program relies on? Its context and its buffer, see struct prog. */
bool vm_suits(const struct run *r, const struct prog *p);
/* A tail call: the program that goes on; NULL: none, the caller goes on. */
struct prog *vm_tail_call(struct run *r, struct map *map, u32 index);
/* For compiled code: goes on in r->prog, which is not compiled; a packet load, false outside of the packet; has the run used
 * up its budget, or been stopped? */
helper_fn vm_continue;
bool vm_packet_load(struct run *r, s64 off, u32 size, u64 *out);
int vm_stopped(struct run *r);
u64 vm_refuel(struct run *r, s64 fuel); /* fuel was used up: as much again as may be executed before the next look; 0: the run ends, with a fault */
int vm_ctx_load(struct run *r, u32 off, u32 size, u64 *out);
/* Is [addr, addr + size) memory that this run may read (write)? Fills r->fault and returns -EFAULT if not. */
int vm_check(struct run *r, u64 addr, u64 size, bool write);
/* Same, without a fault: for helpers with EFFECT_LOOKS, at whose calls compiled code says where its frames are. */
bool vm_readable(struct run *r, u64 addr, u64 size);
void vm_fault(struct run *r, enum fault_code code, u64 address, u32 size, const char *fmt, ...) PRINTF_LIKE(5, 6);

/* Do all of these bytes lie among the engine's kernel objects? */
static inline bool vm_kernel_has(const struct run *r, u64 addr, u64 size)
{
	u64 off = addr - r->host->kernel_base;

	return off <= r->host->kernel_size && size <= r->host->kernel_size - off;
}

#endif
