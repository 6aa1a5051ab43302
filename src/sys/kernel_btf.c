/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's types: the file that skep_options.kernel_btf names, or the engine's own, become a BTF object
 * "vmlinux" when they are first needed, and stay one. Where it names a folder, the other files in it become
 * objects of modules, split from that one, when somebody asks for more than the kernel.
 */
#include "sys/sys.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* base: NULL, or of what the file's types are split. */
static struct obj *open_types(struct skep *k, const char *file, const char *name, const struct btf *base)
{
	struct btf_obj *b = mem_alloc(&k->mem, sizeof(*b));
	struct obj *o = NULL;
	int err;

	if (!b)
		return NULL;
	err = file ? btf_open_file(&b->btf, &k->mem, file, base)
		   : btf_open_bytes(&b->btf, &k->mem, kernel_btf_bytes, kernel_btf_size);
	if (err)
		log_line(k, "kernel types: %s: %s", file ? file : "the engine's own", strerror(-err));
	if (!err) {
		snprintf(b->name, sizeof(b->name), "%s", name);
		o = obj_new(k, OBJ_BTF, b);
		if (!o)
			btf_free(&b->btf);
	}
	if (!o)
		mem_free(&k->mem, b, sizeof(*b));
	return o;
}

static struct obj *kernel_object(struct skep *k)
{
	struct obj *o = atomic_load(&k->kernel_btf);

	if (o)
		return o;
	plain_lock_take(&k->kernel_btf_lock);
	o = atomic_load(&k->kernel_btf);
	if (!o && !k->kernel_btf_tried) {
		o = open_types(k, k->kernel_btf_file, "vmlinux", NULL);
		k->kernel_btf_tried = true;
		atomic_store(&k->kernel_btf, o);
	}
	plain_lock_drop(&k->kernel_btf_lock);
	return o;
}

const struct btf *kernel_btf(struct skep *k)
{
	const struct obj *o = kernel_object(k);

	return o ? o->body : NULL;
}

static const struct btf *get(void *ud)
{
	return kernel_btf(ud);
}

struct btf_kernel kernel_btf_source(struct skep *k)
{
	return (struct btf_kernel){get, k};
}

/* ---- the file, and its folder ---- */

enum { MODULES_MOST = 4096 };

static int no_types(struct skep *k, const char *file)
{
	int err = -errno;

	log_line(k, "kernel types: %s: %s", file, strerror(-err));
	return err;
}

int kernel_btf_open(struct skep *k)
{
	static const char file[] = "/vmlinux";
	const char *named = k->options.kernel_btf;
	struct stat st;
	char *path;
	size_t n;

	k->kernel_btf_file = named;
	if (!named)
		return 0;
	if (stat(named, &st))
		return no_types(k, named);
	if (!S_ISDIR(st.st_mode))
		return access(named, R_OK) ? no_types(k, named) : 0;
	n = strlen(named) + sizeof(file);
	path = mem_alloc(&k->mem, n);
	if (!path)
		return -ENOMEM;
	snprintf(path, n, "%s%s", named, file);
	k->kernel_btf_file = path;
	return access(path, R_OK) ? no_types(k, path) : 0;
}

void kernel_btf_close(struct skep *k)
{
	vec_free(&k->mem, &k->modules);
	if (k->kernel_btf_file && k->kernel_btf_file != k->options.kernel_btf)
		mem_free(&k->mem, (char *)(uintptr_t)k->kernel_btf_file, strlen(k->kernel_btf_file) + 1);
}

struct module_name {
	char at[sizeof(((struct btf_obj *)0)->name)];
};
typedef VEC(struct module_name) module_names;

/* In order: ids do not depend on how a file system keeps its folders. */
static int add_name(struct skep *k, module_names *names, const char *name)
{
	struct module_name *to = vec_push(&k->mem, names);

	if (!to)
		return -ENOMEM;
	for (; to > names->at && strcmp(to[-1].at, name) > 0; to--)
		to[0] = to[-1];
	snprintf(to->at, sizeof(to->at), "%s", name);
	return 0;
}

static void find_modules(struct skep *k, module_names *names)
{
	DIR *dir = opendir(k->options.kernel_btf);
	const struct dirent *e;

	while (dir && (e = readdir(dir)) && names->n < MODULES_MOST)
		if (e->d_name[0] != '.' && strcmp(e->d_name, "vmlinux") &&
		    strlen(e->d_name) < sizeof(struct module_name) && add_name(k, names, e->d_name))
			break;
	if (dir)
		closedir(dir);
}

static void open_modules(struct skep *k, const struct btf *base)
{
	module_names names = {0};

	if (base && k->kernel_btf_file != k->options.kernel_btf)
		find_modules(k, &names);
	for (u32 i = 0; i < names.n; i++) {
		struct obj **to = vec_push(&k->mem, &k->modules);
		char path[PATH_MAX];

		if (!to)
			break;
		snprintf(path, sizeof(path), "%s/%s", k->options.kernel_btf, names.at[i].at);
		*to = open_types(k, path, names.at[i].at, base);
		k->modules.n -= !*to;
	}
	vec_free(&k->mem, &names);
}

u32 kernel_modules(struct skep *k)
{
	const struct btf *base = kernel_btf(k);

	plain_lock_take(&k->kernel_btf_lock);
	if (!k->modules_tried)
		open_modules(k, base);
	k->modules_tried = true;
	plain_lock_drop(&k->kernel_btf_lock);
	return k->modules.n;
}

const struct btf *kernel_module(const struct skep *k, u32 i)
{
	return k->modules.at[i]->body;
}
