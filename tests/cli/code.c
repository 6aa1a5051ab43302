/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * skep asm and skep dump from outside, and the reader of objects from inside, on damaged objects.
 * argv[1]: the command; argv[2]: the source of the sample object, which clang compiles.
 */
#include "cli/dump.h"
#include "test.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *skep, *sample;
static char out[262144], err[16384], dir[] = "/tmp/skep-code-XXXXXX", object[64];
static int status;

static void slurp(FILE *f, char *to, size_t size)
{
	size_t n;

	rewind(f);
	n = fread(to, 1, size - 1, f);
	to[n] = 0;
	fclose(f);
}

/* Runs argv with the input on stdin; fills out, err, status (-1: killed). */
static void run(const char *input, size_t len, const char *const *argv)
{
	FILE *i = tmpfile(), *o = tmpfile(), *e = tmpfile();
	pid_t pid;

	fwrite(input, 1, len, i);
	rewind(i);
	fflush(i);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		dup2(fileno(i), 0);
		dup2(fileno(o), 1);
		dup2(fileno(e), 2);
		execvp(argv[0], (char **)(uintptr_t)argv);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	fclose(i);
	slurp(o, out, sizeof(out));
	slurp(e, err, sizeof(err));
}

#define SKEP(input, ...) run(input, strlen(input), (const char *const[]){skep, __VA_ARGS__, NULL})

TEST(asm_prints_digits)
{
	SKEP("r0 = 42\nexit\n", "asm", "-");
	CHECK_EQ(status, 0);
	CHECK_STR(out, "b70000002a0000009500000000000000\n");
	CHECK_STR(err, "");
}

TEST(asm_writes_bytes)
{
	static const u8 expected[16] = {0xb7, 0, 0, 0, 42, 0, 0, 0, 0x95};
	char path[64];
	u8 got[32];
	FILE *f;

	snprintf(path, sizeof(path), "%s/out.bin", dir);
	SKEP("r0 = 42\nexit\n", "asm", "-", "-o", path);
	CHECK_EQ(status, 0);
	CHECK_STR(out, "");
	f = fopen(path, "rb");
	REQUIRE(f);
	CHECK_EQ(fread(got, 1, sizeof(got), f), 16);
	CHECK(!memcmp(got, expected, 16));
	fclose(f);
	SKEP("", "dump", path);
	CHECK_EQ(status, 0);
	CHECK_STR(out, "     0: r0 = 0x2a\n     1: exit\n");
	SKEP("r0 = 42\nexit\n", "asm", "-", "-o", path, "--hex");
	SKEP("", "dump", path);
	CHECK_STR(out, "     0: r0 = 0x2a\n     1: exit\n");
	remove(path);
}

TEST(asm_points_at_the_mistake)
{
	SKEP("r0 = 1\n\tr1 += w2\nexit\n", "asm", "-");
	CHECK_EQ(status, 1);
	CHECK_STR(out, "");
	CHECK_STR(err, "skep asm: <stdin>:2:8: expected r0 to r10 or a number\n  \tr1 += w2\n  \t      ^\n");
	SKEP("r0 = 99999999999\n", "asm", "-");
	CHECK(strstr(err, "<stdin>:1:6: the immediate"));
	SKEP("", "asm", "-");
	CHECK_EQ(status, 1);
	CHECK(strstr(err, "the program is empty"));
	SKEP("r0 = \xc3\xa4\033\xff\n", "asm", "-");
	CHECK_EQ(status, 1);
	CHECK(strstr(err, "\n  r0 = \xc3\xa4??\n")); /* no control codes, no bytes that are no text */
}

TEST(asm_json)
{
	SKEP("r0 = 1 ll; exit", "asm", "-", "--json");
	CHECK_EQ(status, 0);
	CHECK(strstr(out, "\"insns\": 3"));
	CHECK(strstr(out, "\"r0 = 0x1 ll\",\n    \"exit\""));
}

TEST(wrong_usage_and_missing_files)
{
	SKEP("", "asm");
	CHECK_EQ(status, 2);
	SKEP("", "asm", "/nonexistent/file");
	CHECK_EQ(status, 2);
	CHECK(strstr(err, "/nonexistent/file: No such file"));
	SKEP("r0 = 0; exit", "asm", "-", "-o", "/nonexistent/file");
	CHECK_EQ(status, 2);
	SKEP("", "dump", "/nonexistent/file");
	CHECK_EQ(status, 2);
	SKEP("", "dump", "-", "--format", "cobol");
	CHECK_EQ(status, 2);
	SKEP("", "dump", "-");
	CHECK_EQ(status, 1);
	CHECK(strstr(err, "<stdin>: there is nothing in it"));
	SKEP("a\x12", "dump", "-", "--format", "hex");
	CHECK_EQ(status, 1);
	CHECK(strstr(err, "byte 0x12 at position 2"));
	SKEP("a", "dump", "-", "--format", "elf");
	CHECK_EQ(status, 1);
	CHECK(strstr(err, "this is no ELF object"));
	SKEP("", "dump", "--help");
	CHECK_EQ(status, 0);
	CHECK(strstr(out, "Exit status"));
}

/* What dump prints, asm reads: labels, functions and positions. */
TEST(dump_and_asm_are_inverse)
{
	static const char source[] = "a: r1 = map[fd:3]+4\nif w1 s> 5 goto b\ncall f\nmay_goto a\nb: exit\nf: r0 = *(u8 *)skb[4]\n"
				     "lock *(u64 *)(r10 -8) += r0\nr2 = func[f]\ngotol g\ng: exit\n";
	char digits[1024];

	SKEP(source, "asm", "-");
	CHECK_EQ(status, 0);
	snprintf(digits, sizeof(digits), "%.1000s", out);
	SKEP(digits, "dump", "-");
	CHECK_EQ(status, 0);
	CHECK(strstr(out, "call func_6\n"));
	CHECK(strstr(out, "func_6:\n"));
	run(out, strlen(out), (const char *const[]){skep, "asm", "-", NULL});
	CHECK_EQ(status, 0);
	CHECK_STR(out, digits);
}

TEST(dump_refuses_what_is_no_code)
{
	SKEP("b7", "dump", "-");
	CHECK_EQ(status, 1);
	CHECK(strstr(err, "1 bytes are no whole instructions"));
	SKEP("zz\n", "dump", "-");
	CHECK_EQ(status, 1);
	CHECK(strstr(err, "neither an object nor hexadecimal digits: 'z' at position 1"));
	SKEP("7a7a", "dump", "-");
	CHECK_EQ(status, 1);
	CHECK(strstr(err, "2 bytes are no whole instructions"));
	SKEP("ff00000000000000", "dump", "-");
	CHECK_EQ(status, 1);
	CHECK(strstr(err, "insn 0 (ff000000 00000000): unknown opcode ff"));
	SKEP("", "dump", "-");
	CHECK_EQ(status, 1);
	SKEP("", "dump", skep);
	CHECK_EQ(status, 1);
	CHECK(strstr(err, "another machine"));
	SKEP("9500000000000000", "dump", "-", "--prog", "x");
	CHECK_EQ(status, 2);
}

static bool compile(void)
{
	snprintf(object, sizeof(object), "%s/sample.o", dir);
	run("", 0, (const char *const[]){"clang", "-O2", "-g", "-target", "bpf", "-mcpu=v3", "-c", sample, "-o", object, NULL});
	return status == 0;
}

TEST(dump_of_an_object)
{
	if (!compile())
		SKIP("clang for BPF not available");
	SKEP("", "dump", object);
	CHECK_EQ(status, 0);
	CHECK(strstr(out, "; section xdp\ncount:\n"));
	CHECK(strstr(out, "; section tc\nsecond:\n"));
	CHECK(strstr(out, "; section .text\nhelper:\n"));
	CHECK(strstr(out, "; u32 key = ctx->first; @ sample.bpf.c:"));
	CHECK(strstr(out, "# map counters\n"));
	CHECK(strstr(out, "# data limit\n"));
	CHECK(strstr(out, "call bpf_map_lookup_elem#1\n"));
	CHECK(strstr(out, "call helper\n"));
	CHECK(strstr(out, "# kernel function some_kernel_function\n"));
	SKEP("", "dump", object, "--prog", "helper", "--no-source");
	CHECK_EQ(status, 0);
	CHECK(strstr(out, "helper:\n     0: "));
	CHECK(!strstr(out, "count") && !strstr(out, "@ sample"));
	SKEP("", "dump", object, "--prog", "absent");
	CHECK_EQ(status, 1);
	CHECK(strstr(err, "it has helper, count, second"));
	SKEP("", "dump", object, "--json", "--prog", "count");
	CHECK_EQ(status, 0);
	CHECK(strstr(out, "\"symbol\": \"map counters\""));
	CHECK(strstr(out, "\"text\": \"u32 key = ctx->first;\""));
}

static u64 random_state = 0x2545f4914f6cdd1du;
static u64 next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* Everything that the reader found is looked at, so that a wrong length shows. */
static u64 look_at(const struct dump_object *o)
{
	u64 sum = 0;

	for (u32 i = 0; i < o->n; i++) {
		const struct dump_section *s = &o->sections[i];

		sum += strlen(s->name) + s->raw[s->n - 1].code + s->bytes[s->n - 1].code;
		for (u32 k = 0; k < s->n_functions; k++) {
			CHECK(s->functions[k].start <= s->functions[k].end && s->functions[k].end <= s->n);
			sum += strlen(s->functions[k].name);
		}
		for (u32 k = 0; k < s->n_relocs; k++) {
			CHECK(s->relocs[k].at < s->n);
			sum += strlen(s->relocs[k].symbol) + strlen(s->relocs[k].kind);
		}
		for (u32 k = 0; k < s->n_lines; k++) {
			CHECK(s->lines[k].at < s->n);
			sum += strlen(s->lines[k].file) + strlen(s->lines[k].text);
		}
	}
	return sum;
}

TEST(damaged_objects)
{
	u32 read = 0, refused = 0;
	u64 sum = 0;
	u8 good[65536];
	size_t n;
	FILE *f;

	f = fopen(object, "rb");
	if (!f)
		SKIP("clang for BPF not available");
	n = fread(good, 1, sizeof(good), f);
	fclose(f);
	for (u32 round = 0; round < 30000 && !test_case_failed; round++) {
		size_t len = round % 4 ? n : next_random() % (n + 1);
		u8 *copy = malloc(len ? len : 1);
		struct dump_object o;
		struct arena arena;
		char why[160] = "";

		memcpy(copy, good, len);
		for (u64 k = next_random() % 4 + 1; k && len; k--) {
			size_t at = next_random() % (next_random() % 3 ? len : MIN(len, (size_t)64));

			copy[at] = next_random() & 1 ? (u8)next_random() : 0xff;
		}
		arena_open(&arena, &mem_libc);
		if (dump_read_elf(&arena, copy, len, &o, why)) {
			CHECK(why[0]);
			refused++;
		} else {
			sum += look_at(&o);
			read++;
		}
		dump_close_elf(&o);
		arena_close(&arena);
		free(copy);
	}
	CHECK(read > 100 && refused > 100 && sum > 0);
}

int main(int argc, char **argv)
{
	if (argc != 3 || !mkdtemp(dir))
		return 1;
	skep = argv[1];
	sample = argv[2];
	RUN(asm_prints_digits);
	RUN(asm_writes_bytes);
	RUN(asm_points_at_the_mistake);
	RUN(asm_json);
	RUN(wrong_usage_and_missing_files);
	RUN(dump_and_asm_are_inverse);
	RUN(dump_refuses_what_is_no_code);
	RUN(dump_of_an_object);
	RUN(damaged_objects);
	if (object[0])
		remove(object);
	rmdir(dir);
	return test_end();
}
