/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fuzz target over inputs that were findings once, or are good to begin with: CORPUS-TEST PATH... (files,
 * folders). In builds without a fuzzer; an input that breaks the target ends the test.
 */
#include "test.h"

#include "base/base.h"

#include <dirent.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static const char *path;

TEST(input_breaks_nothing)
{
	FILE *f = fopen(path, "rb");
	struct stat st;
	u8 *data;

	REQUIRE(f && !fstat(fileno(f), &st));
	data = malloc((size_t)st.st_size + 1);
	REQUIRE(data && fread(data, 1, (size_t)st.st_size, f) == (size_t)st.st_size);
	fclose(f);
	printf("# %s, %lld bytes\n", path, (long long)st.st_size);
	fflush(stdout);
	CHECK_EQ(LLVMFuzzerTestOneInput(data, (size_t)st.st_size), 0);
	free(data);
}

static void run_folder(const char *name)
{
	struct dirent **entries;
	int n = scandir(name, &entries, NULL, alphasort);
	char file[4096];

	for (int i = 0; i < n; i++) {
		snprintf(file, sizeof(file), "%s/%s", name, entries[i]->d_name);
		path = file;
		if (entries[i]->d_name[0] != '.')
			RUN(input_breaks_nothing);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
}

int main(int argc, char **argv)
{
	struct stat st;

	for (int i = 1; i < argc; i++) {
		if (!stat(argv[i], &st) && S_ISDIR(st.st_mode)) {
			run_folder(argv[i]);
			continue;
		}
		path = argv[i];
		RUN(input_breaks_nothing);
	}
	return test_end();
}
