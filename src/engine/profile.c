/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of compiled functions, for profilers: lines in perf's map of the process, and records in its jitdump (its source, tools/perf/Documentation,
 * describes both formats). Files are appended to, a record by one write(), so that engines and threads of a process share them.
 */
#include "engine/engine.h"
#include "jit/jit.h"

#include <elf.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct dump_header {
	u32 magic, version, total_size, machine, pad, pid;
	u64 timestamp, flags;
};
struct dump_record {
	u32 id, total_size;
	u64 timestamp;
};
struct dump_load {
	struct dump_record r;
	u32 pid, tid;
	u64 vma, addr, size, index;
};
struct dump_lines {
	struct dump_record r;
	u64 addr, n;
};
enum { DUMP_MAGIC = 0x4a695444, DUMP_VERSION = 1, RECORD_LOAD = 0, RECORD_LINES = 2 };

/* A file of one's own: in directories that everybody may write to, others may have put something in its place. */
static int open_own(const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid())
		return fd;
	close(fd);
	return -EPERM;
}

static int append(int fd, const struct text *t)
{
	ssize_t n = t->err ? 0 : write(fd, t->at, t->len);

	return t->err ? t->err : n < 0 ? -errno : (size_t)n == t->len ? 0 : -ENOSPC;
}

/* ---- perf's map ---- */

static int map_open(struct text *path)
{
	text_addf(path, "/tmp/perf-%d.map", (int)getpid());
	return path->err ? path->err : open_own(text_str(path));
}

static int map_add(struct skep *k, const struct prog *p)
{
	struct text path, t;
	int fd, err;

	text_open(&path, &k->mem);
	text_open(&t, &k->mem);
	err = fd = map_open(&path);
	for (u32 i = 0; i < p->n_subprogs && fd >= 0; i++) {
		if (!prog_code_size(p, i))
			continue;
		text_addf(&t, "%llx %x ", (unsigned long long)(uintptr_t)(p->code->region.base + p->code->func[i].start), prog_code_size(p, i));
		prog_symbol(p, i, &t);
		text_add(&t, "\n");
	}
	if (fd >= 0) {
		err = append(fd, &t);
		close(fd);
	}
	text_close(&path);
	text_close(&t);
	return err;
}

/* ---- jitdump ---- */

static void timed(struct dump_record *r, u32 id, size_t size)
{
	*r = (struct dump_record){id, (u32)size, os_clock_ns(CLOCK_MONOTONIC)};
}

static void add_lines(const struct prog *p, u32 func, struct text *t)
{
	struct dump_lines head = {.addr = (u64)(uintptr_t)(p->code->region.base + p->code->func[func].start)};
	u64 end = p->code->func[func].start + (u64)prog_code_size(p, func);
	size_t at = t->len;

	text_bytes(t, &head, sizeof(head));
	for (u32 i = 0; i < p->code->n_lines; i++) {
		const struct code_line *l = &p->code->line[i];
		char file[256];
		u32 line;
		struct {
			u64 addr;
			u32 line, discriminator;
		} entry;

		if (l->at < p->code->func[func].start || l->at >= end)
			continue;
		line = source_line(p, l->insn, file, sizeof(file));
		if (!line)
			continue;
		entry.addr = (u64)(uintptr_t)(p->code->region.base + l->at);
		entry.line = line;
		entry.discriminator = 0;
		text_bytes(t, &entry, sizeof(entry));
		text_bytes(t, file, strlen(file) + 1);
		head.n++;
	}
	timed(&head.r, RECORD_LINES, t->len - at);
	if (!t->err)
		memcpy(t->at + at, &head, sizeof(head));
	if (!head.n)
		t->len = at;
}

static void add_code(const struct prog *p, u32 func, u64 index, struct text *t)
{
	const u8 *code = p->code->region.base + p->code->func[func].start;
	struct dump_load head = {.pid = (u32)getpid(), .tid = (u32)gettid(), .vma = (u64)(uintptr_t)code, .addr = (u64)(uintptr_t)code,
				 .size = prog_code_size(p, func), .index = index};
	size_t at = t->len;

	text_bytes(t, &head, sizeof(head));
	prog_symbol(p, func, t);
	text_bytes(t, "", 1);
	text_bytes(t, code, head.size);
	timed(&head.r, RECORD_LOAD, t->len - at);
	if (!t->err)
		memcpy(t->at + at, &head, sizeof(head));
}

static int dump_add(struct skep *k, const struct prog *p)
{
	struct text t;
	off_t end;
	int err;

	text_open(&t, &k->mem);
	flock(k->jitdump_fd, LOCK_EX);
	end = lseek(k->jitdump_fd, 0, SEEK_END);
	for (u32 i = 0; i < p->n_subprogs && !t.err; i++) {
		if (!prog_code_size(p, i))
			continue;
		add_lines(p, i, &t);
		add_code(p, i, (u64)end + t.len, &t); /* where it lies is a number that no other code of the process has */
	}
	err = append(k->jitdump_fd, &t);
	flock(k->jitdump_fd, LOCK_UN);
	text_close(&t);
	return err;
}

static int dump_header(int fd)
{
	struct dump_header h = {DUMP_MAGIC, DUMP_VERSION, sizeof(h), EM_X86_64, 0, (u32)getpid(), os_clock_ns(CLOCK_MONOTONIC), 0};
	struct stat st;
	int err = 0;

	flock(fd, LOCK_EX);
	if (fstat(fd, &st))
		err = -errno;
	else if (!st.st_size && write(fd, &h, sizeof(h)) != (ssize_t)sizeof(h))
		err = -ENOSPC;
	flock(fd, LOCK_UN);
	return err;
}

static int dump_open(struct skep *k)
{
	struct text path;
	void *mark;
	int err;

	text_open(&path, &k->mem);
	text_addf(&path, "%s/jit-%d.dump", k->options.jitdump_dir ? k->options.jitdump_dir : ".", (int)getpid());
	err = path.err ? path.err : open_own(text_str(&path));
	text_close(&path);
	if (err < 0)
		return err;
	k->jitdump_fd = err;
	err = dump_header(k->jitdump_fd);
	if (err)
		return err;
	/* perf learns of the file by seeing it mapped as code. */
	mark = mmap(NULL, (size_t)sysconf(_SC_PAGESIZE), PROT_READ | PROT_EXEC, MAP_PRIVATE, k->jitdump_fd, 0);
	if (mark == MAP_FAILED)
		return -errno;
	munmap(mark, (size_t)sysconf(_SC_PAGESIZE));
	return 0;
}

/* ---- all of them ---- */

int profile_open(struct skep *k)
{
	u32 known = SKEP_PROFILE_PERF_MAP | SKEP_PROFILE_JITDUMP | SKEP_PROFILE_GDB, want = k->options.profile;
	struct text path;
	int err = 0;

	if (want & ~known)
		return -EINVAL;
	if (want & SKEP_PROFILE_PERF_MAP) {
		text_open(&path, &k->mem);
		err = map_open(&path);
		text_close(&path);
		if (err < 0)
			return err;
		close(err);
	}
	return want & SKEP_PROFILE_JITDUMP ? dump_open(k) : 0;
}

void profile_close(struct skep *k)
{
	if (k->jitdump_fd >= 0)
		close(k->jitdump_fd);
	k->jitdump_fd = -1;
}

void profile_add(struct skep *k, struct prog *p)
{
	int err = 0;

	if (k->options.profile & SKEP_PROFILE_PERF_MAP)
		err = map_add(k, p);
	if (!err && k->options.profile & SKEP_PROFILE_JITDUMP)
		err = dump_add(k, p);
	if (!err && k->options.profile & SKEP_PROFILE_GDB)
		err = jit_announce(p);
	if (err)
		log_line(k, "the names of program \"%s\" are not told: %s", p->name, strerror(-err));
}
