/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the files that know memory: mem.c (dispatch, alignment, calls' areas), stack.c, mem_value.c (maps, packets, plain memory), mem_object.c
 * (context, sockets, kernel types). */
#ifndef SKEP_VERIFY_MEM_H
#define SKEP_VERIFY_MEM_H

#include "verify/state.h"

enum { VARIABLE_MOST = 1 << 29, PACKET_MOST = 0xffff };

/* One access by the program; off is all that is fixed. */
struct access {
	u32 insn, regno, size;
	s32 off, value_reg; /* value_reg: stores: the register stored; loads: the destination; -1: none */
	u32 use; /* MEM_READ or MEM_WRITE */
	bool sign_extend;
	struct reg *ptr;
};
typedef int access_rule(struct verifier *v, struct access *a);

access_rule access_map_key, access_map_value, access_mem, access_packet, access_buffer, access_tp_buffer, access_arena; /* mem_value.c */
access_rule access_ctx, access_flow_keys, access_sock, access_btf, access_map_object; /* mem_object.c */

static inline bool access_writes(const struct access *a)
{
	return a->use & MEM_WRITE;
}
/* Loads: the destination is an unknown number. */
static inline void access_unknown(struct verifier *v, const struct access *a)
{
	if (!access_writes(a) && a->value_reg >= 0)
		reg_set_unknown(v, reg_of(v, (u32)a->value_reg));
}
/* Bytes up to the access's end that a run must bring. */
static inline void access_reaches(struct verifier *v, const struct access *a, enum prog_reach what)
{
	v->result->reach[what] = MAX(v->result->reach[what], (u32)a->off + a->size);
}
/* Stores: may the register's value get where others can see it? "R%d leaks addr into ..." */
int access_leaks(struct verifier *v, const struct access *a, const char *where);

int stack_bounds(struct verifier *v, u32 regno, const struct reg *ptr, s32 off, s64 size, u32 use);
int map_may_access(struct verifier *v, const struct reg *ptr, s32 off, s64 size, u32 use);
int kptr_load(struct verifier *v, const struct btf_field *f, struct reg *dst); /* object.c: what a load of that field gives */
int btf_pointer_access(struct verifier *v, struct reg *ptr, u32 regno, s32 off, u32 size, u32 use, s32 dst);
int packet_bounds(struct verifier *v, u32 regno, s32 off, s64 size, bool zero_size);
int buffer_bounds(struct verifier *v, const struct reg *ptr, u32 regno, s32 off, s64 size, const char *what);
const char *tnum_text(char *to, size_t size, struct tnum t); /* "(0x0; 0xff)", or the number */

#endif
