/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Code to be listed, as "skep dump" and "skep asm" see it: sections of instructions with the functions, relocations
 * and source lines that the object gives them. dump_elf.c reads an object into this; bare bytecode is one section without
 * names.
 *
 * Ownership: everything lies in the arena and in libelf's handle, until dump_close_elf().
 */
#ifndef SKEP_CLI_DUMP_H
#define SKEP_CLI_DUMP_H

#include "isa/isa.h"

struct cli;
struct bytes;

struct dump_args {
	const char *prog;
	unsigned format;
	bool json, hex, no_source;
	bool facts, ir, code; /* of the program when it is loaded: dump_code.c */
};

struct dump_function {
	const char *name;
	u32 start, end; /* slots in the section */
};

struct dump_reloc {
	u32 at; /* slot */
	const char *symbol; /* what it names; "" never */
	const char *kind; /* "map", "data", "function", "kernel function", "extern" */
	s64 addend; /* bytes into the symbol; for a call slots */
	bool call;
};

struct dump_line {
	u32 at; /* slot */
	const char *file, *text;
	u32 line, column;
};

struct dump_section {
	const char *name; /* NULL: bare bytecode */
	struct raw_insn *raw; /* to be decoded: calls that a relocation will fill in lead to themselves */
	const struct raw_insn *bytes; /* as in the object */
	u32 n;
	struct dump_function *functions; /* by start */
	u32 n_functions;
	struct dump_reloc *relocs; /* by slot */
	u32 n_relocs;
	struct dump_line *lines; /* by slot */
	u32 n_lines;
};

struct dump_object {
	struct dump_section *sections;
	u32 n;
	void *elf; /* libelf's handle; strings of the sections lie with it */
};

/* Strings of an object may hold anything; nothing of it may reach a terminal as a control character. Blanks around it go. Returns buf. */
const char *plain_text(const char *s, char *buf, size_t size);
/* --facts, --ir, --asm: exit status */
int dump_coded(struct cli *c, const char *input, struct bytes *object); /* which is mended as skep check does */

/* 0, or -errno with a sentence in why. Close it in both cases. */
void dump_close_elf(struct dump_object *o);
int dump_read_elf(struct arena *arena, const void *bytes, size_t size, struct dump_object *out, char why[160]);

#endif
