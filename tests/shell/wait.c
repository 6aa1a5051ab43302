/* SPDX-License-Identifier: BSD-2-Clause */
/* A client that waits on its rings by poll(2) and select(2), to be run in a skep shell. */
#include "../kernel.h"
#include "../test.h"

#include <linux/perf_event.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define ADDRESS(p) ((uint64_t)(uintptr_t)(p))

enum { PAGE = 4096, RING = PAGE };

/* Writes eight bytes into a ring buffer: bpf_ringbuf_output(map, fp - 8, 8, 0). */
static int load_ringbuf_writer(int map)
{
	struct bpf_insn code[] = {
		{.code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .off = -8, .imm = 7},
		{.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_1, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map},
		{.code = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_2, .src_reg = BPF_REG_10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_2, .imm = -8},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = 8},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_4, .imm = 0},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ringbuf_output},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return kernel_load(BPF_PROG_TYPE_SCHED_CLS, code, sizeof(code) / sizeof(code[0]), NULL, 0);
}

/* The same into the perf ring of the current processor: bpf_perf_event_output(ctx, map, BPF_F_CURRENT_CPU, fp - 8, 8). */
static int load_perf_writer(int map)
{
	struct bpf_insn code[] = {
		{.code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_10, .off = -8, .imm = 7},
		{.code = BPF_LD | BPF_IMM | BPF_DW, .dst_reg = BPF_REG_2, .src_reg = BPF_PSEUDO_MAP_FD, .imm = map},
		{.code = 0},
		{.code = BPF_ALU | BPF_MOV | BPF_K, .dst_reg = BPF_REG_3, .imm = -1},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_4, .src_reg = BPF_REG_10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = BPF_REG_4, .imm = -8},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_5, .imm = 8},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_perf_event_output},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .imm = 0},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return kernel_load(BPF_PROG_TYPE_SCHED_CLS, code, sizeof(code) / sizeof(code[0]), NULL, 0);
}

static int write_record(int prog)
{
	uint8_t frame[64] = {0};

	return kernel_run(prog, frame, sizeof(frame), NULL);
}

static void *write_later(void *prog)
{
	usleep(30000);
	return write_record(*(int *)prog) ? prog : NULL;
}

/* As a reader that takes all there is. */
static bool drain(int map)
{
	uint64_t *consumer = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
	const uint64_t *producer = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, map, PAGE);

	if (consumer == MAP_FAILED || producer == MAP_FAILED)
		return false;
	__atomic_store_n(consumer, __atomic_load_n(producer, __ATOMIC_ACQUIRE), __ATOMIC_RELEASE);
	munmap(consumer, PAGE);
	munmap((void *)(uintptr_t)producer, PAGE);
	return true;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int ring, writer;

static void open_ring(void)
{
	ring = kernel_map(BPF_MAP_TYPE_RINGBUF, 0, 0, RING);
	writer = ring >= 0 ? load_ringbuf_writer(ring) : -1;
}

static void close_ring(void)
{
	close(writer);
	close(ring);
}

TEST(poll_waits_until_time_is_over_or_a_record_comes)
{
	struct pollfd p[2] = {{.fd = -1, .events = POLLIN, .revents = 77}, {.events = POLLIN}};
	uint64_t start = now_ms();
	pthread_t t;
	void *failed;

	open_ring();
	REQUIRE(ring >= 0 && writer >= 0);
	p[1].fd = ring;
	CHECK_EQ(poll(p, 2, 0), 0);
	CHECK_EQ(poll(p, 2, 50), 0);
	CHECK(now_ms() - start >= 50);
	CHECK_EQ(p[0].revents, 0);
	REQUIRE(!pthread_create(&t, NULL, write_later, &writer));
	CHECK_EQ(poll(p, 2, -1), 1);
	CHECK_EQ(p[1].revents, POLLIN);
	pthread_join(t, &failed);
	CHECK(!failed);
	p[1].events = POLLIN | POLLRDNORM | POLLOUT;
	CHECK_EQ(poll(p, 2, -1), 1); /* it is not drained yet */
	CHECK_EQ(p[1].revents, POLLIN | POLLRDNORM);
	CHECK(drain(ring));
	CHECK_EQ(poll(p, 2, 20), 0);
	CHECK_EQ(p[1].revents, 0);
	close_ring();
}

TEST(a_ring_and_a_pipe_are_waited_for_at_once)
{
	struct pollfd p[3] = {{.events = POLLIN}, {.events = POLLIN}, {.fd = 1000, .events = POLLIN}};
	struct timespec limit = {.tv_sec = 100};
	int pipes[2];

	open_ring();
	REQUIRE(ring >= 0 && writer >= 0 && !pipe(pipes));
	p[0].fd = pipes[0];
	p[1].fd = ring;
	CHECK_EQ(poll(p, 2, 0), 0);
	CHECK_EQ(write(pipes[1], "x", 1), 1);
	CHECK_EQ(ppoll(p, 2, &limit, NULL), 1);
	CHECK_EQ(p[0].revents, POLLIN);
	CHECK_EQ(p[1].revents, 0);
	CHECK_EQ(write_record(writer), 0);
	CHECK_EQ(poll(p, 3, -1), 3);
	CHECK_EQ(p[1].revents, POLLIN);
	CHECK_EQ(p[2].revents, POLLNVAL);
	close(pipes[0]);
	close(pipes[1]);
	close_ring();
}

TEST(select_tells_sets_and_the_time_that_is_left)
{
	struct timeval limit = {.tv_usec = 20000};
	fd_set in, out;
	int pipes[2];

	open_ring();
	REQUIRE(ring >= 0 && writer >= 0 && !pipe(pipes));
	FD_ZERO(&in);
	FD_ZERO(&out);
	FD_SET(ring, &in);
	CHECK_EQ(select(ring + 1, &in, NULL, NULL, &limit), 0);
	CHECK(!FD_ISSET(ring, &in));
	CHECK_EQ(limit.tv_sec, 0);
	CHECK_EQ(limit.tv_usec, 0);
	FD_SET(ring, &in);
	FD_SET(pipes[1], &out);
	limit.tv_sec = 100;
	CHECK_EQ(select(pipes[1] + 1, &in, &out, NULL, &limit), 1);
	CHECK(!FD_ISSET(ring, &in) && FD_ISSET(pipes[1], &out));
	CHECK(limit.tv_sec >= 90 && limit.tv_sec <= 100);
	CHECK_EQ(write_record(writer), 0);
	FD_SET(ring, &in);
	FD_ZERO(&out);
	FD_SET(pipes[1], &out);
	CHECK_EQ(pselect(pipes[1] + 1, &in, &out, NULL, NULL, NULL), 2);
	CHECK(FD_ISSET(ring, &in) && FD_ISSET(pipes[1], &out));
	FD_SET(1000, &in);
	errno = 0;
	CHECK_EQ(select(1001, &in, NULL, NULL, NULL), -1);
	CHECK_EQ(errno, EBADF);
	close(pipes[0]);
	close(pipes[1]);
	close_ring();
}

static volatile sig_atomic_t alarms;

static void count_alarm(int sig)
{
	(void)sig;
	alarms++;
}

TEST(a_signal_ends_the_wait)
{
	struct sigaction act = {.sa_handler = count_alarm, .sa_flags = SA_RESTART};
	struct itimerval timer = {.it_value.tv_usec = 30000};
	struct pollfd p = {.events = POLLIN};

	open_ring();
	REQUIRE(ring >= 0 && writer >= 0);
	sigaction(SIGALRM, &act, NULL);
	p.fd = ring;
	alarms = 0;
	setitimer(ITIMER_REAL, &timer, NULL);
	errno = 0;
	CHECK_EQ(poll(&p, 1, -1), -1);
	CHECK_EQ(errno, EINTR);
	CHECK_EQ(alarms, 1);
	close_ring();
}

TEST(a_perf_ring_hangs_up_until_it_is_mapped)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(attr), .config = PERF_COUNT_SW_BPF_OUTPUT,
				       .sample_type = PERF_SAMPLE_RAW, .sample_period = 1, .wakeup_events = 1};
	int cpus = (int)sysconf(_SC_NPROCESSORS_CONF), map, prog, ready = 0;
	struct pollfd *p = calloc((size_t)cpus, sizeof(*p));
	pthread_t t;
	union bpf_attr a;

	REQUIRE(p);
	map = kernel_map(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, (uint32_t)cpus);
	prog = load_perf_writer(map);
	REQUIRE(map >= 0 && prog >= 0);
	for (int i = 0; i < cpus; i++) {
		p[i] = (struct pollfd){.fd = (int)syscall(SYS_perf_event_open, &attr, -1, i, -1, PERF_FLAG_FD_CLOEXEC), .events = POLLIN};
		REQUIRE(p[i].fd >= 0);
		memset(&a, 0, sizeof(a));
		a.map_fd = (uint32_t)map;
		a.key = ADDRESS(&i);
		a.value = ADDRESS(&p[i].fd);
		CHECK_EQ(kernel_bpf(BPF_MAP_UPDATE_ELEM, &a, sizeof(a)), 0);
	}
	CHECK_EQ(poll(p, (nfds_t)cpus, 0), cpus);
	CHECK_EQ(p[0].revents, POLLHUP);
	for (int i = 0; i < cpus; i++)
		REQUIRE(mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, p[i].fd, 0) != MAP_FAILED && !ioctl(p[i].fd, PERF_EVENT_IOC_ENABLE, 0));
	CHECK_EQ(poll(p, (nfds_t)cpus, 20), 0);
	REQUIRE(!pthread_create(&t, NULL, write_later, &prog));
	CHECK_EQ(poll(p, (nfds_t)cpus, -1), 1);
	pthread_join(t, NULL);
	for (int i = 0; i < cpus; i++)
		ready += p[i].revents == POLLIN;
	CHECK_EQ(ready, 1);
	for (int i = 0; i < cpus; i++)
		close(p[i].fd);
	close(prog);
	close(map);
	free(p);
}

int main(void)
{
	RUN(poll_waits_until_time_is_over_or_a_record_comes);
	RUN(a_ring_and_a_pipe_are_waited_for_at_once);
	RUN(select_tells_sets_and_the_time_that_is_left);
	RUN(a_signal_ends_the_wait);
	RUN(a_perf_ring_hangs_up_until_it_is_mapped);
	return test_end();
}
