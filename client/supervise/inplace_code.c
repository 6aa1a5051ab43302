/* SPDX-License-Identifier: BSD-2-Clause */
/* What runs in clients: see inplace.h. The section is copied to where it finds struct inplace behind itself, so nothing in it refers to anything outside. */
#include "client/supervise/inplace.h"

#include <linux/bpf.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "sys/attr.h"

/* In: the arguments of syscall(3). The four moves are those that a jump has replaced. */
__asm__(".pushsection skep_inplace,\"ax\",@progbits\n"
	".globl inplace_entry\n"
	".hidden inplace_entry\n"
	"inplace_entry:\n"
	"	cmp $321, %edi\n" /* bpf(2), BPF_MAP_LOOKUP_ELEM */
	"	jne 1f\n"
	"	cmp $1, %esi\n"
	"	jne 1f\n"
	"	push %rdi\n"
	"	push %rsi\n"
	"	push %rdx\n"
	"	push %rcx\n"
	"	push %r8\n"
	"	push %r9\n"
	"	lea -8(%rsp), %rsp\n"
	"	mov %rdx, %rsi\n"
	"	mov %rcx, %rdx\n"
	"	lea 56(%rsp), %rcx\n"
	"	lea __start_skep_inplace+8192(%rip), %rdi\n"
	"	call inplace_lookup\n"
	"	lea 8(%rsp), %rsp\n"
	"	pop %r9\n"
	"	pop %r8\n"
	"	pop %rcx\n"
	"	pop %rdx\n"
	"	pop %rsi\n"
	"	pop %rdi\n"
	"	test %eax, %eax\n"
	"	jz 1f\n"
	"	xor %eax, %eax\n"
	"	ret\n"
	"1:	mov %rdi, %rax\n"
	"	mov %rsi, %rdi\n"
	"	mov %rdx, %rsi\n"
	"	mov %rcx, %rdx\n"
	"	jmp *__start_skep_inplace+8192(%rip)\n"
	".popsection\n");
_Static_assert(SYS_bpf == 321 && BPF_MAP_LOOKUP_ELEM == 1 && INPLACE_CODE == 8192 && offsetof(struct inplace, back) == 0, "as the code has it");

#define INLINE __attribute__((always_inline)) static inline

INLINE long call(long nr, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
	return ret;
}

/* Word by word: none is torn that is aligned on both sides. */
INLINE void copy(void *to, const void *from, u64 size)
{
	volatile u8 *t = to;
	const volatile u8 *f = from;

	for (; size >= 8; size -= 8, t += 8, f += 8)
		*(volatile u64 *)t = *(const volatile u64 *)f;
	for (; size; size--)
		*t++ = *f++;
}

/* Rule 4. The call's frame shows that its page is there; of the first thread's stack Linux maps at least so much at once. */
INLINE bool on_stack(const struct inplace *in, u64 sp, u64 at, u64 size)
{
	enum { PAGE = 4096, AT_ONCE = 128 << 10 };
	u64 low = MAX(sp & ~(u64)(PAGE - 1), sp), end = at + size;

	if (at < low || end < at)
		return false;
	return (end - 1) / PAGE == sp / PAGE || (sp < in->stack_end && in->stack_end - sp < AT_ONCE && end <= in->stack_end);
}

INLINE bool moves(const struct inplace *in, u64 sp, u64 at, void *own, u64 size, bool in_to)
{
	struct iovec here = {own, size}, there = {(void *)(uintptr_t)at, size};

	if (on_stack(in, sp, at, size)) {
		if (in_to)
			copy(own, (const void *)(uintptr_t)at, size);
		else
			copy((void *)(uintptr_t)at, own, size);
		return true;
	}
	return call(in_to ? SYS_process_vm_readv : SYS_process_vm_writev, call(SYS_getpid, 0, 0, 0, 0, 0, 0), (long)&here, 1, (long)&there, 1, 0) == (long)size;
}

INLINE const struct inplace_map *find_map(const struct inplace *in, u32 fd)
{
	u32 n = at_most(peek(&in->n), INPLACE_MAPS);
	struct stat st;

	if (call(SYS_fstat, (long)(int)fd, (long)&st, 0, 0, 0, 0))
		return NULL;
	for (u32 i = 0; i < n; i++) {
		const struct inplace_map *m = &in->map[i];

		if (m->ino == st.st_ino && m->dev == st.st_dev && !peek(&m->head->left))
			return m;
	}
	return NULL;
}

INLINE u32 hash_key_of(const struct inplace_map *m, const u8 *key)
{
	u64 x = 0;

	if (m->key_size > 8)
		return (u32)hash_words(&m->hash.key, key, m->key_size);
	for (u32 i = 0; i < m->key_size; i++)
		x |= (u64)key[i] << 8 * i;
	return (u32)hash_word(&m->hash.key, x);
}

INLINE void copy_value(const struct inplace_map *m, u8 *to, const u8 *from)
{
	for (u32 i = 0; i < m->pieces; i++)
		copy(to + (u64)i * m->piece, from + (u64)i * m->stride, m->piece);
}

/* Rule 3: the element is found once more after its number of uses was read, so that this is of the use that is copied. */
INLINE bool read_hash(const struct inplace_map *m, const u8 *key, u8 *to)
{
	u32 hash = hash_key_of(m, key), uses;
	struct hash_spot spot, again;

	if (!hash_seek(&m->hash, key, m->key_size, hash, &spot))
		return false;
	uses = peek(&spot.node->uses);
	if (!hash_seek(&m->hash, key, m->key_size, hash, &again) || again.node != spot.node)
		return false;
	copy_value(m, to, (const u8 *)spot.node + m->hash.value_at);
	atomic_thread_fence(memory_order_acquire);
	return peek(&spot.node->uses) == uses;
}

INLINE bool read_array(const struct inplace_map *m, const u8 *key, u8 *to)
{
	u32 i = LOAD_AS(u32, key);

	if (i >= m->max_entries)
		return false;
	copy_value(m, to, m->values + (u64)i * m->elem_size);
	return true;
}

/* 1: answered; 0: to be asked. sp: of the caller. */
__attribute__((section("skep_inplace"), used, flatten)) u64 inplace_lookup(const struct inplace *in, u64 attr_at, u64 attr_size, u64 sp);
u64 inplace_lookup(const struct inplace *in, u64 attr_at, u64 attr_size, u64 sp)
{
	union {
		struct attr_map_elem elem;
		u8 bytes[INPLACE_ATTR];
	} a;
	u8 key[INPLACE_KEY] __attribute__((aligned(8))), value[INPLACE_VALUE] __attribute__((aligned(8)));
	const struct inplace_map *m;
	u32 size = (u32)attr_size;

	if (!peek(in->on) || size < sizeof(a.elem) || size > sizeof(a) || !moves(in, sp, attr_at, &a, size, true))
		return 0;
	for (u32 i = sizeof(a.elem); i < size; i++)
		if (a.bytes[i])
			return 0;
	if (a.elem.flags || !a.elem.key || !a.elem.value)
		return 0;
	m = find_map(in, a.elem.map_fd);
	if (!m || m->key_size > sizeof(key) || (u64)m->pieces * m->piece > sizeof(value) || !moves(in, sp, a.elem.key, key, m->key_size, true))
		return 0;
	if (!(m->hash.nodes ? read_hash(m, key, value) : read_array(m, key, value)) || peek(&m->head->left) || !peek(in->on))
		return 0;
	return moves(in, sp, a.elem.value, value, (u64)m->pieces * m->piece, false);
}
