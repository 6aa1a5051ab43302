/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pins: every kind keeps its contents through map_pin_write() and map_adopt(); engines that share run slots share a pin;
 * damaged and scribbled files harm nobody.
 */
#include "fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROOM = 1 << 16 };

static char dir[] = "/tmp/skep-pin-XXXXXX";
static u64 rng = 99;

static u32 below(u32 n)
{
	rng = rng * 6364136223846793005ull + 1442695040888963407ull;
	return (u32)(rng >> 33) % n;
}

static int new_file(void)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "%s/pin", dir);
	fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	unlink(path);
	return fd;
}

/* The same file under a description of its own, as another engine opens it. */
static int reopen(int fd)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, O_RDWR | O_CLOEXEC);
}

/* A few of everything that a kind can do, with random keys. */
static void mix(struct map *m, const struct hold *h, u32 steps)
{
	static _Thread_local u8 key[64], value[ROOM];
	const struct map_ops *o = m->ops;
	const void *k = m->spec.key_size ? key : NULL;

	for (u32 i = 0; i < steps; i++) {
		u32 x = below(60);
		void *record;

		memset(key, 0, sizeof(key));
		memcpy(key, &x, 4);
		if (m->spec.kind == MAP_KIND_LPM_TRIE) {
			key[0] = (u8)below(33);
			key[4] = (u8)below(256);
			key[5] = (u8)below(4);
		}
		x = o->traits & KIND_FD_VALUES ? below(2) : x;
		memcpy(value, &x, 4);
		switch (below(8)) {
		case 0:
		case 1:
		case 2:
			map_set(m, h, k, value, 0);
			break;
		case 3:
			map_delete(m, h, k);
			break;
		case 4:
			map_take(m, h, k, value, 0);
			break;
		case 5:
			map_next_key(m, h, k, value);
			break;
		case 6:
			if (o->lookup && (record = o->lookup(m, h, key)) != NULL && !(o->traits & KIND_OUTER))
				*(volatile u8 *)record = (u8)x;
			if (o->output)
				o->output(m, h, value, x * 3, 0);
			break;
		default:
			map_get(m, h, k, value, 0);
			if (o->reserve && (record = o->reserve(m, h, x, 0)) != NULL) {
				memset(record, 7, x);
				o->commit(m, h, record, 0, x & 1);
			}
		}
		if (o->query && i % 16 == 0) {
			atomic_store((_Atomic u64 *)m->client.base, o->query(m, BPF_RB_PROD_POS));
			o->poll_sync(m);
		}
	}
}

struct engine {
	struct fixture f;
	struct map inner;
	u32 dummy;
};

static void engine_open(struct engine *e, u32 kind)
{
	fixture_open(&e->f);
	fixture_create(&e->f, &e->inner, MAP_KIND_ARRAY, 4, 8, 2, 0);
	e->f.object[0] = e->f.object[1] = kind == MAP_KIND_ARRAY_OF_MAPS || kind == MAP_KIND_HASH_OF_MAPS ? (void *)&e->inner : NULL;
}

static void engine_close(struct engine *e)
{
	map_close(&e->inner);
	fixture_close(&e->f);
}

/* What a client can read of a map, as bytes; records for rings, values in their order for queues. */
static u32 dump(struct map *m, const struct hold *h, u8 *out)
{
	u8 *at = out, key[64], next[64];
	u32 bytes = (u32)map_value_bytes(m);
	bool first = true;

	if (m->spec.kind == MAP_KIND_BLOOM_FILTER || (m->spec.key_size == 0 && m->client.base)) {
		bool client = m->client.base != NULL;
		u64 size = client ? m->client.size : m->meta.size - sizeof(struct map_header);

		memcpy(out, client ? m->client.base : m->meta.base + sizeof(struct map_header), size);
		return (u32)size;
	}
	if (m->spec.key_size == 0) {
		while (m->ops->pop(m, h, at) == 0)
			at += bytes;
		for (u8 *v = out; v < at; v += bytes) /* and back, in the order that gives the same queue */
			m->ops->push(m, h, m->spec.kind == MAP_KIND_QUEUE ? v : at - bytes - (v - out), 0);
		return (u32)(at - out);
	}
	while (map_next_key(m, h, first ? NULL : key, next) == 0) {
		memcpy(key, next, sizeof(key));
		first = false;
		memcpy(at, key, m->spec.key_size);
		at += m->spec.key_size;
		if (map_get(m, h, key, at, 0) == 0)
			at += bytes;
	}
	return (u32)(at - out);
}

static void keeps_contents(u32 kind)
{
	static struct engine a, b;
	static u8 before[ROOM], after[ROOM];
	struct map_spec spec = fixture_spec(kind), kept;
	struct map m, n;
	struct hold h;
	int fd = new_file(), again;
	u32 size, btf_size;
	void *btf;

	engine_open(&a, kind);
	fixture_map(&a.f, &m);
	m.inner = &a.inner;
	CHECK_EQ(map_create(&m, &spec), 0);
	REQUIRE(m.meta.base != NULL);
	REQUIRE(hold_take(a.f.domain, &h) == 0);
	mix(&m, &h, 500);
	size = dump(&m, &h, before);
	CHECK_EQ(map_pin_write(&m, fd, "type information", 16), 0);
	CHECK_EQ(map_pin_write(&m, fd, NULL, 0), -EEXIST);
	CHECK_EQ(dump(&m, &h, after), size);
	CHECK(!memcmp(before, after, size));
	mix(&m, &h, 500); /* it lives in the file now */
	kept = m.spec; /* some kinds add flags */
	size = dump(&m, &h, before);

	engine_open(&b, kind);
	fixture_map(&b.f, &n);
	again = reopen(fd);
	REQUIRE(again >= 0); /* by its name in /proc */
	CHECK_EQ(map_adopt(&n, again, &btf, &btf_size), -EBUSY); /* the first engine does not share its run slots */
	hold_drop(&h);
	map_close(&m);
	close(fd);
	fixture_map(&b.f, &n);
	CHECK_EQ(map_adopt(&n, again, &btf, &btf_size), 0);
	CHECK_EQ(btf_size, 16);
	CHECK(btf && !memcmp(btf, "type information", 16));
	mem_free(&mem_libc, btf, btf_size);
	CHECK(!memcmp(&n.spec, &kept, sizeof(kept)));
	REQUIRE(hold_take(b.f.domain, &h) == 0);
	if (n.ops->traits & KIND_FD_VALUES) {
		u8 key[4] = {0};

		CHECK_EQ(dump(&n, &h, after) % 4, 0);
		CHECK(map_get(&n, &h, key, after, 0) != 0); /* the objects were the first engine's */
	} else {
		CHECK_EQ(dump(&n, &h, after), size);
		CHECK(!memcmp(before, after, size));
	}
	mix(&n, &h, 500);
	hold_drop(&h);
	map_close(&n);
	close(again);
	engine_close(&a);
	engine_close(&b);
}

TEST(every_kind_keeps_its_contents_in_a_file)
{
	const struct map_kind_info *kinds;
	u32 n;

	kinds = map_kinds(&n);
	for (u32 i = 0; i < n; i++) {
		bool before = test_case_failed;

		if (kinds[i].ops->traits & KIND_KERNEL_TYPE) /* lives with one kernel */
			continue;
		keeps_contents(kinds[i].id);
		if (test_case_failed && !before)
			printf("# that was %s\n", kinds[i].name);
	}
}

/* ---- stores while the pin is written ---- */

struct writer {
	struct map *m;
	_Atomic bool stop;
	_Atomic u64 last;
};

/* Plain stores by programs that need no slot. ThreadSanitizer takes mmap() for a write of all it maps. */
__attribute__((no_sanitize("thread"))) static void *store_on(void *ud)
{
	struct writer *w = ud;

	for (u64 i = 1; !atomic_load(&w->stop); i++) {
		for (u32 e = 0; e < 64; e++)
			__atomic_store_n((u64 *)(w->m->values + e * 8), i, __ATOMIC_RELAXED);
		atomic_store(&w->last, i);
	}
	return NULL;
}

TEST(no_store_is_lost_while_a_pin_is_written)
{
	static struct engine e;

	engine_open(&e, MAP_KIND_ARRAY);
	for (u32 round = 0; round < 40; round++) {
		struct writer w = {0};
		struct map m;
		pthread_t t;
		int fd = new_file();

		REQUIRE(fixture_create(&e.f, &m, MAP_KIND_ARRAY, 4, 8, 64, 0) == 0);
		w.m = &m;
		pthread_create(&t, NULL, store_on, &w);
		while (atomic_load(&w.last) < 10)
			;
		CHECK_EQ(map_pin_write(&m, fd, NULL, 0), 0);
		atomic_store(&w.stop, true);
		pthread_join(t, NULL);
		for (u32 i = 0; i < 64; i++)
			CHECK_EQ(((u64 *)(void *)m.values)[i], atomic_load(&w.last));
		map_close(&m);
		close(fd);
	}
	engine_close(&e);
}

/* ---- engines that share ---- */

TEST(engines_with_the_same_slots_share_a_pin)
{
	static struct engine a, b;
	char path[64];
	struct map m, n;
	struct hold h;
	u32 key = 7, btf_size;
	u64 value = 1234, got = 0;
	void *btf;
	int slots, fd = new_file(), again;

	snprintf(path, sizeof(path), "%s/slots", dir);
	slots = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	engine_open(&a, 0);
	engine_open(&b, 0);
	CHECK_EQ(domain_join(a.f.domain, slots), 0);
	CHECK_EQ(domain_join(b.f.domain, slots), 0);
	close(slots);
	unlink(path);
	REQUIRE(fixture_create(&a.f, &m, MAP_KIND_HASH, 4, 8, 50, 0) == 0);
	CHECK_EQ(map_pin_write(&m, fd, NULL, 0), 0);
	again = reopen(fd);
	REQUIRE(again >= 0); /* by its name in /proc */
	fixture_map(&b.f, &n);
	CHECK_EQ(map_adopt(&n, again, &btf, &btf_size), 0);
	REQUIRE(hold_take(a.f.domain, &h) == 0);
	CHECK_EQ(map_set(&m, &h, &key, &value, 0), 0);
	hold_drop(&h);
	REQUIRE(hold_take(b.f.domain, &h) == 0);
	CHECK_EQ(map_get(&n, &h, &key, &got, 0), 0);
	CHECK_EQ(got, 1234);
	CHECK_EQ(map_delete(&n, &h, &key), 0);
	hold_drop(&h);
	REQUIRE(hold_take(a.f.domain, &h) == 0);
	CHECK_EQ(map_get(&m, &h, &key, &got, 0), -ENOENT);
	hold_drop(&h);
	map_close(&m);
	map_close(&n);
	close(fd);
	close(again);
	engine_close(&a);
	engine_close(&b);
}

/* ---- a disk that is full ---- */

/* In a mount namespace of its own: a file system with room for half of the map. 0: refused as it must be; 1: not; 2: no such file system here. */
static int pin_on_small_disk(void)
{
	static struct engine e;
	char path[64];
	struct map m;
	struct hold h;
	u64 value = 5, got = 0;
	u32 key = 0, last = (1 << 17) - 1;
	int fd;

	if (unshare(CLONE_NEWNS) && unshare(CLONE_NEWUSER | CLONE_NEWNS))
		return 2;
	if (mount("none", dir, "tmpfs", 0, "size=512k"))
		return 2;
	snprintf(path, sizeof(path), "%s/pin", dir);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0) /* of a user whose number means nothing there */
		return 2;
	engine_open(&e, 0);
	if (fixture_create(&e.f, &m, MAP_KIND_ARRAY, 4, 8, 1 << 17, 0))
		return 1;
	CHECK_EQ(map_pin_write(&m, fd, NULL, 0), -ENOSPC);
	CHECK_EQ(hold_take(e.f.domain, &h), 0);
	CHECK_EQ(map_set(&m, &h, &last, &value, 0), 0); /* the map goes on where it was */
	CHECK_EQ(map_get(&m, &h, &last, &got, 0), 0);
	CHECK_EQ(got, 5);
	CHECK_EQ(map_get(&m, &h, &key, &got, 0), 0);
	CHECK_EQ(got, 0);
	hold_drop(&h);
	map_close(&m);
	close(fd);
	engine_close(&e);
	return test_case_failed;
}

TEST(pin_that_the_disk_has_no_room_for_is_refused)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0) {
		status = pin_on_small_disk();
		fflush(NULL);
		_exit(status);
	}
	REQUIRE(child > 0 && waitpid(child, &status, 0) == child);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 2)
		SKIP("no file system can be mounted");
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- damage ---- */

static int pinned(struct engine *e, u32 kind, int fd)
{
	struct map_spec spec = fixture_spec(kind);
	struct hold h;
	struct map m;
	int err;

	fixture_map(&e->f, &m);
	m.inner = &e->inner;
	err = map_create(&m, &spec);
	if (err || hold_take(e->f.domain, &h))
		return -1;
	mix(&m, &h, 300);
	hold_drop(&h);
	err = map_pin_write(&m, fd, "btf", 3);
	map_close(&m);
	return err;
}

TEST(damaged_files_are_refused_or_harmless)
{
	static struct engine e;
	const struct map_kind_info *kinds;
	u32 n, refused = 0, opened = 0;

	kinds = map_kinds(&n);
	for (u32 k = 0; k < n; k++) {
		if (kinds[k].ops->traits & KIND_KERNEL_TYPE)
			continue;
		engine_open(&e, kinds[k].id);
		for (u32 round = 0; round < 40; round++) {
			int fd = new_file();
			struct stat st;
			struct map m;
			struct hold h;
			u32 btf_size;
			void *btf;

			REQUIRE(pinned(&e, kinds[k].id, fd) == 0 && fstat(fd, &st) == 0);
			if (round % 10 == 9)
				REQUIRE(ftruncate(fd, (off_t)below((u32)st.st_size)) == 0);
			for (u32 i = 0; i < (round % 10 == 9 ? 0 : 1 + round * 20); i++) {
				u64 junk = rng;
				u32 size = 1 + below(8);
				off_t at = round % 3 == 0 ? st.st_size - 4096 + below(40) : below((u32)st.st_size - 8);

				REQUIRE(pwrite(fd, &junk, size, at) == (ssize_t)size);
				if (round % 3 == 0 || below(4) == 0)
					break;
				below(2);
			}
			fixture_map(&e.f, &m);
			if (map_adopt(&m, fd, &btf, &btf_size) == 0) {
				opened++;
				mem_free(&mem_libc, btf, btf_size);
				REQUIRE(hold_take(e.f.domain, &h) == 0);
				mix(&m, &h, 200);
				hold_drop(&h);
				map_close(&m);
			} else {
				refused++;
			}
			close(fd);
		}
		engine_close(&e);
	}
	CHECK(refused > 20 && opened > 20);
}

/* ---- a process that scribbles over the file while it is used ---- */

struct scribbler {
	u8 *bytes;
	u64 size;
	_Atomic bool stop;
};

__attribute__((no_sanitize("thread"))) static void *scribble(void *ud)
{
	struct scribbler *s = ud;
	u64 x = 17;

	while (!atomic_load(&s->stop)) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		((_Atomic u32 *)s->bytes)[(x >> 32) % (s->size / 4)] = (u32)(x >> 62 ? x & 63 : x);
		if (x >> 55 == 0)
			usleep(1);
	}
	return NULL;
}

TEST(scribbled_files_harm_nobody)
{
	static struct engine e;
	const struct map_kind_info *kinds;
	u32 n;

	kinds = map_kinds(&n);
	for (u32 k = 0; k < n; k++) {
		struct scribbler s = {0};
		int fd = new_file();
		u32 btf_size;
		struct map m;
		struct hold h;
		pthread_t t;
		void *btf;

		if (kinds[k].ops->traits & KIND_KERNEL_TYPE) {
			close(fd);
			continue;
		}
		engine_open(&e, kinds[k].id);
		REQUIRE(pinned(&e, kinds[k].id, fd) == 0);
		fixture_map(&e.f, &m);
		REQUIRE(map_adopt(&m, fd, &btf, &btf_size) == 0);
		mem_free(&mem_libc, btf, btf_size);
		s.size = (u64)lseek(fd, 0, SEEK_END);
		s.bytes = mmap(NULL, s.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		REQUIRE(s.bytes != MAP_FAILED);
		pthread_create(&t, NULL, scribble, &s);
		REQUIRE(hold_take(e.f.domain, &h) == 0);
		/* Locks may stay taken for good: then an operation waits some seconds and gives up. */
		mix(&m, &h, kinds[k].id == MAP_KIND_ARRAY || kinds[k].id == MAP_KIND_PERCPU_ARRAY ? 100000 : 3000);
		hold_drop(&h);
		atomic_store(&s.stop, true);
		pthread_join(t, NULL);
		munmap(s.bytes, s.size);
		map_close(&m);
		close(fd);
		engine_close(&e);
	}
	CHECK(n > 10);
}

int main(void)
{
	if (!mkdtemp(dir)) {
		printf("Bail out! no temporary directory\n");
		return 1;
	}
	RUN_WITH_PROC(every_kind_keeps_its_contents_in_a_file, "files cannot be opened again");
	RUN(no_store_is_lost_while_a_pin_is_written);
	RUN_WITH_PROC(engines_with_the_same_slots_share_a_pin, "files cannot be opened again");
	RUN(pin_that_the_disk_has_no_room_for_is_refused);
	RUN(damaged_files_are_refused_or_harmless);
	RUN(scribbled_files_harm_nobody);
	rmdir(dir);
	return test_end();
}
