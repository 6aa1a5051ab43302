/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Programs that run inside of the process that meets a probe (under `skep shell`) and send records to rings, read strings, and ask for names and stacks: every
 * record is there, in order and whole, whatever the process passes, is called, or does to the memory that it shares with the engine.
 */
#include "probing.h"

#include "../test.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* ---- what is probed ---- */

int say(uint64_t n, const char *text);
int twice(uint64_t n, const char *text);

__attribute__((noinline)) int say(uint64_t n, const char *text)
{
	__asm__ volatile("" ::"r"(text) : "memory");
	return (int)n + 1;
}
/* Whose return address shows in a chain that begins with `say`: its caller's caller's. */
__attribute__((noinline)) static int between(uint64_t n, const char *text)
{
	int r = say(n, text);

	__asm__ volatile("" ::: "memory");
	return r;
}
__attribute__((noinline)) int twice(uint64_t n, const char *text)
{
	int a = between(n, text), b = between(n + 1, text);

	__asm__ volatile("" ::: "memory");
	return a + b;
}

struct said {
	uint64_t n, thread;
	int64_t length;
	int64_t stack;
	char comm[16], text[32];
};
_Static_assert(sizeof(struct said) == 80, "as the program has it");

/* ---- the program ---- */

enum way { BY_OUTPUT, BY_RECORD, BY_SAMPLE };
enum { FIELD_SI = 104, SAID = -80, TEXT_AT = -32, COMM_AT = -48, RING = 4 << 20, PERF_PAGES = 1024, MOST_CPUS = 64 };

struct code {
	struct bpf_insn at[128];
	unsigned n;
};
static void put(struct code *c, struct bpf_insn insn)
{
	c->at[c->n++] = insn;
}
static void call(struct code *c, int helper)
{
	put(c, INSN(BPF_JMP | BPF_CALL, 0, 0, 0, helper));
}
static void from_stack(struct code *c, unsigned reg, int off)
{
	put(c, INSN(BPF_ALU64 | BPF_MOV | BPF_X, reg, 10, 0, 0));
	put(c, INSN(BPF_ALU64 | BPF_ADD | BPF_K, reg, 0, 0, off));
}
static void constant(struct code *c, unsigned reg, int value)
{
	put(c, INSN(BPF_ALU64 | BPF_MOV | BPF_K, reg, 0, 0, value));
}
static void move(struct code *c, unsigned to, unsigned from)
{
	put(c, INSN(BPF_ALU64 | BPF_MOV | BPF_X, to, from, 0, 0));
}
static void map(struct code *c, unsigned reg, int fd)
{
	put(c, INSN(BPF_LD | BPF_IMM | BPF_DW, reg, BPF_PSEUDO_MAP_FD, 0, fd));
	put(c, INSN(0, 0, 0, 0, 0));
}
static void keep(struct code *c, unsigned reg, int off)
{
	put(c, INSN(BPF_STX | BPF_MEM | BPF_DW, 10, reg, (short)off, 0));
}

static void send(struct code *c, enum way way, int ring)
{
	if (way == BY_OUTPUT) {
		map(c, 1, ring);
		from_stack(c, 2, SAID);
		constant(c, 3, 80);
		constant(c, 4, 0);
		call(c, BPF_FUNC_ringbuf_output);
	} else if (way == BY_SAMPLE) {
		move(c, 1, 6);
		map(c, 2, ring);
		put(c, INSN(BPF_ALU | BPF_MOV | BPF_K, 3, 0, 0, -1)); /* BPF_F_CURRENT_CPU */
		from_stack(c, 4, SAID);
		constant(c, 5, 80);
		call(c, BPF_FUNC_perf_event_output);
	} else { /* one that is given up, then the one */
		map(c, 1, ring);
		constant(c, 2, 24);
		constant(c, 3, 0);
		call(c, BPF_FUNC_ringbuf_reserve);
		put(c, INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 3, 0));
		move(c, 1, 0);
		constant(c, 2, 0);
		call(c, BPF_FUNC_ringbuf_discard);
		map(c, 1, ring);
		constant(c, 2, 80);
		constant(c, 3, 0);
		call(c, BPF_FUNC_ringbuf_reserve);
		put(c, INSN(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 23, 0));
		for (short i = 0; i < 80; i = (short)(i + 8)) {
			put(c, INSN(BPF_LDX | BPF_MEM | BPF_DW, 1, 10, (short)(SAID + i), 0));
			put(c, INSN(BPF_STX | BPF_MEM | BPF_DW, 0, 1, i, 0));
		}
		move(c, 1, 0);
		constant(c, 2, 0);
		call(c, BPF_FUNC_ringbuf_submit);
	}
}

static int load(enum way way, int ring, int stacks)
{
	union bpf_attr a = {.prog_type = BPF_PROG_TYPE_KPROBE};
	struct code c = {.n = 0};

	move(&c, 6, 1);
	put(&c, INSN(BPF_LDX | BPF_MEM | BPF_DW, 1, 6, FIELD_DI, 0));
	keep(&c, 1, SAID);
	call(&c, BPF_FUNC_get_current_pid_tgid);
	keep(&c, 0, SAID + 8);
	from_stack(&c, 1, COMM_AT);
	constant(&c, 2, 16);
	call(&c, BPF_FUNC_get_current_comm);
	from_stack(&c, 1, TEXT_AT);
	constant(&c, 2, 32);
	put(&c, INSN(BPF_LDX | BPF_MEM | BPF_DW, 3, 6, FIELD_SI, 0));
	call(&c, BPF_FUNC_probe_read_user_str);
	keep(&c, 0, SAID + 16);
	move(&c, 1, 6);
	map(&c, 2, stacks);
	constant(&c, 3, BPF_F_USER_STACK);
	call(&c, BPF_FUNC_get_stackid);
	keep(&c, 0, SAID + 24);
	send(&c, way, ring);
	constant(&c, 0, 0);
	put(&c, INSN(BPF_JMP | BPF_EXIT, 0, 0, 0, 0));
	a.insns = (uintptr_t)c.at;
	a.insn_cnt = c.n;
	a.license = (uintptr_t) "Dual BSD/GPL";
	return probing_bpf(BPF_PROG_LOAD, &a);
}

/* ---- the reader ---- */

struct reader {
	enum way way;
	int map, stacks, prog, fd, perf[MOST_CPUS];
	unsigned cpus;
	size_t size;
	unsigned char *consumer, *pages[MOST_CPUS];
};

static void open_samples(struct reader *r)
{
	struct perf_event_attr a = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(a), .config = PERF_COUNT_SW_BPF_OUTPUT, .sample_type = PERF_SAMPLE_RAW, .sample_period = 1, .wakeup_events = 1};

	r->cpus = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	for (unsigned i = 0; i < r->cpus; i++) {
		union bpf_attr put_in = {.map_fd = (unsigned)r->map, .key = (uintptr_t)&i, .value = (uintptr_t)&r->perf[i]};

		r->perf[i] = (int)syscall(SYS_perf_event_open, &a, -1, (int)i, -1, 8);
		REQUIRE(r->perf[i] >= 0);
		r->pages[i] = mmap(NULL, (PERF_PAGES + 1) * 4096ul, PROT_READ | PROT_WRITE, MAP_SHARED, r->perf[i], 0);
		REQUIRE(r->pages[i] != MAP_FAILED);
		REQUIRE(!probing_bpf(BPF_MAP_UPDATE_ELEM, &put_in) && !ioctl(r->perf[i], PERF_EVENT_IOC_ENABLE, 0));
	}
}

static struct reader attach_to_say(enum way way, size_t size)
{
	struct reader r = {.way = way, .size = size, .stacks = probing_map(BPF_MAP_TYPE_STACK_TRACE, 4, 127 * 8, 1024)};
	char path[4096];
	unsigned long offset = probing_offset((const void *)(uintptr_t)say, path);

	r.map = way == BY_SAMPLE ? probing_map(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, MOST_CPUS) : probing_map(BPF_MAP_TYPE_RINGBUF, 0, 0, (unsigned)size);
	CHECK(r.map >= 0 && r.stacks >= 0);
	if (way == BY_SAMPLE) {
		open_samples(&r);
	} else {
		r.consumer = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, r.map, 0);
		r.pages[0] = mmap(NULL, 4096 + 2 * size, PROT_READ, MAP_SHARED, r.map, 4096);
		CHECK(r.consumer != MAP_FAILED && r.pages[0] != MAP_FAILED);
	}
	r.prog = load(way, r.map, r.stacks);
	CHECK(r.prog >= 0);
	r.fd = probing_attach(r.prog, path, offset, 0);
	CHECK(r.fd >= 0);
	return r;
}

static void unmap(const struct reader *r)
{
	for (unsigned i = 0; i < r->cpus; i++)
		munmap(r->pages[i], (PERF_PAGES + 1) * 4096ul);
	if (r->consumer) {
		munmap(r->consumer, 4096);
		munmap(r->pages[0], 4096 + 2 * r->size);
	}
}

static void detach(struct reader *r)
{
	close(r->fd);
	close(r->prog);
	unmap(r);
	for (unsigned i = 0; i < r->cpus; i++)
		close(r->perf[i]);
	close(r->map);
	close(r->stacks);
}

typedef void visit(void *ud, const struct said *s);

static void read_ring(struct reader *r, visit *fn, void *ud)
{
	uint64_t head = __atomic_load_n((uint64_t *)(void *)r->pages[0], __ATOMIC_ACQUIRE), at = *(uint64_t *)(void *)r->consumer;

	while (at < head) {
		const unsigned char *record = r->pages[0] + 4096 + at % r->size;
		uint32_t length = *(const uint32_t *)(const void *)record, bytes = length & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);

		if (!(length & (BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT))) {
			CHECK_EQ(bytes, 80);
			fn(ud, (const struct said *)(const void *)(record + 8));
		}
		at += (bytes + 8 + 7) / 8 * 8;
	}
	__atomic_store_n((uint64_t *)(void *)r->consumer, at, __ATOMIC_RELEASE);
}

static void read_samples(struct reader *r, visit *fn, void *ud)
{
	for (unsigned i = 0; i < r->cpus; i++) {
		struct perf_event_mmap_page *page = (struct perf_event_mmap_page *)(void *)r->pages[i];
		uint64_t head = __atomic_load_n(&page->data_head, __ATOMIC_ACQUIRE), at = page->data_tail;

		while (at < head) {
			unsigned char record[256];
			struct perf_event_header h;
			struct said said;

			for (unsigned b = 0; b < sizeof(record); b++)
				record[b] = r->pages[i][4096 + (at + b) % (PERF_PAGES * 4096ul)];
			memcpy(&h, record, sizeof(h));
			CHECK_EQ(h.type, PERF_RECORD_SAMPLE);
			memcpy(&said, record + sizeof(h) + 4, sizeof(said));
			fn(ud, &said);
			at += h.size;
			if (h.type != PERF_RECORD_SAMPLE || !h.size)
				break;
		}
		__atomic_store_n(&page->data_tail, head, __ATOMIC_RELEASE);
	}
}

static void read_all(struct reader *r, visit *fn, void *ud)
{
	if (r->way == BY_SAMPLE)
		read_samples(r, fn, ud);
	else
		read_ring(r, fn, ud);
}

/* ---- targets ---- */

enum { WARM = 100, MANY = 20000, RENAMED = 10000 };

/* In a child; true: a jump lay there in the end. */
static bool run(const struct reader *r, void (*target)(void))
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		unmap(r); /* it is not the client */
		target();
		_exit(*(const volatile unsigned char *)(const void *)(uintptr_t)say == 0xe9 ? 17 : 18);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) >= 17);
	return WIFEXITED(status) && WEXITSTATUS(status) == 17;
}

static const char *text_of(uint64_t n, char text[64])
{
	snprintf(text, 64, "%.*s %llu", (int)(n % 40), "text whose length depends on its number", (unsigned long long)n);
	return text;
}

static void say_many(void)
{
	char text[64];

	for (volatile uint64_t n = 0; n < MANY; n += 2) {
		if (n % RENAMED == 0)
			prctl(PR_SET_NAME, n ? "second name" : "first name", 0, 0, 0);
		twice(n, text_of(n, text));
	}
}

struct heard {
	uint64_t n, sum, wrong, of_threads;
	int64_t stack[2];
	bool in_order, any_text;
};

static void hear(void *ud, const struct said *s)
{
	struct heard *h = ud;
	char text[64];
	bool good;

	text_of(s->n & ~1ull, text);
	text[31] = 0;
	good = s->stack >= 0 && (h->any_text || (!strcmp(s->text, text) && s->length == (int64_t)strlen(text) + 1 && !strcmp(s->comm, s->n < RENAMED ? "first name" : "second name")));
	good = good && (!h->in_order || s->n == h->n);
	if (!h->any_text && (!h->stack[s->n % 2] || s->n < 2))
		h->stack[s->n % 2] = s->stack;
	h->wrong += !good || (!h->any_text && h->stack[s->n % 2] != s->stack);
	h->n++;
	h->sum += s->n;
}

/* Does the chain with this id say that `twice` has called whoever called `say`? */
static bool leads_to_twice(const struct reader *r, int64_t id)
{
	uint64_t frames[127] = {0};
	uint32_t key = (uint32_t)id;
	union bpf_attr a = {.map_fd = (unsigned)r->stacks, .key = (uintptr_t)&key, .value = (uintptr_t)frames};

	return !probing_bpf(BPF_MAP_LOOKUP_ELEM, &a) && frames[0] == (uintptr_t)say && frames[1] > (uintptr_t)twice && frames[1] < (uintptr_t)twice + 256 && frames[2];
}

TEST(records_strings_names_and_stacks)
{
	for (enum way way = BY_OUTPUT; way <= BY_SAMPLE; way++) {
		struct reader r = attach_to_say(way, RING);
		/* one CPU's ring has its own order; a lone thread has one CPU nearly always */
		struct heard h = {.in_order = way != BY_SAMPLE};

		CHECK(run(&r, say_many));
		read_all(&r, hear, &h);
		CHECK_EQ(h.n, MANY);
		CHECK_EQ(h.sum, (uint64_t)MANY * (MANY - 1) / 2);
		CHECK_EQ(h.wrong, 0);
		CHECK(h.stack[0] != h.stack[1]);
		CHECK(leads_to_twice(&r, h.stack[0]) && leads_to_twice(&r, h.stack[1]));
		detach(&r);
	}
}

static void say_what_is_not_there(void)
{
	char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const char *const bad[] = {NULL, (const char *)1, page + 4096, (const char *)(1ull << 47), (const char *)(0x8000ull << 48), (const char *)UINTPTR_MAX, page + 4094};
	char text[64];

	strcpy(page + 4090, "edge");
	page[4094] = 'x';
	page[4095] = 'x';
	munmap(page + 4096, 4096);
	for (uint64_t n = 0; n < MANY; n++)
		say(n, n % 100 == 99 ? bad[n / 100 % 7] : n % 100 == 50 ? page + 4090 : text_of(n, text));
}

static void hear_bad(void *ud, const struct said *s)
{
	struct heard *h = ud;
	char text[64];

	if (s->n % 100 == 99)
		h->wrong += s->length != -EFAULT || s->text[0] || s->text[31];
	else if (s->n % 100 == 50)
		h->wrong += s->length != -EFAULT; /* its end is not there */
	else
		h->wrong += strncmp(s->text, text_of(s->n, text), 31) != 0;
	h->n++;
}

TEST(strings_that_are_not_there)
{
	struct reader r = attach_to_say(BY_OUTPUT, RING);
	struct heard h = {0};

	CHECK(run(&r, say_what_is_not_there));
	read_all(&r, hear_bad, &h);
	CHECK_EQ(h.n, MANY);
	CHECK_EQ(h.wrong, 0);
	detach(&r);
}

static void *thread(void *arg)
{
	char text[64];

	for (uint64_t n = 0; n < MANY / 4; n++)
		say(n, text_of(n, text));
	return arg;
}

static void say_in_threads(void)
{
	pthread_t threads[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, thread, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

TEST(threads_that_send)
{
	for (enum way way = BY_OUTPUT; way <= BY_SAMPLE; way++) {
		struct reader r = attach_to_say(way, RING);
		struct heard h = {.any_text = true};

		CHECK(run(&r, say_in_threads));
		read_all(&r, hear, &h);
		CHECK_EQ(h.n, MANY);
		CHECK_EQ(h.sum, 4ull * (MANY / 4) * (MANY / 4 - 1) / 2);
		CHECK_EQ(h.wrong, 0);
		detach(&r);
	}
}

/* Nobody reads: what fits is there and whole, and the rest is lost. */
TEST(a_ring_that_is_full)
{
	struct reader r = attach_to_say(BY_RECORD, 4096);
	struct heard h = {.in_order = true};

	CHECK(run(&r, say_many));
	read_all(&r, hear, &h);
	CHECK(h.n >= 30 && h.n <= 4096 / 88);
	CHECK_EQ(h.wrong, 0);
	detach(&r);
}

/* All that it shares for writing, before each of many calls: words that look like positions, records and maps, and nonsense. */
static void spoil(void)
{
	unsigned long from[64], to[64], seed = 1;
	char line[4352], flags[8], text[64];
	unsigned n = 0;
	FILE *f;

	say_many();
	f = fopen("/proc/self/maps", "r");
	while (f && n < 64 && fgets(line, sizeof(line), f))
		if (strstr(line, "memfd:skep") && sscanf(line, "%lx-%lx %7s", &from[n], &to[n], flags) == 3 && flags[1] == 'w')
			n++;
	if (f)
		fclose(f);
	for (unsigned i = 0; i < 300; i++) {
		unsigned long words = n ? (to[i % n] - from[i % n]) / 8 : 0;

		for (unsigned k = 0; k < 3000 && words; k++) {
			static const unsigned long likely[] = {0, 1, 32, 64, 65536, 1ul << 32 | 32, 130ul << 32 | 32, 25ul << 32 | 4096, ~0ul, 1ul << 63, 0x7fffffff};

			seed = seed * 6364136223846793005ul + 1442695040888963407ul;
			((volatile unsigned long *)from[i % n])[k < 20 ? k : (seed >> 33) % words] = seed % 3 ? likely[(seed >> 20) % 11] : seed;
		}
		say(i, text_of(i, text));
	}
}

static void nothing(void *ud, const struct said *s)
{
	(void)s;
	++*(uint64_t *)ud;
}

TEST(a_target_that_spoils_what_it_shares)
{
	for (enum way way = BY_OUTPUT; way <= BY_SAMPLE; way++) {
		struct reader r = attach_to_say(way, RING);
		struct heard h = {.in_order = way != BY_SAMPLE};
		uint64_t n = 0;

		run(&r, spoil);
		if (way == BY_SAMPLE) /* what else there is may have any size */
			read_samples(&r, nothing, &n);
		detach(&r);
		r = attach_to_say(way, RING);
		CHECK(run(&r, say_many));
		read_all(&r, hear, &h);
		CHECK_EQ(h.n, MANY);
		CHECK_EQ(h.wrong, 0);
		detach(&r);
	}
}

int main(void)
{
	RUN(records_strings_names_and_stacks);
	RUN(strings_that_are_not_there);
	RUN(threads_that_send);
	RUN(a_ring_that_is_full);
	RUN(a_target_that_spoils_what_it_shares);
	return test_end();
}
