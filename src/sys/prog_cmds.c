/* SPDX-License-Identifier: BSD-2-Clause */
/* bpf(2) on programs, BTF and ids: test runs, binding, loading types, walking ids, statistics. PROG_LOAD is engine/load.c. */
#include "abi/uapi.h"
#include "sys/sys.h"

#include <linux/bpf.h>

#define PTR(x) ((void *)(uintptr_t)(x))

int sys_prog_test_run(struct sys_call *c)
{
	struct attr_test_run *a = c->attr;
	struct obj *o;
	int err;

	if (!a->ctx_size_in != !a->ctx_in || !a->ctx_size_out != !a->ctx_out)
		return -EINVAL;
	err = obj_by_fd(c->k, (int)a->prog_fd, OBJ_PROG, 0, &o);
	if (err)
		return err;
	err = hook_test_run(c->k, o->body, a, c->told);
	obj_put(o);
	return err;
}

static bool has_map(const struct prog *p, const struct obj *map)
{
	for (u32 i = 0; i < p->n_maps; i++)
		if (p->map_owners[i] == map)
			return true;
	for (u32 i = 0; i < p->n_bound; i++)
		if (p->bound[i] == map)
			return true;
	return false;
}

int sys_prog_bind_map(struct sys_call *c)
{
	const struct attr_bind_map *a = c->attr;
	struct obj *prog, *map;
	struct obj **grown;
	struct prog *p;
	int err = a->flags ? -EINVAL : obj_by_fd(c->k, (int)a->prog_fd, OBJ_PROG, 0, &prog);

	if (err)
		return err;
	err = obj_by_fd(c->k, (int)a->map_fd, OBJ_MAP, 0, &map);
	if (err) {
		obj_put(prog);
		return err;
	}
	p = prog->body;
	plain_lock_take(&c->k->lock);
	if (has_map(p, map)) {
		plain_lock_drop(&c->k->lock);
		obj_put(map);
		obj_put(prog);
		return 0;
	}
	grown = mem_resize(&c->k->mem, p->bound, p->n_bound * sizeof(*grown), (p->n_bound + 1) * sizeof(*grown));
	if (grown) {
		p->bound = grown;
		p->bound[p->n_bound++] = map;
	}
	plain_lock_drop(&c->k->lock);
	obj_put(prog);
	if (!grown)
		obj_put(map);
	return grown ? 0 : -ENOMEM;
}

int sys_enable_stats(struct sys_call *c)
{
	const struct attr_enable_stats *a = c->attr;

	if (a->type != BPF_STATS_RUN_TIME)
		return -EINVAL;
	log_line(c->k, "ENABLE_STATS: run statistics stay on until the engine ends");
	atomic_store(&c->k->stats_users, 1);
	return os_memfd("bpf-stats", 0, 0);
}

/* ---- BTF ---- */

int sys_btf_load(struct sys_call *c)
{
	enum { MOST = 16 << 20 };
	struct attr_btf_load *a = c->attr;
	struct user_log log;
	struct btf_obj *b;
	struct obj *o = NULL;
	int err, fd;

	if (a->btf_flags & ~(u32)UAPI_F_TOKEN_FD)
		return -EINVAL;
	if (a->btf_flags & UAPI_F_TOKEN_FD)
		return token_refused(c->k, c->name, a->btf_token_fd);
	if (a->btf_size > MOST)
		return -E2BIG;
	user_log_open(&log, &c->k->mem, a->btf_log_level, a->btf_log_buf, a->btf_log_size);
	err = user_log_begin(&log);
	if (err)
		return err;
	if (!a->btf && a->btf_size)
		return -EFAULT;
	b = mem_alloc(&c->k->mem, sizeof(*b));
	if (!b)
		return -ENOMEM;
	err = btf_parse(&b->btf, &c->k->mem, PTR(a->btf), a->btf_size, log.level, &log.text);
	if (!err) {
		const struct btf_kernel kernel = kernel_btf_source(c->k);

		err = btf_metas_parse(&b->btf, &kernel);
		if (err)
			btf_free(&b->btf);
	}
	if (err) {
		user_log_say(&log, c->k, "BTF_LOAD", err);
		mem_free(&c->k->mem, b, sizeof(*b));
	} else {
		o = obj_new(c->k, OBJ_BTF, b);
		if (!o) {
			btf_free(&b->btf);
			mem_free(&c->k->mem, b, sizeof(*b));
			err = -ENOMEM;
		}
	}
	err = user_log_close(&log, err);
	a->btf_log_true_size = log.true_size;
	if (err) {
		obj_put(o);
		return err;
	}
	fd = obj_fd(o, 0);
	obj_put(o);
	return fd;
}

/* ---- ids ---- */

static int next_id(struct sys_call *c, enum obj_type type)
{
	struct attr_get_id *a = c->attr;

	objects_ask(c->k, true);
	if (type == OBJ_BTF)
		kernel_modules(c->k); /* they and the kernel's are among them */
	return a->id >= INT32_MAX ? -EINVAL : obj_next_id(c->k, type, a->id, &a->next_id);
}

static int fd_by_id(struct sys_call *c, enum obj_type type)
{
	enum { ACCESS = BPF_F_RDONLY | BPF_F_WRONLY };
	const struct attr_get_id *a = c->attr;
	u32 known = type == OBJ_MAP ? ACCESS : type == OBJ_BTF ? UAPI_F_TOKEN_FD : 0;
	struct obj *o;
	int fd;

	if (a->open_flags & ~known || (a->open_flags & ACCESS) == ACCESS)
		return -EINVAL;
	if (a->open_flags & UAPI_F_TOKEN_FD)
		return token_refused(c->k, c->name, a->fd_by_id_token_fd);
	objects_ask(c->k, true);
	o = obj_by_id(c->k, type, a->id);
	if (!o)
		return -ENOENT;
	fd = obj_fd(o, a->open_flags);
	obj_put(o);
	return fd;
}

#define ID_COMMANDS(name, type)                                                                                  \
	int sys_##name##_next_id(struct sys_call *c)                                                             \
	{                                                                                                        \
		return next_id(c, type);                                                                         \
	}                                                                                                        \
	int sys_##name##_by_id(struct sys_call *c)                                                               \
	{                                                                                                        \
		return fd_by_id(c, type);                                                                        \
	}
ID_COMMANDS(prog, OBJ_PROG)
ID_COMMANDS(map, OBJ_MAP)
ID_COMMANDS(btf, OBJ_BTF)
ID_COMMANDS(link, OBJ_LINK)
