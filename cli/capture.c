/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Packets of a capture through a program, and into another capture. libpcap reads and writes (pcap and pcapng, Ethernet and raw IP). Programs
 * see Ethernet frames: a raw IP packet gets a header made up, which is taken off again before it is written.
 */
#include "cli/run.h"

#include <linux/bpf.h>
#include <net/ethernet.h>
#define PCAP_DONT_INCLUDE_PCAP_BPF_H /* its struct bpf_insn is the classic one */
#include <pcap/dlt.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, MOST = 65536, ROOM = MOST + 512 };

struct capture {
	struct target *t;
	struct outcome *o;
	pcap_t *in;
	pcap_dumper_t *out;
	pcap_t *out_type;
	bool raw_ip;
	unsigned n;
	struct skep_packet packets[BATCH];
	struct pcap_pkthdr heads[BATCH];
	u8 *frames, *results; /* BATCH times MOST, BATCH times ROOM */
};

/* ---- verdicts ---- */

void outcome_add(struct outcome *o, u64 result, bool nowhere, u64 bytes)
{
	struct verdict *v = o->verdicts;

	o->runs++;
	o->bytes += bytes;
	o->result = result;
	while (v < o->verdicts + o->n_verdicts && v->result != result)
		v++;
	if (v == o->verdicts + o->n_verdicts) {
		o->verdicts = cli_resize(o->verdicts, (o->n_verdicts + 1) * sizeof(*v));
		v = &o->verdicts[o->n_verdicts++];
		*v = (struct verdict){.result = result};
	}
	v->packets++;
	v->bytes += bytes;
	v->nowhere_packets += nowhere;
	v->nowhere_bytes += nowhere ? bytes : 0;
}

/* ---- reading ---- */

static bool take_frame(struct capture *c, const struct pcap_pkthdr *head, const u8 *data)
{
	u8 *frame = c->frames + (size_t)c->n * MOST;
	u32 extra = c->raw_ip ? ETH_HLEN : 0, size = head->caplen + extra;

	if (size < ETH_HLEN || size > MOST || (c->raw_ip && !head->caplen))
		return false;
	if (c->raw_ip) {
		memset(frame, 0, ETH_HLEN);
		STORE_AS(u16, frame + 12, __builtin_bswap16(data[0] >> 4 == 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP));
	}
	memcpy(frame + extra, data, head->caplen);
	c->heads[c->n] = *head;
	c->packets[c->n] = (struct skep_packet){.data = frame, .size = size, .out = c->results ? c->results + (size_t)c->n * ROOM : NULL,
						.out_size = ROOM};
	c->n++;
	return true;
}

static bool write_packet(struct capture *c, unsigned i)
{
	const struct skep_packet *p = &c->packets[i];
	bool filter = c->t->type == BPF_PROG_TYPE_SOCKET_FILTER;
	u32 extra = c->raw_ip ? ETH_HLEN : 0, size = p->out_size;
	const u8 *from = p->out;
	struct pcap_pkthdr head = c->heads[i];

	if (filter) { /* a filter sees the packet behind its link-layer header, changes nothing and says how much to keep */
		from = p->data;
		size = MIN(p->size, p->result);
	}
	if (size < extra)
		return true;
	head.len = head.caplen == head.len || head.caplen != size - extra ? size - extra : head.len;
	head.caplen = size - extra;
	pcap_dump((u8 *)c->out, &head, from + extra);
	return !ferror(pcap_dump_file(c->out));
}

static int flush(struct capture *c)
{
	struct skep_fault fault = {0};
	struct timespec a, b;
	unsigned done;
	int err;

	clock_gettime(CLOCK_MONOTONIC, &a);
	err = skep_run_packets(c->t->k, c->t->fd, c->packets, c->n, &done, &fault);
	clock_gettime(CLOCK_MONOTONIC, &b);
	c->o->ns += (u64)(b.tv_sec - a.tv_sec) * 1000000000u + (u64)b.tv_nsec - (u64)a.tv_nsec;
	for (unsigned i = 0; i < done; i++) {
		outcome_add(c->o, c->packets[i].result, c->packets[i].nowhere, c->heads[i].len);
		if (c->out && !c->packets[i].nowhere && verdict_passes(c->t->type, c->packets[i].result) && !write_packet(c, i))
			return cli_error(c->t->c, "%s: %s", c->t->args->write, strerror(errno));
	}
	c->n = 0;
	trace_print(c->t); /* now: there is room for so many lines only */
	if (!err)
		return STATUS_DONE;
	if (err == -EFAULT)
		explain_fault(c->t, &fault);
	return cli_error(c->t->c, "stopped at packet %llu of %s%s%s", (unsigned long long)(c->o->runs + c->o->skipped + 1), c->t->args->pcap,
			 err == -EFAULT ? "" : ": ", err == -EFAULT ? "" : strerror(-err));
}

static int read_all(struct capture *c, const char *path)
{
	struct progress progress = {.c = c->t->c, .what = "packets"};
	struct pcap_pkthdr *head;
	const u8 *data;
	int status = STATUS_DONE, got;

	while (!status && (got = pcap_next_ex(c->in, &head, &data)) == 1) {
		if (!take_frame(c, head, data))
			c->o->skipped++;
		if (c->n == BATCH) {
			status = flush(c);
			progress_show(&progress, c->o->runs);
		}
	}
	if (!status && c->n)
		status = flush(c);
	progress_end(&progress);
	c->o->cut = !status && got == PCAP_ERROR;
	if (c->o->cut)
		return cli_error(c->t->c, "%s: cannot be read behind packet %llu: %s", path, (unsigned long long)(c->o->runs + c->o->skipped), pcap_geterr(c->in));
	return status;
}

/* Where stdout is the capture, what else is printed goes to stderr. */
static FILE *output_file(struct capture *c, const char *path)
{
	FILE *file;
	int fd;

	if (strcmp(path, "-") != 0)
		return fopen(path, "wb");
	fd = dup(STDOUT_FILENO);
	file = fd < 0 ? NULL : fdopen(fd, "wb");
	if (file)
		dup2(STDERR_FILENO, STDOUT_FILENO);
	else if (fd >= 0)
		close(fd);
	c->t->c->color = c->t->c->color && c->t->c->terminal;
	return file;
}

/* Opening it for writing would empty what is being read. */
static bool is_input(const struct capture *c, const char *path)
{
	struct stat in, out;

	return !fstat(fileno(pcap_file(c->in)), &in) && !stat(path, &out) && S_ISREG(out.st_mode) && in.st_dev == out.st_dev && in.st_ino == out.st_ino;
}

static int open_output(struct capture *c, const char *path)
{
	FILE *file;

	if (!path)
		return STATUS_DONE;
	if (!strcmp(path, "-") && isatty(STDOUT_FILENO))
		return cli_usage(c->t->c, "--write -: a capture is not written to a terminal; send stdout to a file or a program");
	if (is_input(c, path))
		return cli_usage(c->t->c, "--write %s: that is the capture that is read", path);
	file = output_file(c, path);
	if (!file)
		return cli_error(c->t->c, "%s: %s", path, strerror(errno)), STATUS_USAGE;
	c->out_type = pcap_open_dead_with_tstamp_precision(pcap_datalink(c->in), 262144, PCAP_TSTAMP_PRECISION_NANO);
	c->out = c->out_type ? pcap_dump_fopen(c->out_type, file) : NULL;
	c->results = cli_alloc((size_t)BATCH * ROOM);
	if (c->out)
		return STATUS_DONE;
	cli_error(c->t->c, "%s", c->out_type ? pcap_geterr(c->out_type) : "out of memory");
	fclose(file);
	return STATUS_USAGE;
}

static int open_input(struct capture *c)
{
	struct target *t = c->t;
	const char *path = t->args->pcap;
	char why[PCAP_ERRBUF_SIZE];
	int link;

	c->in = pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, why);
	if (!c->in) {
		if (strstr(why, path)) /* it cannot be opened */
			return cli_error(t->c, "%s", why), STATUS_USAGE;
		return cli_error(t->c, "%s: %s; captures are read as tcpdump -w writes them, pcap or pcapng", path, why), STATUS_USAGE;
	}
	link = pcap_datalink(c->in);
	c->raw_ip = link == DLT_RAW || link == DLT_IPV4 || link == DLT_IPV6;
	if (c->raw_ip || link == DLT_EN10MB)
		return STATUS_DONE;
	return cli_error(t->c, "%s: link type %s is not supported: Ethernet and raw IP are", path, pcap_datalink_val_to_name(link)), STATUS_USAGE;
}

static void close_input(struct capture *c)
{
	if (c->in)
		pcap_close(c->in);
	c->in = NULL;
}

int run_capture(struct target *t, struct outcome *o)
{
	struct capture c = {.t = t, .o = o};
	int status = open_input(&c);

	c.frames = cli_alloc((size_t)BATCH * MOST);
	if (!status)
		status = open_output(&c, t->args->write);
	for (u64 i = 0; i < t->args->repeat && !status; i++) {
		if (!c.in)
			status = open_input(&c);
		if (!status)
			status = read_all(&c, t->args->pcap);
		close_input(&c);
	}
	if (c.out && pcap_dump_flush(c.out) && !status)
		status = cli_error(t->c, "%s: %s", t->args->write, strerror(errno));
	if (c.out)
		pcap_dump_close(c.out);
	if (c.out_type)
		pcap_close(c.out_type);
	close_input(&c);
	free(c.frames);
	free(c.results);
	return status;
}
