/* SPDX-License-Identifier: BSD-2-Clause */
/* Clients at the ends of things: that end as their last link does, when their tasks are just being let go; whose calls signals would end. To be run in a skep shell. */
#include "../kernel.h"
#include "../test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS = 150, THREADS = 3, MOST_MS = 20000 };

static int attach(void)
{
	static const char name[] = "sys_enter";
	struct bpf_insn code[] = {{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0}, {.code = BPF_JMP | BPF_EXIT}};
	int prog = kernel_load(BPF_PROG_TYPE_RAW_TRACEPOINT, code, 2, NULL, 0);
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.raw_tracepoint.name = (uint64_t)(uintptr_t)name;
	a.raw_tracepoint.prog_fd = (uint32_t)prog;
	return prog < 0 ? prog : kernel_bpf(BPF_RAW_TRACEPOINT_OPEN, &a, sizeof(a));
}

static void *sleeps(void *arg)
{
	pause();
	return arg;
}

static void client(void)
{
	pthread_t t;
	int link;

	for (int i = 0; i < THREADS; i++)
		if (pthread_create(&t, NULL, sleeps, NULL))
			_exit(2);
	link = attach();
	if (link < 0)
		_exit(3);
	close(link);
	_exit(0);
}

TEST(a_client_ends_whatever_is_done_to_its_threads)
{
	int status, ended = 0;

	for (int i = 0; i < CLIENTS; i++) {
		pid_t pid = fork(), done = 0;

		if (!pid)
			client();
		for (int ms = 0; ms < MOST_MS && pid > 0 && !(done = waitpid(pid, &status, WNOHANG)); ms++)
			usleep(1000);
		if (done != pid || !WIFEXITED(status) || WEXITSTATUS(status)) {
			fprintf(stderr, "# client %d: %s, status %#x\n", i, done == pid ? "ended" : "did not end", done == pid ? (unsigned)status : 0);
			break;
		}
		ended++;
	}
	CHECK_EQ(ended, CLIENTS);
}

static _Atomic int alarms;

static void alarmed(int sig)
{
	alarms += sig == SIGALRM;
}

/* No more than on Linux, where these calls cannot be interrupted; handlers without SA_RESTART would show it. */
TEST(a_signal_ends_no_call_of_a_client_that_has_attached)
{
	enum { ALARMS = 2000, PERIOD_US = 300 };
	struct itimerval often = {{0, PERIOD_US}, {0, PERIOD_US}}, never = {{0, 0}, {0, 0}};
	struct sigaction act = {.sa_handler = alarmed};
	int link = attach(), ended = 0;
	union bpf_attr a;

	REQUIRE(link >= 0 && !sigaction(SIGALRM, &act, NULL) && !setitimer(ITIMER_REAL, &often, NULL));
	while (alarms < ALARMS) {
		memset(&a, 0, sizeof(a));
		ended += kernel_bpf(BPF_PROG_GET_NEXT_ID, &a, sizeof(a)) == -EINTR;
		ended += access("/sys/fs/bpf", F_OK) && errno == EINTR;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	CHECK_EQ(ended, 0);
	close(link);
}

int main(void)
{
	RUN(a_signal_ends_no_call_of_a_client_that_has_attached);
	RUN(a_client_ends_whatever_is_done_to_its_threads);
	return test_end();
}
