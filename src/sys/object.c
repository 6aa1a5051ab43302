/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Objects, ids and descriptors.
 *
 * Key idea: a descriptor is a memfd, and an object is known by its inode. What a client gets is a second open file description of
 * it (reopened through /proc/self/fd), so inotify tells when one is closed, in whatever process: no call needs to be
 * intercepted for that. Whether it was the last one is not counted, because inotify merges equal events: a write lease tells, which
 * is granted only while nobody else has the file open.
 */
#include "sys/sys.h"

#include <fcntl.h>
#include <dirent.h>
#include <linux/bpf.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void log_line(struct skep *k, const char *fmt, ...)
{
	char line[512];
	va_list ap;

	if (!k->options.log)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	k->options.log(k->options.log_ud, line);
}

int objects_open(struct skep *k)
{
	for (u32 t = 1; t < OBJ_TYPES; t++) {
		void *p = mmap(NULL, OBJ_IDS * sizeof(void *), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (p == MAP_FAILED)
			return -ENOMEM;
		k->table[t].by_id = p;
	}
	k->inotify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (k->inotify < 0)
		log_line(k, "no inotify (%s): every call asks which descriptors are still open, which is slow", strerror(errno));
	return 0;
}

static void body_free(struct obj *o)
{
	struct skep *k = o->engine;
	struct btf_obj *btf = o->body;

	switch ((enum obj_type)o->type) {
	case OBJ_MAP: map_object_free(k, o->body); break;
	case OBJ_PROG: prog_free(k, o->body); break;
	case OBJ_BTF:
		btf_free(&btf->btf);
		mem_free(&k->mem, btf, sizeof(*btf));
		break;
	case OBJ_PERF:
		perf_free(k, o->body);
		break;
	case OBJ_LINK: link_free(k, o->body); break;
	case OBJ_TYPES: break;
	}
}

static void shell_free(struct obj *o)
{
	struct skep *k = o->engine;

	if (o->fd >= 0)
		close(o->fd);
	mem_free(&k->mem, o, sizeof(*o));
}

static void object_free(struct obj *o)
{
	body_free(o);
	shell_free(o);
}

static void each_object(struct skep *k, void (*fn)(struct obj *o))
{
	static const u32 order[] = {OBJ_LINK, OBJ_PROG, OBJ_MAP, OBJ_PERF, OBJ_BTF};

	for (u32 i = 0; i < ARRAY_SIZE(order); i++) {
		struct obj_table *t = &k->table[order[i]];

		for (u32 id = 1; t->by_id && id <= t->top; id++)
			if (t->by_id[id])
				fn(t->by_id[id]);
	}
}

/* Programs first: they hold references to maps, maps to programs and to each other. What they put must still be there, in whatever order. */
void objects_close(struct skep *k)
{
	objects_reap(k);
	k->closing = true;
	each_object(k, body_free);
	each_object(k, shell_free);
	for (u32 i = 1; i < OBJ_TYPES; i++)
		if (k->table[i].by_id)
			munmap((void *)k->table[i].by_id, OBJ_IDS * sizeof(void *));
	if (k->inotify >= 0)
		close(k->inotify);
}

/* ---- ids and references ---- */

/* As Linux does: the next one, and when all have been used those that became free. 0: none is left. */
static u32 free_id(const struct obj_table *t)
{
	u32 id = t->last_id;

	if (t->live == OBJ_IDS - 1)
		return 0;
	do
		id = id + 1 < OBJ_IDS ? id + 1 : 1;
	while (t->by_id[id]);
	return id;
}

struct obj *obj_new(struct skep *k, enum obj_type type, void *body)
{
	struct obj_table *t = &k->table[type];
	struct obj *o = mem_alloc(&k->mem, sizeof(*o));

	if (!o)
		return NULL;
	*o = (struct obj){.type = type, .refs = 1, .engine = k, .fd = -1, .watch = -1, .body = body};
	plain_lock_take(&k->lock);
	o->id = free_id(t);
	if (o->id) {
		t->last_id = o->id;
		t->top = MAX(t->top, o->id);
		t->by_id[o->id] = o;
		t->live++;
	}
	plain_lock_drop(&k->lock);
	if (!o->id) {
		mem_free(&k->mem, o, sizeof(*o));
		return NULL;
	}
	return o;
}

void obj_get(struct obj *o)
{
	atomic_fetch_add(&o->refs, 1);
}

static struct obj **bucket_of(struct skep *k, u64 ino)
{
	return &k->bucket[ino * 0x9e3779b97f4a7c15ull >> 56];
}

static void unlink_object(struct obj *o)
{
	struct skep *k = o->engine;
	struct obj **at = bucket_of(k, o->ino);

	k->table[o->type].by_id[o->id] = NULL;
	k->table[o->type].live--;
	for (; o->fd >= 0 && *at; at = &(*at)->chain)
		if (*at == o) {
			*at = o->chain;
			break;
		}
	if (o->doubtful) {
		struct obj *d = k->doubtful;

		if (d == o)
			k->doubtful = o->next_doubt;
		for (; d && d != o; d = d->next_doubt)
			if (d->next_doubt == o) {
				d->next_doubt = o->next_doubt;
				break;
			}
	}
	if (o->watch >= 0)
		inotify_rm_watch(k->inotify, o->watch);
	if (o->shared)
		k->n_shared--;
}

void obj_put(struct obj *o)
{
	struct skep *k;
	bool last;

	if (!o || o->engine->closing)
		return;
	k = o->engine;
	plain_lock_take(&k->lock);
	last = atomic_fetch_sub(&o->refs, 1) == 1;
	if (last) {
		unlink_object(o);
		o->chain = k->dead;
		k->dead = o;
	}
	plain_lock_drop(&k->lock);
	if (last)
		objects_reap(k);
}

/* Runs that found an object by its id may still use it. A thread that is in one itself leaves it to the next call. */
void objects_reap(struct skep *k)
{
	struct obj *o, *next;

	if (!k->dead || domain_held(k->domain))
		return;
	plain_lock_take(&k->lock);
	o = k->dead;
	k->dead = NULL;
	plain_lock_drop(&k->lock);
	if (o)
		epoch_wait(k->domain);
	for (; o; o = next) {
		next = o->chain;
		object_free(o);
	}
}

struct obj *obj_by_id(struct skep *k, enum obj_type type, u32 id)
{
	struct obj *o = NULL;

	plain_lock_take(&k->lock);
	if (id && id < OBJ_IDS) {
		o = k->table[type].by_id[id];
		if (o)
			obj_get(o);
	}
	plain_lock_drop(&k->lock);
	return o;
}

void *obj_body_at(struct skep *k, enum obj_type type, u32 id)
{
	struct obj *o = id && id < OBJ_IDS ? k->table[type].by_id[id] : NULL;

	return o ? o->body : NULL;
}

int obj_next_id(struct skep *k, enum obj_type type, u32 after, u32 *next)
{
	int err = -ENOENT;

	plain_lock_take(&k->lock);
	for (u32 id = after + 1; id && id <= k->table[type].top; id++)
		if (k->table[type].by_id[id]) {
			*next = id;
			err = 0;
			break;
		}
	plain_lock_drop(&k->lock);
	return err;
}

/* ---- descriptors ---- */

struct obj *obj_by_inode(struct skep *k, u64 dev, u64 ino, u32 type)
{
	struct obj *o;

	plain_lock_take(&k->lock);
	for (o = *bucket_of(k, ino); o; o = o->chain)
		if (o->ino == ino && o->dev == dev)
			break;
	if (o && (!type || o->type == type))
		obj_get(o);
	else
		o = NULL;
	plain_lock_drop(&k->lock);
	return o;
}

bool fd_is_open(const struct skep *k, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags >= 0 && (k->paths_stand_in || !(flags & O_PATH));
}

int obj_by_fd(struct skep *k, int fd, u32 type, int need, struct obj **out)
{
	struct obj *o;
	struct stat st;
	int mode;

	if (fstat(fd, &st))
		return -EBADF;
	o = obj_by_inode(k, st.st_dev, st.st_ino, type);
	if (!o)
		return fd_is_open(k, fd) ? -EINVAL : -EBADF;
	mode = o->limited && need ? fcntl(fd, F_GETFL) & O_ACCMODE : O_RDWR;
	if ((need & NEED_READ && mode == O_WRONLY) || (need & NEED_WRITE && mode == O_RDONLY)) {
		obj_put(o);
		return -EPERM;
	}
	*out = o;
	return 0;
}

/* The file behind an object's descriptors: what clients may map, or an empty memfd. -errno */
static int make_handle(struct obj *o)
{
	static const char *const names[] = {"", "bpf-map", "bpf-prog", "btf", "bpf_link", "perf_event"};
	int fd = -1;

	if (o->type == OBJ_MAP && obj_map(o)->client.base && !obj_map(o)->record.n) /* special fields are no client's business */
		fd = map_client_fd(obj_map(o));
	if (o->type == OBJ_PERF)
		fd = ((struct perf_ring *)o->body)->fd;
	if (fd < 0)
		return os_memfd(names[o->type], 0, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE);
	fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return fd < 0 ? -errno : fd;
}

/* The engine's own descriptor is read-only and opened by name: only such ones are counted as the lease needs it. */
static int reopen_handle(struct obj *o, int fd)
{
	char path[40];
	int own;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	own = open(path, O_RDONLY | O_CLOEXEC);
	if (own < 0)
		return errno == ENOENT ? fd : -errno; /* no /proc: see objects_sweep() */
	/* A lease must never cost the process its life: this signal is ignored unless somebody asked for it. */
	o->leased = (o->type != OBJ_MAP || obj_map(o)->pin_fd <= 0 || !obj_map(o)->client.base) && !fcntl(own, F_SETSIG, SIGWINCH);
	close(fd);
	return own;
}

static int adopt_handle(struct obj *o)
{
	struct skep *k = o->engine;
	char path[40];
	struct stat st;
	int fd = make_handle(o), own = fd < 0 ? fd : 0;

	plain_lock_take(&k->lock);
	if (fd >= 0 && o->fd < 0)
		own = reopen_handle(o, fd);
	else if (fd >= 0)
		close(fd); /* another thread was faster */
	if (own < 0 && fd >= 0)
		close(fd);
	if (own > 0 && !fstat(own, &st)) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", own);
		if (k->inotify >= 0)
			o->watch = inotify_add_watch(k->inotify, path, IN_CLOSE);
		o->dev = st.st_dev;
		o->ino = st.st_ino;
		o->chain = *bucket_of(k, o->ino);
		*bucket_of(k, o->ino) = o;
		o->fd = own;
		own = 0;
	}
	plain_lock_drop(&k->lock);
	return own;
}

int obj_fd(struct obj *o, u32 open_flags)
{
	int mode = open_flags & BPF_F_RDONLY ? O_RDONLY : open_flags & BPF_F_WRONLY ? O_WRONLY : O_RDWR, fd, err;
	char path[40];

	if ((open_flags & (BPF_F_RDONLY | BPF_F_WRONLY)) == (BPF_F_RDONLY | BPF_F_WRONLY))
		return -EINVAL;
	err = o->fd >= 0 ? 0 : adopt_handle(o);
	if (err)
		return err;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", o->fd);
	plain_lock_take(&o->engine->lock);
	fd = open(path, mode | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && mode == O_RDWR) {
		fd = fcntl(o->fd, F_DUPFD_CLOEXEC, 3);
		if (!o->shared)
			o->engine->n_shared++;
		o->shared = o->seen = true;
	}
	if (fd >= 0) {
		if (mode != O_RDWR) {
			o->limited = true;
			if (o->type == OBJ_MAP)
				map_leave(obj_map(o));
		}
		if (!o->counted) {
			o->counted = true;
			obj_get(o);
		}
	} else {
		fd = -errno;
	}
	plain_lock_drop(&o->engine->lock);
	return fd;
}

/* Does this process have a descriptor of the object, apart from the engine's own? */
static bool held_here(const struct obj *o)
{
	DIR *dir = opendir("/proc/self/fd");
	bool found = !dir;

	for (struct dirent *e; dir && !found && (e = readdir(dir));) {
		int fd = atoi(e->d_name);
		struct stat st;

		found = e->d_name[0] != '.' && fd != o->fd && fd != dirfd(dir) && (o->type != OBJ_MAP || fd != obj_map(o)->pin_fd) &&
			!fstat(fd, &st) && st.st_ino == o->ino && st.st_dev == o->dev;
	}
	if (dir)
		closedir(dir);
	return found;
}

/* Does anybody, in any process, still hold a descriptor or a mapping that a client made of one? With the engine's lock held, so
 * that none is being handed out. Pinned files that clients map are open in other engines too: there this process decides. */
static bool still_held(const struct obj *o)
{
	if (!o->leased)
		return held_here(o);
	if (!fcntl(o->fd, F_SETLEASE, F_WRLCK)) {
		fcntl(o->fd, F_SETLEASE, F_UNLCK);
		return false;
	}
	return errno == EAGAIN || held_here(o);
}

/* One reference of all descriptors together ends with the last of them. Gives the object that is to be put. The event
 * comes a moment before the file is given up, and that moment may be another thread's: what seems held is asked about again. */
static struct obj *ended(struct obj *o)
{
	struct skep *k = o->engine;

	if (!o->counted || o->shared)
		return NULL;
	if (still_held(o)) {
		o->closed_ns = os_clock_ns(CLOCK_MONOTONIC);
		o->ask_ns = 0;
		if (!o->doubtful) {
			o->doubtful = true;
			o->next_doubt = k->doubtful;
			k->doubtful = o;
		}
		return NULL;
	}
	o->counted = false;
	return o;
}

/* The first doubtful object that turned out to have ended. At once and often, then the rarer the longer it is held. */
static struct obj *resolve_doubt(struct skep *k, bool all)
{
	enum { OFTEN_NS = 100000000 };
	u64 now = os_clock_ns(CLOCK_MONOTONIC);
	struct obj *before = NULL, *gone = NULL;

	for (struct obj *o = k->doubtful, *next; o && !gone; o = next) {
		u64 age = now - o->closed_ns;

		next = o->next_doubt;
		if ((!all && now < o->ask_ns) || (o->counted && still_held(o))) {
			if (now >= o->ask_ns)
				o->ask_ns = now + (age < OFTEN_NS ? 0 : age);
			before = o;
			continue;
		}
		if (before)
			before->next_doubt = next;
		else
			k->doubtful = next;
		o->doubtful = false;
		if (o->counted)
			gone = o;
		o->counted = false;
	}
	return gone;
}

/* ---- without /proc ---- */

static bool engines_own(const struct obj *o, int fd)
{
	if (o->type == OBJ_MAP && (fd == obj_map(o)->pin_fd || (obj_map(o)->client.base && fd == obj_map(o)->client.fd)))
		return true;
	return fd == o->fd || (o->type == OBJ_PERF && fd == ((struct perf_ring *)o->body)->fd);
}

/* One call says of many descriptors which are open. */
static void mark_seen(struct skep *k, int fds)
{
	enum { AT_ONCE = 512 };
	struct pollfd open[AT_ONCE];
	struct stat st;

	for (int first = 0; first < fds; first += AT_ONCE) {
		int n = MIN(fds - first, (int)AT_ONCE);
		bool known;

		for (int i = 0; i < n; i++)
			open[i] = (struct pollfd){.fd = first + i};
		known = poll(open, (nfds_t)n, 0) >= 0;
		for (int i = 0; i < n; i++)
			if (!(known && open[i].revents & POLLNVAL) && !fstat(first + i, &st))
				for (struct obj *o = *bucket_of(k, st.st_ino); o; o = o->chain)
					if (o->ino == st.st_ino && o->dev == st.st_dev && !engines_own(o, first + i))
						o->seen = true;
	}
}

static struct obj *first_unseen(struct skep *k)
{
	for (u32 i = 0; i < OBJ_BUCKETS; i++)
		for (struct obj *o = k->bucket[i]; o; o = o->chain)
			if (o->shared && o->counted && !o->seen) {
				o->counted = false;
				return o;
			}
	return NULL;
}

/* No event tells when clients' descriptors are closed: all that this process has are gone through, twice, since another thread may
 * move one. What other processes have, is on its way between them, or is only mapped, is not known. */
void objects_sweep(struct skep *k)
{
	struct rlimit most = {.rlim_cur = 1024};
	struct obj *gone;
	int fds;

	if (!k->n_shared)
		return;
	getrlimit(RLIMIT_NOFILE, &most);
	fds = (int)MIN(most.rlim_cur, (rlim_t)INT32_MAX);
	plain_lock_take(&k->lock);
	for (u32 i = 0; i < OBJ_BUCKETS; i++)
		for (struct obj *o = k->bucket[i]; o; o = o->chain)
			o->seen = false;
	mark_seen(k, fds);
	mark_seen(k, fds);
	plain_lock_drop(&k->lock);
	do {
		plain_lock_take(&k->lock);
		gone = first_unseen(k);
		plain_lock_drop(&k->lock);
		obj_put(gone);
	} while (gone);
	k->next_sweep = k->n_shared + (u32)MIN(fds / 64, 1024); /* it takes a while; there is room for that many more */
}

void objects_ask(struct skep *k, bool all)
{
	struct obj *gone;

	if (all)
		objects_sweep(k);
	if (!k->doubtful)
		return;
	do {
		plain_lock_take(&k->lock);
		gone = resolve_doubt(k, all);
		plain_lock_drop(&k->lock);
		obj_put(gone);
	} while (gone);
}

/* Events were lost, or there are none: ask about every object. */
static void rescan(struct skep *k)
{
	for (u32 t = 1; t < OBJ_TYPES; t++)
		for (u32 id = 1; id <= k->table[t].top; id++) {
			struct obj *o = obj_by_id(k, t, id), *gone;

			if (!o)
				continue;
			plain_lock_take(&k->lock);
			gone = ended(o);
			plain_lock_drop(&k->lock);
			obj_put(gone);
			obj_put(o);
		}
}

static struct obj *note_close(struct skep *k, int watch)
{
	struct obj *gone = NULL;
	bool found = false;

	plain_lock_take(&k->lock);
	for (u32 i = 0; i < OBJ_BUCKETS && !found; i++)
		for (struct obj *o = k->bucket[i]; o && !found; o = o->chain)
			if (o->watch == watch) {
				gone = ended(o);
				found = true;
			}
	plain_lock_drop(&k->lock);
	return gone;
}

void objects_drain(struct skep *k)
{
	char buf[4096] __attribute__((aligned(8)));
	ssize_t n;

	if (k->inotify < 0)
		rescan(k);
	while (k->inotify >= 0 && (n = read(k->inotify, buf, sizeof(buf))) > 0)
		for (char *p = buf; p < buf + n;) {
			struct inotify_event *e = (struct inotify_event *)(void *)p;

			if (e->mask & IN_Q_OVERFLOW)
				rescan(k);
			else if (e->mask & IN_CLOSE)
				obj_put(note_close(k, e->wd));
			p += sizeof(*e) + e->len;
		}
	objects_ask(k, false);
}
