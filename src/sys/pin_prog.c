/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pinned programs: a file with the bytecode and what PROG_LOAD was told with it. Whoever opens it loads it again, through the verifier and
 * with rights of its own, so nothing in the file is believed. Maps are named by their files; one without gets a file beside the program's, with
 * the map's name behind a dot. The file:
 *
 *     struct raw_insn[], in pseudo loads of maps a number of the table below; struct bpf_func_info[]; struct bpf_line_info[]; BTF
 *     struct map_place[]: maps that instructions name or fd_array had, then those that were bound; their paths, each with its NUL
 *     struct prog_footer, in a last page of its own: what is cut short is no program
 */
#include "sys/sys.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PAGE = 4096, MOST_BTF = 16 << 20, MOST_BOUND = 1024 };
#define PROG_MAGIC   0x474b5053u /* "SPKG" */
#define PROG_VERSION 1u

struct prog_footer {
	u32 magic, version;
	u32 type, attach_type, flags, attach_btf_id;
	u32 n_insns, n_func_info, n_line_info, btf_size;
	u32 n_maps, n_bound, paths_size;
	u8 kernel[32]; /* SHA-256 of the kernel's BTF that the program is for; zeros: it is for any */
	char name[16], license[32];
};
_Static_assert(sizeof(struct prog_footer) <= PAGE, "it lies in one page");

struct map_place {
	u64 dev, ino;
};

static u64 body_size(const struct prog_footer *f)
{
	return (u64)f->n_insns * sizeof(struct raw_insn) + (u64)f->n_func_info * sizeof(struct bpf_func_info) +
	       (u64)f->n_line_info * sizeof(struct bpf_line_info) + f->btf_size + (u64)(f->n_maps + f->n_bound) * sizeof(struct map_place) + f->paths_size;
}

/* ---- which kernel it is for ---- */

static bool names_kernel_types(const struct prog *p)
{
	for (u32 i = 0; i < p->n; i++)
		if ((p->insns[i].op == OP_CALL && p->insns[i].pseudo == CALL_KFUNC) || (p->insns[i].op == OP_LD_IMM64 && p->insns[i].pseudo == PSEUDO_BTF_ID))
			return true;
	return p->relocated || p->attach_btf_id;
}

static void digest_kernel(struct skep *k, u8 out[32])
{
	const struct btf *b = kernel_btf(k);

	memset(out, 0, 32);
	if (b)
		sha256_digest(b->data, b->size, out);
}

/* ---- writing ---- */

struct writer {
	struct skep *k;
	const struct prog *p;
	int dir;
	const char *path;
	struct text body, paths;
	VEC(struct map_place) places;
	VEC(u32) beside; /* numbers of maps whose files were made for this pin */
};

static struct obj *map_at(const struct prog *p, u32 i)
{
	return i < p->n_maps ? p->map_owners[i] : p->bound[i - p->n_maps];
}

/* Of the file that a map without one gets. */
static int name_beside(const struct writer *w, u32 i, char out[PATH_MAX])
{
	const char *name = obj_map(map_at(w->p, i))->spec.name;
	char number[16];

	snprintf(number, sizeof(number), "%u", i);
	return snprintf(out, PATH_MAX, "%s.%s", w->path, *name ? name : number) < PATH_MAX ? 0 : -ENAMETOOLONG;
}

/* One that stands there although the program's file does not is left over from a former pin of that name. */
static int pin_beside(struct writer *w, u32 i)
{
	struct obj *o = map_at(w->p, i);
	char path[PATH_MAX];
	u32 *made = vec_push(&w->k->mem, &w->beside);
	int err = made ? name_beside(w, i, path) : -ENOMEM;

	err = err ? err : pin_map(w->k, o, w->dir, path);
	if (err == -EEXIST && pin_is_map(w->dir, path) && !unlinkat(w->dir, path, 0))
		err = pin_map(w->k, o, w->dir, path);
	if (!err) {
		*made = i;
		return 0;
	}
	w->beside.n -= made != NULL;
	log_line(w->k, "OBJ_PIN: map %s of the program cannot be pinned beside it: %s", obj_map(o)->spec.name, strerror(-err));
	return err;
}

static int note_place(struct writer *w, const struct map *m)
{
	struct map_place *place;
	char self[40], path[PATH_MAX];
	struct stat st, named;
	ssize_t n;

	snprintf(self, sizeof(self), "/proc/self/fd/%d", m->pin_fd);
	n = readlink(self, path, sizeof(path) - 1);
	if (n < 0) {
		log_line(w->k, "OBJ_PIN: without /proc the file of map %s has no name that the program's could keep", m->spec.name);
		return -EOPNOTSUPP;
	}
	path[n] = 0;
	if (fstat(m->pin_fd, &st) || stat(path, &named) || st.st_dev != named.st_dev || st.st_ino != named.st_ino) {
		log_line(w->k, "OBJ_PIN: the file that map %s was pinned to is gone; nobody who opens the program could find it", m->spec.name);
		return -ENOENT;
	}
	place = vec_push(&w->k->mem, &w->places);
	if (!place)
		return -ENOMEM;
	*place = (struct map_place){st.st_dev, st.st_ino};
	text_bytes(&w->paths, path, (size_t)n + 1);
	return w->paths.err;
}

static int place_maps(struct writer *w)
{
	int err = 0;

	for (u32 i = 0; i < w->p->n_maps + w->p->n_bound && !err; i++) {
		const struct map *m = obj_map(map_at(w->p, i));

		if (!pin_has_name(m->pin_fd))
			err = pin_beside(w, i);
		err = err ? err : note_place(w, m);
	}
	return err;
}

static void add_insns(struct writer *w)
{
	const struct prog *p = w->p;

	for (u32 i = 0; i < p->n; i++) {
		struct raw_insn raw = p->raw[i];
		u32 m = prog_map_named(p, i);

		if (m < p->n_maps)
			raw.imm = (s32)m;
		text_bytes(&w->body, &raw, sizeof(raw));
	}
}

static int write_file(struct writer *w, int fd)
{
	const struct prog *p = w->p;
	struct prog_footer f = {
		.magic = PROG_MAGIC, .version = PROG_VERSION, .type = p->type, .attach_type = p->attach_type, .flags = p->flags,
		.attach_btf_id = p->attach_btf_id, .n_insns = p->n, .n_func_info = p->n_func_info, .n_line_info = p->n_line_info,
		.btf_size = p->btf ? p->btf->size : 0, .n_maps = p->n_maps, .n_bound = p->n_bound,
	};
	u8 last[PAGE] = {0};
	int err = place_maps(w);

	if (err)
		return err;
	f.paths_size = (u32)w->paths.len;
	memcpy(f.name, p->name, sizeof(f.name));
	memcpy(f.license, p->license, sizeof(f.license));
	if (names_kernel_types(p))
		digest_kernel(w->k, f.kernel);
	add_insns(w);
	text_bytes(&w->body, p->func_info, p->n_func_info * sizeof(struct bpf_func_info));
	text_bytes(&w->body, p->line_info, p->n_line_info * sizeof(struct bpf_line_info));
	text_bytes(&w->body, f.btf_size ? p->btf->data : NULL, f.btf_size);
	text_bytes(&w->body, w->places.at, w->places.n * sizeof(*w->places.at));
	text_bytes(&w->body, w->paths.at, w->paths.len);
	if (w->body.err)
		return w->body.err;
	memcpy(last, &f, sizeof(f));
	err = os_size_check(ALIGN_UP(w->body.len, (u64)PAGE) + PAGE);
	err = err ? err : os_write_at(fd, w->body.at, w->body.len, 0);
	return err ? err : os_write_at(fd, last, sizeof(last), ALIGN_UP(w->body.len, (u64)PAGE));
}

static int can_be_pinned(struct skep *k, const struct prog *p)
{
	const char *why = p->target_owner ? "attaches to a program" : p->attach_btf_owner || p->n_btfs ? "names types of a kernel's module" :
			  p->n_bound > MOST_BOUND ? "has too many maps bound to it" : NULL;

	if (why)
		log_line(k, "OBJ_PIN: program %s %s, which a file cannot say", prog_name(p), why);
	return why ? -EOPNOTSUPP : 0;
}

int pin_prog(struct skep *k, struct obj *o, int dir, const char *path)
{
	struct prog *p = o->body;
	struct writer w = {.k = k, .p = p, .dir = dir, .path = path};
	int err = can_be_pinned(k, p), fd;

	if (err)
		return err;
	fd = openat(dir, path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	text_open(&w.body, &k->mem);
	text_open(&w.paths, &k->mem);
	err = write_file(&w, fd);
	if (err) {
		char beside[PATH_MAX];

		vec_each (i, &w.beside)
			if (!name_beside(&w, *i, beside))
				unlinkat(dir, beside, 0);
		unlinkat(dir, path, 0);
		close(fd);
	} else {
		if (p->pin_fd > 0) /* it has no name any more */
			close(p->pin_fd);
		p->pin_fd = fd;
	}
	text_close(&w.body);
	text_close(&w.paths);
	vec_free(&k->mem, &w.places);
	vec_free(&k->mem, &w.beside);
	return err;
}

/* ---- reading ---- */

static bool read_footer(int fd, struct prog_footer *f)
{
	struct stat st;

	return !fstat(fd, &st) && st.st_size >= PAGE && st.st_size % PAGE == 0 &&
	       pread(fd, f, sizeof(*f), st.st_size - PAGE) == (ssize_t)sizeof(*f) && f->magic == PROG_MAGIC && f->version == PROG_VERSION &&
	       f->n_insns <= PROG_MAX_INSNS && f->n_func_info <= f->n_insns && f->n_line_info <= f->n_insns && f->btf_size <= MOST_BTF &&
	       f->n_maps <= PROG_MAX_MAPS && f->n_bound <= MOST_BOUND && f->paths_size <= (f->n_maps + f->n_bound) * PATH_MAX &&
	       memchr(f->name, 0, sizeof(f->name)) && memchr(f->license, 0, sizeof(f->license)) &&
	       ALIGN_UP(body_size(f), (u64)PAGE) + PAGE == (u64)st.st_size;
}

bool pin_is_prog(int fd)
{
	struct prog_footer f;

	return read_footer(fd, &f);
}

/* A file's program on its way into an engine: what was opened for it is closed again when it is loaded. */
struct reader {
	struct skep *k;
	struct prog_footer f;
	u8 *body;
	s32 *maps; /* descriptors: n_maps, then n_bound */
	u32 n_open;
	int btf;
};

static int open_map_at(struct reader *r, const char *path, const struct map_place *place)
{
	struct obj *o = NULL;
	struct stat st;
	int fd = open(path, O_RDWR | O_CLOEXEC), err;

	if (fd < 0 || fstat(fd, &st) || st.st_dev != place->dev || st.st_ino != place->ino)
		err = fd < 0 ? -errno : -ENOENT;
	else
		err = pin_is_prog(fd) ? -EINVAL : pin_open(r->k, fd, &o);
	if (err)
		log_line(r->k, "OBJ_GET: the program's map %s is not there, or not the one that it had: %s", path, strerror(-err));
	if (fd >= 0)
		close(fd);
	if (err)
		return err;
	fd = obj_fd(o, 0);
	obj_put(o);
	return fd;
}

static int open_maps(struct reader *r, const u8 *places, const char *paths)
{
	const char *end = paths + r->f.paths_size;
	u32 n = r->f.n_maps + r->f.n_bound;

	for (u32 i = 0; i < n; i++) {
		const struct map_place place = LOAD_AS(struct map_place, places + i * sizeof(place));
		const char *nul = memchr(paths, 0, (size_t)(end - paths));

		if (!nul)
			return -EINVAL;
		r->maps[i] = open_map_at(r, paths, &place);
		if (r->maps[i] < 0)
			return r->maps[i];
		r->n_open++;
		paths = nul + 1;
	}
	return 0;
}

static int load_btf(struct reader *r, const u8 *bytes)
{
	struct attr_btf_load a = {.btf = (u64)(uintptr_t)bytes, .btf_size = r->f.btf_size};
	struct sys_call c = {.k = r->k, .attr = &a, .size = sizeof(a), .name = "OBJ_GET"};

	if (!a.btf_size)
		return 0;
	r->btf = sys_btf_load(&c);
	return MIN(r->btf, 0);
}

/* Numbers of maps become descriptors, but where a place in fd_array was meant. */
static int name_maps(const struct reader *r, struct raw_insn *raw)
{
	for (u32 i = 0; i < r->f.n_insns; i++) {
		u32 pseudo = raw[i].regs >> 4;

		if (raw[i].code != (BPF_LD | BPF_IMM | BPF_DW))
			continue;
		if (pseudo == BPF_PSEUDO_MAP_FD || pseudo == BPF_PSEUDO_MAP_VALUE || pseudo == BPF_PSEUDO_MAP_IDX || pseudo == BPF_PSEUDO_MAP_IDX_VALUE) {
			if ((u32)raw[i].imm >= r->f.n_maps)
				return -EINVAL;
			if (pseudo == BPF_PSEUDO_MAP_FD || pseudo == BPF_PSEUDO_MAP_VALUE)
				raw[i].imm = r->maps[raw[i].imm];
		}
		i++; /* its second half */
	}
	return 0;
}

static int bind_maps(struct reader *r, int prog)
{
	int err = 0;

	for (u32 i = r->f.n_maps; i < r->n_open && !err; i++) {
		struct attr_bind_map a = {.prog_fd = (u32)prog, .map_fd = (u32)r->maps[i]};
		struct sys_call c = {.k = r->k, .attr = &a, .size = sizeof(a), .name = "OBJ_GET"};

		err = sys_prog_bind_map(&c);
	}
	return err;
}

static int load(struct reader *r)
{
	const struct prog_footer *f = &r->f;
	struct attr_prog_load a = {
		.prog_type = f->type, .expected_attach_type = f->attach_type, .prog_flags = f->flags, .attach_btf_id = f->attach_btf_id, .insn_cnt = f->n_insns,
		.insns = (u64)(uintptr_t)r->body, .license = (u64)(uintptr_t)f->license, .prog_btf_fd = (u32)r->btf,
		.func_info_rec_size = sizeof(struct bpf_func_info), .func_info_cnt = f->n_func_info,
		.line_info_rec_size = sizeof(struct bpf_line_info), .line_info_cnt = f->n_line_info,
		.fd_array = (u64)(uintptr_t)r->maps, .fd_array_cnt = f->n_maps,
	};
	struct sys_call c = {.k = r->k, .attr = &a, .size = sizeof(a), .name = "OBJ_GET"};
	const u8 *at = r->body + f->n_insns * sizeof(struct raw_insn);
	int err;

	a.func_info = (u64)(uintptr_t)at;
	at += f->n_func_info * sizeof(struct bpf_func_info);
	a.line_info = (u64)(uintptr_t)at;
	at += f->n_line_info * sizeof(struct bpf_line_info);
	memcpy(a.prog_name, f->name, sizeof(a.prog_name));
	err = load_btf(r, at);
	a.prog_btf_fd = (u32)r->btf;
	at += f->btf_size;
	err = err ? err : open_maps(r, at, (const char *)at + (f->n_maps + f->n_bound) * sizeof(struct map_place));
	err = err ? err : name_maps(r, (struct raw_insn *)(void *)r->body);
	return err ? err : sys_prog_load(&c);
}

static int check_kernel(struct reader *r)
{
	static const u8 any[32];
	u8 here[32];

	if (!memcmp(r->f.kernel, any, sizeof(any)))
		return 0;
	digest_kernel(r->k, here);
	if (!memcmp(r->f.kernel, here, sizeof(here)))
		return 0;
	log_line(r->k, "OBJ_GET: the program was loaded for the types of another kernel; load it from its object");
	return -ESTALE;
}

static int read_prog(struct reader *r, int fd)
{
	u64 size = body_size(&r->f);
	int err = check_kernel(r);

	if (err)
		return err;
	r->body = mem_alloc(&r->k->mem, size + 1);
	r->maps = mem_array(&r->k->mem, r->f.n_maps + r->f.n_bound + 1, sizeof(*r->maps));
	if (!r->body || !r->maps)
		return -ENOMEM;
	return pread(fd, r->body, size, 0) == (ssize_t)size ? load(r) : -EINVAL;
}

int pin_prog_open(struct skep *k, int fd, struct obj **out)
{
	struct reader r = {.k = k};
	int prog = read_footer(fd, &r.f) ? read_prog(&r, fd) : -EINVAL, err = MIN(prog, 0);

	if (!err)
		err = bind_maps(&r, prog);
	if (!err)
		err = obj_by_fd(k, prog, OBJ_PROG, 0, out);
	if (!err)
		((struct prog *)(*out)->body)->pin_fd = MAX(fcntl(fd, F_DUPFD_CLOEXEC, 3), 0);
	if (prog >= 0)
		close(prog);
	for (u32 i = 0; i < r.n_open; i++)
		close(r.maps[i]);
	if (r.btf > 0)
		close(r.btf);
	mem_free(&k->mem, r.maps, (r.f.n_maps + r.f.n_bound + 1) * sizeof(*r.maps));
	mem_free(&k->mem, r.body, body_size(&r.f) + 1);
	return err;
}
