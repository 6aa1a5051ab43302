/* SPDX-License-Identifier: BSD-2-Clause */
/* A client in the manner of libbpf-bootstrap: a skeleton, constants set before it is loaded, a ring that is polled. Says "ready" once it is attached, a line per
 * record, and at SIGINT how often the process of its argument opened a file. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <linux/types.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "watch.skel.h"

struct event {
	__u32 tgid;
	char comm[16], path[64];
};

static volatile sig_atomic_t ending;

static void end(int sig)
{
	(void)sig;
	ending = 1;
}

static int on_event(void *ctx, void *data, size_t size)
{
	const struct event *e = data;

	(void)ctx;
	if (size >= sizeof(*e))
		printf("%s %s\n", e->comm, e->path);
	return 0;
}

static int watch(struct watch_bpf *skel)
{
	struct ring_buffer *ring;
	__u32 key, next, *at = NULL;
	__u64 count, sum = 0;
	int err;

	skel->rodata->suffix = 'e';
	err = watch_bpf__load(skel);
	if (!err)
		err = watch_bpf__attach(skel);
	if (err)
		return err;
	ring = ring_buffer__new(bpf_map__fd(skel->maps.events), on_event, NULL, NULL);
	if (!ring)
		return -errno;
	puts("ready");
	while (!ending && err >= 0) {
		err = ring_buffer__poll(ring, 100);
		if (err == -EINTR)
			err = 0;
	}
	while (!bpf_map_get_next_key(bpf_map__fd(skel->maps.counts), at, &next)) {
		if (!bpf_map_lookup_elem(bpf_map__fd(skel->maps.counts), &next, &count))
			sum += count;
		key = next;
		at = &key;
	}
	ring_buffer__free(ring);
	printf("opened %llu\n", (unsigned long long)sum);
	return err < 0 ? err : 0;
}

int main(void)
{
	struct watch_bpf *skel;
	int err;

	setvbuf(stdout, NULL, _IOLBF, 0);
	libbpf_set_strict_mode(LIBBPF_STRICT_ALL);
	signal(SIGINT, end);
	skel = watch_bpf__open();
	if (!skel)
		return 1;
	err = watch(skel);
	watch_bpf__destroy(skel);
	if (err)
		fprintf(stderr, "watch: error %d\n", err);
	return err ? 1 : 0;
}
