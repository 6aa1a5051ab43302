/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Compiled for its BTF alone: the engine's kernel types, what typed programs get from each tracepoint, and the types that libbpf and programs only look for by
 * name to learn what a kernel can do.
 */
#define SKEP_KERNEL_BTF
#include "kernel/types.h"

#include <linux/bpf.h> /* contexts, and the enumerations that programs ask for what there is */

/* What is in packets: programs that include a vmlinux.h reach it by relocations, too. */
#include <linux/icmpv6.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>

struct vlan_hdr {
	__be16 h_vlan_TCI, h_vlan_encapsulated_proto;
};

/* <linux/icmp.h> and <linux/if_arp.h> bring the C library's sockets along. */
struct icmphdr {
	__u8 type, code;
	__sum16 checksum;
	union {
		struct {
			__be16 id, sequence;
		} echo;
		__be32 gateway;
		struct {
			__be16 __unused, mtu;
		} frag;
		__u8 reserved[4];
	} un;
};

struct arphdr {
	__be16 ar_hrd, ar_pro;
	unsigned char ar_hln, ar_pln;
	__be16 ar_op;
};

#define FIELDS(...)
#define PARAMS(...)	 __VA_ARGS__
#define PARAM(type)	 , type
#define TRACEPOINT(id, category, name, params, fields, fmt) typedef void (*btf_trace_##name)(void *params);
#include "kernel/tracepoints.def"
#undef FIELDS
#undef PARAMS

/* What vmlinux.h of older kernels calls the record of sched_process_exit, as far as it had it. */
struct trace_event_raw_sched_process_template {
	struct trace_entry ent;
	char comm[16];
	pid_t pid;
	int prio;
	char __data[];
};

/* Programs ask whether it exists before they make a ring buffer. */
struct bpf_ringbuf {
	u64 mask;
};

typedef struct pt_regs bpf_user_pt_regs_t;

/* Types that format files of system calls name: bpftrace declares a record's fields by them. */
typedef __kernel_size_t size_t;
typedef __kernel_loff_t loff_t;
typedef __kernel_off_t off_t;
typedef unsigned short umode_t;
typedef __kernel_clockid_t clockid_t;
typedef __kernel_timer_t timer_t;
typedef __kernel_mqd_t mqd_t;
typedef __kernel_key_t key_t;
typedef __kernel_fd_set fd_set;
typedef __kernel_ulong_t aio_context_t;
typedef int rwf_t;
typedef unsigned int qid_t;
typedef int key_serial_t;
typedef struct {
	unsigned long sig[1];
} sigset_t;
typedef struct siginfo siginfo_t;
typedef struct sigaltstack stack_t;
typedef struct __user_cap_header_struct *cap_user_header_t;
typedef struct __user_cap_data_struct *cap_user_data_t;
enum landlock_rule_type {
	LANDLOCK_RULE_PATH_BENEATH = 1,
	LANDLOCK_RULE_NET_PORT,
};

/* What pointers among the arguments of system calls lead to, as the kernel's interface has it: programs and scripts read it where the task has it. */
#include <asm/poll.h>
#include <asm/stat.h>
#include <asm/statfs.h>
#include <linux/eventpoll.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <linux/openat2.h>
#include <linux/perf_event.h>
#include <linux/resource.h>
#include <linux/sched/types.h>
#include <linux/sem.h>
#include <linux/stat.h>
#include <linux/sysinfo.h>
#include <linux/time_types.h>
#include <linux/times.h>
#include <linux/timex.h>
#include <linux/uio.h>
#include <linux/un.h>
#include <linux/utime.h>
#include <linux/utsname.h>

struct sockaddr {
	unsigned short sa_family;
	char sa_data[14];
};
struct user_msghdr { /* programs' struct msghdr */
	void *msg_name;
	int msg_namelen;
	struct iovec *msg_iov;
	__kernel_size_t msg_iovlen;
	void *msg_control;
	__kernel_size_t msg_controllen;
	unsigned int msg_flags;
};
struct mmsghdr {
	struct user_msghdr msg_hdr;
	unsigned int msg_len;
};
struct linux_dirent64 {
	u64 d_ino;
	s64 d_off;
	unsigned short d_reclen;
	unsigned char d_type;
	char d_name[];
};

#include "kernel/kfuncs.h"
