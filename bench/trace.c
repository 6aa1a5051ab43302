/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What it costs to be watched, and to ask, as ratios from one run: commands under `skep trace` and `skep shell` beside the same ones alone, under the
 * barest loop that does as little as that way in can, and under strace. Rounds are interleaved; medians are compared. As root, all
 * but the kernel's own row runs as uid 65534.
 *
 *     bench-trace [--json] [GROUP...]
 *
 * The program is also what takes part in a round:
 *
 *     client               a client with an empty program at sys_enter_newfstatat, until SIGINT
 *     lookups [unchecked]  a client that looks up one key again and again; writes nanoseconds per call to $NS
 *     timed CMD...         runs CMD and writes the nanoseconds it took to $NS
 *     stops NR CMD...      runs CMD, which stops at call NR (a filter under ptrace) and goes on; NR -1: at each call, before and behind it
 *     asks NR CMD...       the same, and asks at each stop which call it is
 *     listens NR CMD...    runs CMD, whose calls of NR are answered with 0 (a notification)
 */
#include "base/base.h"
#include "sys/sys.h"

#include <fcntl.h>
#include <ftw.h>
#include <grp.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 7, FOLDERS = 2000, FILES_EACH = 10, LOOKUPS = 20000, NOBODY = 65534 };

/* Linux 6.6's, which the system's header may lack */
#define NOTIF_SET_FLAGS    SECCOMP_IOW(4, __u64)
#define NOTIF_SYNC_WAKE_UP 1ul

/* ---- what is measured: $SELF is this program, $SKEP the other, $TOP a folder ---- */

#define FIND  "$SELF timed find $TOP/files -size +1000k"
#define PROBE "$SKEP shell $PROBES 200000 "
#define BUILD "$SELF timed make -s -B -j2 -C $TOP/build"

static const struct scenario {
	const char *name, *unit, *needs, *command;
	bool privileged; /* runs as root where we are */
} scenarios[] = {
	{"find", "ms", "find", FIND, false},
	{"find, bare stops", "ms", "find", "$SELF stops 262 " FIND, false},
	{"find, stops that ask which call", "ms", "find", "$SELF asks 262 " FIND, false},
	{"find, empty program", "ms", "find", "$SKEP trace -o $TOP/out $SELF client -- " FIND, false},
	{"find, strace", "ms", "strace", "strace -f -e openat -o $TOP/out " FIND, false},
	{"find, strace with a filter", "ms", "strace", "strace -f --seccomp-bpf -e openat -o $TOP/out " FIND, false},
	{"find, opensnoop", "ms", "opensnoop", "$SKEP trace -o $TOP/out opensnoop -- " FIND, false},
	{"lookup, the kernel's", "us", "sh", "$SELF lookups", true},
	{"lookup, bare notification", "us", "sh", "$SELF listens 321 $SELF lookups unchecked", false},
	{"lookup by notification", "us", "sh", "$SKEP shell --door notify $SELF lookups", false},
	{"lookup, bare stops", "us", "sh", "$SELF stops -1 $SELF lookups unchecked", false},
	{"lookup by ptrace", "us", "sh", "$SKEP shell --door ptrace $SELF lookups", false},
	{"uprobe, counting", "ns", "sh", PROBE "0", false},
	{"uprobe, counting, whose", "ns", "sh", PROBE "1", false},
	{"uprobe, counting, the kernel's", "ns", "sh", "$PROBES 20000 0", true},
	{"uretprobe, empty", "ns", "sh", PROBE "2", false},
	{"build", "ms", "make", BUILD, false},
	{"build in a shell", "ms", "make", "$SKEP shell " BUILD, false},
	{"build, opensnoop", "ms", "opensnoop", "$SKEP trace -o $TOP/out opensnoop -- " BUILD, false},
	{"build, strace", "ms", "strace", "strace -f -e openat -o $TOP/out " BUILD, false},
};

/* One scenario by another, both without what `less` takes. A bar without `by` is for the value itself. */
static const struct ratio {
	const char *name, *of, *by, *less;
	double bar; /* at most; 0: reported */
} ratios[] = {
	{"find: empty program by bare stops", "find, empty program", "find, bare stops", NULL, 1.10},
	{"find: the same by stops that ask which call", "find, empty program", "find, stops that ask which call", NULL, 0},
	{"find: what opensnoop adds by what strace adds", "find, opensnoop", "find, strace", "find", 0.5},
	{"find: the same, strace with a filter", "find, opensnoop", "find, strace with a filter", "find", 0},
	{"lookup by notification, us", "lookup by notification", NULL, NULL, 6},
	{"lookup by notification by the kernel's", "lookup by notification", "lookup, the kernel's", NULL, 0},
	{"lookup by notification by a bare one", "lookup by notification", "lookup, bare notification", NULL, 0},
	{"lookup by ptrace by bare stops", "lookup by ptrace", "lookup, bare stops", NULL, 0},
	{"uprobe: a program that counts, ns", "uprobe, counting", NULL, NULL, 60},
	{"uprobe: the same, and asks whose call it is, ns", "uprobe, counting, whose", NULL, NULL, 150},
	{"uprobe: counting by the kernel's", "uprobe, counting", "uprobe, counting, the kernel's", NULL, 0},
	{"uretprobe: empty program, ns", "uretprobe, empty", NULL, NULL, 120},
	{"build: in a shell by alone", "build in a shell", "build", NULL, 0},
	{"build: with opensnoop by alone", "build, opensnoop", "build", NULL, 0},
	{"build: what opensnoop adds by what strace adds", "build, opensnoop", "build, strace", "build", 0},
};

static u64 now(void)
{
	return os_clock_ns(CLOCK_MONOTONIC);
}

static _Noreturn void die(const char *what)
{
	fprintf(stderr, "bench-trace: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- roles ---- */

static void write_ns(double ns)
{
	const char *path = getenv("NS");
	FILE *f = path ? fopen(path, "we") : stdout;

	if (!f)
		die(path);
	fprintf(f, "%.1f\n", ns);
	fclose(f);
}

static long bpf(int cmd, union bpf_attr *attr)
{
	return syscall(SYS_bpf, cmd, attr, sizeof(*attr));
}

static int tracepoint_id(const char *name)
{
	char path[128];
	int id = -1;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/tracing/events/%s/id", name);
	f = fopen(path, "re");
	if (f && fscanf(f, "%d", &id) != 1)
		id = -1;
	if (f)
		fclose(f);
	return id;
}

static void no_more(int sig)
{
	(void)sig;
	_exit(0);
}

static int role_client(char **argv)
{
	static const struct bpf_insn empty[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K}, {.code = BPF_JMP | BPF_EXIT}};
	union bpf_attr load = {.prog_type = BPF_PROG_TYPE_TRACEPOINT, .insns = (u64)(uintptr_t)empty, .insn_cnt = ARRAY_SIZE(empty), .license = (u64)(uintptr_t)"GPL"};
	struct perf_event_attr event = {.size = sizeof(event), .type = PERF_TYPE_TRACEPOINT, .sample_period = 1, .wakeup_events = 1};
	int id = tracepoint_id("syscalls/sys_enter_newfstatat"), prog, perf;

	(void)argv;
	if (id < 0)
		die("no sys_enter_newfstatat");
	event.config = (u32)id;
	prog = (int)bpf(BPF_PROG_LOAD, &load);
	perf = (int)syscall(SYS_perf_event_open, &event, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (prog < 0 || perf < 0 || ioctl(perf, PERF_EVENT_IOC_SET_BPF, prog) || ioctl(perf, PERF_EVENT_IOC_ENABLE, 0))
		die("attach");
	signal(SIGINT, no_more);
	for (;;)
		pause();
}

static int role_lookups(char **argv)
{
	bool checked = !argv[0];
	union bpf_attr create = {.map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .value_size = 8, .max_entries = 64}, elem = {0};
	u32 key = 7;
	u64 value = 42, start;
	int map = (int)bpf(BPF_MAP_CREATE, &create);

	if (checked && map < 0)
		die("map");
	elem.map_fd = (u32)map;
	elem.key = (u64)(uintptr_t)&key;
	elem.value = (u64)(uintptr_t)&value;
	if (bpf(BPF_MAP_UPDATE_ELEM, &elem) && checked)
		die("update");
	for (u32 i = 0; i < LOOKUPS / 10; i++)
		bpf(BPF_MAP_LOOKUP_ELEM, &elem);
	start = now();
	for (u32 i = 0; i < LOOKUPS; i++) {
		value = 0;
		if ((bpf(BPF_MAP_LOOKUP_ELEM, &elem) || value != 42) && checked)
			die("lookup");
	}
	write_ns((double)(now() - start) / LOOKUPS);
	return 0;
}

static int status_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int role_timed(char **argv)
{
	u64 start = now();
	pid_t pid = fork();
	int status;

	if (!pid) {
		execvp(argv[0], argv);
		die(argv[0]);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("fork");
	write_ns((double)(now() - start));
	return status_of(status);
}

static int filter(int nr, u32 action, u32 flags)
{
	struct sock_filter insns[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (u32)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {ARRAY_SIZE(insns), insns};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return (int)syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &prog);
}

static int stops(char **argv, bool asks)
{
	struct __ptrace_syscall_info info;
	int options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	int nr = atoi(argv[0]), go[2], status, last = 1;
	pid_t pid, who;
	char byte;

	if (pipe(go) || (pid = fork()) < 0)
		die("fork");
	if (!pid) {
		if (read(go[0], &byte, 1) != 1 || (nr >= 0 && filter(nr, SECCOMP_RET_TRACE, 0)))
			die("filter");
		execvp(argv[1], argv + 1);
		die(argv[1]);
	}
	if (ptrace(PTRACE_SEIZE, pid, 0, options) || (nr < 0 && ptrace(PTRACE_INTERRUPT, pid, 0, 0)) || write(go[1], "", 1) != 1)
		die("ptrace");
	while ((who = waitpid(-1, &status, __WALL)) > 0) {
		int sig = WIFSTOPPED(status) && !(status >> 16) && WSTOPSIG(status) != (SIGTRAP | 0x80) ? WSTOPSIG(status) : 0;

		if (asks && WIFSTOPPED(status))
			ptrace(PTRACE_GET_SYSCALL_INFO, who, sizeof(info), &info);
		if (WIFSTOPPED(status))
			ptrace(nr < 0 ? PTRACE_SYSCALL : PTRACE_CONT, who, 0, sig);
		else if (who == pid)
			last = status_of(status);
	}
	return last;
}

static int role_stops(char **argv)
{
	return stops(argv, false);
}

static int role_asks(char **argv)
{
	return stops(argv, true);
}

/* The child shares descriptors until it runs its command. */
static int role_listens(char **argv)
{
	struct seccomp_notif n;
	int tell[2], fd, status;
	pid_t pid;

	if (pipe(tell) || (pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0)) < 0)
		die("clone");
	if (!pid) {
		fd = filter(atoi(argv[0]), SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER);
		if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) || write(tell[1], &fd, sizeof(fd)) != sizeof(fd))
			die("filter");
		execvp(argv[1], argv + 1);
		die(argv[1]);
	}
	if (read(tell[0], &fd, sizeof(fd)) != sizeof(fd))
		die("read");
	(void)ioctl(fd, NOTIF_SET_FLAGS, NOTIF_SYNC_WAKE_UP);
	for (;;) {
		struct seccomp_notif_resp resp = {0};

		memset(&n, 0, sizeof(n));
		if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &n)) {
			if (errno == EINTR)
				continue;
			break;
		}
		resp.id = n.id;
		(void)ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &resp);
	}
	if (waitpid(pid, &status, 0) != pid)
		die("wait");
	return status_of(status);
}

static const struct {
	const char *name;
	int (*run)(char **argv);
	int operands;
} roles[] = {
	{"client", role_client, 0}, {"lookups", role_lookups, 0}, {"timed", role_timed, 1}, {"stops", role_stops, 2}, {"asks", role_asks, 2}, {"listens", role_listens, 2},
};

/* ---- rounds ---- */

struct bench {
	char top[64];
	bool json, root;
	double value[ARRAY_SIZE(scenarios)][ROUNDS], median[ARRAY_SIZE(scenarios)];
};

static void copy_program(const struct bench *b, const char *from, const char *name)
{
	char path[128];
	struct stat st;
	int in = open(from, O_RDONLY | O_CLOEXEC), out;

	snprintf(path, sizeof(path), "%s/%s", b->top, name);
	out = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
	if (in < 0 || out < 0 || fstat(in, &st))
		die(from);
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(out, in, NULL, (size_t)left);

		if (n <= 0)
			die(path);
		left -= n;
	}
	close(in);
	close(out);
}

static void write_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "we");

	if (!f || fputs(text, f) < 0 || fclose(f))
		die(path);
}

static void make_folder(const char *path)
{
	if (mkdir(path, 0755))
		die(path);
}

static void make_files(const struct bench *b)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/files", b->top);
	make_folder(path);
	for (u32 i = 0; i < FOLDERS; i++) {
		snprintf(path, sizeof(path), "%s/files/%u", b->top, i);
		make_folder(path);
		for (u32 k = 0; k < FILES_EACH; k++) {
			snprintf(path, sizeof(path), "%s/files/%u/%u", b->top, i, k);
			write_file(path, "");
		}
	}
	snprintf(path, sizeof(path), "%s/build", b->top);
	make_folder(path);
	snprintf(path, sizeof(path), "%s/build/Makefile", b->top);
	write_file(path, "N := $(shell seq 24)\nall: $(N:%=p%)\np%:\n\t@echo '#include <stdio.h>' > s$*.c && echo 'int main(void) { return puts(\"$*\") < 0; }' >> s$*.c\n"
			 "\t@$(CC) -O2 -o $@ s$*.c && ./$@ > /dev/null\n");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return remove(path);
}

static int give_away(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st, (void)type, (void)at;
	return lchown(path, NOBODY, NOBODY);
}

static void set_up(struct bench *b)
{
	const char *path = getenv("PATH");
	char name[4096];

	strcpy(b->top, "/tmp/bench-trace-XXXXXX");
	if (!mkdtemp(b->top) || chmod(b->top, 0755))
		die(b->top);
	copy_program(b, SKEP, "skep");
	copy_program(b, "/proc/self/exe", "self");
	copy_program(b, UPROBE, "probes");
	make_files(b);
	if (b->root && nftw(b->top, give_away, 16, FTW_PHYS))
		die(b->top);
	setenv("TOP", b->top, 1);
	setenv("HOME", b->top, 1);
	setenv("XDG_RUNTIME_DIR", b->top, 1);
	snprintf(name, sizeof(name), "%s/self", b->top);
	setenv("SELF", name, 1);
	snprintf(name, sizeof(name), "%s/skep", b->top);
	setenv("SKEP", name, 1);
	snprintf(name, sizeof(name), "%s/probes", b->top);
	setenv("PROBES", name, 1);
	snprintf(name, sizeof(name), "%s/ns", b->top);
	setenv("NS", name, 1);
	snprintf(name, sizeof(name), "%s:/usr/sbin:/sbin", path ? path : "/usr/bin:/bin");
	setenv("PATH", name, 1);
}

static int run_shell(const struct bench *b, const char *command, bool privileged)
{
	int status, null;
	pid_t pid = fork();

	if (!pid) {
		if (b->root && !privileged && (setgroups(0, NULL) || setresgid(NOBODY, NOBODY, NOBODY) || setresuid(NOBODY, NOBODY, NOBODY)))
			die("uid");
		null = open("/dev/null", O_RDWR | O_CLOEXEC);
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		execl("/bin/sh", "sh", "-c", command, (char *)NULL);
		die("sh");
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		die("fork");
	return status_of(status);
}

static bool have(const struct bench *b, const struct scenario *s)
{
	char command[128];

	snprintf(command, sizeof(command), "command -v %s > /dev/null", s->needs);
	return !run_shell(b, command, false) && (b->root || !s->privileged);
}

static double measure(const struct bench *b, const struct scenario *s)
{
	char path[128];
	double ns = NAN;
	int status;
	FILE *f;

	snprintf(path, sizeof(path), "%s/ns", b->top);
	unlink(path);
	status = run_shell(b, s->command, s->privileged);
	f = fopen(path, "re");
	if (status || !f || fscanf(f, "%lf", &ns) != 1)
		fprintf(stderr, "bench-trace: %s: status %d\n", s->name, status);
	if (f)
		fclose(f);
	return status ? (double)NAN : ns / (!strcmp(s->unit, "ms") ? 1e6 : !strcmp(s->unit, "us") ? 1e3 : 1);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double value_of(const struct bench *b, const char *name)
{
	for (u32 i = 0; name && i < ARRAY_SIZE(scenarios); i++)
		if (!strcmp(scenarios[i].name, name))
			return b->median[i];
	return 0;
}

static void print_ratio(const struct bench *b, const struct ratio *r)
{
	double less = value_of(b, r->less), x = value_of(b, r->of) - less;
	char bar[32] = "";

	if (r->by)
		x /= value_of(b, r->by) - less;
	if (isnan(x))
		return;
	if (r->bar > 0)
		snprintf(bar, sizeof(bar), "%.2f %s", r->bar, x <= r->bar ? "met" : "missed");
	if (b->json)
		printf("{\"name\": \"%s\", \"ratio\": %.3f, \"bar\": %.2f}\n", r->name, x, r->bar);
	else
		printf("%-48s %8.2f  %s\n", r->name, x, bar);
}

static void print_all(const struct bench *b)
{
	if (!b->json)
		printf("Watched commands and asking clients; medians of %d interleaved rounds.\n", ROUNDS);
	for (u32 i = 0; i < ARRAY_SIZE(scenarios); i++) {
		const struct scenario *s = &scenarios[i];

		if (!isnan(b->median[i]) && b->json)
			printf("{\"name\": \"%s\", \"unit\": \"%s\", \"value\": %.3f}\n", s->name, s->unit, b->median[i]);
		else if (!isnan(b->median[i]))
			printf("%-48s %8.2f %s\n", s->name, b->median[i], s->unit);
	}
	if (!b->json)
		printf("%-48s %8s  %s\n", "", "ratio", "at most");
	for (u32 i = 0; i < ARRAY_SIZE(ratios); i++)
		print_ratio(b, &ratios[i]);
}

/* Groups are the first words of names. */
static bool wanted(const char *name, char **words, int n)
{
	bool any = n == 0;

	for (int i = 0; i < n; i++)
		any |= !strncmp(name, words[i], strlen(words[i]));
	return any;
}

static int run_all(struct bench *b, char **words, int n)
{
	bool skip[ARRAY_SIZE(scenarios)];

	set_up(b);
	for (u32 i = 0; i < ARRAY_SIZE(scenarios); i++)
		skip[i] = !wanted(scenarios[i].name, words, n) || !have(b, &scenarios[i]);
	for (u32 r = 0; r < ROUNDS; r++)
		for (u32 i = 0; i < ARRAY_SIZE(scenarios); i++) {
			b->value[i][r] = skip[i] ? (double)NAN : measure(b, &scenarios[i]);
			skip[i] |= isnan(b->value[i][r]);
		}
	for (u32 i = 0; i < ARRAY_SIZE(scenarios); i++) {
		qsort(b->value[i], ROUNDS, sizeof(double), by_value);
		b->median[i] = skip[i] ? (double)NAN : b->value[i][ROUNDS / 2];
	}
	print_all(b);
	return nftw(b->top, remove_one, 16, FTW_DEPTH | FTW_PHYS) ? 1 : 0;
}

int main(int argc, char **argv)
{
	struct bench b = {.root = getuid() == 0};
	int first = 1;

	for (u32 i = 0; argc > 1 && i < ARRAY_SIZE(roles); i++)
		if (!strcmp(argv[1], roles[i].name) && argc - 2 >= roles[i].operands)
			return roles[i].run(argv + 2);
	if (argc > 1 && !strcmp(argv[1], "--json")) {
		b.json = true;
		first++;
	}
	return run_all(&b, argv + first, argc - first);
}
