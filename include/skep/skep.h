/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libskep: eBPF without the kernel.
 *
 * A struct skep is one engine, a "user-space kernel": its maps, programs, links, BTF and ids. A process may hold
 * many; an engine may be used by many threads at the same time. Nothing is global.
 *
 * Functions return 0 (or a value >= 0) on success and -errno on failure. Option structs begin with their own
 * size: set it with sizeof, leave what you do not need zero; newer libraries accept older, smaller structs, and
 * a larger struct whose unknown tail is zero.
 */
#ifndef SKEP_SKEP_H
#define SKEP_SKEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define SKEP_API __attribute__((visibility("default")))
#else
#define SKEP_API
#endif

struct skep;
union bpf_attr;

/** What a caller may set when it creates an engine. All zero is a good default. */
struct skep_options {
	size_t size; /* sizeof(struct skep_options) */
	/** Allocator: fn(ud, NULL, 0, n) allocates, fn(ud, p, old, n) resizes, fn(ud, p, old, 0) frees. Default: libc. */
	void *(*alloc)(void *ud, void *ptr, size_t old_size, size_t new_size);
	void *alloc_ud;
	/** Receives one line per message of the engine, without a newline. Default: none; the library never prints. */
	void (*log)(void *ud, const char *line);
	void *log_ud;
	/** Clock: nanoseconds of a clockid_t. Default: clock_gettime(2). */
	uint64_t (*clock)(void *ud, int clock_id);
	void *clock_ud;
	/** Bytes of address space to reserve for maps. Default: 64 GiB. */
	size_t window;
	/** Instructions one run may execute; 0: 1,000,000,000. Compiled programs end at the first turn of a loop, call or callback beyond it; a loop whose turns
	 * are known and take at most 32,768 instructions in all counts as a whole, before its first turn. */
	uint64_t max_insns;
	/** Bytes that maps may take in all; 0: no limit. Exceeding it gives -ENOMEM. */
	uint64_t max_map_bytes;
	/** File with the run slots of all engines that share pinned maps; NULL: one per user. */
	const char *domain;
	/**
	 * vmlinux BTF file to resolve kernel types against (/sys/kernel/btf/vmlinux, or another kernel's); NULL: the engine's own. Or a folder
	 * as /sys/kernel/btf: its file vmlinux, and beside it the BTF of each module, split from that one.
	 * The string stays the caller's and is valid as long as the engine.
	 */
	const char *kernel_btf;
	/** Not 0: programs are not verified when they are loaded, and the interpreter checks every access: for tests, and for bare bytecode. */
	int unverified;
	/** What executes programs: enum skep_engine. With max_insns set, compiled programs count as well. */
	uint32_t engine;
	/** Optimizations of the verifier to do without, for tests: a sum of enum skep_verify_off. Verdicts do not depend on them, only cost. */
	uint32_t verify_off;
	/** Bytes that one verification may take; 0: 2 GiB. Exceeding it refuses the program with -ENOMEM. */
	uint64_t max_verify_bytes;
	/** For tests: passes of the compiler to do without (bit i: pass i, in the order of src/opt/passes.def), and a sum of enum
	 * skep_compile_test. Results of programs do not depend on them. */
	uint32_t compile_off, compile_test;
	/** Where profilers and debuggers learn the names of compiled functions, "bpf_prog_TAG_NAME" as Linux calls them: a sum of enum
	 * skep_profile. skep_open() fails with -errno when the files cannot be written. */
	uint32_t profile;
	/** With SKEP_PROFILE_JITDUMP: the directory of jit-PID.dump; NULL: the current one. */
	const char *jitdump_dir;
};

enum skep_profile {
	SKEP_PROFILE_PERF_MAP = 1, /* lines in /tmp/perf-PID.map, which perf report reads */
	SKEP_PROFILE_JITDUMP = 2, /* jit-PID.dump with code and source lines: perf record -k mono, perf inject --jit */
	SKEP_PROFILE_GDB = 4, /* gdb's JIT interface: names and call frames in the debugger of this process */
};

enum skep_compile_test {
	SKEP_COMPILE_FEW_REGISTERS = 1, /* nearly every value lives on the stack */
	SKEP_COMPILE_POISON = 2, /* registers that a call may change are destroyed by it */
	SKEP_COMPILE_BASELINE = 4, /* without extensions of the instruction set */
	SKEP_COMPILE_CHECK = 8, /* the SSA form is checked after every pass; a program for which one is broken is not compiled */
	SKEP_COMPILE_NO_FACTS = 16, /* without the verifier's facts */
};

enum skep_verify_off {
	SKEP_VERIFY_NO_PRUNE = 1, /* states are not compared: only for small programs */
	SKEP_VERIFY_NO_REG_LIVENESS = 2,
	SKEP_VERIFY_NO_STACK_LIVENESS = 4,
	SKEP_VERIFY_NO_JOIN = 8, /* loops are walked turn by turn, as Linux does */
	SKEP_VERIFY_ALL_PRECISE = 16,
};

enum skep_engine {
	SKEP_ENGINE_AUTO, /* machine code where the program can be compiled, else the interpreter */
	SKEP_ENGINE_INTERP, /* the interpreter, which checks every access */
	SKEP_ENGINE_JIT, /* machine code; a program that cannot be compiled is refused with -ENOTSUP and the reason in its log */
};

/** Creates an engine. -EINVAL: options of an unknown shape, an engine, a profile or a switch of the verifier that does not exist; -ENOMEM, also where RLIMIT_AS or RLIMIT_FSIZE leaves no room;
 * -EMFILE; what keeps the file of `kernel_btf` from being read or those of `profile` from being written, which the log names. */
SKEP_API int skep_open(struct skep **out, const struct skep_options *opts);
/** Ends an engine. No call may be under way in another thread. Pinned maps stay. */
SKEP_API void skep_close(struct skep *k);

/**
 * bpf(2), as documented in its man page and in linux/bpf.h: same commands, structures, descriptors and errors, but
 * the error is returned as -errno. `size` follows the system call's rule: larger than known is accepted when
 * the tail is zero, otherwise -E2BIG.
 */
SKEP_API int skep_bpf(struct skep *k, int cmd, union bpf_attr *attr, unsigned int size);

/* ---- programs and maps without bpf_attr ---- */

/** A program to load. */
struct skep_prog {
	size_t size; /* sizeof(struct skep_prog) */
	/** enum bpf_prog_type, or what skep_prog_type_register() gave. */
	uint32_t type;
	/** Encoded instructions, eight bytes each (RFC 9669), and how many. */
	uint32_t n_insns;
	const void *insns;
	const char *name; /* at most 15 letters, digits, _ and .; may be NULL */
	const char *license; /* "GPL", ...; NULL: none */
	uint32_t flags; /* BPF_F_SLEEPABLE, ... */
};

/** Loads a program; a descriptor, to be closed with close(2), or -errno with the reason in log (may be NULL), of which the end is
 * kept if it is too small. Errors are PROG_LOAD's, but for -ENOSPC. */
SKEP_API int skep_prog_load(struct skep *k, const struct skep_prog *prog, char *log, size_t log_size);

/** One result of the verifier. */
struct skep_verdict {
	int error; /* 0: accepted; otherwise what PROG_LOAD gives, -EACCES, -EINVAL, -E2BIG, ... */
	char code[48]; /* the rule's stable name; "" when accepted, or when the refusal has none */
	char message[256]; /* the refusal in Linux's words, one line; "" when accepted */
	uint32_t insn; /* where it was refused, in the program that was passed; UINT32_MAX: nowhere in particular */
	uint32_t line; /* of the source, from line_info; 0: unknown */
	char file[256];
	int32_t reg; /* the register concerned; -1: none */
	int measured; /* there are numbers: */
	int64_t needed, proved; /* what the rule asks for and what is known: a bound of the register's number, or bytes of the packet or object */
	uint32_t lost_at; /* the instruction at which that was lost, as far as it can be said; UINT32_MAX: not known */
	uint32_t lost_line; /* its line in the source; 0: unknown */
	int lost_at_entry; /* no instruction of the path lost it: so since the program, or the function, began */
	char needs[96], holds[96]; /* what the rule asks for and what there was, in words; "": numbers say it, or the instruction is wrong in itself */
	uint32_t n_path; /* the latest jumps, calls and returns on the way to the refusal, in order */
	struct {
		uint32_t from, to; /* instructions */
	} path[64];
	uint64_t processed; /* instructions that were walked, on all paths */
	uint64_t given_up; /* of further walks, which decided nothing (docs/verifier.md: joins) */
	uint64_t states; /* states that were kept, in all */
	uint64_t peak_bytes; /* of memory */
	uint64_t time_us; /* from the call until this result was known */
};

/** What the verifier has to say about one program. */
struct skep_check {
	size_t size; /* sizeof(struct skep_check) */
	uint32_t insns; /* how many the program has */
	int decided; /* 0: refused before the verifier saw it (bad attributes, unknown instructions): both verdicts say so */
	struct skep_verdict as_linux; /* Linux's rules and limits */
	struct skep_verdict safe; /* what PROG_LOAD goes by: same safety, skep's own limits */
};

/**
 * BPF_PROG_LOAD, with both of the verifier's results in *out (out->size is set by the caller). Returns what PROG_LOAD returns:
 * a descriptor, or -errno with *out filled all the same. -EINVAL with *out untouched: its size is unknown.
 */
SKEP_API int skep_prog_check(struct skep *k, union bpf_attr *attr, unsigned int attr_size, struct skep_check *out);

/**
 * What later calls on this engine may do: 0, the default, all that CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN allow on Linux;
 * otherwise what a user without them may. Programs and maps that exist stay.
 */
SKEP_API void skep_set_unprivileged(struct skep *k, int on);

/** The vmlinux BTF file that skep_options.kernel_btf named, itself or by its folder; NULL: none. */
SKEP_API const char *skep_kernel_btf(const struct skep *k);

/** A map's descriptor, or -errno. type: enum bpf_map_type. */
SKEP_API int skep_map_create(struct skep *k, uint32_t type, uint32_t key_size, uint32_t value_size, uint32_t max_entries, uint32_t flags);
/** As bpf(2)'s BPF_MAP_LOOKUP_ELEM and so on. Values of per-CPU kinds are one per possible CPU, each rounded up to 8 bytes. */
SKEP_API int skep_map_lookup(struct skep *k, int map_fd, const void *key, void *value);
SKEP_API int skep_map_update(struct skep *k, int map_fd, const void *key, const void *value, uint64_t flags);
SKEP_API int skep_map_delete(struct skep *k, int map_fd, const void *key);
SKEP_API int skep_map_next_key(struct skep *k, int map_fd, const void *key, void *next);

/* ---- running ---- */

/** Why a run ended early. */
struct skep_fault {
	uint32_t insn; /* index of the instruction */
	uint64_t address; /* that was accessed; 0 when it was no access */
	char text[192]; /* "insn 5: load of 4 bytes at packet offset 60, outside of its 60 bytes" */
};

/** Memory that a run may touch besides what its program type gives it. */
struct skep_memory {
	void *at;
	size_t size;
	int writable;
};

/** One run with a context. */
struct skep_run {
	size_t size; /* sizeof(struct skep_run) */
	/** The context that R1 points to: the program type's struct, or any bytes for types with a flat one. */
	void *ctx;
	size_t ctx_size;
	/** Not 0: R2 holds ctx_size. */
	int pass_size;
	uint32_t n_memory; /* at most 8: -EINVAL */
	const struct skep_memory *memory;
	/** Optional: another thread sets it to end the run, which then faults. */
	const bool *stop;
	/* results */
	uint64_t result; /* R0 */
	uint64_t insns; /* instructions executed; compiled programs count only in an engine with max_insns, and then in passes of loops */
	struct skep_fault fault; /* when the call gave -EFAULT */
};

/** 0: the program ended, run->result is R0. -EFAULT: it faulted, run->fault says where. -EBADF, -EINVAL: bad arguments, a context
 * shorter than what the program accesses among them.
 * A signal handler may call it: -EBUSY when it interrupted a call of this engine where it cannot, and what the program then finds
 * locked by its own thread gives -EBUSY too. */
SKEP_API int skep_run(struct skep *k, int prog_fd, struct skep_run *run);

/** One packet: a frame with its link-layer header, 14 to 65,600 bytes. */
struct skep_packet {
	const void *data;
	uint32_t size;
	uint32_t result; /* out: the program's verdict */
	void *out; /* optional: where the frame goes as the program left it, with the link-layer header, also where the program does not see that */
	uint32_t out_size; /* in: room; out: bytes */
	uint32_t nowhere; /* out: 1: the verdict redirects, but the program named no target, or nothing is there: Linux drops the packet */
};

/** Runs an XDP, tc, socket filter, cgroup_skb or LWT (in, out, xmit) program on n packets, one after the other. *done: how many were completed.
 * -EFAULT: packets[*done] made it fault (fault may be NULL). -EINVAL: its size, no data, or prog_fd is no program of such a type. -ENOSPC: no room for it in out, where
 * its beginning stands. -EBADF: no descriptor. */
SKEP_API int skep_run_packets(struct skep *k, int prog_fd, struct skep_packet *packets, unsigned int n, unsigned int *done,
			      struct skep_fault *fault);

/** What PROG_TEST_RUN's attr has no field for. */
struct skep_test_result {
	size_t size; /* sizeof(struct skep_test_result) */
	uint32_t nowhere; /* 1: the verdict redirects, but the program named no target, or nothing is there: Linux drops the packet */
	struct skep_fault fault; /* when the call gave -EFAULT: where the program faulted; without a text, an address of the attr was bad */
};

/** BPF_PROG_TEST_RUN, with more of what came of it in *out (out->size is set by the caller). Returns what PROG_TEST_RUN returns. -EINVAL with *out untouched: its size
 * is unknown. */
SKEP_API int skep_prog_test_run(struct skep *k, union bpf_attr *attr, unsigned int attr_size, struct skep_test_result *out);

/** How a program is executed. */
struct skep_code {
	size_t size; /* sizeof(struct skep_code) */
	uint32_t bytes; /* of machine code; 0: the interpreter runs it */
	uint32_t compile_us; /* time that compilation took */
	char reason[96]; /* why the interpreter runs it */
};
/** -EBADF: no descriptor; -EINVAL: not a program of the engine. */
SKEP_API int skep_prog_code(struct skep *k, int prog_fd, struct skep_code *code);

/** Reads what bpf_trace_printk() printed: bytes copied, 0 when there is none. Lines as in Linux's trace_pipe. */
SKEP_API size_t skep_trace_read(struct skep *k, char *buf, size_t size);

/* ---- your own helpers and program types ---- */

enum skep_arg {
	SKEP_ARG_NONE,
	SKEP_ARG_SCALAR, /* any number */
	SKEP_ARG_CTX, /* the program's context */
	SKEP_ARG_MEM, /* readable memory; the next argument is its size */
	SKEP_ARG_MEM_OUT, /* writable memory; the next argument is its size */
	SKEP_ARG_SIZE, /* from 1 on */
	SKEP_ARG_SIZE_OR_ZERO,
	SKEP_ARG_STRING, /* a constant string in the program's read-only data */
};

struct skep_helper {
	size_t struct_size; /* sizeof(struct skep_helper) */
	const char *name;
	enum skep_arg args[5];
	/** Called with checked arguments: pointers are addresses of memory as large as their sizes say. Any thread may call it. */
	uint64_t (*fn)(void *ud, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);
	void *ud;
};

/** The id that programs call it by (`call ID`), or -errno (-EINVAL: no name, no fn, or arguments that do not go together). Before programs that use it are loaded. */
SKEP_API int skep_helper_register(struct skep *k, const struct skep_helper *helper);

struct skep_ctx_field {
	uint32_t offset, size;
	int writable;
};

struct skep_prog_type {
	size_t struct_size; /* sizeof(struct skep_prog_type) */
	const char *name;
	/** Without fields the context is flat: all of its bytes may be read, and written if `writable`. */
	uint32_t ctx_size;
	int writable;
	uint32_t n_fields;
	const struct skep_ctx_field *fields;
};

/** The type to load programs with, or -errno. */
SKEP_API int skep_prog_type_register(struct skep *k, const struct skep_prog_type *type);

/** A descriptor that is readable while the ring buffer (or perf ring) behind fd holds something to consume, and that can be written while a ring that
 * clients fill has room; the library's own: do not close it. -ENOTSUP: nothing to wait for; -EBADF: no descriptor. */
SKEP_API int skep_poll_fd(struct skep *k, int fd);

struct perf_event_attr;
/** perf_event_open(2) for what an engine offers: PERF_COUNT_SW_BPF_OUTPUT, the ring that bpf_perf_event_output() writes to; the software clocks, which run programs;
 * PERF_TYPE_TRACEPOINT with the id of one of the engine's tracepoints; uprobes (attr->config1: a path of the caller's memory) where somebody sets them. A descriptor.
 * -ENOENT: another event. */
SKEP_API int skep_perf_event_open(struct skep *k, const struct perf_event_attr *attr, int pid, int cpu, int group_fd, unsigned long flags);
/** ioctl(2) on such a descriptor: PERF_EVENT_IOC_ENABLE, DISABLE, SET_BPF, QUERY_BPF, ID, PAUSE_OUTPUT. -ENOTTY: another request; -EINVAL: another
 * descriptor; -EBADF: none. */
SKEP_API int skep_perf_ioctl(struct skep *k, int fd, unsigned long request, unsigned long arg);
/** To be called before such a descriptor is mapped: `bytes` is the mapping's length, one page and 2^n pages. -EINVAL: bad length,
 * or not a perf descriptor; -EBADF: no descriptor. */
SKEP_API int skep_perf_mmap(struct skep *k, int fd, size_t bytes);
/** To be called before an arena (BPF_MAP_TYPE_ARENA) is mapped: clients and programs name its bytes by the same addresses, so the first mapping decides
 * where that is. *addr: where the caller wants it, NULL: anywhere; on return where it is to be mapped, with MAP_FIXED_NOREPLACE or MAP_FIXED. 0, also for all other
 * descriptors, whose *addr stays; -EINVAL: not all of it; -ERANGE: it would cross a multiple of 4 GiB; -EBUSY: it has its place elsewhere;
 * -EBADF: no descriptor. */
SKEP_API int skep_arena_mmap(struct skep *k, int fd, void **addr, size_t bytes);

/** "0.1.0" */
SKEP_API const char *skep_version(void);

#ifdef __cplusplus
}
#endif
#endif
