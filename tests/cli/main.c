/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The command's frame from outside: verbs, options, help, exit statuses. argv[1]: the command.
 */
#include "test.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *skep;
static char out[262144], err[16384];
static int status;

static void slurp(FILE *f, char *to, size_t size)
{
	size_t n;

	rewind(f);
	n = fread(to, 1, size - 1, f);
	to[n] = 0;
	fclose(f);
}

/* Runs the command with arguments up to NULL; fills out, err, status (-1: killed). */
static void run(const char *first, ...)
{
	const char *argv[16] = {skep, first};
	FILE *o = tmpfile(), *e = tmpfile();
	unsigned n = 2;
	__builtin_va_list ap;
	pid_t pid;

	__builtin_va_start(ap, first);
	while (first && n < 15 && (argv[n] = __builtin_va_arg(ap, const char *)))
		n++;
	__builtin_va_end(ap);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		dup2(fileno(o), 1);
		dup2(fileno(e), 2);
		execv(skep, (char **)argv);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	slurp(o, out, sizeof(out));
	slurp(e, err, sizeof(err));
}

TEST(without_a_verb_it_explains_itself_and_fails)
{
	run(NULL);
	CHECK_EQ(status, 2);
	CHECK_STR(out, "");
	CHECK(strstr(err, "usage: skep VERB"));
}

TEST(help_lists_every_verb_on_stdout)
{
	run("--help", NULL);
	CHECK_EQ(status, 0);
	CHECK_STR(err, "");
#define VERB(name, summary) CHECK(strstr(out, "  " #name " ") && strstr(out, summary));
#include "cli/verbs.def"
	run("help", NULL);
	CHECK_EQ(status, 0);
	CHECK(strstr(out, "usage: skep VERB"));
}

TEST(version_is_one_line)
{
	run("--version", NULL);
	CHECK_EQ(status, 0);
	CHECK(!strncmp(out, "skep ", 5) && out[5] >= '0' && out[5] <= '9' && strchr(out, '\n') == out + strlen(out) - 1);
}

TEST(an_unknown_verb_is_answered_with_the_nearest)
{
	run("featrue", NULL);
	CHECK_EQ(status, 2);
	CHECK_STR(out, "");
	CHECK(strstr(err, "unknown verb 'featrue'; did you mean 'feature'?"));
	run("zzzzzz", NULL);
	CHECK_EQ(status, 2);
	CHECK(strstr(err, "unknown verb 'zzzzzz'\n"));
	run("--json", NULL);
	CHECK_EQ(status, 2);
	CHECK(strstr(err, "options follow the verb"));
}

/* Every verb: help VERB, VERB --help and VERB -h say the same. */
TEST(each_verb_has_help_in_three_ways)
{
	static char first[sizeof(out)];

#define VERB(name, summary)                                                                                      \
	run("help", #name, NULL);                                                                                \
	CHECK_EQ(status, 0);                                                                                     \
	CHECK(strstr(out, "usage: skep " #name));                                                                \
	CHECK(strstr(out, "-h, --help"));                                                                        \
	strcpy(first, out);                                                                                      \
	run(#name, "--help", NULL);                                                                              \
	CHECK_EQ(status, 0);                                                                                     \
	CHECK_STR(out, first);                                                                                   \
	run(#name, "-h", NULL);                                                                                  \
	CHECK_EQ(status, 0);                                                                                     \
	CHECK_STR(out, first);
#include "cli/verbs.def"
}

TEST(wrong_options_name_the_verb_the_option_and_the_way_on)
{
	run("feature", "--jsn", NULL);
	CHECK_EQ(status, 2);
	CHECK_STR(err, "skep feature: unknown option '--jsn'; did you mean '--json'?\n`skep help feature` tells how to use it.\n");
	run("feature", "-q", NULL);
	CHECK_EQ(status, 2);
	CHECK(strstr(err, "unknown option '-q'"));
	run("feature", "--json=yes", NULL);
	CHECK_EQ(status, 2);
	CHECK(strstr(err, "--json takes no value"));
	run("feature", "surplus", NULL);
	CHECK_EQ(status, 2);
	CHECK(strstr(err, "'surplus'"));
	run("feature", "--", "--json", NULL);
	CHECK_EQ(status, 2);
	CHECK(strstr(err, "'--json'"));
	run("help", "--man", NULL);
	CHECK_EQ(status, 2);
	CHECK(strstr(err, "--man wants a value"));
	run("help", "nothing", NULL);
	CHECK_EQ(status, 2);
	CHECK(strstr(err, "there is no verb 'nothing'"));
}

TEST(feature_lists_the_tables)
{
	run("feature", NULL);
	CHECK_EQ(status, 0);
	CHECK(strstr(out, "\n  map_lookup_elem "));
	CHECK(strstr(out, "\n  xdp "));
	CHECK(strstr(out, "\n  hash "));
	CHECK(strstr(out, "\n  add "));
	CHECK(strstr(out, "\n  uprobe "));
	CHECK(strstr(out, "\n  uretprobe "));
	CHECK(strstr(out, "\n  usdt "));
	CHECK(strstr(out, "\n  perf:cpu-clock "));
	CHECK(strstr(out, "\n  sched:sched_process_exec "));
	CHECK(!strstr(out, "perf:bpf-output"));
	CHECK(!strstr(out, "\033"));
	CHECK(!strstr(out, " \n"));
	run("feature", "-j", NULL);
	CHECK_EQ(status, 0);
	CHECK(out[0] == '{');
	CHECK(strstr(out, "\"name\": \"map_lookup_elem\",\n      \"id\": 1,"));
}

TEST(a_full_disk_is_an_error)
{
	int full = open("/dev/full", O_WRONLY), saved;
	pid_t pid;

	if (full < 0)
		SKIP("no /dev/full");
	saved = open("/dev/null", O_WRONLY);
	fflush(stdout);
	pid = fork();
	if (!pid) {
		dup2(full, 1);
		dup2(saved, 2);
		execl(skep, skep, "--help", (char *)NULL);
		_exit(127);
	}
	waitpid(pid, &status, 0);
	CHECK(WIFEXITED(status));
	CHECK_EQ(WEXITSTATUS(status), 1);
	close(full);
	close(saved);
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	skep = argv[1];
	RUN(without_a_verb_it_explains_itself_and_fails);
	RUN(help_lists_every_verb_on_stdout);
	RUN(version_is_one_line);
	RUN(an_unknown_verb_is_answered_with_the_nearest);
	RUN(each_verb_has_help_in_three_ways);
	RUN(wrong_options_name_the_verb_the_option_and_the_way_on);
	RUN(feature_lists_the_tables);
	RUN(a_full_disk_is_an_error);
	return test_end();
}
