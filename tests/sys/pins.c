/* SPDX-License-Identifier: BSD-2-Clause */
/* Pinned programs: another engine loads them from their file, with the maps that they had; damaged files are refused or harmless. */
#include "sys_test.h"

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/stat.h>

static char dir[] = "/tmp/skep-progs-XXXXXX";

static const char *in_dir(const char *name)
{
	static char paths[4][96];
	static unsigned turn;
	char *path = paths[turn++ % ARRAY_SIZE(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

/* Engines of one domain: they share pinned maps. */
static struct skep *engine(void)
{
	static char slots[96];
	struct skep_options o = {.size = sizeof(o), .domain = slots};
	struct skep *k = NULL;

	snprintf(slots, sizeof(slots), "%s", in_dir("slots"));
	if (skep_open(&k, &o)) {
		printf("Bail out! no engine\n");
		exit(1);
	}
	return k;
}

static int object(struct skep *k, int cmd, int fd, const char *path)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.bpf_fd = (uint32_t)fd;
	a.pathname = ADDRESS(path);
	return skep_bpf(k, cmd, &a, sizeof(a));
}

static int run(struct skep *k, int prog)
{
	char packet[64] = {0};
	struct skep_packet p = {.data = packet, .size = sizeof(packet)};
	int err = skep_run_packets(k, prog, &p, 1, NULL, NULL);

	return err ? err : (int)p.result;
}

static int map_named(struct skep *k, const char *name, uint32_t type)
{
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.map_type = type;
	a.key_size = 4;
	a.value_size = 8;
	a.max_entries = 1;
	snprintf(a.map_name, sizeof(a.map_name), "%s", name);
	return skep_bpf(k, BPF_MAP_CREATE, &a, sizeof(a));
}

static struct bpf_prog_info info(struct skep *k, int prog)
{
	struct bpf_prog_info out = {0};
	union bpf_attr a;

	memset(&a, 0, sizeof(a));
	a.info.bpf_fd = (uint32_t)prog;
	a.info.info_len = sizeof(out);
	a.info.info = ADDRESS(&out);
	CHECK_EQ(skep_bpf(k, BPF_OBJ_GET_INFO_BY_FD, &a, sizeof(a)), 0);
	return out;
}

static uint64_t first(struct skep *k, int map)
{
	uint32_t key = 0;
	uint64_t value = 0;

	CHECK_EQ(skep_map_lookup(k, map, &key, &value), 0);
	return value;
}

/* Adds what the second map's only element holds to the first one's, by a lookup and by a direct address; XDP_DROP. */
static int load_adder(struct skep *k, int to, int from)
{
	char text[500];

	snprintf(text, sizeof(text),
		 "*(u32 *)(r10 -4) = 0\n"
		 "r1 = map[fd:%d]\n"
		 "r2 = r10\n"
		 "r2 += -4\n"
		 "call bpf_map_lookup_elem#1\n"
		 "if r0 == 0 goto out\n"
		 "r1 = map[fd:%d]+0\n"
		 "r1 = *(u64 *)(r1 +0)\n"
		 "lock *(u64 *)(r0 +0) += r1\n"
		 "out: r0 = 1\n"
		 "exit\n", to, from);
	return load_text(k, BPF_PROG_TYPE_XDP, text);
}

TEST(a_program_without_maps_comes_back)
{
	struct skep *a = engine(), *b = engine();
	int prog = load_text(a, BPF_PROG_TYPE_XDP, "r0 = 3\nexit"), again;
	struct bpf_prog_info was, is;

	REQUIRE(prog >= 0);
	CHECK_EQ(object(a, BPF_OBJ_PIN, prog, in_dir("plain")), 0);
	CHECK_EQ(object(a, BPF_OBJ_PIN, prog, in_dir("plain")), -EEXIST);
	CHECK_EQ(object(a, BPF_OBJ_PIN, prog, in_dir("second")), 0);
	was = info(a, prog);
	REQUIRE((again = object(a, BPF_OBJ_GET, 0, in_dir("second"))) >= 0);
	CHECK_EQ(info(a, again).id, was.id); /* it is there already */
	close(again);
	close(prog);
	CHECK_EQ(next_id(a, BPF_PROG_GET_NEXT_ID, 0), -ENOENT);
	for (int i = 0; i < 2; i++) {
		struct skep *k = i ? b : a;

		REQUIRE((again = object(k, BPF_OBJ_GET, 0, in_dir("plain"))) >= 0);
		is = info(k, again);
		CHECK(!memcmp(is.tag, was.tag, sizeof(is.tag)) && !strcmp(is.name, was.name));
		CHECK_EQ(is.type, BPF_PROG_TYPE_XDP);
		CHECK_EQ(run(k, again), XDP_TX);
		close(again);
	}
	unlink(in_dir("plain"));
	unlink(in_dir("second"));
	skep_close(a);
	skep_close(b);
}

TEST(its_maps_come_with_it)
{
	struct skep *a = engine(), *b = engine();
	int to = map_named(a, "sum", BPF_MAP_TYPE_ARRAY), from = map_named(a, "step", BPF_MAP_TYPE_ARRAY), prog = load_adder(a, to, from), again;
	struct bpf_prog_info was;
	uint64_t five = 5;
	uint32_t key = 0;

	REQUIRE(prog >= 0);
	CHECK_EQ(skep_map_update(a, from, &key, &five, BPF_ANY), 0);
	CHECK_EQ(object(a, BPF_OBJ_PIN, to, in_dir("total")), 0); /* one has a file of its own, */
	CHECK_EQ(object(a, BPF_OBJ_PIN, prog, in_dir("adder")), 0);
	CHECK_EQ(access(in_dir("adder.step"), F_OK), 0); /* the other one gets it here */
	CHECK_EQ(access(in_dir("adder.sum"), F_OK), -1);
	was = info(a, prog);
	REQUIRE((again = object(b, BPF_OBJ_GET, 0, in_dir("adder"))) >= 0);
	CHECK(!memcmp(info(b, again).tag, was.tag, sizeof(was.tag)));
	CHECK_EQ(info(b, again).nr_map_ids, 2);
	CHECK_EQ(run(b, again), XDP_DROP);
	CHECK_EQ(run(a, prog), XDP_DROP);
	CHECK_EQ(first(a, to), 10); /* one map of both engines */
	close(again);

	unlink(in_dir("adder")); /* and again, over what the first time left */
	close(prog);
	close(from);
	from = map_named(a, "step", BPF_MAP_TYPE_ARRAY);
	REQUIRE((prog = load_adder(a, to, from)) >= 0);
	CHECK_EQ(object(a, BPF_OBJ_PIN, prog, in_dir("adder")), 0);
	REQUIRE((again = object(b, BPF_OBJ_GET, 0, in_dir("adder"))) >= 0);
	CHECK_EQ(run(b, again), XDP_DROP);
	CHECK_EQ(first(a, to), 10); /* the new map holds 0 */
	close(again);
	close(prog);
	close(to);
	close(from);
	unlink(in_dir("total"));
	CHECK_EQ(object(b, BPF_OBJ_GET, 0, in_dir("adder")), -ENOENT); /* nobody finds that map any more */
	unlink(in_dir("adder"));
	unlink(in_dir("adder.step"));
	skep_close(a);
	skep_close(b);
}

TEST(a_map_that_stands_in_the_way_is_not_overwritten)
{
	struct skep *k = engine();
	int to = map_named(k, "sum", BPF_MAP_TYPE_ARRAY), from = map_named(k, "step", BPF_MAP_TYPE_ARRAY), prog = load_adder(k, to, from);
	int file = open(in_dir("adder.step"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	REQUIRE(prog >= 0 && write(file, "mine", 4) == 4);
	close(file);
	CHECK_EQ(object(k, BPF_OBJ_PIN, prog, in_dir("adder")), -EEXIST);
	CHECK_EQ(access(in_dir("adder"), F_OK), -1);
	CHECK_EQ(access(in_dir("adder.sum"), F_OK), -1); /* nothing stays of an attempt */
	CHECK_EQ(access(in_dir("adder.step"), F_OK), 0);
	unlink(in_dir("adder.step"));
	close(prog);
	close(to);
	close(from);
	skep_close(k);
}

/* Every byte of the file, one after another, becomes another one. */
TEST(damaged_files_are_refused_or_harmless)
{
	struct skep *a = engine(), *b = engine();
	int to = map_named(a, "sum", BPF_MAP_TYPE_ARRAY), from = map_named(a, "step", BPF_MAP_TYPE_ARRAY), prog = load_adder(a, to, from), file;
	uint32_t opened = 0, refused = 0;
	struct stat st;

	REQUIRE(prog >= 0);
	CHECK_EQ(object(a, BPF_OBJ_PIN, prog, in_dir("adder")), 0);
	file = open(in_dir("adder"), O_RDWR | O_CLOEXEC);
	REQUIRE(file >= 0 && !fstat(file, &st));
	for (off_t at = 0; at < st.st_size; at++) {
		uint8_t was, other;
		int again;

		if (at >= 400 && at < st.st_size - 4096)
			at = st.st_size - 4096; /* what is between is empty */
		if (at >= st.st_size - 4096 + 200)
			break;
		REQUIRE(pread(file, &was, 1, at) == 1);
		other = (uint8_t)(was ^ (at % 3 ? 1 : 0xff));
		REQUIRE(pwrite(file, &other, 1, at) == 1);
		again = object(b, BPF_OBJ_GET, 0, in_dir("adder"));
		if (again >= 0) {
			run(b, again);
			close(again);
			opened++;
		} else {
			refused++;
		}
		REQUIRE(pwrite(file, &was, 1, at) == 1);
	}
	CHECK(opened > 10 && refused > 100);
	for (off_t size = 0; size < st.st_size; size += 512) {
		REQUIRE(!truncate(in_dir("adder"), st.st_size - 1 - size));
		CHECK_EQ(object(b, BPF_OBJ_GET, 0, in_dir("adder")), -EACCES);
	}
	close(file);
	unlink(in_dir("adder"));
	unlink(in_dir("adder.sum"));
	unlink(in_dir("adder.step"));
	close(prog);
	close(to);
	close(from);
	skep_close(a);
	skep_close(b);
}

TEST(links_say_that_they_end_with_their_engine)
{
	struct skep *k = engine();
	union bpf_attr a;
	int prog = load_text(k, BPF_PROG_TYPE_PERF_EVENT, "r0 = 0\nexit"), link, event;
	struct perf_event_attr clock = {.type = PERF_TYPE_SOFTWARE, .size = sizeof(clock), .config = PERF_COUNT_SW_CPU_CLOCK, .sample_period = 1000000};

	event = skep_perf_event_open(k, &clock, 0, -1, -1, 0);
	REQUIRE(prog >= 0 && event >= 0);
	memset(&a, 0, sizeof(a));
	a.link_create.prog_fd = (uint32_t)prog;
	a.link_create.target_fd = (uint32_t)event;
	a.link_create.attach_type = BPF_PERF_EVENT;
	link = skep_bpf(k, BPF_LINK_CREATE, &a, sizeof(a));
	REQUIRE(link >= 0);
	CHECK_EQ(object(k, BPF_OBJ_PIN, link, in_dir("link")), -EOPNOTSUPP);
	CHECK_EQ(access(in_dir("link"), F_OK), -1);
	close(link);
	close(event);
	close(prog);
	skep_close(k);
}

int main(void)
{
	if (!mkdtemp(dir)) {
		printf("Bail out! no temporary directory\n");
		return 1;
	}
	RUN(a_program_without_maps_comes_back);
	RUN_WITH_PROC(its_maps_come_with_it, "files of maps have no names");
	RUN_WITH_PROC(a_map_that_stands_in_the_way_is_not_overwritten, "files of maps have no names");
	RUN_WITH_PROC(damaged_files_are_refused_or_harmless, "files of maps have no names");
	RUN(links_say_that_they_end_with_their_engine);
	unlink(in_dir("slots"));
	rmdir(dir);
	return test_end();
}
