/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine's own kernel types: structs by Linux's names, with those fields that tools read and the engine fills. A field that is not here does not exist:
 * CO-RE says so when a program that needs it is loaded. types.c makes BTF of them; the engine sees the same layouts as struct kernel_NAME, so that they
 * do not clash with the host's headers.
 */
#ifndef SKEP_KERNEL_TYPES_H
#define SKEP_KERNEL_TYPES_H

#ifdef SKEP_KERNEL_BTF
#define K(name) name
#define M(name) name /* a member whose name the host's headers may define as a macro */
typedef _Bool bool;
typedef int pid_t;
typedef unsigned int uid_t, gid_t;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;
#else
#include "base/base.h"
#include <sys/types.h>
#define K(name) kernel_##name
#define M(name) field_##name
#endif

typedef struct {
	uid_t val;
} K(kuid_t);
typedef struct {
	gid_t val;
} K(kgid_t);

struct K(ns_common) {
	unsigned int inum;
};
struct K(pid_namespace) {
	unsigned int level;
	struct K(ns_common) ns;
};
struct K(mnt_namespace) {
	struct K(ns_common) ns;
};
struct K(nsproxy) {
	struct K(mnt_namespace) *mnt_ns;
	struct K(pid_namespace) *pid_ns_for_children;
};
struct K(upid) {
	int nr;
	struct K(pid_namespace) *ns;
};
struct K(pid) {
	unsigned int level;
	struct K(upid) numbers[2];
};

struct K(cred) {
	K(kuid_t) uid;
	K(kgid_t) gid;
	K(kuid_t) euid;
	K(kgid_t) egid;
};

struct K(kernfs_node) {
	u64 id;
};
struct K(cgroup) {
	struct K(kernfs_node) *kn;
};
struct K(css_set) {
	struct K(cgroup) *dfl_cgrp;
};

struct K(task_struct) {
	int prio;
	int exit_code;
	pid_t pid;
	pid_t tgid;
	struct K(task_struct) *real_parent;
	struct K(task_struct) *parent;
	struct K(task_struct) *group_leader;
	struct K(pid) *thread_pid;
	u64 start_time;
	u64 start_boottime;
	const struct K(cred) *real_cred;
	const struct K(cred) *cred;
	char comm[16];
	struct K(nsproxy) *nsproxy;
	struct K(css_set) *cgroups;
};

struct K(pt_regs) {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

struct K(linux_binprm) {
	const char *filename;
	const char *interp;
};
struct K(kernel_siginfo) {
	int si_signo;
	int si_errno;
	int si_code;
};
struct K(sigaction) {
	void *M(sa_handler);
	unsigned long sa_flags;
};
struct K(k_sigaction) {
	struct K(sigaction) sa;
};

/* The first bytes of every tracepoint's record. */
struct K(trace_entry) {
	unsigned short type;
	unsigned char flags;
	unsigned char preempt_count;
	int pid;
};

#ifdef SKEP_KERNEL_BTF
#define F(type, name)	 type name;
#define A(type, name, n) type name[n];
#define S(name)		 u32 __data_loc_##name;
#else /* names of fields are not macros' that the host's headers define */
#define F(type, name)	 type field_##name;
#define A(type, name, n) type field_##name[n];
#define S(name)		 u32 field_##name;
#endif
#define FIELDS(...) __VA_ARGS__
#define PARAMS(...)
#define TRACEPOINT(id, category, name, params, fields, fmt) \
	struct K(trace_event_raw_##name) {                  \
		struct K(trace_entry) ent;                  \
		fields char __data[];                       \
	};
#include "kernel/tracepoints.def"
#undef F
#undef A
#undef S
#undef FIELDS
#undef PARAMS
#undef M

#endif
