/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * sys: bpf(2). cmd.def declares every command once; sys.c dispatches, checks sizes and copies; one file per
 * family of commands. Descriptors are memfds, known by (st_dev, st_ino), so that dup, fork and passing work.
 *
 * Ownership: an object lives as long as its references: descriptors that clients hold, programs using maps, maps holding
 * objects, calls under way. struct skep owns the tables; the last reference frees the object.
 */
#ifndef SKEP_SYS_H
#define SKEP_SYS_H

#include "btf/btf.h"
#include "helper/helper.h"
#include "kernel/kernel.h"
#include "skep/skep.h"
#include "sys/attr.h"

enum obj_type { OBJ_MAP = 1, OBJ_PROG, OBJ_BTF, OBJ_LINK, OBJ_PERF, OBJ_TYPES };

struct obj {
	u32 type; /* enum obj_type */
	u32 id; /* per engine and type: 1, 2, 3, ..., see obj_new() */
	_Atomic u32 refs;
	struct skep *engine;
	_Atomic int fd; /* the engine's own descriptor of the memfd that clients hold; -1: none was handed out yet */
	u64 dev, ino;
	int watch; /* of inotify, which tells when the last client's description is closed; -1: none */
	bool counted; /* clients' descriptions hold one reference together */
	_Atomic bool limited; /* some description is read-only or write-only */
	bool leased; /* a lease on fd tells whether others have the file open */
	bool shared; /* clients share the engine's own description (no /proc): their descriptors in this process are looked for */
	bool seen; /* one was found */
	struct obj *chain; /* by inode; of the dead */
	struct obj *next_doubt; /* of those whose close was seen while they were still held: asked again, see object.c */
	bool doubtful;
	u64 closed_ns, ask_ns; /* when that was; when to ask again */
	void *body; /* struct map_obj *, struct prog *, struct btf_obj *, struct perf_ring * */
};

struct map_obj {
	struct map map; /* first */
	struct obj *btf; /* of key and value; may be NULL */
	struct obj *inner; /* map-in-map: the template */
};

struct btf_obj {
	struct btf btf; /* first */
	char name[56]; /* as long as a module's */
};

enum { OBJ_IDS = 1 << 22, OBJ_BUCKETS = 256 };

struct obj_table {
	struct obj *_Atomic *by_id; /* reserved, not touched */
	u32 last_id; /* given out last */
	u32 top; /* the highest one that was ever given out */
	u32 live;
};

/* A program type that an embedder declared, or a helper. */
struct own_type {
	struct progtype type;
	struct ctx_type ctx;
	char name[32];
	struct ctx_field *fields;
	struct ctx_field all; /* of a flat context */
};

struct own_helper {
	struct helper_proto proto;
	char name[48];
	u64 (*fn)(void *ud, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e);
	void *ud;
};

/* May a name of a map or program have it? Linux's letters are those of Latin-1. */
static inline bool obj_name_char(u8 c)
{
	u8 lower = c | 0x20;

	return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || (c >= 0xc0 && c != 0xd7 && c != 0xf7);
}

struct skep {
	struct mem mem;
	struct arena_store verify_memory; /* for the next program that is verified */
	struct skep_options options;
	struct window window;
	struct domain *domain;
	struct map_host map_host;
	struct run_host run_host;
	plain_lock lock; /* guards the tables below and reference counts that go to zero */
	struct obj_table table[OBJ_TYPES];
	struct obj *bucket[OBJ_BUCKETS];
	struct obj *_Atomic doubtful;
	struct obj *_Atomic dead; /* unlinked; freed when no run can have seen them, see objects_reap() */
	int inotify;
	_Atomic u32 n_shared, next_sweep; /* how many objects are shared; from how many on they are looked for */
	bool closing; /* the engine ends: references no longer count */
	_Atomic u64 map_bytes;
	bool paths_stand_in; /* descriptors of a client's files are shown by ones that are only a path (O_PATH) */
	_Atomic bool unprivileged; /* calls are a user's without CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN */
	_Atomic u32 stats_users; /* BPF_ENABLE_STATS descriptors cannot be noticed closing: on stays on */
	struct {
		plain_lock lock;
		char *at;
		u64 head, tail; /* bytes ever written, read */
	} trace;
	struct obj *_Atomic kernel_btf; /* OBJ_BTF; one reference */
	bool kernel_btf_tried, modules_tried;
	const char *kernel_btf_file; /* NULL: none was named */
	VEC(struct obj *) modules; /* OBJ_BTF of the kernel's modules, in the order of names; never changes once it was made */
	plain_lock kernel_btf_lock;
	struct kernel_memory kernel; /* objects of its own types */
	struct heap heap; /* of programs, behind them */
	struct hooks *hooks; /* hook/hooks.h */
	int jitdump_fd; /* engine/profile.c; -1: none */
	VEC(struct own_type *) own_types;
	VEC(struct own_helper *) own_helpers;
};

/* ---- object.c ---- */
int objects_open(struct skep *k);
void objects_close(struct skep *k);
struct obj *obj_new(struct skep *k, enum obj_type type, void *body); /* one reference; NULL: out of memory or ids */
void obj_get(struct obj *o);
void obj_put(struct obj *o);
void objects_reap(struct skep *k);
struct obj *obj_by_id(struct skep *k, enum obj_type type, u32 id); /* takes a reference; NULL: none */
void *obj_body_at(struct skep *k, enum obj_type type, u32 id); /* no reference: valid for the time of a run */
int obj_next_id(struct skep *k, enum obj_type type, u32 after, u32 *next); /* -ENOENT */
/* -EBADF: not a descriptor; -EINVAL: not one of ours, or of another type. Takes a reference. access: 0, or FMODE bits needed */
enum { NEED_READ = 1, NEED_WRITE = 2 };
bool fd_is_open(const struct skep *k, int fd); /* to Linux, one that is only a path is none */
int obj_by_fd(struct skep *k, int fd, u32 type, int need, struct obj **out);
struct obj *obj_by_inode(struct skep *k, u64 dev, u64 ino, u32 type); /* the same for a file; type 0: any; NULL: none */
int obj_fd(struct obj *o, u32 open_flags); /* a new descriptor; open_flags: BPF_F_RDONLY, BPF_F_WRONLY */
void objects_drain(struct skep *k); /* notices descriptors that were closed */
void objects_sweep(struct skep *k); /* the same where there is no /proc, see object.c */
void objects_ask(struct skep *k, bool all); /* again about those that were in doubt; all: also if it is not yet time to */
void log_line(struct skep *k, const char *fmt, ...) PRINTF_LIKE(2, 3);

static inline struct map *obj_map(const struct obj *o)
{
	return &((struct map_obj *)o->body)->map;
}
static inline struct map_obj *map_obj_of(struct map *m)
{
	return (struct map_obj *)m;
}
void prog_free(struct skep *k, struct prog *p); /* engine/load.c */

/* ---- map_cmds.c ---- */
void map_object_free(struct skep *k, struct map_obj *m);
/* MAP_LOOKUP_ELEM, MAP_UPDATE_ELEM, MAP_DELETE_ELEM or MAP_GET_NEXT_KEY of a map that the caller has found; map_fd is not looked at, nor who may what. */
int map_element(struct skep *k, int cmd, struct obj *o, const struct attr_map_elem *a);
int map_check_types(struct skep *k, struct map_obj *m); /* map_types.c: of a map that was made */
int map_find_record(struct skep *k, const struct btf *b, struct map *m); /* special fields of an adopted map's values */
extern const struct map_host map_host_ops;
bool map_takes_program(struct skep *k, struct map *m, const struct prog *p); /* KIND_PROGRAMS: is it like those that have it? */

/* ---- kernel_btf.c: the types of the kernel that skep_options.kernel_btf names; opened at first need, then shared ---- */
const struct btf *kernel_btf(struct skep *k); /* NULL: none, or it cannot be read */
struct btf_kernel kernel_btf_source(struct skep *k);
int kernel_btf_open(struct skep *k); /* finds the file; skep_open() */
void kernel_btf_close(struct skep *k);
u32 kernel_modules(struct skep *k); /* opens those of the folder that was named, once; how many there are */
const struct btf *kernel_module(const struct skep *k, u32 i);

/* ---- pin.c, pin_prog.c: files of objects; paths are seen from the directory `dir` ---- */
int pin_map(struct skep *k, struct obj *o, int dir, const char *path); /* that has no file yet */
int pin_prog(struct skep *k, struct obj *o, int dir, const char *path);
bool pin_has_name(int fd); /* fd: of a pin file, or 0 */
bool pin_is_map(int dir, const char *path);
bool pin_is_prog(int fd);
int pin_open(struct skep *k, int fd, struct obj **out); /* the object of a file, with a reference; the one that is there already, or a new one */
int pin_prog_open(struct skep *k, int fd, struct obj **out);

/* ---- log.c: the log rules of PROG_LOAD and BTF_LOAD ---- */
struct user_log {
	u32 level, size, true_size;
	u64 buf;
	bool begun;
	struct text text;
};
void user_log_open(struct user_log *l, const struct mem *mem, u32 level, u64 buf, u32 size);
/* Where Linux looks at the three. -EINVAL: a bad combination. What was said before is given back as far as there is room. */
int user_log_begin(struct user_log *l);
/* Says the reason for err, the last line that is none of figures, to the engine's log: a caller may have asked for no log of its own. */
void user_log_say(const struct user_log *l, struct skep *k, const char *call, int err);
int user_log_close(struct user_log *l, int err); /* copies out; -ENOSPC when it had begun and did not fit */

/* ---- handlers: rows of cmd.def. attr is the engine's own copy, written back when the command changes it. ---- */
struct sys_call {
	struct skep *k;
	void *attr;
	u32 size; /* bytes that the caller passed: outputs beyond are not written */
	const char *name; /* of the command */
	struct skep_check *check; /* PROG_LOAD: what the verifier found goes there; NULL: nobody asks */
	struct test_told *told; /* PROG_TEST_RUN: what the attr has no field for goes there; NULL: nobody asks */
};
struct test_told {
	bool nowhere; /* the verdict redirects, but the program named no target that is there */
	struct fault fault; /* with -EFAULT; without a text: no program faulted */
};
/* sys.c; at most one of check and told */
int sys_bpf(struct skep *k, int cmd, union bpf_attr *attr, unsigned int size, struct skep_check *check, struct test_told *told);
#define CMD(id, name, attr, last, handler, since, fds, ptrs) int handler(struct sys_call *c);
#include "sys/cmd.def"
int sys_unsupported(struct sys_call *c); /* what handlers end in that find nothing wrong, and have nothing behind them */
/* attach_cmds.c: LINK_CREATE for what skep has nothing behind; a descriptor that a flag calls a BPF token */
int link_elsewhere(struct sys_call *c, const struct prog *p);
int link_of_struct_ops(struct sys_call *c);
bool attach_names_device(u32 attach_type); /* its target is a device's number, no descriptor */
int token_refused(struct skep *k, const char *call, s32 fd);

enum sys_cmd {
#define CMD(id, name, attr, last, handler, since, fds, ptrs) SYS_##name = id,
#include "sys/cmd.def"
};
struct cmd_info {
	u32 id;
	const char *name, *since;
	int (*handler)(struct sys_call *c);
	u32 last; /* bytes up to the end of the last field */
};
struct cmd_ptr {
	u32 offset; /* in the attr */
	bool out; /* skep writes there */
	const char *length; /* a field of the attr, or one of cmd.def's properties; NULL ends the list */
};
struct cmd_fd {
	u32 offset; /* in the attr; CMD_FD_RESULT: the command returns a descriptor; UINT32_MAX ends the list */
};
#define CMD_FD_RESULT (UINT32_MAX - 1)
const struct cmd_ptr *cmd_pointers(u32 cmd);
const struct cmd_fd *cmd_descriptors(u32 cmd);
const struct cmd_info *cmd_infos(u32 *n);

int hooks_open(struct skep *k); /* hook/tasks.c */
bool task_outside(struct skep *k, struct run_task *out); /* hook/tasks.c: whose task runs outside of events have; false: the calling thread */
void hooks_close(struct skep *k);
void link_free(struct skep *k, void *body); /* hook/attach.c */
u32 link_type(const struct obj *o); /* enum bpf_link_type */
int link_info(struct obj *o, struct attr_info *a);
void perf_free(struct skep *k, void *body); /* hook/perf.c */

/* info.c: the caller's struct of OBJ_GET_INFO_BY_FD, padded or cut to size, and back */
int info_read(const struct attr_info *a, void *info, u32 size);
int info_write(struct attr_info *a, const void *info, u32 size);

/* hook/: how a program type is run by PROG_TEST_RUN; -ENOTSUPP when it cannot. p is referenced. */
int hook_test_run(struct skep *k, struct prog *p, struct attr_test_run *attr, struct test_told *told); /* told may be NULL */

/* engine/run.c: one run. hold may be NULL when the program needs none. */
void run_prepare(struct skep *k, struct run *r, struct prog *p);
bool run_context_short(struct skep *k, const struct prog *p, u32 bytes); /* than what the program accesses of it? Then the log says so. */
int run_begin(struct skep *k, const struct prog *p, struct hold *h, struct hold **held);
void run_account(struct skep *k, struct prog *p, u64 runs, u64 ns); /* while BPF_ENABLE_STATS is on */

#endif
