/* SPDX-License-Identifier: BSD-2-Clause */
/* Names of types: which kinds need one, may have one, must have none, and what may be in it; as the running kernel decides. */
#include "kernel.h"
#include "test.h"

#include "base/base.h"
#include "skep/skep.h"

#include <linux/btf.h>

static struct skep *k;
static const char *const names[] = {"", "ok", "has space", "\xc3\xa9", ".x", "1x", "a<b>", "tab\t"};

struct blob {
	struct btf_header header;
	u32 at[64];
	u32 n;
};

static void put(struct blob *b, u32 x)
{
	b->at[b->n++] = x;
}

static void put_type(struct blob *b, u32 name, u32 kind, u32 vlen, u32 size_or_type)
{
	put(b, name);
	put(b, kind << 24 | vlen);
	put(b, size_or_type);
}

/* Type 1: an int, 2: a variable, 3: the one in question; 4: a prototype, when that is a function. */
static u32 build(struct blob *b, u32 kind, const char *name)
{
	char strings[64] = "\0int\0x";
	u32 own = *name ? 7 : 0, length = 8 + (u32)strlen(name);

	*b = (struct blob){.header = {.magic = 0xeb9f, .version = 1, .hdr_len = sizeof(b->header)}};
	snprintf(strings + 7, sizeof(strings) - 7, "%s", name);
	put_type(b, 1, BTF_KIND_INT, 0, 4);
	put(b, 0x01000020);
	put_type(b, 5, BTF_KIND_VAR, 0, 1);
	put(b, 0);
	put_type(b, own, kind, kind == BTF_KIND_DATASEC, kind == BTF_KIND_FUNC ? 4 : kind == BTF_KIND_DECL_TAG ? 2 : 1);
	switch (kind) {
	case BTF_KIND_INT:
		b->at[b->n - 1] = 4;
		put(b, 32);
		break;
	case BTF_KIND_ARRAY:
		b->at[b->n - 1] = 0;
		put(b, 1);
		put(b, 1);
		put(b, 2);
		break;
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
	case BTF_KIND_FWD:
	case BTF_KIND_FUNC_PROTO: b->at[b->n - 1] = 0; break;
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
	case BTF_KIND_FLOAT: b->at[b->n - 1] = 4; break;
	case BTF_KIND_FUNC: put_type(b, 0, BTF_KIND_FUNC_PROTO, 0, 0); break;
	case BTF_KIND_VAR: put(b, 0); break;
	case BTF_KIND_DATASEC:
		b->at[b->n - 1] = 4;
		put(b, 2);
		put(b, 0);
		put(b, 4);
		break;
	case BTF_KIND_DECL_TAG: put(b, UINT32_MAX); break;
	default: break;
	}
	b->header.type_len = b->header.str_off = b->n * 4;
	b->header.str_len = length;
	memcpy(&b->at[b->n], strings, length);
	return (u32)sizeof(b->header) + b->n * 4 + length;
}

static int load(u32 kind, const char *name, bool kernel)
{
	struct blob b;
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.btf_size = build(&b, kind, name);
	attr.btf = (u64)(uintptr_t)&b;
	fd = kernel ? kernel_bpf(BPF_BTF_LOAD, &attr, sizeof(attr)) : skep_bpf(k, BPF_BTF_LOAD, &attr, sizeof(attr));
	if (fd >= 0)
		close(fd);
	return fd >= 0 ? 0 : fd;
}

TEST(kinds_need_or_refuse_names)
{
	CHECK_EQ(load(BTF_KIND_INT, "", false), 0);
	CHECK_EQ(load(BTF_KIND_INT, "has space", false), 0);
	CHECK_EQ(load(BTF_KIND_PTR, "", false), 0);
	CHECK_EQ(load(BTF_KIND_PTR, "ok", false), -EINVAL);
	CHECK_EQ(load(BTF_KIND_TYPEDEF, "", false), -EINVAL);
	CHECK_EQ(load(BTF_KIND_TYPEDEF, "ok", false), 0);
	CHECK_EQ(load(BTF_KIND_STRUCT, "", false), 0);
	CHECK_EQ(load(BTF_KIND_STRUCT, "a<b>", false), -EINVAL);
	CHECK_EQ(load(BTF_KIND_TYPE_TAG, "", false), -EINVAL);
	CHECK_EQ(load(BTF_KIND_DATASEC, "", false), -EINVAL);
}

TEST(the_running_kernel_decides_the_same)
{
	if (load(BTF_KIND_INT, "int", true))
		SKIP(KERNEL_MISSING);
	for (u32 kind = 1; kind <= BTF_KIND_ENUM64; kind++)
		for (u32 n = 0; n < ARRAY_SIZE(names); n++) {
			int mine = load(kind, names[n], false), theirs = load(kind, names[n], true);

			if (mine != theirs)
				test_fail(__FILE__, __LINE__, "kind %u, name \"%s\": %d, the kernel: %d", kind, names[n], mine, theirs);
		}
}

int main(void)
{
	if (skep_open(&k, NULL))
		return 1;
	RUN(kinds_need_or_refuse_names);
	RUN(the_running_kernel_decides_the_same);
	skep_close(k);
	return test_end();
}
