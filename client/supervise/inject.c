/* SPDX-License-Identifier: BSD-2-Clause */
/* System calls in a stopped task: see space.h. They are made by an instruction of the vDSO, which is the same file in every process. */
#include "client/supervise/space.h"

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RED_ZONE = 128, PATH_ROOM = 64 };

/* ---- the vDSO ---- */

static u64 symbol_offset(const u8 *image, const char *name)
{
	const Elf64_Ehdr *head = (const void *)image;
	const Elf64_Shdr *section = (const void *)(image + head->e_shoff);

	for (u32 i = 0; head->e_shoff && i < head->e_shnum; i++) {
		const Elf64_Sym *sym = (const void *)(image + section[i].sh_offset);
		const char *names;

		if (section[i].sh_type != SHT_DYNSYM || section[i].sh_link >= head->e_shnum)
			continue;
		names = (const char *)image + section[section[i].sh_link].sh_offset;
		for (u64 k = 0; k < section[i].sh_size / sizeof(*sym); k++)
			if (!strcmp(names + sym[k].st_name, name))
				return sym[k].st_value;
	}
	return 0;
}

static u64 call_offset(const u8 *image)
{
	const Elf64_Ehdr *head = (const void *)image;
	const Elf64_Phdr *part = (const void *)(image + head->e_phoff);

	for (u32 i = 0; i < head->e_phnum; i++)
		for (u64 k = part[i].p_offset; part[i].p_type == PT_LOAD && k + 1 < part[i].p_offset + part[i].p_filesz; k++)
			if (image[k] == 0x0f && image[k + 1] == 0x05)
				return k;
	return 0;
}

u64 inject_vdso(pid_t tid, const char *symbol)
{
	const u8 *own = (const u8 *)getauxval(AT_SYSINFO_EHDR);
	u64 offset = !own ? 0 : symbol ? symbol_offset(own, symbol) : call_offset(own), base = 0, entry[2];
	char path[64];
	u8 there[8];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/auxv", tid);
	fd = offset ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	while (fd >= 0 && !base && read(fd, entry, sizeof(entry)) == sizeof(entry))
		base = entry[0] == AT_SYSINFO_EHDR ? entry[1] : 0;
	if (fd >= 0)
		close(fd);
	return base && !remote_get(tid, base + offset, there, sizeof(there)) && !memcmp(there, own + offset, sizeof(there)) ? base + offset : 0;
}

/* ---- calls ---- */

bool inject_begin(struct injection *i, struct tree *t, struct traced *p, const struct user_regs_struct *regs)
{
	u64 mask = ~(1ull << (SIGTRAP - 1));

	*i = (struct injection){.t = t, .p = p, .regs = regs, .at = inject_vdso(p->tid, NULL)};
	i->began = i->at && !ptrace(PTRACE_GETSIGMASK, p->tid, (void *)sizeof(i->mask), &i->mask) &&
		   !ptrace(PTRACE_SETSIGMASK, p->tid, (void *)sizeof(mask), &mask);
	return i->began;
}

/* False: the task is gone, or does not come back. */
static bool step_once(struct injection *i)
{
	enum { TURNS = 400000 /* half a minute */, SPINS = 200 };
	pid_t tid = i->p->tid;
	int status;

	for (;;) {
		pid_t got = 0;

		if (ptrace(PTRACE_SINGLESTEP, tid, 0, 0))
			return false;
		for (u32 n = 0; !got && n < TURNS; n++) {
			got = waitpid(tid, &status, WNOHANG | __WALL);
			if (!got && n > SPINS)
				usleep(50);
		}
		if (got != tid)
			return false;
		if (!WIFSTOPPED(status)) { /* it was killed: for who waits for its end */
			if (i->t->n_held < ARRAY_SIZE(i->t->held)) {
				i->t->held[i->t->n_held].tid = tid;
				i->t->held[i->t->n_held++].status = status;
			}
			return false;
		}
		if (!(status >> 16) && WSTOPSIG(status) == SIGTRAP)
			return true;
		i->stop |= !(status >> 16) && WSTOPSIG(status) == SIGSTOP; /* which cannot be blocked: once more at the end */
	}
}

s64 inject_call(struct injection *i, long nr, const u64 args[6])
{
	struct user_regs_struct regs = *i->regs;

	regs.rip = i->at;
	regs.rax = (u64)nr;
	regs.orig_rax = (u64)-1;
	regs.rdi = args[0];
	regs.rsi = args[1];
	regs.rdx = args[2];
	regs.r10 = args[3];
	regs.r8 = args[4];
	regs.r9 = args[5];
	if (ptrace(PTRACE_SETREGS, i->p->tid, 0, &regs) || !step_once(i) || ptrace(PTRACE_GETREGS, i->p->tid, 0, &regs))
		return -ESRCH;
	return regs.rip == i->at + 2 ? (s64)regs.rax : -EINTR;
}

/* A call on the file that fd is here. */
static int call_on_file(struct injection *i, int fd, long nr, u32 path_arg, u64 args[6])
{
	char path[PATH_ROOM] = {0}, saved[PATH_ROOM];
	s64 got;

	args[path_arg] = (i->regs->rsp - RED_ZONE - PATH_ROOM) & ~7ull;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
	if (remote_get(i->p->tid, args[path_arg], saved, sizeof(saved)) || remote_put(i->p->tid, args[path_arg], path, sizeof(path)))
		return -EFAULT;
	got = inject_call(i, nr, args);
	remote_put(i->p->tid, args[path_arg], saved, sizeof(saved));
	return (int)got;
}

int inject_open(struct injection *i, int fd, bool writes)
{
	return call_on_file(i, fd, SYS_openat, 1, (u64[6]){(u64)AT_FDCWD, 0, O_CLOEXEC | (writes ? O_RDWR : O_RDONLY)});
}

int inject_enter(struct injection *i, int fd)
{
	return call_on_file(i, fd, SYS_chdir, 0, (u64[6]){0});
}

void inject_end(struct injection *i)
{
	struct user_regs_struct regs;

	if (!i->began)
		return;
	regs = *i->regs;
	ptrace(PTRACE_SETREGS, i->p->tid, 0, &regs);
	ptrace(PTRACE_SETSIGMASK, i->p->tid, (void *)sizeof(i->mask), &i->mask);
	if (i->stop)
		syscall(SYS_tgkill, i->p->tgid, i->p->tid, SIGSTOP);
}
