/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Branches that are not walked yet: a stack, as paths are walked depth first.
 *
 * The newest come next and are kept as they are. Those below may wait long, and there may be thousands; they are packed: of a state's words those that
 * are not zero, of all its buffers what is used. They are packed from below and unpacked from above, so packed ones lie in a stack as well. What a state
 * shares with others, chunks of stack and callers' registers, it goes on to share.
 */
#include "verify/state.h"

enum { KEPT_WHOLE = 128, BLOCK_WORDS = 4096 };

struct pack_block {
	struct pack_block *below;
	u32 used, size; /* words */
	u64 words[];
};

/* ---- words ---- */

#define WORDS(bytes) ((u32)(bytes) / 8)
#define PACKED_MOST(words) ((words) + ALIGN_UP(words, 64u) / 64) /* and a mask for each 64 */

_Static_assert(sizeof(struct state) % 8 == 0 && sizeof(struct frame) % 8 == 0 && sizeof(struct reg) % 8 == 0 && sizeof(struct history) % 8 == 0 &&
		       sizeof(struct ref) % 8 == 0,
	       "what is packed by words");

static u64 *words_pack(u64 *to, const void *from, u32 n)
{
	const u8 *at = from;

	for (u32 i = 0; i < n; i += 64) {
		u64 *mask = to++;

		*mask = 0;
		for (u32 k = 0; k < MIN(n - i, 64u); k++, at += 8) {
			u64 word;

			memcpy(&word, at, 8);
			*to = word; /* stays where it is not zero */
			*mask |= (u64)(word != 0) << k;
			to += word != 0;
		}
	}
	return to;
}

static const u64 *words_unpack(const u64 *from, void *to, u32 n)
{
	memset(to, 0, (size_t)n * 8);
	for (u32 i = 0; i < n; i += 64)
		for (u64 mask = *from++; mask; mask &= mask - 1)
			memcpy((u8 *)to + 8 * (size_t)(i + (u32)__builtin_ctzll(mask)), from++, 8);
	return from;
}

static u64 *words_store(u64 *to, const void *from, u32 n)
{
	if (n)
		memcpy(to, from, (size_t)n * 8);
	return to + n;
}

static const u64 *words_load(const u64 *from, void *to, u32 n)
{
	if (n)
		memcpy(to, from, (size_t)n * 8);
	return from + n;
}

/* ---- packed states ---- */

#define REGS_WORDS WORDS(REGS * sizeof(struct reg))

static u32 packed_most(const struct state *s)
{
	return 1 + PACKED_MOST(WORDS(sizeof(*s))) + s->n_frames * PACKED_MOST(WORDS(sizeof(struct frame))) + PACKED_MOST(REGS_WORDS) +
	       WORDS(s->n_hist * sizeof(*s->hist)) + WORDS(s->n_refs * sizeof(*s->refs));
}

/* Room for that many words above what is packed already. */
static struct pack_block *block_for(struct verifier *v, u32 words)
{
	struct pack_block *b = v->packed;

	if (b && b->size - b->used >= words)
		return b;
	b = v->free_blocks;
	if (b && b->size >= words) {
		v->free_blocks = b->below;
	} else {
		u32 size = MAX(words, (u32)BLOCK_WORDS);

		b = arena_alloc(&v->arena, sizeof(*b) + 8 * (size_t)size);
		if (!b)
			return NULL;
		b->size = size;
	}
	b->used = 0;
	b->below = v->packed;
	return v->packed = b;
}

/* Without memory for it, it stays as it is. */
static void pending_pack(struct verifier *v, struct pending *p)
{
	struct state *s = p->st;
	struct pack_block *b = block_for(v, packed_most(s));
	u64 *to;

	if (!b)
		return;
	p->packed = to = b->words + b->used;
	to = words_pack(to, s, WORDS(sizeof(*s)));
	for (u32 i = 0; i < s->n_frames; i++)
		to = words_pack(to, s->frame[i], WORDS(sizeof(struct frame)));
	to = words_pack(to, cur_frame(s)->regs, REGS_WORDS);
	to = words_store(to, s->hist, WORDS(s->n_hist * sizeof(*s->hist)));
	to = words_store(to, s->refs, WORDS(s->n_refs * sizeof(*s->refs)));
	b->used = (u32)(to - b->words);
	state_shelve(v, s);
	p->st = NULL;
}

/* NULL: no memory. */
static struct state *pending_unpack(struct verifier *v, struct pending *p)
{
	const u64 *from = p->packed;
	struct state *s = state_new(v), own;
	struct pack_block *b = v->packed;

	if (!s)
		return NULL;
	own = *s;
	from = words_unpack(from, s, WORDS(sizeof(*s)));
	if (state_unshelve(v, s, &own))
		return NULL;
	for (u32 i = 0; i < s->n_frames; i++) {
		struct reg *regs = s->frame[i]->regs;

		from = words_unpack(from, s->frame[i], WORDS(sizeof(struct frame)));
		if (i + 1 == s->n_frames)
			s->frame[i]->regs = regs;
	}
	from = words_unpack(from, cur_frame(s)->regs, REGS_WORDS);
	from = words_load(from, s->hist, WORDS(s->n_hist * sizeof(*s->hist)));
	words_load(from, s->refs, WORDS(s->n_refs * sizeof(*s->refs)));
	b->used = (u32)(p->packed - b->words);
	if (!b->used) {
		v->packed = b->below;
		b->below = v->free_blocks;
		v->free_blocks = b;
	}
	return s;
}

/* ---- the stack ---- */

struct pending *pending_push(struct verifier *v, struct state *s, u32 insn, u32 prev_insn)
{
	struct pending *p = v->free_pending;

	if (p)
		v->free_pending = p->next;
	else
		p = arena_alloc(&v->arena, sizeof(*p));
	if (!p)
		return NULL;
	*p = (struct pending){.st = s, .insn = insn, .prev_insn = prev_insn, .log_pos = text_length(v->log), .next = v->pending};
	if (v->pending)
		v->pending->newer = p;
	v->pending = p;
	if (!v->oldest_whole)
		v->oldest_whole = p;
	if (++v->n_whole > KEPT_WHOLE) {
		struct pending *old = v->oldest_whole;

		pending_pack(v, old);
		if (!old->st) {
			v->oldest_whole = old->newer;
			v->n_whole--;
		}
	}
	v->n_pending++;
	return p;
}

struct state *pending_pop(struct verifier *v)
{
	struct pending *p = v->pending;
	struct state *s = p->st;

	if (s)
		v->n_whole--;
	else
		s = pending_unpack(v, p);
	if (v->oldest_whole == p)
		v->oldest_whole = NULL;
	v->pending = p->next;
	v->n_pending--;
	p->next = v->free_pending;
	v->free_pending = p;
	return s;
}

void pending_forget(struct verifier *v)
{
	while (v->pending) {
		struct state *s = pending_pop(v);

		if (s)
			state_free(v, s);
	}
}
