/* SPDX-License-Identifier: BSD-2-Clause */
/* Children of a test, whose functions have its probes: what they tell, and programs that are put there and taken away. */
#include "probing.h"

#include "../test.h"

#include <signal.h>
#include <sys/wait.h>

int work(int a, int b);

__attribute__((noinline)) int work(int a, int b)
{
	__asm__ volatile("" ::: "memory");
	return a * b + 3;
}

struct told { /* by a child */
	uint64_t calls, sum, more, jumped; /* jumped: a jump lay where the probe is, in the end */
};
enum { WARM = 100, MANY = 20000, PATIENCE = 5000 /* milliseconds */ };

static inline uint64_t is_jump(const void *at)
{
	return *(const volatile unsigned char *)at == 0xe9;
}
#define TEXT(function) ((const void *)(uintptr_t)(function))

static int told_by; /* a pipe */
static pid_t target_pid;

static inline void begin(void (*target)(struct told *t))
{
	int pipes[2];

	fflush(stdout);
	if (pipe(pipes))
		exit(1);
	target_pid = fork();
	if (!target_pid) {
		struct told t = {0};

		close(pipes[0]);
		target(&t);
		_exit(write(pipes[1], &t, sizeof(t)) != sizeof(t));
	}
	close(pipes[1]);
	told_by = pipes[0];
}

static inline struct told finish(void)
{
	struct told t = {0};
	int status = -1;

	CHECK(read(told_by, &t, sizeof(t)) == sizeof(t));
	close(told_by);
	wait(&status);
	CHECK_EQ(status, 0);
	return t;
}

static inline struct told run(void (*target)(struct told *t))
{
	begin(target);
	return finish();
}

struct client {
	int map, prog[2], fd[2];
};

static inline struct client attach(const void *at, const struct add *entry, unsigned n_entry, const struct add *ret, unsigned n_ret)
{
	struct client c = {.map = probing_array(), .prog = {-1, -1}, .fd = {-1, -1}};
	char path[4096];
	unsigned long offset = probing_offset(at, path);

	for (int i = 0; i < 2; i++) {
		if (!(i ? n_ret : n_entry))
			continue;
		c.prog[i] = probing_load(c.map, i ? ret : entry, i ? n_ret : n_entry);
		c.fd[i] = c.prog[i] < 0 ? -1 : probing_attach(c.prog[i], path, offset, i);
		CHECK(c.fd[i] >= 0);
	}
	return c;
}

static inline void detach(struct client *c)
{
	for (int i = 0; i < 2; i++)
		if (c->fd[i] >= 0) {
			close(c->fd[i]);
			close(c->prog[i]);
		}
	close(c->map);
}

static inline void work_many(struct told *t)
{
	for (int i = 0; i < WARM + MANY; i++) {
		t->sum += (uint64_t)work(i, 2);
		t->more += (uint64_t)i;
		t->calls++;
	}
	t->jumped = is_jump(TEXT(work));
}
