/* SPDX-License-Identifier: BSD-2-Clause */
/* One instruction as text: the C-like form of the kernel's log and of LLVM. What it prints, asm.c reads back. */
#include "isa/isa.h"

static const char *unsigned_type(u32 bytes)
{
	return bytes == 1 ? "u8" : bytes == 2 ? "u16" : bytes == 4 ? "u32" : "u64";
}

static const char *signed_type(u32 bytes)
{
	return bytes == 1 ? "s8" : bytes == 2 ? "s16" : "s32";
}

static void number(struct text *t, s64 x, const struct disasm_names *names)
{
	if (names && names->kernel)
		text_addf(t, "%d", (s32)x);
	else if (x > 9 || x < -9)
		text_addf(t, x < 0 ? "-0x%llx" : "0x%llx", (unsigned long long)(x < 0 ? 0 - (u64)x : (u64)x));
	else
		text_addf(t, "%lld", (long long)x);
}

static void target(struct text *t, const struct insn *i, u32 at, const struct disasm_names *names, const char *prefix)
{
	const char *label = names && names->label ? names->label(names->ud, i->target) : NULL;

	if (label)
		text_add(t, label);
	else
		text_addf(t, "%s%+d", prefix, i->target - (s32)at - 1);
}

static void alu(struct text *t, const struct insn *i, const struct disasm_names *names)
{
	const struct op_info *op = &op_table[i->op];
	char r = i->width == 64 ? 'r' : 'w';

	if (op->flags & OPF_UNARY) {
		text_addf(t, "%c%u = %s%c%u", r, i->dst, op->text, r, i->dst);
		return;
	}
	text_addf(t, "%c%u %s", r, i->dst, op->text);
	if (!i->imm_src)
		text_addf(t, op->off && op->flags & OPF_COPY ? "%c%u" : " %c%u", r, i->src);
	else {
		text_add(t, " ");
		number(t, i->width == 64 ? i->imm : (s32)i->imm, names);
	}
}

static void jump(struct text *t, const struct insn *i, u32 at, const struct disasm_names *names)
{
	char r = i->width == 64 ? 'r' : 'w';

	text_addf(t, "if %c%u %s ", r, i->dst, op_table[i->op].text);
	if (!i->imm_src)
		text_addf(t, "%c%u", r, i->src);
	else if (names && names->kernel)
		text_addf(t, "0x%x", (u32)i->imm);
	else
		number(t, i->width == 64 ? i->imm : (s32)i->imm, names);
	text_add(t, " goto ");
	target(t, i, at, names, "");
}

/* How atomic instructions call the register that they take or give: the kernel does not tell its half from it. */
static char atomic_register(const struct insn *i, const struct disasm_names *names)
{
	return i->width == 8 || (names && names->kernel) ? 'r' : 'w';
}

static void atomic(struct text *t, const struct insn *i, const struct disasm_names *names)
{
	const struct op_info *op = &op_table[i->op];
	const char *type = unsigned_type(i->width), *bits = i->width == 8 ? "64" : "";
	char r = atomic_register(i, names);

	if (!(op->flags & OPF_FETCH))
		text_addf(t, "lock *(%s *)(r%u %+d) %s %c%u", type, i->dst, i->off, op->text, r, i->src);
	else
		text_addf(t, "%c%u = atomic%s_%s((%s *)(r%u %+d), %c%u)", r, i->src, bits, op->text, type, i->dst, i->off,
			  r, i->src);
}

static void imm64(struct text *t, const struct insn *i, const struct disasm_names *names)
{
	u32 low = (u32)(u64)i->imm, high = (u32)((u64)i->imm >> 32);

	text_addf(t, "r%u = ", i->dst);
	switch ((enum pseudo)i->pseudo) {
	case PSEUDO_CONST: text_addf(t, names && names->kernel ? "0x%llx" : "0x%llx ll", (unsigned long long)i->imm); break;
	case PSEUDO_MAP_FD: text_addf(t, "map[fd:%u]", low); break;
	case PSEUDO_MAP_VALUE: text_addf(t, "map[fd:%u]+%u", low, high); break;
	case PSEUDO_BTF_ID: text_addf(t, "btf[id:%u", low), text_addf(t, high ? ",fd:%u]" : "]", high); break;
	case PSEUDO_FUNC: text_addf(t, "func[%+d]", (s32)low); break;
	case PSEUDO_MAP_IDX: text_addf(t, "map[idx:%u]", low); break;
	case PSEUDO_MAP_IDX_VALUE: text_addf(t, "map[idx:%u]+%u", low, high); break;
	}
	/* Linux ignores this field of a function pointer; it must survive a round trip. */
	if (high && i->pseudo == PSEUDO_FUNC)
		text_addf(t, " high %u", high);
}

static void call(struct text *t, const struct insn *i, u32 at, const struct disasm_names *names)
{
	const char *name = names && names->helper && i->pseudo == CALL_HELPER ? names->helper(names->ud, i->imm) : NULL;

	switch ((enum call_kind)i->pseudo) {
	case CALL_HELPER:
		if (name)
			text_addf(t, "call bpf_%s#%lld", name, (long long)i->imm);
		else
			text_addf(t, "call %lld", (long long)i->imm);
		break;
	case CALL_SUBPROG:
		text_add(t, "call ");
		target(t, i, at, names, "pc");
		break;
	case CALL_KFUNC:
		text_addf(t, "call kernel-function#%lld", (long long)i->imm);
		if (i->off)
			text_addf(t, " fd_idx %d", i->off);
		break;
	}
}

static void other(struct text *t, const struct insn *i, u32 at, const struct disasm_names *names)
{
	const char *type = unsigned_type(i->width);
	char r = atomic_register(i, names);

	switch ((enum op)i->op) {
	case OP_CMPXCHG:
		text_addf(t, "%c0 = atomic%s_cmpxchg((%s *)(r%u %+d), %c0, %c%u)", r, i->width == 8 ? "64" : "", type, i->dst,
			  i->off, r, r, i->src);
		break;
	case OP_LOAD_ACQ: text_addf(t, "%c%u = load_acquire((%s *)(r%u %+d))", r, i->dst, type, i->src, i->off); break;
	case OP_STORE_REL: text_addf(t, "store_release((%s *)(r%u %+d), %c%u)", type, i->dst, i->off, r, i->src); break;
	case OP_LE: text_addf(t, "r%u = le%u r%u", i->dst, i->width, i->dst); break;
	case OP_BE: text_addf(t, "r%u = be%u r%u", i->dst, i->width, i->dst); break;
	case OP_BSWAP: text_addf(t, "r%u = bswap%u r%u", i->dst, i->width, i->dst); break;
	case OP_ADDR_SPACE_CAST:
		text_addf(t, "r%u = addr_space_cast(r%u, %u, %u)", i->dst, i->src, (u32)i->imm >> 16, (u32)i->imm & 0xffff);
		break;
	case OP_LDX: text_addf(t, "r%u = *(%s *)(r%u %+d)", i->dst, type, i->src, i->off); break;
	case OP_LDXS: text_addf(t, "r%u = *(%s *)(r%u %+d)", i->dst, signed_type(i->width), i->src, i->off); break;
	case OP_STX: text_addf(t, "*(%s *)(r%u %+d) = r%u", type, i->dst, i->off, i->src); break;
	case OP_ST:
		text_addf(t, "*(%s *)(r%u %+d) = ", type, i->dst, i->off);
		number(t, i->imm, names);
		break;
	case OP_LD_IMM64: imm64(t, i, names); break;
	case OP_LD_ABS: text_addf(t, "r0 = *(%s *)skb[%lld]", type, (long long)i->imm); break;
	case OP_LD_IND:
		text_addf(t, "r0 = *(%s *)skb[r%u", type, i->src);
		if (names && names->kernel)
			text_addf(t, " + %d]", (s32)i->imm);
		else
			text_addf(t, i->imm ? " %+lld]" : "]", (long long)i->imm);
		break;
	case OP_JA: text_add(t, i->width == 64 ? "goto " : "gotol "), target(t, i, at, names, ""); break;
	case OP_MAY_GOTO: text_add(t, "may_goto "), target(t, i, at, names, ""); break;
	case OP_CALL: call(t, i, at, names); break;
	case OP_EXIT:
		text_add(t, "exit");
		if (i->off)
			text_addf(t, " off %d", i->off);
		break;
	default: text_add(t, "(second slot)"); break;
	}
}

void insn_text(struct text *t, const struct insn *insn, u32 at, const struct disasm_names *names)
{
	switch ((enum op_class)op_table[insn->op].class) {
	case OPS_ALU: alu(t, insn, names); break;
	case OPS_JMP: jump(t, insn, at, names); break;
	case OPS_ATOMIC: atomic(t, insn, names); break;
	default: other(t, insn, at, names); break;
	}
}
