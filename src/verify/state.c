/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * States, frames, references: made, copied, given back. States, frames and chunks of stack go to free lists, so that most copies allocate nothing.
 *
 * A copied frame shares its stack with the old one, in chunks of a few slots; the first to change a slot takes a chunk of its own. So that a change
 * cannot fail, a copy reserves as many chunks as the two states may still take. Registers of callers are shared and reserved likewise.
 */
#include "verify/state.h"

/* ---- what frames share: chunks of stack, registers ---- */

/* As many free ones as can be asked for until the next reservation. */
static inline int parts_reserve(struct verifier *v, struct parts *p, u32 n, size_t size)
{
	while (p->n < n) {
		struct part *part = arena_alloc(&v->arena, size);

		if (!part)
			return -ENOMEM;
		part->next = p->free;
		p->free = part;
		p->n++;
	}
	return 0;
}

/* Never fails: whoever made or shared parts reserved one for each. */
static inline void *part_take(struct parts *p)
{
	struct part *part = p->free;

	p->free = part->next;
	p->n--;
	part->sharers = 0;
	return part;
}

static inline void part_drop(struct parts *p, struct part *part)
{
	if (part->sharers) {
		part->sharers--;
		return;
	}
	part->next = p->free;
	p->free = part;
	p->n++;
}

/* A copy for one of those that share it. */
static inline void *part_copy(struct parts *p, struct part *part, size_t size)
{
	struct part *own = part_take(p);

	part->sharers--;
	memcpy(own + 1, part + 1, size - sizeof(*part));
	return own;
}

/* ---- chunks of stack ---- */

static u32 chunks_of(const struct frame *f)
{
	return (f->n_slots + CHUNK_SLOTS - 1) / CHUNK_SLOTS;
}

static u32 chunks_in(const struct state *s)
{
	u32 n = 0;

	for (u32 i = 0; i < s->n_frames; i++)
		n += chunks_of(s->frame[i]);
	return n;
}

static int chunks_reserve(struct verifier *v, u32 n)
{
	return parts_reserve(v, &v->chunks, n, sizeof(struct stack_chunk));
}

struct stack_slot *stack_edit(struct verifier *v, struct frame *f, u32 slot)
{
	struct stack_chunk **at = &f->chunk[slot / CHUNK_SLOTS];

	if ((*at)->part.sharers)
		*at = part_copy(&v->chunks, &(*at)->part, sizeof(**at));
	return &(*at)->slot[slot % CHUNK_SLOTS];
}

int stack_grow(struct verifier *v, struct frame *f, u32 slots)
{
	struct subprog_info *sub = &v->subs[f->subprog];
	u32 had = chunks_of(f), more = (slots + CHUNK_SLOTS - 1) / CHUNK_SLOTS;

	if (slots <= f->n_slots)
		return 0;
	if (more > had && chunks_reserve(v, 2 * chunks_in(v->cur) + more - had))
		return -ENOMEM;
	for (u32 i = had; i < more; i++)
		f->chunk[i] = part_take(&v->chunks);
	for (u32 i = f->n_slots; i < slots; i++) {
		struct stack_slot *s = stack_edit(v, f, i);

		memset(s->kind, S_NONE, SLOT_BYTES);
		reg_set_none(&s->reg);
	}
	f->n_slots = slots;
	if (sub->stack_depth < slots * SLOT_BYTES)
		sub->stack_depth = slots * SLOT_BYTES;
	return 0;
}

void stack_clear(struct verifier *v, u32 frame, u32 slot)
{
	struct stack_slot *s = stack_edit(v, v->cur->frame[frame], slot);

	memset(s->kind, S_NONE, SLOT_BYTES);
	reg_set_none(&s->reg);
	v->scratched_slots |= 1ull << slot;
	stack_note_write(v, frame, slot);
}

/* ---- frames ---- */

static int files_reserve(struct verifier *v, u32 n)
{
	return parts_reserve(v, &v->files, n, sizeof(struct reg_file));
}

static struct reg_file *file_of(const struct frame *f)
{
	return (struct reg_file *)(void *)((u8 *)f->regs - offsetof(struct reg_file, regs));
}

struct reg *regs_edit(struct verifier *v, struct frame *f)
{
	struct reg_file *file = file_of(f);

	if (file->part.sharers) {
		file = part_copy(&v->files, &file->part, sizeof(*file));
		f->regs = file->regs;
	}
	return f->regs;
}

/* Two states may take the registers of their callers for themselves before others are copied. */
static struct frame *frame_make(struct verifier *v)
{
	struct frame *f = v->free_frames;

	if (!f)
		return arena_alloc(&v->arena, sizeof(*f));
	v->free_frames = (struct frame *)(void *)f->regs;
	return f;
}

struct frame *frame_new(struct verifier *v, u32 callers)
{
	struct frame *f = files_reserve(v, 2 * callers + 1) ? NULL : frame_make(v);

	if (f)
		f->regs = ((struct reg_file *)part_take(&v->files))->regs;
	return f;
}

static void frame_give(struct verifier *v, struct frame *f)
{
	f->n_slots = 0;
	f->regs = (struct reg *)(void *)v->free_frames;
	v->free_frames = f;
}

static void frame_free(struct verifier *v, struct frame *f)
{
	for (u32 i = 0; i < chunks_of(f); i++)
		part_drop(&v->chunks, &f->chunk[i]->part);
	if (f->regs) {
		part_drop(&v->files, &file_of(f)->part);
	} else {
		f->kept->next = v->free_kept[f->kept->words];
		v->free_kept[f->kept->words] = f->kept;
	}
	frame_give(v, f);
}

/* The plain one that it is, or PLAIN_KINDS. Those without a value, and R10, are always plain. */
static u32 plain_kind(const struct reg *r, u32 regno)
{
	u32 kind = r->type == R_NONE ? PLAIN_NONE : regno == REG_FP ? PLAIN_FRAME + r->frame : PLAIN_KINDS;

	if (r->type == R_SCALAR && r->v.bits.mask == UINT64_MAX && !memcmp(r, &plain_regs[PLAIN_UNKNOWN], sizeof(*r)))
		kind = PLAIN_UNKNOWN;
	return kind;
}

/* Of all that reg_identical() compares. */
static u64 reg_digest(const struct reg *r)
{
	const struct scalar *n = &r->v;
	u64 sum = ((u64)r->type << 32 | (u32)r->off) * 0x9e3779b97f4a7c15u + ((u64)(r->type == R_SCALAR ? r->delta : 0) << 32 | r->id) * 0xc2b2ae3d27d4eb4fu;

	sum += (r->raw[0] + 0x165667b19e3779f9u) * (r->raw[1] * 2 + 0x27d4eb2f165667c5u);
	sum += (n->bits.value + 0x85ebca77c2b2ae63u) * (n->bits.mask * 2 + 0x9fb21c651e98df25u);
	sum += (n->umin + 0xd6e8feb86659fd93u) * (n->umax * 2 + 0xa0761d6478bd642fu);
	sum += ((u64)n->smin + 0xe7037ed1a0b428dbu) * ((u64)n->smax * 2 + 0x8ebc6af09c88c6e3u);
	sum += ((u64)n->umin32 << 32 | n->umax32) * 0x589965cc75374cc3u + ((u64)(u32)n->smin32 << 32 | (u32)n->smax32) * 0x1d8e4e27c47d124fu;
	return sum ^ sum >> 32;
}

static struct kept_regs *regs_keep(struct verifier *v, const struct reg *regs, u32 keep)
{
	struct kept_regs *k;
	u8 at[REGS], n = 0, digests = 0;
	u32 words;
	u64 *digest;

	for (u32 i = 0; i < REGS; i++) {
		u32 kind = plain_kind(&regs[i], i);

		at[i] = kind < PLAIN_KINDS ? (u8)(KEPT_PLAIN + kind) : keep >> i & 1 ? n++ : (u8)(KEPT_DIGEST + digests++);
	}
	words = n * (u32)REG_WORDS + digests;
	k = v->free_kept[words];
	if (k)
		v->free_kept[words] = k->next;
	else
		k = arena_alloc(&v->arena, sizeof(*k) + words * sizeof(u64));
	if (!k)
		return NULL;
	memcpy(k->at, at, sizeof(at));
	k->n = n;
	k->words = (u8)words;
	digest = (u64 *)(void *)&k->reg[n];
	for (u32 i = 0; i < REGS; i++) {
		if (at[i] < KEPT_PLAIN)
			k->reg[at[i]] = regs[i];
		else if (at[i] >= KEPT_DIGEST)
			digest[at[i] - KEPT_DIGEST] = reg_digest(&regs[i]);
	}
	return k;
}

bool reg_identical(const struct frame *f, u32 i, const struct reg *r)
{
	const struct reg *a;

	if (!f->regs && f->kept->at[i] >= KEPT_DIGEST)
		return ((const u64 *)(const void *)&f->kept->reg[f->kept->n])[f->kept->at[i] - KEPT_DIGEST] == reg_digest(r);
	a = reg_at(f, i);
	return a->id == r->id && reg_same(a, r);
}

/* callers: how many frames are below, whose registers the state shares; the last one's are its own. keep: as in state_copy(). */
static struct frame *frame_copy(struct verifier *v, const struct frame *from, u32 callers, bool last, s32 keep)
{
	struct frame *to = last && keep == WHOLE ? frame_new(v, callers) : frame_make(v);
	u32 n = chunks_of(from);

	if (!to)
		return NULL;
	memcpy(to, from, offsetof(struct frame, regs));
	if (last && keep != WHOLE) {
		to->regs = NULL;
		to->kept = regs_keep(v, from->regs, (u32)keep);
		if (!to->kept)
			return NULL;
	} else if (last) {
		memcpy(to->regs, from->regs, sizeof(file_of(from)->regs));
	} else {
		to->regs = from->regs;
		file_of(from)->part.sharers++;
	}
	memcpy(to->chunk, from->chunk, n * sizeof(from->chunk[0]));
	for (u32 i = 0; i < n; i++)
		from->chunk[i]->part.sharers++;
	return to;
}

void frame_pop(struct verifier *v, struct state *s)
{
	frame_free(v, s->frame[--s->n_frames]);
	if (s->n_frames)
		regs_edit(v, cur_frame(s));
}

/* ---- states ---- */

struct state *state_new(struct verifier *v)
{
	struct state *s = v->free_states;
	struct state kept;

	if (!s)
		return arena_alloc(&v->arena, sizeof(*s));
	v->free_states = s->next;
	kept = *s;
	memset(s, 0, sizeof(*s));
	s->refs = kept.refs;
	s->cap_refs = kept.cap_refs;
	s->hist = kept.hist;
	s->cap_hist = kept.cap_hist;
	return s;
}

u32 scalars_in_regs(const struct state *s, u32 frame, u32 regs)
{
	if (s->bare)
		return regs & s->scalar_regs[frame];
	for (u32 m = regs; m; m &= m - 1)
		if (reg_at(s->frame[frame], (u32)__builtin_ctz(m))->type != R_SCALAR)
			regs &= ~(m & -m);
	return regs;
}

u64 scalars_in_slots(const struct state *s, u32 frame, u64 slots)
{
	u32 n;

	if (s->bare)
		return slots & s->scalar_slots[frame];
	n = s->frame[frame]->n_slots;
	slots &= n == STACK_SLOTS ? UINT64_MAX : (1ull << n) - 1;
	for (u64 m = slots; m; m &= m - 1)
		if (!stack_is_scalar(stack_at(s->frame[frame], (u32)__builtin_ctzll(m))))
			slots &= ~(m & -m);
	return slots;
}

void state_strip(struct verifier *v, struct state *s)
{
	for (u32 i = 0; i < s->n_frames; i++) {
		struct frame *f = s->frame[i];
		u64 slots = scalars_in_slots(s, i, UINT64_MAX);

		s->scalar_regs[i] = (u16)scalars_in_regs(s, i, (1u << REGS) - 1);
		frame_free(v, f);
		s->scalar_slots[i] = slots;
	}
	s->bare = true;
}

void state_free(struct verifier *v, struct state *s)
{
	for (u32 i = 0; i < s->n_frames && !s->bare; i++)
		if (s->frame[i])
			frame_free(v, s->frame[i]);
	s->n_frames = 0;
	s->next = v->free_states;
	v->free_states = s;
}

/* Room for n elements of an array that belongs to a state; old elements stay. What grows gets more than it asks for, a copy does not. */
static void *reserve(struct verifier *v, void *at, u32 used, u32 *cap, u32 n, size_t each)
{
	void *more;
	u32 room = *cap;

	if (n <= room)
		return at;
	room = used ? MAX(n, 2 * room) : n;
	more = arena_array(&v->arena, room, each);
	if (!more)
		return NULL;
	if (used)
		memcpy(more, at, used * each);
	*cap = room;
	return more;
}

static int refs_reserve(struct verifier *v, struct state *s, u32 n)
{
	struct ref *refs = n ? reserve(v, s->refs, s->n_refs, &s->cap_refs, n, sizeof(*refs)) : s->refs;

	if (n && !refs)
		return -ENOMEM;
	s->refs = refs;
	return 0;
}

int hist_reserve(struct verifier *v, struct state *s, u32 n)
{
	struct history *hist = n ? reserve(v, s->hist, s->n_hist, &s->cap_hist, n, sizeof(*hist)) : s->hist;

	if (n && !hist)
		return -ENOMEM;
	s->hist = hist;
	return 0;
}

struct state *back_edge_new(struct verifier *v, const struct state *from)
{
	struct state *s = v->free_back_edges;
	struct history *hist;
	u32 cap;

	if (s)
		v->free_back_edges = s->next;
	else
		s = arena_alloc(&v->arena, offsetof(struct state, frame));
	if (!s || hist_reserve(v, s, from->n_hist))
		return NULL;
	hist = s->hist;
	cap = s->cap_hist;
	memcpy(s, from, offsetof(struct state, frame));
	s->hist = hist;
	s->cap_hist = cap;
	if (from->n_hist)
		memcpy(s->hist, from->hist, from->n_hist * sizeof(*s->hist));
	return s;
}

void back_edge_free(struct verifier *v, struct state *s)
{
	s->n_hist = 0;
	s->next = v->free_back_edges;
	v->free_back_edges = s;
}

/* All but the frames. */
static int path_copy(struct verifier *v, struct state *to, const struct state *from)
{
	struct ref *refs;
	struct history *hist;
	u32 cap_refs, cap_hist;

	if (refs_reserve(v, to, from->n_refs) || hist_reserve(v, to, from->n_hist))
		return -ENOMEM;
	refs = to->refs;
	cap_refs = to->cap_refs;
	hist = to->hist;
	cap_hist = to->cap_hist;
	*to = *from;
	to->refs = refs;
	to->cap_refs = cap_refs;
	to->hist = hist;
	to->cap_hist = cap_hist;
	if (from->n_refs)
		memcpy(to->refs, from->refs, from->n_refs * sizeof(*to->refs));
	if (from->n_hist)
		memcpy(to->hist, from->hist, from->n_hist * sizeof(*to->hist));
	memset(to->frame, 0, sizeof(to->frame));
	return 0;
}

int state_copy(struct verifier *v, struct state *to, const struct state *from, s32 keep)
{
	if (chunks_reserve(v, 2 * chunks_in(from)) || path_copy(v, to, from))
		return -ENOMEM;
	for (to->n_frames = 0; to->n_frames < from->n_frames; to->n_frames++) {
		to->frame[to->n_frames] = frame_copy(v, from->frame[to->n_frames], to->n_frames, to->n_frames + 1 == from->n_frames, keep);
		if (!to->frame[to->n_frames])
			return -ENOMEM;
	}
	return 0;
}

void state_shelve(struct verifier *v, struct state *s)
{
	for (u32 i = 0; i < s->n_frames; i++) {
		if (i + 1 == s->n_frames)
			part_drop(&v->files, &file_of(s->frame[i])->part);
		frame_give(v, s->frame[i]);
	}
	s->n_frames = 0;
	s->next = v->free_states;
	v->free_states = s;
}

int state_unshelve(struct verifier *v, struct state *s, const struct state *own)
{
	u32 n_frames = s->n_frames, n_hist = s->n_hist, n_refs = s->n_refs;

	s->refs = own->refs;
	s->cap_refs = own->cap_refs;
	s->hist = own->hist;
	s->cap_hist = own->cap_hist;
	s->n_frames = s->n_hist = s->n_refs = 0;
	if (refs_reserve(v, s, n_refs) || hist_reserve(v, s, n_hist))
		return -ENOMEM;
	for (u32 i = 0; i < n_frames; i++) {
		s->frame[i] = i + 1 == n_frames ? frame_new(v, i) : frame_make(v);
		if (!s->frame[i])
			return -ENOMEM;
	}
	s->n_frames = n_frames;
	s->n_hist = n_hist;
	s->n_refs = n_refs;
	return 0;
}

/* A state that was put away becomes the current one: what it shares may change now. NULL: there was no memory for it. */
int state_resume(struct verifier *v, struct state *s)
{
	if (!s || chunks_reserve(v, chunks_in(s)) || files_reserve(v, s->n_frames))
		return reject(v, REJECT_MEMORY, "out of memory");
	state_free(v, v->cur);
	v->cur = s;
	return 0;
}

struct state *push_branch(struct verifier *v, u32 insn, u32 prev_insn, bool speculative)
{
	struct state *s = state_new(v);

	if (!s || state_copy(v, s, v->cur, WHOLE) || !pending_push(v, s, insn, prev_insn)) {
		reject(v, REJECT_MEMORY, "out of memory");
		return NULL;
	}
	s->speculative |= speculative;
	if (s->parent)
		s->parent->branches++;
	if (v->n_pending > v->max_jumps) {
		reject(v, REJECT_TOO_MANY_JUMPS, "The sequence of %u jumps is too complex.", v->n_pending);
		reject_measured(v, (s64)v->max_jumps, v->n_pending);
		return NULL;
	}
	return s;
}

/* ---- references ---- */

int ref_acquire_kind(struct verifier *v, enum ref_kind kind, u32 insn, u32 id, const void *ptr)
{
	struct state *s = v->cur;

	if (refs_reserve(v, s, s->n_refs + 1))
		return reject(v, REJECT_MEMORY, "out of memory");
	s->refs[s->n_refs++] = (struct ref){.kind = kind, .id = id, .insn = insn, .ptr = ptr};
	return (int)id;
}

int ref_acquire(struct verifier *v, u32 insn)
{
	return ref_acquire_kind(v, REF_PTR, insn, new_id(v), NULL);
}

struct ref *ref_find(const struct state *s, u32 id)
{
	for (u32 i = 0; i < s->n_refs; i++)
		if (s->refs[i].kind == REF_PTR && s->refs[i].id == id)
			return &s->refs[i];
	return NULL;
}

int ref_drop(struct state *s, u32 id, enum ref_kind kind, const void *ptr)
{
	for (u32 i = 0; i < s->n_refs; i++) {
		struct ref *r = &s->refs[i];

		if (r->kind != kind || r->id != id || r->ptr != ptr)
			continue;
		memmove(r, r + 1, (s->n_refs - i - 1) * sizeof(*r));
		s->n_refs--;
		return 0;
	}
	return -EINVAL;
}

static void forget_if(struct verifier *v, struct reg *r, void *ud)
{
	if (r->ref == *(u32 *)ud)
		reg_invalidate(v, r);
}

int ref_release(struct verifier *v, u32 id)
{
	int err = ref_drop(v->cur, id, REF_PTR, NULL);

	if (!err)
		each_reg(v, v->cur, forget_if, &id);
	return err;
}
