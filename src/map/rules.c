/* SPDX-License-Identifier: BSD-2-Clause */
/* Which uses the kinds of map allow to programs: rules.def as data. */
#include "map/map.h"

static const struct map_rules rules[] = {
#define U(use) (1ull << MAP_USE_##use)
#define RULE(id, name, struct, gives, sleepable, fields, uses) [id] = {#name, uses, gives, sleepable, fields, struct},
#include "map/rules.def"
};

const struct map_rules *map_rules(u32 kind)
{
	return kind < ARRAY_SIZE(rules) && rules[kind].name ? &rules[kind] : NULL;
}

bool map_allows(u32 kind, enum map_use use)
{
	const struct map_rules *r = map_rules(kind);

	return r && r->uses >> use & 1;
}

static const int slots[] = {
#define MAP_SLOT_none (-1)
#define USE(use, slot) [MAP_USE_##use] = (int)MAP_SLOT_##slot,
#include "map/uses.def"
};

bool map_can(const struct map *m, enum map_use use)
{
	return map_allows(m->spec.kind, use) && slots[use] >= 0 && map_has_slot(m, (u32)slots[use]);
}
