/* SPDX-License-Identifier: BSD-2-Clause */
/* What step_over() makes of an instruction is what the processor makes of it: each is executed by a traced
 * child, one step, and compared. */
#include "client/supervise/step.h"

#include "../test.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FLAGS = 0x8d5, MOST = 16 };

static const struct {
	const char *name;
	u32 n;
	u8 code[MOST];
	bool known;
} insns[] = {
    {"endbr64", 4, {0xf3, 0x0f, 0x1e, 0xfa}, true},
    {"nop", 1, {0x90}, true},
    {"nopw", 9, {0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0}, true},
    {"nopl 0(%rax)", 3, {0x0f, 0x1f, 0x00}, true},
    {"push %rbp", 1, {0x55}, true},
    {"push %rsp", 1, {0x54}, true},
    {"push %r15", 2, {0x41, 0x57}, true},
    {"mov %rsp, %rbp", 3, {0x48, 0x89, 0xe5}, true},
    {"mov %edi, %r12d", 3, {0x41, 0x89, 0xfc}, true},
    {"mov %rax, %rbx, the other form", 3, {0x48, 0x8b, 0xd8}, true},
    {"test %eax, %eax", 2, {0x85, 0xc0}, true},
    {"test %rdi, %rsi", 3, {0x48, 0x85, 0xfe}, true},
    {"xor %eax, %eax", 2, {0x31, 0xc0}, true},
    {"add %eax, %ebx", 2, {0x01, 0xc3}, true},
    {"add %r8, %r9", 3, {0x4d, 0x01, 0xc1}, true},
    {"or %ecx, %edx", 2, {0x09, 0xca}, true},
    {"and %rcx, %rdx", 3, {0x48, 0x23, 0xd1}, true},
    {"sub %ecx, %eax", 2, {0x29, 0xc8}, true},
    {"cmp %rdi, %rsi", 3, {0x48, 0x39, 0xfe}, true},
    {"sub $24, %rsp", 4, {0x48, 0x83, 0xec, 0x18}, true},
    {"sub $0x1000, %rsp", 7, {0x48, 0x81, 0xec, 0, 0x10, 0, 0}, true},
    {"add $-1, %ebx", 3, {0x83, 0xc3, 0xff}, true},
    {"cmp $-1, %eax", 3, {0x83, 0xf8, 0xff}, true},
    {"and $-16, %rsp", 4, {0x48, 0x83, 0xe4, 0xf0}, true},
    {"adc %eax, %ebx", 2, {0x11, 0xc3}, false},
    {"sbb $1, %ebx", 3, {0x83, 0xdb, 0x01}, false},
    {"lea 8(%rip), %rax", 7, {0x48, 0x8d, 0x05, 8, 0, 0, 0}, false},
    {"jmp", 2, {0xeb, 0}, false},
    {"call", 5, {0xe8, 0, 0, 0, 0}, false},
    {"ret", 1, {0xc3}, false},
    {"mov (%rsp), %rax", 4, {0x48, 0x8b, 0x04, 0x24}, false},
    {"half of a sub", 3, {0x48, 0x81, 0xec}, false},
};
static const u64 values[] = {0,
			     1,
			     0x7fffffff,
			     0x80000000,
			     0xffffffff,
			     0x7fffffffffffffff,
			     0x8000000000000000,
			     0xffffffffffffffff,
			     0x123456789abcdef0};

static u8 *code;
static u64 *stack;

static void same_as_processor(pid_t pid, u32 i, struct user_regs_struct start)
{
	struct task_regs mine;
	struct user_regs_struct there;
	struct step_store store;
	int status;
	u32 size;

	memcpy(&mine, &start, sizeof(mine));
	memcpy(code, insns[i].code, MOST);
	size = step_over(insns[i].code, insns[i].n, &mine, &store);
	CHECK_EQ(size, insns[i].known ? insns[i].n : 0);
	if (!size) {
		CHECK(!memcmp(&mine, &start, sizeof(mine)));
		return;
	}
	REQUIRE(!ptrace(PTRACE_SETREGS, pid, 0, &start) && !ptrace(PTRACE_SINGLESTEP, pid, 0, 0));
	REQUIRE(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
	REQUIRE(!ptrace(PTRACE_GETREGS, pid, 0, &there));
	there.eflags = (there.eflags & FLAGS) | (mine.flags & ~(u64)FLAGS);
	there.orig_rax = mine.orig_ax;
	if (memcmp(&there, &mine, sizeof(mine)))
		printf("# %s differs: flags %llx, %llx\n", insns[i].name, there.eflags,
		       (unsigned long long)mine.flags);
	CHECK(!memcmp(&there, &mine, sizeof(mine)));
	CHECK(!store.any || (store.at == there.rsp && *(u64 *)(uintptr_t)store.at == store.value));
}

static void every_instruction(void)
{
	struct user_regs_struct start;
	int status;
	pid_t pid;

	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	stack = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	REQUIRE(code != MAP_FAILED && stack != MAP_FAILED);
	pid = fork();
	REQUIRE(pid >= 0);
	if (!pid) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(1);
	}
	REQUIRE(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	REQUIRE(!ptrace(PTRACE_GETREGS, pid, 0, &start));
	start.rip = (unsigned long long)(uintptr_t)code;
	start.rsp = (unsigned long long)(uintptr_t)(stack + 256) + 8;
	start.orig_rax = ~0ull;
	for (u32 i = 0; i < ARRAY_SIZE(insns); i++)
		for (u32 a = 0; a < ARRAY_SIZE(values); a++)
			for (u32 b = 0; b < ARRAY_SIZE(values); b++) {
				start.rax = start.rcx = start.rdi = start.r8 = values[a];
				start.rbx = start.rdx = start.rsi = start.r9 = values[b];
				same_as_processor(pid, i, start);
			}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
}

int main(void)
{
	test_run("every instruction, with the operands that set flags", every_instruction);
	return test_end();
}
