/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * docs/maps.md, from the tables of kinds and slots: `t-map-docs --write` writes it, the test says when the committed file
 * is another.
 */
#include "map/map.h"

#include "../page.h"

static const char head[] =
	"# Maps\n\n"
	"<!-- Written by `build/tests/map/t-map-docs --write` from src/map/kinds.def and src/map/slots.def: do not edit. -->\n\n"
	"A map behaves as on Linux 6.18: sizes, flags, errno values and the order of keys are compared with a running kernel's\n"
	"(tests/map/oracle.c). `src/map/map.h` is the contract; each family is one file that opens with its concurrency rule.\n\n";

static const char pins[] =
	"## Pins\n\n"
	"A pinned map is a file: its memory, its header and its BTF. Writing the pin moves the living map into the file; it is\n"
	"refused with EBUSY while a client has the map's own memory mapped for writing. Engines that share their run slots (by\n"
	"default all of one user) may have it open at the same time; others get EBUSY until the last of them has closed it. Whoever\n"
	"then opens it repairs what a dead owner left. References to an engine's objects (programs, inner maps, perf rings) are\n"
	"not in the file: such maps are empty when they are opened again. A ring buffer's waiting consumer is woken by the\n"
	"producers of its own engine only.\n";

static const struct {
	u32 trait;
	const char *text;
} traits[] = {
	{KIND_FD_VALUES, "bpf(2) writes descriptors and reads ids"},
	{KIND_PER_CPU, "bpf(2) moves the values of all CPUs"},
	{KIND_INNER, "may be in a map-in-map"},
	{KIND_OUTER, "map-in-map"},
	{KIND_EXTRA, "map_extra"},
	{KIND_VALUE_IN, "a lookup by bpf(2) reads the value"},
	{KIND_LOCKS, "bpf_spin_lock"},
	{KIND_TIMERS, "bpf_timer"},
	{KIND_BATCH_GET, "batch lookup"},
	{KIND_BATCH_SET, "batch update"},
	{KIND_BATCH_DELETE, "batch delete"},
	{KIND_STEADY, "needs no run slot"},
	{KIND_BATCH_TAKE, "batch lookup and delete"},
	{KIND_PRIVILEGED, "creation needs CAP_BPF"},
	{KIND_NET_ADMIN, "creation needs CAP_NET_ADMIN"},
	{KIND_NO_TYPES, "takes no BTF"},
	{KIND_KERNEL_TYPE, "the value is a kernel's struct"},
	{KIND_INDEXED, "a lookup is an index"},
	{KIND_PROGRAMS, "all programs that use or fill it are of one type"},
	{KIND_ARENA, "memory that programs address directly"},
};

/* Words separated by commas. */
static void listed(struct text *t, bool *first, const char *word)
{
	text_addf(t, "%s%s", *first ? "" : ", ", word);
	*first = false;
}

static void slots_of(struct text *t, const struct map_ops *ops)
{
	bool first = true;

#define SLOT(name, ret, args, doc)                                                                               \
	if (ops->name)                                                                                           \
		listed(t, &first, #name);
#include "map/slots.def"
}

static void users_of(struct text *t, enum map_slot slot)
{
	const struct map_kind_info *kinds;
	bool first = true;
	u32 n;

	kinds = map_kinds(&n);
	for (u32 i = 0; i < n; i++)
		if (map_kind_has(&kinds[i], slot))
			listed(t, &first, kinds[i].name);
	if (first)
		text_add(t, "none yet");
}

static void document(struct text *t)
{
	const struct map_kind_info *kinds;
	u32 n;

	text_add(t, head);
	text_add(t, "## Kinds\n\n| kind | type | since | what it is |\n| --- | --- | --- | --- |\n");
	kinds = map_kinds(&n);
	for (u32 i = 0; i < n; i++)
		text_addf(t, "| %s | %u | %s | %s |\n", kinds[i].name, kinds[i].id, kinds[i].since, kinds[i].doc);
	text_add(t, "\n## What each can do\n\n| kind | slots | traits |\n| --- | --- | --- |\n");
	for (u32 i = 0; i < n; i++) {
		bool first = true;

		text_addf(t, "| %s | ", kinds[i].name);
		slots_of(t, kinds[i].ops);
		text_add(t, " | ");
		for (u32 k = 0; k < ARRAY_SIZE(traits); k++)
			if (kinds[i].ops->traits & traits[k].trait)
				listed(t, &first, traits[k].text);
		text_add(t, " |\n");
	}
	text_add(t, "\n## Slots\n\n| slot | what it does | kinds |\n| --- | --- | --- |\n");
#define SLOT(name, ret, args, doc)                                                                               \
	text_addf(t, "| `%s` | %s | ", #name, doc);                                                              \
	users_of(t, MAP_SLOT_##name);                                                                            \
	text_add(t, " |\n");
#include "map/slots.def"
	text_addf(t, "\n%s", pins);
}

TEST(every_trait_is_documented)
{
	u32 known = 0, used = 0, n;
	const struct map_kind_info *kinds = map_kinds(&n);

	for (u32 i = 0; i < ARRAY_SIZE(traits); i++)
		known |= traits[i].trait;
	for (u32 i = 0; i < n; i++)
		used |= kinds[i].ops->traits;
	CHECK_EQ(used & ~known, 0);
	CHECK(n >= 15);
}

static const struct page page = {"maps.md", "map/t-map-docs", document};

TEST(the_committed_page_is_current)
{
	page_check(&page);
}

int main(int argc, char **argv)
{
	int status;

	if (page_asked(&page, argc, argv, &status))
		return status;
	RUN(every_trait_is_documented);
	RUN(the_committed_page_is_current);
	return test_end();
}
