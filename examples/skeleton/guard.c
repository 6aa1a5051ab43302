/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An ordinary libbpf program: nothing in it knows of skep. Linked with -lbpf alone it needs root and runs on the kernel's
 * eBPF; linked with libskep-bpf (see the Makefile) it runs on skep, as any user. Both print the same.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/types.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "guard.h"
#include "guard.skel.h"

enum { BLOCKED = 9999, PACKETS = 12, ETH = 14, IP = 20, UDP = 8 };

/* A UDP packet over IPv4 with `payload` bytes in it; returns its length. */
static unsigned make_packet(unsigned char *p, unsigned port, unsigned payload)
{
	static const unsigned char source[4] = {192, 0, 2, 7}, target[4] = {198, 51, 100, 1};
	unsigned ip_length = IP + UDP + payload;

	memset(p, 0, ETH + ip_length);
	p[12] = 0x08; /* IPv4 */
	p[ETH] = 0x45;
	p[ETH + 2] = (unsigned char)(ip_length >> 8);
	p[ETH + 3] = (unsigned char)ip_length;
	p[ETH + 8] = 64; /* hops */
	p[ETH + 9] = 17; /* UDP */
	memcpy(p + ETH + 12, source, 4);
	memcpy(p + ETH + 16, target, 4);
	p[ETH + IP + 2] = (unsigned char)(port >> 8);
	p[ETH + IP + 3] = (unsigned char)port;
	p[ETH + IP + 5] = (unsigned char)(UDP + payload);
	return ETH + ip_length;
}

static int on_drop(void *ctx, void *data, size_t size)
{
	const struct drop_event *e = data;
	char source[INET_ADDRSTRLEN];

	(void)ctx;
	if (size < sizeof(*e))
		return -EINVAL;
	inet_ntop(AF_INET, &e->source, source, sizeof(source));
	printf("  drop %llu: %s to port %u, %u bytes\n", (unsigned long long)e->serial, source, e->port, e->length);
	return 0;
}

static void on_sample(void *ctx, int cpu, void *data, __u32 size)
{
	const unsigned char *packet = (const unsigned char *)data + sizeof(struct sample_event);
	struct sample_event s;

	(void)ctx;
	(void)cpu; /* which CPU it was differs from run to run */
	if (size < sizeof(s) + ETH)
		return;
	memcpy(&s, data, sizeof(s)); /* samples are aligned to four bytes only */
	printf("  sample: packet %llu, %llu bytes, type %02x%02x\n", (unsigned long long)s.number, (unsigned long long)s.length,
	       packet[12], packet[13]);
}

static void on_lost(void *ctx, int cpu, __u64 count)
{
	(void)ctx;
	(void)cpu;
	printf("  lost %llu samples\n", (unsigned long long)count);
}

static int run_packets(int prog_fd)
{
	unsigned char packet[256];

	for (unsigned i = 0; i < PACKETS; i++) {
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet, .repeat = 1,
			    .data_size_in = make_packet(packet, i % 3 ? 53 : BLOCKED, 10 * i));
		int err = bpf_prog_test_run_opts(prog_fd, &run);

		if (err)
			return err;
		printf("packet %2u: %s\n", i, run.retval == XDP_DROP ? "dropped" : run.retval == XDP_PASS ? "passed" : "?");
	}
	return 0;
}

/* Polls both buffers until each had a turn with nothing to give. */
static int poll_buffers(struct ring_buffer *drops, struct perf_buffer *samples)
{
	int n;

	printf("ring buffer:\n");
	while ((n = ring_buffer__poll(drops, 100)) > 0)
		printf("  %d records\n", n);
	if (n < 0)
		return n;
	printf("perf buffer:\n");
	while ((n = perf_buffer__poll(samples, 100)) > 0)
		;
	return n;
}

static int work(struct guard_bpf *guard)
{
	struct perf_buffer *samples = NULL;
	struct ring_buffer *drops;
	int err;

	drops = ring_buffer__new(bpf_map__fd(guard->maps.drops), on_drop, NULL, NULL);
	if (!drops)
		return -errno;
	samples = perf_buffer__new(bpf_map__fd(guard->maps.samples), 8, on_sample, on_lost, NULL, NULL);
	err = samples ? run_packets(bpf_program__fd(guard->progs.guard)) : -errno;
	if (!err)
		err = poll_buffers(drops, samples);
	/* A second round: readable again only because of what is new. */
	if (!err)
		err = run_packets(bpf_program__fd(guard->progs.guard));
	if (!err)
		err = poll_buffers(drops, samples);
	printf("counted: %llu packets, %llu bytes, %llu dropped, %llu lost; next serial %llu\n",
	       (unsigned long long)guard->bss->counters.packets, (unsigned long long)guard->bss->counters.bytes,
	       (unsigned long long)guard->bss->counters.dropped, (unsigned long long)guard->bss->counters.lost,
	       (unsigned long long)guard->data->next_serial);
	perf_buffer__free(samples);
	ring_buffer__free(drops);
	return err;
}

int main(void)
{
	struct guard_bpf *guard;
	int err;

	guard = guard_bpf__open();
	if (!guard) {
		fprintf(stderr, "guard: cannot open the object: %s\n", strerror(errno));
		return 1;
	}
	guard->rodata->blocked_port = BLOCKED;
	guard->rodata->sample_every = 5;
	err = guard_bpf__load(guard);
	if (!err)
		err = work(guard);
	guard_bpf__destroy(guard);
	if (err)
		fprintf(stderr, "guard: %s\n", strerror(-err));
	return err ? 1 : 0;
}
