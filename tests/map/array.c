/* SPDX-License-Identifier: BSD-2-Clause */
/* ARRAY and PERCPU_ARRAY: where values lie, spin locks and timers in values, freezing, mapping, words that are never torn; and
 * what all kinds do when memory runs out. */
#include "fixture.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096 };

TEST(addresses_belong_to_one_element)
{
	static const u32 kinds[] = {MAP_KIND_ARRAY, MAP_KIND_PERCPU_ARRAY};
	struct fixture f;
	struct hold h;

	fixture_open(&f);
	REQUIRE(hold_take(f.domain, &h) == 0);
	for (u32 k = 0; k < 2; k++) {
		struct map m;

		REQUIRE(fixture_create(&f, &m, kinds[k], 4, 12, 5, 0) == 0);
		for (u32 i = 0; i < 7; i++) {
			u8 *v = m.ops->lookup(&m, &h, &i);

			CHECK_EQ(v != NULL, i < 5);
			if (!v)
				continue;
			CHECK_EQ((uintptr_t)v % 8, 0);
			CHECK(window_find(&f.window, v) == &m);
			CHECK(m.ops->in_value(&m, v, 12));
			CHECK(m.ops->in_value(&m, v + 11, 1));
			CHECK(!m.ops->in_value(&m, v + 1, 12));
			CHECK(!m.ops->in_value(&m, v, 13));
			CHECK(!m.ops->in_value(&m, v + 12, 1)); /* what pads it */
			CHECK(!m.ops->in_value(&m, v + 8, UINT64_MAX));
		}
		CHECK(!m.ops->in_value(&m, m.meta.base, 4));
		CHECK(!m.ops->in_value(&m, m.meta.base + m.meta.size - 4, 4));
		CHECK(!m.ops->in_value(&m, NULL, 4));
		map_close(&m);
	}
	hold_drop(&h);
	fixture_close(&f);
}

TEST(each_cpu_has_values_of_its_own)
{
	struct fixture f;
	struct map m;
	struct hold h;
	u64 in[256], out[256], value = 42, *at;
	u32 key = 3, cpus;

	fixture_open(&f);
	cpus = domain_cpus(f.domain);
	REQUIRE(cpus <= 256 && fixture_create(&f, &m, MAP_KIND_PERCPU_ARRAY, 4, 8, 5, 0) == 0);
	REQUIRE(hold_take(f.domain, &h) == 0);
	CHECK_EQ(map_value_bytes(&m), cpus * 8);
	for (u32 i = 0; i < cpus; i++)
		in[i] = 100 + i;
	CHECK_EQ(map_set(&m, &h, &key, in, 0), 0);
	CHECK_EQ(m.ops->update(&m, &h, &key, &value, 0), 0);
	CHECK_EQ(map_get(&m, &h, &key, out, 0), 0);
	for (u32 i = 0; i < cpus; i++) {
		CHECK_EQ(out[i], i == h.index ? 42 : in[i]);
		at = m.ops->lookup_cpu(&m, &h, &key, i);
		CHECK(at && *at == out[i]);
	}
	CHECK(m.ops->lookup(&m, &h, &key) == m.ops->lookup_cpu(&m, &h, &key, h.index));
	CHECK(m.ops->lookup_cpu(&m, &h, &key, cpus) == NULL);
	hold_drop(&h);
	map_close(&m);
	fixture_close(&f);
}

TEST(spin_locks_and_timers_stay_where_they_are)
{
	struct fixture f;
	struct map m;
	struct hold h;
	u8 value[48], out[48], *at;
	u32 key = 1;
	_Atomic u32 *lock;

	fixture_open(&f);
	REQUIRE(fixture_create(&f, &m, MAP_KIND_ARRAY, 4, 45, 3, 0) == 0);
	REQUIRE(hold_take(f.domain, &h) == 0);
	m.record = (struct btf_record){.spin_lock = 4 + 1, .timer = 16 + 1, .n = 2, .fields = {{.offset = 4, .size = 4}, {.offset = 16, .size = 16}}};
	at = m.ops->lookup(&m, &h, &key);
	memset(at, 7, 45);
	lock = (_Atomic u32 *)(at + 4);
	atomic_store(lock, 0);
	memset(value, 9, sizeof(value));
	CHECK_EQ(map_set(&m, &h, &key, value, 0), 0);
	for (u32 i = 0; i < 45; i++)
		CHECK_EQ(at[i], i >= 4 && i < 8 ? 0 : i >= 16 && i < 32 ? 7 : 9);
	memset(out, 1, sizeof(out));
	CHECK_EQ(map_get(&m, &h, &key, out, 0), 0);
	for (u32 i = 0; i < 45; i++)
		CHECK_EQ(out[i], (i >= 4 && i < 8) || (i >= 16 && i < 32) ? 0 : 9);
	CHECK_EQ(out[45], 1);
	CHECK_EQ(map_set(&m, &h, &key, value, BPF_F_LOCK), 0);
	CHECK_EQ(atomic_load(lock), 0);
	atomic_store(lock, h.tag); /* held by this very thread */
	CHECK_EQ(map_set(&m, &h, &key, value, BPF_F_LOCK), -EBUSY);
	CHECK_EQ(map_get(&m, &h, &key, out, BPF_F_LOCK), -EBUSY);
	atomic_store(lock, 0);
	CHECK_EQ(m.ops->mmap(&m, 0, PAGE, false), -ENOTSUPP);
	m.record.spin_lock = 0;
	CHECK_EQ(map_set(&m, &h, &key, value, BPF_F_LOCK), -EINVAL);
	CHECK_EQ(map_get(&m, &h, &key, out, BPF_F_LOCK), -EINVAL);
	hold_drop(&h);
	map_close(&m);
	fixture_close(&f);
}

TEST(clients_map_values_and_nothing_else)
{
	struct fixture f;
	struct map m;
	struct hold h;
	u32 key = 2;
	u64 value = 77, *view;

	fixture_open(&f);
	REQUIRE(fixture_create(&f, &m, MAP_KIND_ARRAY, 4, 8, 600, BPF_F_MMAPABLE) == 0);
	REQUIRE(hold_take(f.domain, &h) == 0);
	CHECK_EQ(m.client.size, 2 * PAGE);
	CHECK_EQ(m.ops->mmap(&m, 0, 2 * PAGE, true), 0);
	CHECK_EQ(m.ops->mmap(&m, PAGE, 2 * PAGE, false), -EINVAL);
	CHECK_EQ(m.ops->mmap(&m, UINT64_MAX - PAGE + 1, PAGE, false), -EINVAL);
	view = mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, map_client_fd(&m), 0);
	REQUIRE(view != MAP_FAILED);
	CHECK_EQ(map_set(&m, &h, &key, &value, 0), 0);
	CHECK_EQ(view[2], 77);
	view[599] = 5;
	key = 599;
	CHECK_EQ(*(u64 *)m.ops->lookup(&m, &h, &key), 5);
	CHECK(ftruncate(map_client_fd(&m), PAGE) != 0);
	CHECK(ftruncate(map_client_fd(&m), 4 * PAGE) != 0);
	m.frozen = true;
	CHECK_EQ(m.ops->mmap(&m, 0, PAGE, true), -EPERM);
	CHECK_EQ(m.ops->mmap(&m, 0, PAGE, false), 0);
	CHECK_EQ(map_set(&m, &h, &key, &value, 0), -EPERM);
	CHECK_EQ(map_delete(&m, &h, &key), -EPERM);
	CHECK_EQ(m.ops->update(&m, &h, &key, &value, 0), 0); /* programs go on */
	munmap(view, 2 * PAGE);
	map_close(&m);
	REQUIRE(fixture_create(&f, &m, MAP_KIND_ARRAY, 4, 8, 600, 0) == 0);
	CHECK_EQ(m.ops->mmap(&m, 0, PAGE, false), -EINVAL);
	map_close(&m);
	REQUIRE(fixture_create(&f, &m, MAP_KIND_ARRAY, 4, 8, 600, BPF_F_MMAPABLE | BPF_F_RDONLY_PROG) == 0);
	CHECK_EQ(m.ops->mmap(&m, 0, PAGE, true), -EACCES);
	map_close(&m);
	hold_drop(&h);
	fixture_close(&f);
}

/* ---- threads ---- */

struct load {
	struct fixture *f;
	struct map *m;
	_Atomic bool *stop;
	u64 number, bad;
	_Atomic u64 ops;
	bool locked;
};

static void *update_and_read(void *ud)
{
	struct load *l = ud;
	u32 key = 1;

	while (!atomic_load(l->stop)) {
		u64 v = ++l->ops << 8 | l->number, value[8] = {0, v, v, v, v, v, v, v}, out[8];
		struct hold h;
		int err;

		if (hold_take(l->f->domain, &h))
			continue;
		err = map_set(l->m, &h, &key, value, l->locked ? BPF_F_LOCK : 0);
		err = err ? err : map_get(l->m, &h, &key, out, l->locked ? BPF_F_LOCK : 0);
		hold_drop(&h);
		l->bad += err != 0;
		for (u32 i = 1; i < 8; i++) {
			l->bad += (out[i] & 0xff) > 3 || out[i] >> 8 > 1ull << 40; /* a word is one writer's */
			l->bad += l->locked && out[i] != out[1];
		}
	}
	return NULL;
}

static void under_threads(bool locked)
{
	static _Atomic bool stop;
	struct fixture f;
	struct map m;
	struct load l[4];
	pthread_t t[4];

	fixture_open(&f);
	REQUIRE(fixture_create(&f, &m, MAP_KIND_ARRAY, 4, 64, 4, 0) == 0);
	if (locked)
		m.record = (struct btf_record){.spin_lock = 1, .n = 1, .fields = {{.size = 4}}};
	atomic_store(&stop, false);
	for (u32 i = 0; i < 4; i++) {
		l[i] = (struct load){&f, &m, &stop, .number = i, .locked = locked};
		pthread_create(&t[i], NULL, update_and_read, &l[i]);
	}
	for (u32 ms = 0, idle = 4; ms < 300 || (idle && ms < 60000); ms++) { /* a loaded machine takes its time */
		usleep(1000);
		idle = 0;
		for (u32 i = 0; i < 4; i++)
			idle += l[i].ops == 0;
	}
	atomic_store(&stop, true);
	for (u32 i = 0; i < 4; i++) {
		pthread_join(t[i], NULL);
		CHECK_EQ(l[i].bad, 0);
		CHECK(l[i].ops > 0);
	}
	map_close(&m);
	fixture_close(&f);
}

TEST(no_word_is_torn)
{
	under_threads(false);
}

TEST(no_value_is_torn_under_its_spin_lock)
{
	under_threads(true);
}

/* ---- memory ---- */

struct stingy {
	u32 left;
	long live;
};

static void *stingy_fn(void *ud, void *p, size_t old_size, size_t new_size)
{
	struct stingy *s = ud;

	if (new_size && s->left-- == 0) {
		s->left = 0;
		return NULL;
	}
	s->live += (p == NULL && new_size) - (p && !new_size);
	return mem_libc.fn(mem_libc.ud, p, old_size, new_size);
}

TEST(a_creation_without_memory_leaves_nothing)
{
	struct fixture f;
	struct map inner;
	const struct map_kind_info *kinds;
	u32 n, refused = 0;

	fixture_open(&f);
	REQUIRE(fixture_create(&f, &inner, MAP_KIND_ARRAY, 4, 8, 1, 0) == 0);
	kinds = map_kinds(&n);
	for (u32 k = 0; k < n; k++) {
		struct map_spec s = fixture_spec(kinds[k].id);
		size_t before = f.window.hint;
		int err = -ENOMEM;

		if (kinds[k].ops->traits & KIND_KERNEL_TYPE)
			continue;
		for (u32 allowed = 0; err == -ENOMEM && allowed < 20; allowed++) {
			struct stingy stingy = {allowed, 0};
			struct mem mem = {stingy_fn, &stingy};
			struct map m;

			fixture_map(&f, &m);
			m.mem = &mem;
			m.inner = &inner;
			err = map_create(&m, &s);
			refused += err == -ENOMEM;
			CHECK(err == 0 || err == -ENOMEM);
			map_close(&m);
			CHECK_EQ(stingy.live, 0);
			CHECK_EQ(f.window.hint, before);
		}
		CHECK_EQ(err, 0);
	}
	CHECK(refused > 3);
	map_close(&inner);
	fixture_close(&f);
}

TEST(a_window_that_is_full_refuses)
{
	struct fixture f;
	struct map m;

	fixture_open(&f);
	CHECK_EQ(fixture_create(&f, &m, MAP_KIND_ARRAY, 4, 1 << 20, 1 << 20, 0), -ENOMEM);
	CHECK_EQ(fixture_create(&f, &m, MAP_KIND_ARRAY, 4, 1 << 20, 1 << 20, BPF_F_MMAPABLE), -ENOMEM);
	CHECK_EQ(fixture_create(&f, &m, MAP_KIND_PERCPU_ARRAY, 4, 32768, UINT32_MAX, 0), -ENOMEM);
	CHECK_EQ(fixture_create(&f, &m, MAP_KIND_QUEUE, 0, 1 << 20, UINT32_MAX, 0), -ENOMEM);
	CHECK_EQ(fixture_create(&f, &m, MAP_KIND_ARRAY, 4, INT32_MAX, UINT32_MAX, 0), -ENOMEM);
	CHECK_EQ(fixture_create(&f, &m, MAP_KIND_LPM_TRIE, 8, 8, UINT32_MAX, BPF_F_NO_PREALLOC), 0); /* as Linux: made as it grows */
	map_close(&m);
	fixture_close(&f);
}

int main(void)
{
	RUN(addresses_belong_to_one_element);
	RUN(each_cpu_has_values_of_its_own);
	RUN(spin_locks_and_timers_stay_where_they_are);
	RUN(clients_map_values_and_nothing_else);
	RUN(no_word_is_torn);
	RUN(no_value_is_torn_under_its_spin_lock);
	RUN(a_creation_without_memory_leaves_nothing);
	RUN(a_window_that_is_full_refuses);
	return test_end();
}
