/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that run inside of the process that meets a probe (under `skep shell`): what they count and read is what the process does, which goes on as ever,
 * whatever it does meanwhile; and its text is as before when the client is gone. Targets are children of this process, whose functions have the probes.
 */
#include "target.h"

#include "kernel/types.h"

#include <dlfcn.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

/* ---- what is probed ---- */

enum { UPROBE_MULTI = 48, MULTI_LINK = 12 }; /* attach type, kind of link: newer than some headers */
struct multi_link { /* of union bpf_attr */
	uint32_t prog, target, type, flags;
	uint64_t path, offsets, counters, cookies;
	uint32_t n, multi_flags, pid;
};
struct multi_info { /* of struct bpf_link_info */
	uint32_t type, id, prog, pad;
	uint64_t path, offsets, counters, cookies;
	uint32_t path_size, n, flags, pid;
};

int deep(int n);
void leaves(int n);
int loops(int n);
int loads(int n);
uint64_t keeps(void);
int waits(int n);

static jmp_buf out;
static volatile int alarms, go;

__attribute__((noinline)) int deep(int n)
{
	int r = n ? deep(n - 1) + 1 : 0;

	__asm__ volatile("" ::: "memory");
	return r;
}
__attribute__((noinline)) void leaves(int n)
{
	char room[64];

	memset(room, n, sizeof(room));
	__asm__ volatile("" ::"r"(room) : "memory");
	if (n)
		longjmp(out, n);
}
__attribute__((noinline)) int waits(int n)
{
	while (n && !go)
		usleep(1000);
	return n + 1;
}

/* Its first instructions are the target of a branch: no jump can lie there. Then one whose first is relative to itself. */
__asm__(".pushsection .text\n.balign 16\n.globl loops\n.type loops, @function\nloops: xor %eax, %eax\n1: inc %eax\ndec %edi\njnz 1b\nret\n.size loops, .-loops\n"
	".balign 16\n.globl loads\n.type loads, @function\nloads: mov 3f(%rip), %eax\nadd %edi, %eax\nret\n3: .long 1000\n.size loads, .-loads\n"
	".balign 16\nint3\n.balign 16\n"
	/* All registers, flags and the red zone are as they were behind the instruction in its midst: the number of what is not. */
	".globl keeps\n.type keeps, @function\nkeeps:\n"
	"push %rbx\npush %rbp\npush %r12\npush %r13\npush %r14\npush %r15\n"
	"mov $0x1111, %eax\nmov $0x2222, %ebx\nmov $0x3333, %ecx\nmov $0x4444, %edx\nmov $0x5555, %esi\nmov $0x6666, %edi\nmov $0x7777, %ebp\n"
	"mov $0x8888, %r8d\nmov $0x9999, %r9d\nmov $0xaaaa, %r10d\nmov $0xbbbb, %r11d\nmov $0xcccc, %r12d\nmov $0xdddd, %r13d\nmov $0xeeee, %r14d\nmov %rsp, %r15\n"
	"movq $0x1234567, -8(%rsp)\nmovq $0x7654321, -128(%rsp)\nmovq %rax, %xmm0\nmovq %rbx, %xmm15\nstc\n"
	".globl keeps_here\nkeeps_here: nopl 0x0(%rax,%rax,1)\n"
	"jnc 9f\ncmp %rsp, %r15\njne 9f\ncmp $0x1111, %rax\njne 9f\ncmp $0x2222, %rbx\njne 9f\ncmp $0x3333, %rcx\njne 9f\ncmp $0x4444, %rdx\njne 9f\ncmp $0x5555, %rsi\njne 9f\n"
	"cmp $0x6666, %rdi\njne 9f\ncmp $0x7777, %rbp\njne 9f\ncmp $0x8888, %r8\njne 9f\ncmp $0x9999, %r9\njne 9f\ncmp $0xaaaa, %r10\njne 9f\ncmp $0xbbbb, %r11\njne 9f\n"
	"cmp $0xcccc, %r12\njne 9f\ncmp $0xdddd, %r13\njne 9f\ncmp $0xeeee, %r14\njne 9f\ncmpq $0x1234567, -8(%rsp)\njne 9f\ncmpq $0x7654321, -128(%rsp)\njne 9f\n"
	"movq %xmm0, %rdx\ncmp $0x1111, %rdx\njne 9f\nmovq %xmm15, %rdx\ncmp $0x2222, %rdx\njne 9f\n"
	"mov $1, %eax\njmp 8f\n9: xor %eax, %eax\n8: pop %r15\npop %r14\npop %r13\npop %r12\npop %rbp\npop %rbx\nret\n.size keeps, .-keeps\n.popsection\n");
extern const unsigned char keeps_here[];

static const struct add counts[] = {{.what = ADD_ONE}, {.what = ADD_FIELD, .slot = 1, .field = FIELD_DI}};
static const struct add results[] = {{.what = ADD_ONE, .slot = 2}, {.what = ADD_FIELD, .slot = 3, .field = FIELD_AX}};
static const struct add names[] = {{.what = ADD_ONE}, {.what = ADD_TID, .slot = 1}, {.what = ADD_TGID, .slot = 4}};
#define OF_TASK(field) ((int)offsetof(struct kernel_task_struct, field))
static const struct add objects[] = {{.what = ADD_ONE}, {.what = ADD_OF_TASK, .slot = 1, .field = OF_TASK(pid)}, {.what = ADD_OF_BTF_TASK, .slot = 4, .field = OF_TASK(tgid)},
				     {.what = ADD_OF_PARENT, .slot = 5, .field = OF_TASK(tgid), .via = OF_TASK(real_parent)}};
static const struct add times[] = {{.what = ADD_TIME}};

/* ---- cases ---- */

TEST(entries_and_returns_arguments_and_results)
{
	struct client c = attach(TEXT(work), counts, 2, results, 2);
	struct told t = run(work_many);

	CHECK(t.jumped);
	CHECK_EQ(probing_value(c.map, 0), t.calls);
	CHECK_EQ(probing_value(c.map, 1), t.more);
	CHECK_EQ(probing_value(c.map, 2), t.calls);
	CHECK_EQ(probing_value(c.map, 3), t.sum);
	detach(&c);
}

static void deep_many(struct told *t)
{
	for (int i = 0; i < 300; i++) {
		t->sum += (uint64_t)deep(40) * 41 / 2; /* 0 + 1 + .. + 40 */
		t->calls += 41;
	}
	t->jumped = is_jump(TEXT(deep));
}

TEST(recursion)
{
	struct client c = attach(TEXT(deep), counts, 1, results, 2);
	struct told t = run(deep_many);

	CHECK(t.jumped);
	CHECK_EQ(probing_value(c.map, 0), t.calls);
	CHECK_EQ(probing_value(c.map, 2), t.calls);
	CHECK_EQ(probing_value(c.map, 3), t.sum);
	detach(&c);
}

static void *thread(void *arg)
{
	struct told *t = arg;
	uint64_t tid = (uint64_t)syscall(SYS_gettid);

	for (int i = 0; i < MANY; i++) {
		work(i, 1);
		__atomic_fetch_add(&t->calls, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&t->sum, tid, __ATOMIC_RELAXED);
		__atomic_fetch_add(&t->more, (uint64_t)getpid(), __ATOMIC_RELAXED);
	}
	return NULL;
}

static void work_in_threads(struct told *t)
{
	for (int round = 0; round < 3; round++) { /* later threads have the stacks of earlier ones */
		pthread_t threads[4];

		for (int i = 0; i < 4; i++)
			pthread_create(&threads[i], NULL, thread, t);
		for (int i = 0; i < 4; i++)
			pthread_join(threads[i], NULL);
	}
	t->jumped = is_jump(TEXT(work));
}

TEST(threads_and_who_they_are)
{
	struct client c = attach(TEXT(work), names, 3, results, 1);
	struct told t = run(work_in_threads);

	CHECK(t.jumped);
	CHECK_EQ(probing_value(c.map, 0), t.calls);
	CHECK_EQ(probing_value(c.map, 1), t.sum);
	CHECK_EQ(probing_value(c.map, 4), t.more);
	detach(&c);
}

static void work_in_children(struct told *t)
{
	struct told *shared = mmap(NULL, sizeof(*t), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *const argv[] = {(char *)(uintptr_t) "true", NULL};

	for (int i = 0; i < WARM; i++) {
		work(i, 1);
		shared->calls++;
		shared->sum += (uint64_t)getpid();
	}
	for (int i = 0; i < 20; i++) {
		pid_t pid = fork();

		if (!pid || i % 4 == 0)
			for (int k = 0; k < 10; k++) {
				work(i, 1);
				__atomic_fetch_add(&shared->calls, 1, __ATOMIC_RELAXED);
				__atomic_fetch_add(&shared->sum, (uint64_t)getpid(), __ATOMIC_RELAXED);
			}
		if (!pid)
			_exit(0);
		waitpid(pid, NULL, 0);
		if (i % 5 == 0 && !posix_spawnp(&pid, "true", NULL, NULL, argv, environ))
			waitpid(pid, NULL, 0);
	}
	for (int i = 0; i < PATIENCE && !is_jump(TEXT(work)); i++) { /* it may be taken back, when an earlier client is found to have gone, and comes again */
		work(i, 1);
		shared->calls++;
		shared->sum += (uint64_t)getpid();
		usleep(1000);
	}
	*t = *shared;
	t->jumped = is_jump(TEXT(work));
}

/* Calls, and the numbers of the tasks that made them, found in two ways. */
static void who_called(const struct client *c, const struct told *t)
{
	CHECK(t->jumped);
	CHECK_EQ(probing_value(c->map, 0), t->calls);
	CHECK_EQ(probing_value(c->map, 1), t->sum);
	CHECK_EQ(probing_value(c->map, 4), t->sum);
}

TEST(children_of_fork_and_vfork)
{
	struct client c = attach(TEXT(work), names, 3, NULL, 0);
	struct told t = run(work_in_children);

	who_called(&c, &t);
	detach(&c);
}

TEST(tasks_as_objects)
{
	struct client c = attach(TEXT(work), objects, 4, NULL, 0);
	struct told t = run(work_in_children);

	who_called(&c, &t);
	detach(&c);
	c = attach(TEXT(work), objects, 4, NULL, 0);
	t = run(work_many);
	CHECK(t.jumped);
	CHECK_EQ(probing_value(c.map, 1), t.calls * (uint64_t)target_pid);
	CHECK_EQ(probing_value(c.map, 5), t.calls * (uint64_t)getpid());
	detach(&c);
}

static void leave_many(struct told *t)
{
	for (volatile int i = 1; i <= 300; i++) {
		if (!setjmp(out))
			leaves(i);
		else
			t->sum++;
		if (i % 10 == 0) {
			leaves(0);
			t->more++;
		}
	}
	t->calls = t->sum + t->more;
	t->jumped = is_jump(TEXT(leaves));
}

TEST(longjmp_out_of_a_function_whose_return_is_probed)
{
	struct client c = attach(TEXT(leaves), counts, 1, results, 1);
	struct told t = run(leave_many);

	CHECK(t.jumped);
	CHECK_EQ(t.sum, 300);
	CHECK_EQ(probing_value(c.map, 0), t.calls);
	CHECK_EQ(probing_value(c.map, 2), t.more);
	detach(&c);
}

static void alarmed(int sig)
{
	(void)sig;
	work(1, 1);
	alarms++;
	ualarm(300, 0); /* not by itself: where a probe takes longer than that, nothing else would run */
}

static void work_amid_signals(struct told *t)
{
	signal(SIGALRM, alarmed);
	ualarm(300, 0);
	for (int i = 0, before = 0; i < 100 * MANY && alarms < before + 400; i++) {
		work(i, 2);
		t->calls++;
		if (!is_jump(TEXT(work)))
			before = alarms;
	}
	signal(SIGALRM, SIG_IGN);
	t->calls += (uint64_t)alarms;
	t->sum = (uint64_t)alarms;
	t->jumped = is_jump(TEXT(work));
}

TEST(signals_whose_handlers_meet_the_probe)
{
	struct client c = attach(TEXT(work), counts, 1, results, 1);
	struct told t = run(work_amid_signals);

	CHECK(t.jumped);
	CHECK(t.sum > 0);
	CHECK_EQ(probing_value(c.map, 0), t.calls);
	CHECK_EQ(probing_value(c.map, 2), t.calls);
	detach(&c);
}

static void keep_many(struct told *t)
{
	for (int i = 0; i < WARM + MANY; i++) {
		t->sum += keeps();
		t->calls++;
	}
	t->jumped = is_jump(keeps_here);
}

TEST(registers_flags_and_red_zone_in_the_midst_of_a_function)
{
	struct client c = attach(keeps_here, counts, 2, NULL, 0);
	struct told t = run(keep_many);

	CHECK(t.jumped);
	CHECK_EQ(t.sum, t.calls);
	CHECK_EQ(probing_value(c.map, 0), t.calls);
	CHECK_EQ(probing_value(c.map, 1), t.calls * 0x6666);
	detach(&c);
}

static void loop_and_load(struct told *t)
{
	for (int i = 0; i < WARM; i++) {
		t->sum += (uint64_t)(loops(5) + loads(7));
		t->calls++;
	}
	t->jumped = is_jump(TEXT(loads));
	t->more = is_jump(TEXT(loops));
}

TEST(branches_into_the_first_instructions_and_loads_relative_to_them)
{
	struct client c = attach(TEXT(loops), counts, 2, NULL, 0), d = attach(TEXT(loads), counts, 2, NULL, 0);
	struct told t = run(loop_and_load);

	CHECK(t.jumped);
	CHECK(!t.more);
	CHECK_EQ(t.sum, t.calls * (5 + 1007));
	CHECK_EQ(probing_value(c.map, 0), t.calls);
	CHECK_EQ(probing_value(c.map, 1), t.calls * 5);
	CHECK_EQ(probing_value(d.map, 0), t.calls);
	CHECK_EQ(probing_value(d.map, 1), t.calls * 7);
	detach(&c);
	detach(&d);
}

static uint64_t clock_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void work_in_time(struct told *t)
{
	for (int i = 0; i < WARM; i++) {
		t->sum += clock_ns();
		work(i, 2);
		t->more += clock_ns();
	}
	t->jumped = is_jump(TEXT(work));
}

/* The coarse clock is behind by a tick at most. */
TEST(jiffies_and_numbers_by_chance)
{
	const struct add adds[] = {{.what = ADD_JIFFIES, .slot = 0}, {.what = ADD_RANDOM, .slot = 1}};
	struct client c = attach(TEXT(work), adds, 2, NULL, 0);
	struct told t = run(work_in_time);
	uint64_t average = probing_value(c.map, 1) / WARM;
	uint64_t ticks = probing_value(c.map, 0) - WARM * (uint64_t)(uint32_t)(-300 * 250); /* as Linux, from five minutes before they wrap at 32 bits */

	CHECK(t.jumped);
	CHECK(ticks >= t.sum / 4000000 - 6 * WARM && ticks <= t.more / 4000000);
	CHECK(average > 1ull << 30 && average < 3ull << 30);
	detach(&c);
}

TEST(the_time)
{
	struct client c = attach(TEXT(work), times, 1, NULL, 0);
	struct told t = run(work_in_time);

	CHECK(t.jumped);
	CHECK(probing_value(c.map, 0) >= t.sum && probing_value(c.map, 0) <= t.more);
	detach(&c);
}

/* ---- many probes in one link ---- */

static void work_and_deep(struct told *t)
{
	work_many(t);
	t->more = 0;
	for (int i = 0; i < WARM; i++) {
		deep(2);
		t->more += 3;
	}
	t->jumped += 10 * is_jump(TEXT(deep));
}

static int link_multi(int prog, const char *file, const uint64_t *offsets, const uint64_t *cookies, uint32_t n, uint32_t flags)
{
	struct multi_link a = {.prog = (uint32_t)prog, .type = UPROBE_MULTI, .path = (uintptr_t)file, .offsets = (uintptr_t)offsets, .cookies = (uintptr_t)cookies,
			       .n = n, .multi_flags = flags};

	return (int)syscall(SYS_bpf, BPF_LINK_CREATE, &a, offsetof(struct multi_link, pid) + 4);
}

TEST(many_probes_in_one_link)
{
	static const struct add adds[] = {{.what = ADD_ONE}, {.what = ADD_COOKIE, .slot = 1}};
	char path[4096], told_path[4096] = "";
	uint64_t offsets[2] = {probing_offset(TEXT(work), path), probing_offset(TEXT(deep), path)}, cookies[2] = {5, 70000}, told[2] = {0}, told_cookies[2] = {0};
	int map = probing_array(), prog = probing_load_for(map, adds, 2, UPROBE_MULTI), plain = probing_load(map, adds, 2);
	int fd = link_multi(prog, path, offsets, cookies, 2, 0), back = link_multi(prog, path, offsets, NULL, 2, 1);
	struct multi_info info = {.path = (uintptr_t)told_path, .offsets = (uintptr_t)told, .cookies = (uintptr_t)told_cookies, .path_size = sizeof(told_path), .n = 2};
	union bpf_attr a = {.info = {.bpf_fd = (uint32_t)fd, .info_len = sizeof(info), .info = (uintptr_t)&info}};
	struct told t;

	REQUIRE(fd >= 0 && back >= 0);
	CHECK(link_multi(prog, "/", offsets, NULL, 1, 0) < 0 && errno == EBADF);
	CHECK(link_multi(prog, path, offsets, NULL, 0, 0) < 0 && errno == EINVAL);
	CHECK(link_multi(prog, path, offsets, NULL, 2, 4) < 0 && errno == EINVAL);
	CHECK(link_multi(plain, path, offsets, NULL, 2, 0) < 0 && errno == EINVAL);
	CHECK_EQ(probing_bpf(BPF_OBJ_GET_INFO_BY_FD, &a), 0);
	CHECK_EQ(info.type, MULTI_LINK);
	CHECK_EQ(info.n, 2);
	CHECK_EQ(told[1], offsets[1]);
	CHECK_EQ(told_cookies[1], cookies[1]);
	CHECK_STR(told_path, path);
	t = run(work_and_deep);
	CHECK_EQ(t.jumped, 11);
	CHECK_EQ(probing_value(map, 0), 2 * (t.calls + t.more));
	CHECK_EQ(probing_value(map, 1), 5 * t.calls + 70000 * t.more);
	close(fd);
	close(back);
	close(prog);
	close(plain);
	close(map);
}

/* ---- the client goes ---- */

static void work_until_the_text_is_as_before(struct told *t)
{
	unsigned char now[16], file[16];
	char path[4096];
	unsigned long offset = probing_offset(TEXT(work), path);
	int fd = open(path, O_RDONLY);
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, thread, t);
	for (int i = 0; i < WARM || (i < PATIENCE && !is_jump(TEXT(work))); i++) { /* threads that wait for a processor are in the way */
		work(i, 1);
		usleep(i < WARM ? 0 : 1000);
	}
	t->jumped = is_jump(TEXT(work));
	t->more = 0;
	waits(1); /* for the client to be gone: its own return is probed, too */
	for (int i = 0; i < 5000 && !t->more; i++) {
		work(i, 1);
		memcpy(now, TEXT(work), sizeof(now));
		t->more = pread(fd, file, sizeof(file), (off_t)offset) == sizeof(file) && !memcmp(now, file, sizeof(now));
		usleep(1000);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

static void woken(int sig)
{
	(void)sig;
	go = 1;
}

static void work_and_wait(struct told *t)
{
	struct told own = {0};

	signal(SIGUSR1, woken);
	for (int i = 0; i < WARM; i++)
		waits(0);
	work_until_the_text_is_as_before(&own);
	*t = own;
}

TEST(a_client_that_goes_while_functions_have_not_returned)
{
	struct client c = attach(TEXT(work), counts, 1, results, 1), d = attach(TEXT(waits), counts, 1, results, 1);
	struct told t;

	begin(work_and_wait);
	for (int i = 0; i < 3000 && probing_value(d.map, 0) <= WARM; i++)
		usleep(1000);
	CHECK_EQ(probing_value(d.map, 0), WARM + 1);
	detach(&c);
	detach(&d);
	kill(target_pid, SIGUSR1);
	t = finish();
	CHECK(t.jumped);
	CHECK(t.more); /* the text is the file's */
}

static void work_twice(struct told *t)
{
	work_many(t);
	t->more = 0;
	for (int i = 0; i < 5000 && is_jump(TEXT(work)); i++) /* the first client goes */
		usleep(1000);
	for (int i = 0; i < 5000 && !is_jump(TEXT(work)); i++) { /* the second comes */
		work(1, 1);
		t->more++;
		usleep(i < 100 ? 10000 : 0);
	}
	for (int i = 0; i < MANY; i++) {
		work(1, 1);
		t->more++;
	}
	t->jumped += is_jump(TEXT(work));
}

TEST(one_client_after_the_other)
{
	struct client c = attach(TEXT(work), counts, 1, results, 1), d;
	struct told t;

	begin(work_twice);
	for (int i = 0; i < 3000 && probing_value(c.map, 0) < WARM + MANY; i++)
		usleep(1000);
	usleep(100000);
	CHECK_EQ(probing_value(c.map, 2), WARM + MANY);
	detach(&c);
	usleep(300000);
	d = attach(TEXT(work), names, 3, NULL, 0);
	t = finish();
	CHECK_EQ(t.jumped, 2);
	CHECK(probing_value(d.map, 0) > MANY && probing_value(d.map, 0) <= t.more);
	detach(&d);
}

/* ---- programs that count in hashes, and per CPU ---- */

static struct client attach_count(const void *at, unsigned type, unsigned key_size, const struct count *count)
{
	struct client c = {.map = probing_map(type, key_size, 8, 4096), .prog = {-1, -1}, .fd = {-1, -1}};
	char path[4096];
	unsigned long offset = probing_offset(at, path);

	c.prog[0] = probing_load_count(c.map, count);
	c.fd[0] = c.prog[0] < 0 ? -1 : probing_attach(c.prog[0], path, offset, 0);
	CHECK(c.fd[0] >= 0);
	return c;
}

static unsigned cpus_of(unsigned type)
{
	return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ? (unsigned)sysconf(_SC_NPROCESSORS_CONF) : 1;
}

/* By the argument's low bits: each is there, with as many calls as it had. */
TEST(elements_of_hashes)
{
	static const unsigned types[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY};

	for (unsigned i = 0; i < 5; i++)
		for (unsigned key_size = 4; key_size <= (types[i] == BPF_MAP_TYPE_PERCPU_ARRAY ? 4 : 8); key_size += 4)
			for (enum counting how = COUNT_THERE; how <= COUNT_UPDATES; how++) {
				struct count count = {.of = {.what = ADD_FIELD, .field = FIELD_DI}, .mask = 63, .how = how};
				struct client c = attach_count(TEXT(work), types[i], key_size, &count);
				struct told t = run(work_many);
				unsigned n;

				CHECK(t.jumped);
				CHECK_EQ(probing_sum(c.map, cpus_of(types[i]), &n), t.calls);
				CHECK_EQ(n, types[i] == BPF_MAP_TYPE_PERCPU_ARRAY ? 4096 : 64);
				detach(&c);
			}
}

/* Values that are larger than any stack, taken from another map: the engine is asked for each. */
TEST(elements_larger_than_a_stack)
{
	enum { SIZE = 40000 };
	static uint64_t value[SIZE / 8], back[SIZE / 8];
	int scratch = probing_map(BPF_MAP_TYPE_ARRAY, 4, SIZE, 1);
	struct client c = {.map = probing_map(BPF_MAP_TYPE_HASH, 4, SIZE, 16), .prog = {-1, -1}, .fd = {-1, -1}};
	union bpf_attr put = {.map_fd = (unsigned)scratch, .key = (uintptr_t)&(unsigned){0}, .value = (uintptr_t)value};
	union bpf_attr get = {.map_fd = (unsigned)c.map, .key = (uintptr_t)&(unsigned){0}, .value = (uintptr_t)back};
	char path[4096];
	unsigned long offset = probing_offset(TEXT(work), path);
	struct told t;

	for (unsigned i = 0; i < SIZE / 8; i++)
		value[i] = i * 3 + 1;
	REQUIRE(!probing_bpf(BPF_MAP_UPDATE_ELEM, &put));
	c.prog[0] = probing_load_copy(c.map, scratch);
	c.fd[0] = c.prog[0] < 0 ? -1 : probing_attach(c.prog[0], path, offset, 0);
	REQUIRE(c.fd[0] >= 0);
	t = run(work_many);
	CHECK(t.jumped);
	CHECK_EQ(probing_bpf(BPF_MAP_LOOKUP_ELEM, &get), 0);
	CHECK(!memcmp(value, back, SIZE));
	detach(&c);
	close(scratch);
}

/* More threads than there are processors, some of which are stopped in the midst of it. */
TEST(threads_that_count)
{
	static const unsigned types[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH};

	for (unsigned i = 0; i < 2; i++) {
		struct count count = {.of = {.what = ADD_TID}, .mask = -1};
		struct client c = attach_count(TEXT(work), types[i], 4, &count);
		struct told t = run(work_in_threads);
		unsigned n;

		CHECK(t.jumped);
		CHECK_EQ(probing_sum(c.map, cpus_of(types[i]), &n), t.calls);
		CHECK_EQ(n, 12);
		detach(&c);
	}
}

TEST(children_that_count)
{
	struct count count = {.of = {.what = ADD_TGID}, .mask = -1, .how = COUNT_UPDATES};
	struct client c = attach_count(TEXT(work), BPF_MAP_TYPE_PERCPU_HASH, 8, &count);
	struct told t = run(work_in_children);
	unsigned n;

	CHECK(t.jumped);
	CHECK_EQ(probing_sum(c.map, cpus_of(BPF_MAP_TYPE_PERCPU_HASH), &n), t.calls);
	CHECK_EQ(n, 21);
	detach(&c);
}

/* An element goes as often as its count is 100: from a program that is in a function's process. */
TEST(elements_that_go_again)
{
	struct count count = {.of = {.what = ADD_FIELD, .field = FIELD_DI}, .mask = 7, .how = COUNT_UPDATES, .deletes = 100};
	struct client c = attach_count(TEXT(work), BPF_MAP_TYPE_HASH, 8, &count);
	struct told t = run(work_many);
	unsigned n;

	CHECK(t.jumped);
	CHECK_EQ(probing_sum(c.map, 1, &n), 8 * ((WARM + MANY) / 8 % 100) + (WARM + MANY) % 8);
	CHECK_EQ(n, 8);
	detach(&c);
}

/* ---- a target that spoils what it can reach ---- */

static void spoil(struct told *t)
{
	unsigned long from, to;
	char line[4352], flags[8];
	FILE *f;

	work_many(t);
	f = fopen("/proc/self/maps", "r");
	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, "memfd:skep") && sscanf(line, "%lx-%lx %7s", &from, &to, flags) == 3) {
			t->more = flags[1] == 'w' ? t->more : t->more + 1000000000;
			if (flags[1] == 'w' && flags[2] == 'x')
				t->jumped = 0;
			if (flags[1] == 'w')
				memset((void *)from, 0xff, to - from);
		}
	if (f)
		fclose(f);
}

TEST(a_target_that_spoils_its_maps)
{
	struct client c = attach(TEXT(work), counts, 2, NULL, 0);
	struct told t = run(spoil);
	union bpf_attr a = {.map_fd = (unsigned)c.map};
	uint64_t value = 7;
	uint32_t key = 3;

	CHECK(t.jumped);
	CHECK_EQ(probing_value(c.map, 0), UINT64_MAX);
	a.key = (uintptr_t)&key;
	a.value = (uintptr_t)&value;
	CHECK_EQ(probing_bpf(BPF_MAP_UPDATE_ELEM, &a), 0);
	CHECK_EQ(probing_value(c.map, 3), 7);
	key = SLOTS;
	CHECK(probing_bpf(BPF_MAP_UPDATE_ELEM, &a) < 0 && errno == E2BIG);
	detach(&c);
	c = attach(TEXT(work), counts, 2, NULL, 0);
	t = run(work_many);
	CHECK_EQ(probing_value(c.map, 0), t.calls);
	detach(&c);
}

TEST(a_target_that_spoils_its_hashes)
{
	static const unsigned types[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_PERCPU_HASH};

	for (unsigned i = 0; i < 2; i++) {
		struct count count = {.of = {.what = ADD_FIELD, .field = FIELD_DI}, .mask = 63};
		struct client c = attach_count(TEXT(work), types[i], 8, &count), d;
		struct told t = run(spoil);
		unsigned n;

		CHECK(t.jumped);
		probing_sum(c.map, cpus_of(types[i]), &n); /* whatever it is now */
		detach(&c);
		d = attach_count(TEXT(work), types[i], 8, &count);
		t = run(work_many);
		CHECK_EQ(probing_sum(d.map, cpus_of(types[i]), &n), t.calls);
		CHECK_EQ(n, 64);
		detach(&d);
	}
}

/* ---- for tests that start a client and a target themselves ---- */

static volatile int interrupted;

static void interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

static int be_client(void)
{
	struct client c = attach(TEXT(work), names, 2, results, 1);

	signal(SIGINT, interrupt);
	while (!interrupted)
		usleep(10000);
	printf("%llu entries, %llu returns\n", (unsigned long long)probing_value(c.map, 0), (unsigned long long)probing_value(c.map, 2));
	return c.fd[0] < 0 || c.fd[1] < 0;
}

/* Until a jump has come and gone again. */
static int be_target(void)
{
	unsigned char first = *(const volatile unsigned char *)TEXT(work);
	int seen = 0;

	for (int i = 0; i < 10000 && !(seen && *(const volatile unsigned char *)TEXT(work) == first); i++) {
		seen |= (int)is_jump(TEXT(work));
		work(i, 1);
		usleep(1000);
	}
	printf(!seen ? "never altered\n" : is_jump(TEXT(work)) ? "still altered\n" : "as before\n");
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		return strcmp(argv[1], "client") ? be_target() : be_client();
	RUN(entries_and_returns_arguments_and_results);
	RUN(recursion);
	RUN(threads_and_who_they_are);
	RUN(children_of_fork_and_vfork);
	RUN(tasks_as_objects);
	RUN(longjmp_out_of_a_function_whose_return_is_probed);
	RUN(signals_whose_handlers_meet_the_probe);
	RUN(registers_flags_and_red_zone_in_the_midst_of_a_function);
	RUN(branches_into_the_first_instructions_and_loads_relative_to_them);
	RUN(the_time);
	RUN(jiffies_and_numbers_by_chance);
	RUN(many_probes_in_one_link);
	RUN(a_client_that_goes_while_functions_have_not_returned);
	RUN(one_client_after_the_other);
	RUN(elements_of_hashes);
	RUN(elements_larger_than_a_stack);
	RUN(threads_that_count);
	RUN(children_that_count);
	RUN(elements_that_go_again);
	RUN(a_target_that_spoils_its_maps);
	RUN(a_target_that_spoils_its_hashes);
	return test_end();
}
