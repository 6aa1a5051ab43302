/* SPDX-License-Identifier: BSD-2-Clause */
#include "cli/loader.h"

#include "abi/abi.h"

struct bpf_object *loader_open(const char *path, const struct bytes *image)
{
	const char *base = strrchr(path, '/');
	char name[64];
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = name);

	snprintf(name, sizeof(name), "%s", strcmp(path, "-") ? base ? base + 1 : path : "stdin");
	name[strcspn(name, ".")] = 0;
	return bpf_object__open_mem(image->at, image->n, &opts);
}

void loader_prepare(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj)
	{
		const struct map_kind_info *kind = map_kind(bpf_map__type(map));

		bpf_map__set_pin_path(map, NULL);
		if (!bpf_map__max_entries(map) && kind && !strstr(kind->name, "STORAGE"))
			bpf_map__set_max_entries(map, 1);
		if (!bpf_map__value_size(map) && bpf_map__type(map) == BPF_MAP_TYPE_STACK_TRACE)
			bpf_map__set_value_size(map, sizeof(u64));
	}
}
