/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Fuzz target: BTF_LOAD of any bytes, and maps whose key and value have the types that were accepted. Input:
 * types and strings; a sound header is put before them unless the first byte is odd, so that more than the
 * header is tried.
 */
#include "skep/skep.h"
#include "sys/attr.h"

#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

#define ADDRESS(p) ((u64)(uintptr_t)(p))

static struct skep *k;

static void use_types(int btf)
{
	struct attr_map_create a = {
	    .map_type = BPF_MAP_TYPE_HASH, .key_size = 4, .max_entries = 2, .btf_fd = (u32)btf};

	for (u32 id = 1; id < 8; id++)
		for (u32 bytes = 4; bytes <= 32; bytes *= 2) {
			int map;

			a.btf_key_type_id = id;
			a.btf_value_type_id = id % 3 + 1;
			a.value_size = bytes;
			map = skep_bpf(k, BPF_MAP_CREATE, (union bpf_attr *)(void *)&a, sizeof(a));
			if (map >= 0)
				close(map);
		}
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	static u8 bytes[1 << 16];
	static char log[256];
	struct attr_btf_load a = {0};
	u32 n;
	int fd;

	if (!k && skep_open(&k, NULL))
		abort();
	if (size < 2)
		return 0;
	n = (u32)MIN(size - 2, sizeof(bytes) - sizeof(struct btf_header) - 8);
	if (data[0] & 1) {
		memcpy(bytes, data + 2, n);
	} else {
		struct btf_header h = {.magic = 0xeb9f, .version = 1, .hdr_len = sizeof(h)};
		u32 strings = MIN((u32)data[1] + 2, n);

		h.type_len = h.str_off = (n - strings) & ~3u;
		h.str_len = n - h.type_len + 1; /* and one that ends them */
		memcpy(bytes, &h, sizeof(h));
		memcpy(bytes + sizeof(h), data + 2, n);
		bytes[sizeof(h) + h.type_len] = 0;
		bytes[sizeof(h) + n] = 0;
		n += (u32)sizeof(h) + 1;
	}
	a.btf = ADDRESS(bytes);
	a.btf_size = n;
	a.btf_log_level = data[0] >> 1 & 1;
	a.btf_log_buf = a.btf_log_level ? ADDRESS(log) : 0;
	a.btf_log_size = a.btf_log_level ? (u32)sizeof(log) : 0;
	fd = skep_bpf(k, BPF_BTF_LOAD, (union bpf_attr *)(void *)&a, sizeof(a));
	if (fd >= 0) {
		use_types(fd);
		close(fd);
	}
	return 0;
}
