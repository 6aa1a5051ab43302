/* SPDX-License-Identifier: BSD-2-Clause */
/* Lookups in hash maps of each kind by keys of many sizes, on engines in several settings and on the running kernel: compiled code has routines of its own for some of them. */
#include "sides.h"

enum { MOST_KEY = 64, VALUE = 0x77 };

/* The key that is there; one whose last byte differs; the first one again, with another byte behind its end. */
static void program(char *to, size_t room, uint32_t size)
{
	size_t n = 0;
	int key = -(MOST_KEY + 8), last = key + (int)size - 1;

	for (int i = 0; i < MOST_KEY + 8; i += 8)
		n += (size_t)snprintf(to + n, room - n, "*(u64 *)(r10 %d) = %d\n", key + i, 0x11223344 + i);
	snprintf(to + n, room - n,
		 "r2 = r10\nr2 += %d\nr1 = MAP\ncall helper 1\nif r0 == 0 goto missed\nr7 = *(u64 *)(r0 +0)\n"
		 "r8 = *(u8 *)(r10 %d)\n*(u8 *)(r10 %d) = 0x99\nr2 = r10\nr2 += %d\nr1 = MAP\ncall helper 1\nif r0 != 0 goto wrong\n"
		 "*(u8 *)(r10 %d) = r8\n*(u8 *)(r10 %d) = 0x99\nr2 = r10\nr2 += %d\nr1 = MAP\ncall helper 1\nif r0 == 0 goto missed\n"
		 "r0 = *(u64 *)(r0 +0)\nr0 += r7\nexit\nmissed: r0 = 1\nexit\nwrong: r0 = 2\nexit\n",
		 key, last, last, key, last, last + 1, key);
}

static void lookups(struct side *s)
{
	static const uint32_t kinds[] = {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH};
	static const uint32_t sizes[] = {1, 2, 3, 4, 5, 7, 8, 9, 12, 13, 15, 16, 17, 20, 24, 27, 31, 32, 36, 40, 64};
	static uint64_t values[1024];

	s->type = BPF_PROG_TYPE_SCHED_CLS;
	s->flags = 0;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		values[i] = VALUE;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		for (size_t k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++) {
			char text[2048], name[64];
			uint64_t key[MOST_KEY / 8];
			union bpf_attr attr;

			for (uint32_t w = 0; w < MOST_KEY / 8; w++)
				key[w] = 0x11223344 + w * 8;
			memset(&attr, 0, sizeof(attr));
			attr.map_type = kinds[i];
			attr.key_size = sizes[k];
			attr.value_size = 8;
			attr.max_entries = 8;
			s->map = s->bpf(s->ud, BPF_MAP_CREATE, &attr, sizeof(attr));
			REQUIRE(s->map >= 0);
			memset(&attr, 0, sizeof(attr));
			attr.map_fd = (uint32_t)s->map;
			attr.key = (uint64_t)(uintptr_t)key;
			attr.value = (uint64_t)(uintptr_t)values;
			REQUIRE(s->bpf(s->ud, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)) == 0);
			program(text, sizeof(text), sizes[k]);
			snprintf(name, sizeof(name), "map kind %u, keys of %u bytes", kinds[i], sizes[k]);
			expect(s, name, text, 2 * VALUE);
			close(s->map);
		}
}

TEST(on_the_engine)
{
	each_setting(lookups);
}

TEST(on_the_kernel)
{
	ON_KERNEL(lookups);
}

int main(void)
{
	RUN(on_the_engine);
	RUN(on_the_kernel);
	return test_end();
}
