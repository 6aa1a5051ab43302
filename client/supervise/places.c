/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which files are not the host's: bpffs is a directory of this user's, tracefs, event sources and kernel types are what the engine says they are
 * (hook_file()). Everything else is the kernel's business.
 *
 * Only absolute paths are looked at, and those relative to a folder that was opened or entered here before: an ordinary user gets into none of these
 * places on the host. A folder of ours is a real one, so what the kernel does with descriptors and current directories needs no help; the names
 * that it tells of them are translated (place_called()).
 */
#include "client/supervise/supervise.h"

#include "hook/tasks.h"
#include "sys/sys.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BPFFS "/sys/fs/bpf"

static bool below(const char *path, const char *top)
{
	size_t n = strlen(top);

	return !strncmp(path, top, n) && (path[n] == '/' || !path[n]);
}

static const char *const engine_places[] = {"/sys/kernel/tracing", "/sys/kernel/debug", "/sys/bus/event_source", "/sys/kernel/btf"};

static bool is_ours(const char *path)
{
	for (u32 i = 0; i < ARRAY_SIZE(engine_places); i++)
		if (below(path, engine_places[i]))
			return true;
	return below(path, BPFFS);
}

/* "//", "/./" and a '/' at the end mean nothing; "/.." leads up from what is ours, in which there are no links. Elsewhere it is the kernel's to say. */
static void tidy(char *to, const char *from)
{
	char *at = to;

	while (*from) {
		size_t n;

		while (from[0] == '/' && (from[1] == '/' || (from[1] == '.' && (from[2] == '/' || !from[2]))))
			from += from[1] == '/' ? 1 : 2;
		if (!*from)
			break;
		n = 1 + strcspn(from + 1, "/");
		if (n == 1 && *from == '/' && !from[1])
			break;
		*at = 0;
		if (n == 3 && !memcmp(from, "/..", n) && is_ours(to)) {
			at = strrchr(to, '/');
		} else {
			memcpy(at, from, n);
			at += n;
		}
		from += n;
	}
	*at = 0;
	if (at == to)
		strcpy(to, "/");
}

/* ---- what is known of a descriptor: /proc/TID/fdinfo/N of an object ---- */

static bool is_self(const char *who, size_t n, const struct call *c)
{
	char tgid[16], tid[16];

	snprintf(tgid, sizeof(tgid), "%d", remote_tgid(c->tid));
	snprintf(tid, sizeof(tid), "%d", c->tid);
	return (n == 4 && !memcmp(who, "self", 4)) || (n == 11 && !memcmp(who, "thread-self", 11)) ||
	       (n == strlen(tgid) && !memcmp(who, tgid, n)) || (n == strlen(tid) && !memcmp(who, tid, n));
}

bool own_path(struct call *c, const char *path, const char *name)
{
	const char *who = path + sizeof("/proc/") - 1;
	size_t n;

	if (strncmp(path, "/proc/", sizeof("/proc/") - 1))
		return false;
	n = strcspn(who, "/");
	return who[n] && !strcmp(who + n + 1, name) && is_self(who, n, c);
}

int own_fd_path(struct call *c, const char *path, const char *name)
{
	const char *who = path + sizeof("/proc/") - 1, *rest;
	size_t n = strcspn(who, "/"), len = strlen(name);
	char *end;
	long fd;

	if (strncmp(path, "/proc/", sizeof("/proc/") - 1) || !who[n])
		return -1;
	rest = who + n + 1;
	if (strncmp(rest, name, len) || rest[len] != '/' || rest[len + 1] < '0' || rest[len + 1] > '9' || !is_self(who, n, c))
		return -1;
	fd = strtol(rest + len + 1, &end, 10);
	return *end || fd > INT32_MAX ? -1 : (int)fd;
}

static void map_facts(struct text *t, const struct map *m)
{
	text_addf(t, "map_type:\t%u\nkey_size:\t%u\nvalue_size:\t%u\nmax_entries:\t%u\nmap_flags:\t0x%x\nmap_extra:\t0x%llx\nmemlock:\t%llu\n",
		  m->spec.kind, m->spec.key_size, m->spec.value_size, m->spec.max_entries, m->spec.flags, (unsigned long long)m->spec.extra,
		  (unsigned long long)m->bytes);
	if (m->owner.set && map_has(m, entry))
		text_addf(t, "owner_prog_type:\t%u\nowner_jited:\t1\n", m->owner.type);
	text_addf(t, "frozen:\t%d\n", m->frozen);
}

static void prog_facts(struct text *t, const struct obj *o)
{
	const struct prog *p = o->body;

	text_addf(t, "prog_type:\t%u\nprog_jited:\t%d\nprog_tag:\t", p->type, p->code != NULL);
	for (u32 i = 0; i < sizeof(p->tag); i++)
		text_addf(t, "%02x", p->tag[i]);
	text_addf(t, "\nmemlock:\t4096\nprog_id:\t%u\nrun_time_ns:\t%llu\nrun_cnt:\t%llu\nrecursion_misses:\t0\nverified_insns:\t0\n", o->id,
		  (unsigned long long)atomic_load(&p->run_ns), (unsigned long long)atomic_load(&p->run_count));
}

static bool descriptor_facts(struct call *c, struct place *p)
{
	int fd = own_fd_path(c, p->asked, "fdinfo");
	struct obj *o = fd < 0 ? NULL : remote_object(c->s, c->tid, fd, 0);
	struct text t;

	if (!o)
		return false;
	text_open(&t, &c->s->k->mem);
	text_addf(&t, "pos:\t0\nflags:\t02000002\nmnt_id:\t15\nino:\t%llu\n", (unsigned long long)o->ino);
	if (o->type == OBJ_MAP) {
		map_facts(&t, obj_map(o));
		text_addf(&t, "map_id:\t%u\n", o->id);
	} else if (o->type == OBJ_PROG) {
		prog_facts(&t, o);
	} else if (o->type == OBJ_BTF) {
		text_addf(&t, "btf_id:\t%u\n", o->id);
	} else if (o->type == OBJ_LINK) {
		text_addf(&t, "link_id:\t%u\n", o->id);
	}
	obj_put(o);
	p->text = t.err ? NULL : strdup(text_str(&t));
	p->size = p->text ? strlen(p->text) : 0;
	p->kind = p->text ? PLACE_TEXT : PLACE_HOST;
	text_close(&t);
	return p->text != NULL;
}

/* ---- where a path leads ---- */

/* Linux keeps names with dots to itself: nobody makes them. */
static bool reserved(char *path, size_t top)
{
	for (char *at = path + top, *end; *at; at = end) {
		bool none;
		char was;

		end = at + 1 + strcspn(at + 1, "/");
		if (!memchr(at, '.', (size_t)(end - at)))
			continue;
		was = *end;
		*end = 0;
		none = faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) && errno == ENOENT;
		*at = 0;
		none = none && !access(path, X_OK);
		*at = '/';
		*end = was;
		if (none)
			return true;
	}
	return false;
}

static void in_bpffs(struct super *s, struct place *p)
{
	const char *rest = p->asked + sizeof(BPFFS) - 1;
	size_t top = strlen(s->dir) + sizeof("/bpf") - 1;

	p->kind = PLACE_NONE;
	p->error = s->dir[0] ? -ENAMETOOLONG : -EACCES;
	if (!s->dir[0] || top + strlen(rest) + 2 > sizeof(p->path))
		return;
	strcpy(p->path, s->dir);
	strcat(p->path, "/bpf");
	strcat(p->path, rest);
	if (reserved(p->path, top)) {
		p->error = -EPERM;
		return;
	}
	p->kind = PLACE_PATH;
	p->top = !*rest;
}

bool place_called(const struct super *s, const char *at, char *to, size_t size)
{
	char top[PATH_MAX];

	snprintf(top, sizeof(top), "%s/bpf", s->dir);
	if (s->dir[0] && below(at, top))
		return snprintf(to, size, "%s%s", BPFFS, at + strlen(top)) < (int)size;
	return s->tree[0] && below(at, s->tree) && at[strlen(s->tree)] && snprintf(to, size, "%s", at + strlen(s->tree)) < (int)size;
}

bool place_target(struct super *s, const char *text, char *to, size_t size)
{
	return s->dir[0] && below(text, BPFFS) && snprintf(to, size, "%s/bpf%s", s->dir, text + sizeof(BPFFS) - 1) < (int)size;
}

/* Containers may have no /sys: how many CPUs there are is then said by who counts the engine's, too. */
static bool cpu_list(struct super *s, struct place *p)
{
	u32 n = domain_cpus(s->k->domain);
	char text[32];

	if (strcmp(p->asked, "/sys/devices/system/cpu/possible") && strcmp(p->asked, "/sys/devices/system/cpu/online"))
		return false;
	if (!access(p->asked, R_OK))
		return false;
	snprintf(text, sizeof(text), n > 1 ? "0-%u\n" : "0\n", n - 1);
	p->text = strdup(text);
	p->size = strlen(text);
	p->kind = p->text ? PLACE_TEXT : PLACE_HOST;
	return true;
}

static void from_engine(struct super *s, struct place *p)
{
	char *text = NULL;
	size_t size = 0;
	int err = hook_file(s->k, p->asked, &text, &size);

	if (err == -ENXIO)
		return;
	if (err && err != -EISDIR) {
		p->kind = PLACE_NONE;
		p->error = err;
		return;
	}
	p->text = malloc(size + 1);
	if (p->text) {
		memcpy(p->text, text, size);
		p->text[size] = 0;
	}
	hook_file_free(s->k, text, size);
	p->kind = !p->text ? PLACE_NONE : err ? PLACE_FOLDER : PLACE_TEXT;
	p->error = -ENOMEM;
	p->size = size;
}

static void find(struct call *c, struct place *p)
{
	if (!p->outside && below(p->asked, "/proc")) {
		descriptor_facts(c, p);
		return;
	}
	if (p->outside) {
		p->kind = PLACE_PATH;
		strcpy(p->path, p->asked);
		return;
	}
	if (!below(p->asked, "/sys"))
		return;
	if (below(p->asked, BPFFS)) {
		in_bpffs(c->s, p);
		return;
	}
	if (cpu_list(c->s, p))
		return;
	if (is_ours(p->asked))
		from_engine(c->s, p);
}

/* A path relative to a folder of ours is one of ours, or leads out of it; others are the kernel's. */
static bool absolute(struct call *c, int dir, const char *path, struct place *out)
{
	char link[64], top[PATH_MAX], called[PATH_MAX], whole[2 * PATH_MAX + 2];
	ssize_t n;

	if (*path == '/') {
		tidy(out->asked, path);
		return true;
	}
	if ((dir < 0 && dir != AT_FDCWD) || !atomic_load(&c->s->entered) || !*path)
		return false;
	snprintf(link, sizeof(link), dir == AT_FDCWD ? "/proc/%d/cwd" : "/proc/%d/fd/%d", c->tid, dir);
	n = readlink(link, top, sizeof(top) - 1);
	if (n < 0)
		return false;
	top[n] = 0;
	if (!place_called(c->s, top, called, sizeof(called)) || strlen(called) + strlen(path) + 2 > PATH_MAX)
		return false;
	snprintf(whole, sizeof(whole), "%s/%s", called, path);
	tidy(out->asked, whole);
	out->outside = !is_ours(out->asked);
	return true;
}

/* A '/' at the end, also before a '.', means what a link leads to. */
static bool ends_as_folder(const char *path)
{
	size_t n = strlen(path);

	return (n && path[n - 1] == '/') || (n > 1 && path[n - 1] == '.' && path[n - 2] == '/');
}

int place_of_text(struct call *c, int dir, const char *path, struct place *out)
{
	out->kind = PLACE_HOST;
	out->text = NULL;
	out->size = 0;
	out->error = 0;
	out->top = out->outside = false;
	out->asked[0] = 0;
	if (strlen(path) >= PATH_MAX)
		return -ENAMETOOLONG;
	if (absolute(c, dir, path, out))
		find(c, out);
	if (out->kind == PLACE_PATH && ends_as_folder(path))
		strcat(out->path, "/");
	return 0;
}

int place_find(struct call *c, int dir, u64 path, struct place *out)
{
	char text[PATH_MAX];
	int n = remote_text(c->tid, path, text, sizeof(text));

	if (n < 0)
		return n;
	return place_of_text(c, dir, text, out);
}

void place_close(struct super *s, struct place *p)
{
	(void)s;
	free(p->text);
	p->text = NULL;
}

/* ---- folders: made as real ones when they are first listed ---- */

static int make_parents(char *path)
{
	for (char *at = path + 1; (at = strchr(at, '/')); at++) {
		*at = 0;
		if (mkdir(path, 0700) && errno != EEXIST) {
			*at = '/';
			return -errno;
		}
		*at = '/';
	}
	return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
}

static int make_entry(struct super *s, const char *where, const char *asked, const char *name, size_t len)
{
	char path[2 * PATH_MAX], inside[PATH_MAX + 256], *text = NULL;
	size_t size = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/%.*s", where, (int)len, name);
	snprintf(inside, sizeof(inside), "%s/%.*s", asked, (int)len, name);
	if (len && name[len - 1] == '/')
		return mkdir(path, 0700) && errno != EEXIST ? -errno : 0;
	if (hook_file(s->k, inside, &text, &size))
		return 0;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0400);
	if (fd >= 0 && write(fd, text, size) < 0)
		size = 0;
	if (fd >= 0)
		close(fd);
	hook_file_free(s->k, text, size);
	return 0;
}

int place_folder(struct super *s, const struct place *p, char *path, size_t size)
{
	int err = 0;

	if (!s->dir[0])
		return -EACCES;
	pthread_mutex_lock(&s->lock);
	if (!s->tree[0])
		snprintf(s->tree, sizeof(s->tree), "%.*s/tree-%d", (int)sizeof(s->tree) - 32, s->dir, getpid());
	if (snprintf(path, size, "%s%s", s->tree, p->asked) >= (int)size)
		err = -ENAMETOOLONG;
	if (!err)
		err = make_parents(path);
	for (const char *line = p->text; !err && *line;) {
		size_t n = strcspn(line, "\n");

		if (n)
			err = make_entry(s, path, p->asked, line, n);
		line += n + (line[n] == '\n');
	}
	pthread_mutex_unlock(&s->lock);
	atomic_store(&s->entered, true);
	return err;
}

static void remove_tree(const char *path)
{
	DIR *d = opendir(path);

	for (struct dirent *e; d && (e = readdir(d));) {
		char inside[PATH_MAX];

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, "..") ||
		    snprintf(inside, sizeof(inside), "%s/%s", path, e->d_name) >= (int)sizeof(inside))
			continue;
		if (unlink(inside))
			remove_tree(inside);
	}
	if (d)
		closedir(d);
	rmdir(path);
}

void places_close(struct super *s)
{
	if (s->tree[0])
		remove_tree(s->tree);
	s->tree[0] = 0;
}
