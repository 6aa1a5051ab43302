/* SPDX-License-Identifier: BSD-2-Clause */
/* The types of programs that run on packets: what their results are called, and with which a packet goes on. */
#include "cli/run.h"

#include <linux/bpf.h>
#include <linux/pkt_cls.h>

enum { RESULTS_MOST = 11, REROUTE = 128 /* BPF_LWT_REROUTE */ };

struct results {
	u32 type;
	bool others_pass; /* results that have no name */
	struct named {
		const char *name;
		s32 result;
		bool passes;
	} named[RESULTS_MOST];
};

#define OF_TC                                                                                                                                            \
	true, {{"TC_ACT_UNSPEC", TC_ACT_UNSPEC, true}, {"TC_ACT_OK", TC_ACT_OK, true}, {"TC_ACT_RECLASSIFY", TC_ACT_RECLASSIFY, true},               \
	       {"TC_ACT_SHOT", TC_ACT_SHOT, false}, {"TC_ACT_PIPE", TC_ACT_PIPE, true}, {"TC_ACT_STOLEN", TC_ACT_STOLEN, false},                   \
	       {"TC_ACT_QUEUED", TC_ACT_QUEUED, true}, {"TC_ACT_REPEAT", TC_ACT_REPEAT, true}, {"TC_ACT_REDIRECT", TC_ACT_REDIRECT, true},         \
	       {"TC_ACT_TRAP", TC_ACT_TRAP, false}}
#define OF_LWT                                                                                                                                           \
	false, {{"BPF_OK", BPF_OK, true}, {"BPF_DROP", BPF_DROP, false}, {"BPF_REDIRECT", BPF_REDIRECT, true}, {"BPF_LWT_REROUTE", REROUTE, true}}

/* A socket filter's result is how much of the packet it keeps. */
static const struct results table[] = {
	{BPF_PROG_TYPE_XDP, false, {{"XDP_ABORTED", XDP_ABORTED, false}, {"XDP_DROP", XDP_DROP, false}, {"XDP_PASS", XDP_PASS, true},
				    {"XDP_TX", XDP_TX, true}, {"XDP_REDIRECT", XDP_REDIRECT, true}}},
	{BPF_PROG_TYPE_SCHED_CLS, OF_TC},
	{BPF_PROG_TYPE_SCHED_ACT, OF_TC},
	{BPF_PROG_TYPE_SOCKET_FILTER, true, {{"drop", 0, false}}},
	{BPF_PROG_TYPE_CGROUP_SKB, false, {{"drop", 0, false}, {"pass", 1, true}, {"drop, congestion", 2, false}, {"pass, congestion", 3, true}}},
	{BPF_PROG_TYPE_LWT_IN, OF_LWT},
	{BPF_PROG_TYPE_LWT_OUT, OF_LWT},
	{BPF_PROG_TYPE_LWT_XMIT, OF_LWT},
};

static const struct results *results_of(u32 type)
{
	for (u32 i = 0; i < ARRAY_SIZE(table); i++)
		if (table[i].type == type)
			return &table[i];
	return NULL;
}

static const struct named *named_result(const struct results *t, u32 result)
{
	for (u32 i = 0; t && i < RESULTS_MOST && t->named[i].name; i++)
		if ((u32)t->named[i].result == result)
			return &t->named[i];
	return NULL;
}

bool takes_packets(u32 type)
{
	return results_of(type) != NULL;
}

const char *verdict_name(u32 type, u64 result, char *buf, size_t n)
{
	const struct named *named = named_result(results_of(type), (u32)result);
	bool filter = type == BPF_PROG_TYPE_SOCKET_FILTER;

	if (named)
		return named->name;
	if (filter && (u32)result >= UINT16_MAX)
		return "accept";
	snprintf(buf, n, filter ? "accept %llu bytes" : "%llu", (unsigned long long)result);
	return buf;
}

bool verdict_passes(u32 type, u32 result)
{
	const struct results *t = results_of(type);
	const struct named *named = named_result(t, result);

	return named ? named->passes : t && t->others_pass;
}
