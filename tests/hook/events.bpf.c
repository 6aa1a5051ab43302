// SPDX-License-Identifier: BSD-2-Clause
/* A program per event and way of attaching: what it was given goes into map `seen`. Kernel types are declared here as far as they are used; CO-RE finds the
 * engine's. */
#include <linux/bpf.h>
#include <linux/bpf_perf_event.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "events.h"

char _license[] SEC("license") = "GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
typedef int pid_t;
struct trace_entry {
	unsigned short type;
	int pid;
};
struct trace_event_raw_sys_enter {
	struct trace_entry ent;
	long id;
	unsigned long args[6];
};
struct trace_event_raw_sys_exit {
	long id;
	long ret;
};
struct trace_event_raw_sched_process_exec {
	unsigned __data_loc_filename;
	pid_t pid, old_pid;
};
struct trace_event_raw_sched_process_fork {
	unsigned __data_loc_parent_comm;
	pid_t parent_pid;
	unsigned __data_loc_child_comm;
	pid_t child_pid;
};
struct trace_event_raw_sched_process_exit {
	char comm[16];
	pid_t pid;
	_Bool group_dead;
};
struct trace_event_raw_task_rename {
	pid_t pid;
	char oldcomm[16], newcomm[16];
};
struct trace_event_raw_signal_generate {
	int sig, errno, code;
	char comm[16];
	pid_t pid;
	int group, result;
};
struct trace_event_raw_signal_deliver {
	int sig, errno, code;
	unsigned long sa_handler, sa_flags;
};
struct ns_common {
	unsigned inum;
};
struct mnt_namespace {
	struct ns_common ns;
};
struct nsproxy {
	struct mnt_namespace *mnt_ns;
};
typedef struct {
	unsigned val;
} kuid_t;
struct cred {
	kuid_t uid, euid;
};
struct task_struct {
	pid_t pid, tgid;
	int exit_code;
	struct task_struct *real_parent, *group_leader;
	unsigned long long start_time;
	const struct cred *cred;
	char comm[16];
	struct nsproxy *nsproxy;
};
struct linux_binprm {
	const char *filename;
};
struct kernel_siginfo {
	int si_signo, si_code;
};
#pragma clang attribute pop

struct regs_kernel {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SEEN_COUNT);
	__type(key, __u32);
	__type(value, struct seen_record);
} seen SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(max_entries, 64);
	__uint(key_size, 4);
	__uint(value_size, 16 * 8);
} stacks SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_CGROUP_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 4);
} groups SEC(".maps");

static struct seen_record *slot(__u32 which)
{
	struct seen_record *s = bpf_map_lookup_elem(&seen, &which);

	if (s)
		s->count++;
	return s;
}
#define SLOT(s, which)                       \
	struct seen_record *s = slot(which); \
	if (!s)                              \
	return 0

SEC("tracepoint/syscalls/sys_enter_openat")
int enter(struct trace_event_raw_sys_enter *ctx)
{
	SLOT(s, SEEN_ENTER);

	s->v[0] = ctx->id;
	s->v[1] = ctx->args[0];
	s->v[2] = ctx->args[2];
	s->v[3] = bpf_get_current_pid_tgid();
	s->v[4] = bpf_get_current_uid_gid();
	s->v[5] = bpf_probe_read_user_str(s->text[0], sizeof(s->text[0]), (void *)ctx->args[1]);
	bpf_get_current_comm(s->text[1], 16);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_openat")
int leave(struct trace_event_raw_sys_exit *ctx)
{
	SLOT(s, SEEN_EXIT);

	s->v[0] = ctx->id;
	s->v[1] = ctx->ret;
	return 0;
}

SEC("tracepoint/raw_syscalls/sys_enter")
int all_enter(struct trace_event_raw_sys_enter *ctx)
{
	SLOT(s, SEEN_ALL_ENTER);

	s->v[0] = ctx->id;
	s->v[1] = ctx->args[5];
	return 0;
}

SEC("tracepoint/raw_syscalls/sys_exit")
int all_exit(struct trace_event_raw_sys_exit *ctx)
{
	SLOT(s, SEEN_ALL_EXIT);

	s->v[0] = ctx->id;
	s->v[1] = ctx->ret;
	return 0;
}

SEC("raw_tp/sys_enter")
int raw_enter(struct bpf_raw_tracepoint_args *ctx)
{
	struct regs_kernel *regs = (void *)ctx->args[0];
	SLOT(s, SEEN_RAW_ENTER);

	s->v[0] = ctx->args[1];
	bpf_probe_read_kernel(&s->v[1], 8, &regs->di);
	bpf_probe_read_kernel(&s->v[2], 8, &regs->r9);
	bpf_probe_read_kernel(&s->v[3], 8, &regs->orig_ax);
	return 0;
}

SEC("raw_tp/sys_exit")
int raw_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct regs_kernel *regs = (void *)ctx->args[0];
	SLOT(s, SEEN_RAW_EXIT);

	s->v[0] = ctx->args[1];
	bpf_probe_read_kernel(&s->v[1], 8, &regs->ax);
	return 0;
}

SEC("tracepoint/sched/sched_process_exec")
int exec(struct trace_event_raw_sched_process_exec *ctx)
{
	unsigned at = ctx->__data_loc_filename;
	SLOT(s, SEEN_EXEC);

	s->v[0] = ctx->pid;
	s->v[1] = ctx->old_pid;
	s->v[2] = at >> 16;
	bpf_probe_read_str(s->text[0], sizeof(s->text[0]), (void *)ctx + (at & 0xffff));
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(exec_btf, struct task_struct *p, pid_t old, struct linux_binprm *bprm)
{
	SLOT(s, SEEN_EXEC_BTF);

	s->v[0] = p->pid;
	s->v[1] = p->real_parent->tgid;
	s->v[2] = p->cred->euid.val;
	s->v[3] = p->nsproxy->mnt_ns->ns.inum;
	s->v[4] = old;
	s->v[5] = p->real_parent->real_parent->real_parent->real_parent->tgid;
	bpf_probe_read_kernel_str(s->text[0], sizeof(s->text[0]), bprm->filename);
	bpf_probe_read_kernel_str(s->text[1], sizeof(s->text[1]), p->comm);
	return 0;
}

SEC("tracepoint/sched/sched_process_fork")
int fork(struct trace_event_raw_sched_process_fork *ctx)
{
	SLOT(s, SEEN_FORK);

	s->v[0] = ctx->parent_pid;
	s->v[1] = ctx->child_pid;
	bpf_probe_read_str(s->text[0], sizeof(s->text[0]), (void *)ctx + (ctx->__data_loc_parent_comm & 0xffff));
	bpf_probe_read_str(s->text[1], sizeof(s->text[1]), (void *)ctx + (ctx->__data_loc_child_comm & 0xffff));
	return 0;
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(fork_btf, struct task_struct *parent, struct task_struct *child)
{
	SLOT(s, SEEN_FORK_BTF);

	s->v[0] = parent->pid;
	s->v[1] = child->pid;
	s->v[2] = child->real_parent->pid;
	s->v[3] = child->real_parent == parent;
	return 0;
}

SEC("tracepoint/sched/sched_process_exit")
int gone(struct trace_event_raw_sched_process_exit *ctx)
{
	SLOT(s, SEEN_LEAVE);

	s->v[0] = ctx->pid;
	s->v[1] = ctx->group_dead;
	bpf_probe_read_kernel_str(s->text[0], sizeof(s->text[0]), ctx->comm);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(gone_btf, struct task_struct *p, _Bool dead)
{
	SLOT(s, SEEN_LEAVE_BTF);

	s->v[0] = p->pid;
	s->v[1] = p->exit_code;
	s->v[2] = dead;
	return 0;
}

SEC("tracepoint/task/task_rename")
int renamed(struct trace_event_raw_task_rename *ctx)
{
	SLOT(s, SEEN_RENAME);

	s->v[0] = ctx->pid;
	bpf_probe_read_kernel_str(s->text[0], sizeof(s->text[0]), ctx->oldcomm);
	bpf_probe_read_kernel_str(s->text[1], sizeof(s->text[1]), ctx->newcomm);
	return 0;
}

SEC("tracepoint/signal/signal_generate")
int generate(struct trace_event_raw_signal_generate *ctx)
{
	SLOT(s, SEEN_GENERATE);

	s->v[0] = ctx->sig;
	s->v[1] = ctx->errno;
	s->v[2] = ctx->code;
	s->v[3] = ctx->pid;
	s->v[4] = ctx->group;
	s->v[5] = ctx->result;
	s->v[6] = bpf_get_current_pid_tgid();
	bpf_probe_read_kernel_str(s->text[0], sizeof(s->text[0]), ctx->comm);
	return 0;
}

SEC("tp_btf/signal_generate")
int BPF_PROG(generate_btf, int sig, struct kernel_siginfo *info, struct task_struct *to, int group, int result)
{
	SLOT(s, SEEN_GENERATE_BTF);

	s->v[0] = sig;
	s->v[1] = BPF_CORE_READ(info, si_code);
	s->v[2] = to->tgid;
	return 0;
}

SEC("tracepoint/signal/signal_deliver")
int deliver(struct trace_event_raw_signal_deliver *ctx)
{
	SLOT(s, SEEN_DELIVER);

	s->v[0] = ctx->sig;
	s->v[1] = ctx->sa_handler;
	s->v[2] = ctx->sa_flags;
	return 0;
}

SEC("perf_event")
int clock(struct bpf_perf_event_data *ctx)
{
	SLOT(s, SEEN_CLOCK);

	s->v[0] = ctx->sample_period;
	s->v[1] = ctx->regs.rip;
	s->v[2] = bpf_get_current_pid_tgid();
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getpid")
int stack(struct trace_event_raw_sys_enter *ctx)
{
	SLOT(s, SEEN_STACK);

	s->v[0] = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	s->v[1] = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	s->v[2] = bpf_get_stack(ctx, s->text[0], sizeof(s->text[0]), BPF_F_USER_STACK | 1);
	s->v[3] = bpf_get_stackid(ctx, &stacks, 0);
	s->v[4] = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK | 200);
	s->v[5] = bpf_get_task_stack(bpf_get_current_task_btf(), s->text[1], sizeof(s->text[1]), BPF_F_USER_STACK);
	s->v[6] = bpf_get_task_stack(bpf_get_current_task_btf(), s->text[1] + 32, 32, 0);
	s->v[7] = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK | (1 << 20));
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getuid")
int task(void *ctx)
{
	struct task_struct *t = (void *)bpf_get_current_task(), *b = bpf_get_current_task_btf(), *bad = (void *)1000;
	SLOT(s, SEEN_TASK);

	s->v[0] = BPF_CORE_READ(t, tgid);
	s->v[1] = BPF_CORE_READ(t, real_parent, tgid);
	s->v[2] = BPF_CORE_READ(t, start_time);
	s->v[3] = BPF_CORE_READ(t, cred, uid.val);
	s->v[4] = b->group_leader->pid;
	s->v[5] = b == t;
	s->v[6] = bpf_probe_read_kernel(&s->v[7], 8, &bad->comm);
	BPF_CORE_READ_STR_INTO(&s->text[0], t, comm);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getgid")
int helpers(void *ctx)
{
	struct bpf_pidns_info ns;
	char bytes[4] = {1, 2, 3, 4};
	SLOT(s, SEEN_HELPERS);

	s->v[0] = bpf_get_current_cgroup_id();
	s->v[1] = bpf_get_current_ancestor_cgroup_id(1);
	s->v[2] = bpf_get_ns_current_pid_tgid(7, 8, &ns, sizeof(ns));
	s->v[3] = ns.pid | (unsigned long long)ns.tgid << 32;
	s->v[4] = bpf_current_task_under_cgroup(&groups, 0) | bpf_current_task_under_cgroup(&groups, 1) << 8;
	s->v[5] = bpf_send_signal(10);
	s->v[6] = bpf_get_attach_cookie(ctx);
	s->v[7] = bpf_probe_write_user((void *)0x5008, bytes, sizeof(bytes));
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_getegid")
int signals(void *ctx)
{
	SLOT(s, SEEN_SIGNALS);

	s->v[0] = bpf_send_signal_thread(12);
	s->v[1] = bpf_send_signal_thread(65);
	s->v[2] = bpf_send_signal(65);
	return 0;
}

SEC("uprobe")
int probe(struct pt_regs *ctx)
{
	SLOT(s, SEEN_PROBE);

	s->v[0] = ctx->rdi;
	s->v[1] = bpf_get_func_ip(ctx);
	s->v[2] = bpf_get_current_pid_tgid();
	s->v[3] = bpf_get_attach_cookie(ctx);
	bpf_probe_read_user_str(s->text[0], sizeof(s->text[0]), (void *)ctx->rsi);
	return 0;
}

SEC("uretprobe")
int probe_return(struct pt_regs *ctx)
{
	SLOT(s, SEEN_PROBE_RETURN);

	s->v[0] = ctx->rax;
	s->v[1] = bpf_get_func_ip(ctx);
	return 0;
}
