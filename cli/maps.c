/* SPDX-License-Identifier: BSD-2-Clause */
/* Maps of a loaded object: filled before the run (--set), printed after it (--maps), ring buffers read (--events). */
#include "cli/run.h"

#include <linux/bpf.h>
#include <stdlib.h>
#include <unistd.h>

static bool per_cpu(const struct bpf_map *m)
{
	u32 t = bpf_map__type(m);

	return t == BPF_MAP_TYPE_PERCPU_ARRAY || t == BPF_MAP_TYPE_PERCPU_HASH || t == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

static bool is_list(const struct bpf_map *m)
{
	return bpf_map__type(m) == BPF_MAP_TYPE_QUEUE || bpf_map__type(m) == BPF_MAP_TYPE_STACK;
}

static bool holds_ids(const struct bpf_map *m)
{
	u32 t = bpf_map__type(m);

	return t == BPF_MAP_TYPE_PROG_ARRAY || t == BPF_MAP_TYPE_ARRAY_OF_MAPS || t == BPF_MAP_TYPE_HASH_OF_MAPS;
}

/* Why its elements cannot be shown; NULL when they can. */
static const char *not_listed(const struct bpf_map *m)
{
	u32 t = bpf_map__type(m);

	if (t == BPF_MAP_TYPE_RINGBUF)
		return " bytes (--events STRUCT prints its records)";
	if (is_list(m))
		return bpf_map__pin_path(m) ? " (pinned: to list its elements would take them away)" : NULL;
	return bpf_map__key_size(m) && t != BPF_MAP_TYPE_PERF_EVENT_ARRAY ? NULL : " (its elements cannot be listed)";
}

static bool all_zero(const u8 *p, size_t n)
{
	while (n && !*p)
		p++, n--;
	return n == 0;
}

static u32 value_step(const struct bpf_map *m)
{
	return per_cpu(m) ? ALIGN_UP(bpf_map__value_size(m), 8u) : bpf_map__value_size(m);
}

/* The elements of a map, one after another; those of queues and stacks are taken out, as the object ends with the command. */
struct entries {
	struct bpf_map *map;
	u8 *key, *next, *value;
	u32 step, n_values;
	bool indexed, skips_zero; /* an array; elements that are zero are not shown */
	u64 n, hidden; /* shown, skipped */
};

static void entries_open(struct entries *e, struct bpf_map *m, bool skips_zero)
{
	u32 t = bpf_map__type(m);
	bool array = t == BPF_MAP_TYPE_ARRAY || t == BPF_MAP_TYPE_PERCPU_ARRAY;

	*e = (struct entries){.map = m, .step = value_step(m), .n_values = per_cpu(m) ? possible_cpus() : 1};
	e->indexed = array || t == BPF_MAP_TYPE_PROG_ARRAY || t == BPF_MAP_TYPE_ARRAY_OF_MAPS;
	e->skips_zero = skips_zero && array && bpf_map__max_entries(m) > 1;
	e->key = cli_alloc(bpf_map__key_size(m));
	e->next = cli_alloc(bpf_map__key_size(m));
	e->value = cli_alloc((size_t)e->step * e->n_values);
}

static bool entries_next(struct entries *e)
{
	int fd = bpf_map__fd(e->map);
	bool first = e->n + e->hidden == 0;

	if (not_listed(e->map))
		return false;
	if (is_list(e->map))
		return !bpf_map_lookup_and_delete_elem(fd, NULL, e->value) && ++e->n;
	while (!bpf_map_get_next_key(fd, first ? NULL : e->key, e->next)) {
		u8 *t = e->key;

		first = false;
		e->key = e->next;
		e->next = t;
		if (bpf_map_lookup_elem(fd, e->key, e->value))
			continue;
		if (e->skips_zero && all_zero(e->value, (size_t)e->step * e->n_values)) {
			e->hidden++;
			continue;
		}
		e->n++;
		return true;
	}
	return false;
}

static void entries_close(struct entries *e)
{
	free(e->key);
	free(e->next);
	free(e->value);
}

/* ---- types ---- */

void maps_note_types(struct target *t)
{
	struct bpf_map *m;
	size_t n = 0;

	bpf_object__for_each_map(m, t->obj) n++;
	t->map_types = cli_alloc((n + 1) * sizeof(*t->map_types));
	n = 0;
	bpf_object__for_each_map(m, t->obj) t->map_types[n++] = (struct map_types){bpf_map__btf_key_type_id(m), bpf_map__btf_value_type_id(m)};
}

static struct map_types types_of(const struct target *t, const struct bpf_map *map)
{
	struct map_types types = {bpf_map__btf_key_type_id(map), bpf_map__btf_value_type_id(map)};
	struct bpf_map *m;
	size_t n = 0;

	if (types.value)
		return types;
	bpf_object__for_each_map(m, t->obj) {
		if (m == map)
			return t->map_types[n];
		n++;
	}
	return types;
}

/* The name behind an id that a program array or a map of maps holds. */
static void name_of(u32 map_type, u32 id, char name[BPF_OBJ_NAME_LEN])
{
	struct bpf_prog_info prog = {0};
	struct bpf_map_info map = {0};
	bool is_prog = map_type == BPF_MAP_TYPE_PROG_ARRAY;
	u32 size = is_prog ? sizeof(prog) : sizeof(map);
	int fd = is_prog ? bpf_prog_get_fd_by_id(id) : bpf_map_get_fd_by_id(id);

	*name = 0;
	if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, is_prog ? (void *)&prog : (void *)&map, &size))
		memcpy(name, is_prog ? prog.name : map.name, BPF_OBJ_NAME_LEN);
	if (fd >= 0)
		close(fd);
}

/* An index is a number also where the object has no type for it. */
static void put_key(struct json *j, const char *key, const struct entries *e, const struct btf *b, struct map_types types)
{
	u32 index;

	if (types.key || !e->indexed) {
		value_json(j, key, b, types.key, e->key, bpf_map__key_size(e->map));
	} else {
		memcpy(&index, e->key, sizeof(index));
		json_unsigned(j, key, index);
	}
}

/* As JSON or as a line; key is NULL in either's arrays and in lines. */
static void put_value(struct json *j, const char *key, const struct entries *e, const struct btf *b, struct map_types types, u32 cpu)
{
	char name[BPF_OBJ_NAME_LEN];
	u32 id;

	if (!holds_ids(e->map)) {
		value_json(j, key, b, types.value, e->value + (size_t)cpu * e->step, bpf_map__value_size(e->map));
		return;
	}
	memcpy(&id, e->value, sizeof(id));
	name_of(bpf_map__type(e->map), id, name);
	json_object(j, key);
	json_unsigned(j, "id", id);
	json_text(j, "name", name);
	json_end(j);
}

static void print_entry(const struct entries *e, const struct btf *b, struct map_types types)
{
	struct json line;

	fputs("  ", stdout);
	if (bpf_map__key_size(e->map)) {
		json_open_line(&line, stdout);
		put_key(&line, NULL, e, b, types);
		fputs(" -> ", stdout);
	}
	for (u32 cpu = 0; cpu < e->n_values; cpu++) {
		if (e->n_values > 1)
			printf(cpu ? ", cpu%u " : "cpu%u ", cpu);
		json_open_line(&line, stdout);
		put_value(&line, NULL, e, b, types, cpu);
	}
	fputs("\n", stdout);
}

static void print_map(struct target *t, struct bpf_map *m)
{
	const char *reason = not_listed(m);
	struct map_types types = types_of(t, m);
	struct entries e;

	printf("%s%s%s  %s of %u%s\n", paint(t->c, PAINT_BOLD), bpf_map__name(m), paint(t->c, PAINT_NONE), libbpf_bpf_map_type_str(bpf_map__type(m)),
	       bpf_map__max_entries(m), reason ? reason : "");
	if (reason)
		return;
	entries_open(&e, m, true);
	while (entries_next(&e))
		print_entry(&e, bpf_object__btf(t->obj), types);
	if (!e.n)
		puts(e.hidden ? "  (all zero)" : "  (empty)");
	else if (e.hidden)
		printf("  (%llu more are zero)\n", (unsigned long long)e.hidden);
	entries_close(&e);
}

void maps_print(struct target *t)
{
	struct bpf_map *m;

	bpf_object__for_each_map(m, t->obj) {
		if (bpf_map__fd(m) < 0)
			continue;
		putchar('\n');
		print_map(t, m);
	}
}

static void json_entry(struct json *j, const struct entries *e, const struct btf *b, struct map_types types)
{
	json_object(j, NULL);
	if (bpf_map__key_size(e->map))
		put_key(j, "key", e, b, types);
	if (e->n_values == 1) {
		put_value(j, "value", e, b, types, 0);
	} else {
		json_array(j, "values");
		for (u32 cpu = 0; cpu < e->n_values; cpu++)
			put_value(j, NULL, e, b, types, cpu);
		json_end(j);
	}
	json_end(j);
}

static void json_map(struct target *t, struct json *j, struct bpf_map *m)
{
	struct map_types types = types_of(t, m);
	struct entries e;

	json_object(j, NULL);
	json_text(j, "name", bpf_map__name(m));
	json_text(j, "type", libbpf_bpf_map_type_str(bpf_map__type(m)));
	json_unsigned(j, "max_entries", bpf_map__max_entries(m));
	json_array(j, "entries");
	entries_open(&e, m, false);
	while (entries_next(&e))
		json_entry(j, &e, bpf_object__btf(t->obj), types);
	entries_close(&e);
	json_end(j);
	json_end(j);
}

void maps_json(struct target *t, struct json *j)
{
	struct bpf_map *m;

	json_array(j, "maps");
	if (t->obj)
		bpf_object__for_each_map(m, t->obj)
			if (bpf_map__fd(m) >= 0)
				json_map(t, j, m);
	json_end(j);
}

/* ---- --set MAP=FILE: one element a line, "key = value", members in the order of the type ---- */

static int fill_line(struct target *t, struct bpf_map *m, const char *line, const char *file, unsigned number)
{
	const struct btf *b = bpf_object__btf(t->obj);
	u8 *key = cli_alloc(bpf_map__key_size(m)), *value = cli_alloc((size_t)value_step(m) * possible_cpus());
	struct map_types types = types_of(t, m);
	char why[256];
	const char *p = line;
	bool ok = value_parse(&p, b, types.key, key, bpf_map__key_size(m), why, sizeof(why));

	p += strspn(p, " \t{}");
	if (ok && *p++ != '=') {
		snprintf(why, sizeof(why), "expected \"key = value\", with members in the order of their struct");
		ok = false;
	}
	ok = ok && value_parse(&p, b, types.value, value, bpf_map__value_size(m), why, sizeof(why));
	p += strspn(p, " \t\r{}");
	if (ok && *p) {
		snprintf(why, sizeof(why), "\"%s\" is left over: the value has fewer members", p);
		ok = false;
	}
	for (u32 cpu = 1; ok && per_cpu(m) && cpu < possible_cpus(); cpu++)
		memcpy(value + (size_t)cpu * value_step(m), value, bpf_map__value_size(m));
	if (ok && bpf_map_update_elem(bpf_map__fd(m), key, value, BPF_ANY)) {
		snprintf(why, sizeof(why), "%s", strerror(errno));
		ok = false;
	}
	free(key);
	free(value);
	return ok ? STATUS_DONE : (cli_error(t->c, "%s:%u: map %s: %s", file, number, bpf_map__name(m), why), STATUS_USAGE);
}

static int fill_map(struct target *t, const char *name, const char *file)
{
	struct bpf_map *m = bpf_object__find_map_by_name(t->obj, name);
	struct bytes b;
	unsigned number = 0;
	int err, status = STATUS_DONE;

	if (!m)
		return cli_usage(t->c, "--set: %s has no map named \"%s\"", t->c->operands[0], name);
	err = read_file(file, &b);
	if (err)
		return cli_usage(t->c, "--set: %s: %s", file, strerror(-err));
	for (char *line = (char *)b.at, *next; !status && line; line = next) {
		number++;
		next = strchr(line, '\n');
		if (next)
			*next++ = 0;
		line[strcspn(line, "#")] = 0;
		line += strspn(line, " \t\r");
		if (*line)
			status = fill_line(t, m, line, file, number);
	}
	bytes_free(&b);
	return status;
}

int maps_fill(struct target *t)
{
	char *all = t->args->set ? strdup(t->args->set) : NULL, *rest = all, *one;
	int status = STATUS_DONE;

	while (!status && (one = strsep(&rest, ",")) != NULL && all) {
		char *file = strchr(one, '=');

		if (!file)
			status = cli_usage(t->c, "--set takes MAP=FILE, not \"%s\"", one);
		else
			*file++ = 0, status = fill_map(t, one, file);
	}
	free(all);
	return status;
}

/* ---- --events STRUCT ---- */

struct events {
	FILE *out;
	const struct btf *btf;
	u32 type;
	u64 n;
};

static int one_event(void *ud, void *data, size_t size)
{
	struct events *e = ud;
	s64 want = btf__resolve_size(e->btf, e->type);

	fputs("  ", e->out);
	value_text(e->out, want >= 0 && (size_t)want <= size ? e->btf : NULL, e->type, data, (u32)size);
	fputs("\n", e->out);
	e->n++;
	return 0;
}

void events_print(struct target *t, FILE *out)
{
	struct events e = {.out = out, .btf = t->obj ? bpf_object__btf(t->obj) : NULL};
	struct bpf_map *m;
	s32 type;

	if (!t->args->events || !t->obj)
		return;
	type = e.btf ? btf__find_by_name_kind(e.btf, t->args->events, BTF_KIND_STRUCT) : -ENOENT;
	if (type < 0)
		cli_warning(t->c, "--events: the object's BTF has no struct %s; records are printed as bytes", t->args->events);
	e.type = type < 0 ? 0 : (u32)type;
	bpf_object__for_each_map(m, t->obj) {
		struct ring_buffer *ring;

		if (bpf_map__type(m) != BPF_MAP_TYPE_RINGBUF || bpf_map__fd(m) < 0)
			continue;
		fprintf(out, "\n%s%s%s  events\n", paint(t->c, PAINT_BOLD), bpf_map__name(m), paint(t->c, PAINT_NONE));
		e.n = 0;
		ring = ring_buffer__new(bpf_map__fd(m), one_event, &e, NULL);
		if (ring)
			ring_buffer__consume(ring);
		ring_buffer__free(ring);
		if (!e.n)
			fputs("  (none)\n", out);
	}
}
