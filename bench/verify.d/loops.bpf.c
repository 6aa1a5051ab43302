/* SPDX-License-Identifier: BSD-2-Clause */
/* Loops whose paths multiply: what a verifier that walks each path pays for, and one that joins at the loop's head does not. */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
#define SEC(name) __attribute__((section(name), used))

struct __sk_buff {
	u32 len;
};

static void *(*lookup)(void *map, const void *key) = (void *)1;
static u32 (*random32)(void) = (void *)7;

enum { TEXT = 512, WAYS = 64, NUMBERS = 12, SORTED = 128 };

struct work {
	u8 text[TEXT];
	u32 numbers[NUMBERS];
	u32 counts[WAYS];
	u32 keys[SORTED][4];
};

struct {
	int (*type)[2];
	u32 *key;
	struct work *value;
	int (*max_entries)[1];
} work SEC(".maps");

static struct work *get(void)
{
	u32 key = 0;

	return lookup(&work, &key);
}

/* Words, numbers, strings and comments of a text: a state and a class of character, both unknown at each turn. */
SEC("tc") int tokenizer(struct __sk_buff *skb)
{
	enum { SPACE, WORD, NUMBER, STRING, COMMENT } state = SPACE;
	struct work *w = get();
	u32 tokens = 0;

	(void)skb;
	if (!w)
		return 0;
	for (u32 i = 0; i < TEXT; i++) {
		u8 c = w->text[i];
		u8 letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z', digit = c >= '0' && c <= '9';

		switch (state) {
		case STRING:
			if (c == '"')
				state = SPACE;
			break;
		case COMMENT:
			if (c == '\n')
				state = SPACE;
			break;
		default:
			if (c == '"') {
				state = STRING;
				tokens++;
			} else if (c == '#') {
				state = COMMENT;
			} else if (letter) {
				tokens += state != WORD;
				state = WORD;
			} else if (digit) {
				if (state == SPACE) {
					state = NUMBER;
					tokens++;
				}
			} else {
				state = SPACE;
			}
		}
	}
	return (int)tokens;
}

#define CASE(n)                                                                                                  \
	case n: w->counts[(n * 7 + 3) % WAYS] += n; break;
#define CASES8(n) CASE(n) CASE(n + 1) CASE(n + 2) CASE(n + 3) CASE(n + 4) CASE(n + 5) CASE(n + 6) CASE(n + 7)

SEC("tc") int switch64(struct __sk_buff *skb)
{
	struct work *w = get();

	(void)skb;
	if (!w)
		return 0;
	for (u32 i = 0; i < 100; i++) {
		switch (w->text[i] & (WAYS - 1)) {
			CASES8(0) CASES8(8) CASES8(16) CASES8(24) CASES8(32) CASES8(40) CASES8(48) CASES8(56)
		}
		asm volatile("");
	}
	return 0;
}

SEC("tc") int minmax(struct __sk_buff *skb)
{
	u32 least = 0xffffffff, most = 0, clamped = 0;
	struct work *w = get();

	(void)skb;
	if (!w)
		return 0;
	for (u32 i = 0; i < NUMBERS; i++) {
		u32 x = w->numbers[i];

		if (x < least)
			least = x;
		if (x > most)
			most = x;
		if (x < 100)
			x = 100;
		else if (x > 5000)
			x = 5000;
		clamped ^= x;
		asm volatile("" : "+r"(least), "+r"(most), "+r"(clamped));
	}
	return (int)(least ^ most ^ clamped);
}

/* Keys of several words are compared word by word; which half is left, and the way there, depend on all turns before. */
SEC("tc") int search(struct __sk_buff *skb)
{
	u32 low = 0, high = SORTED - 1, path = 0, want[4] = {random32(), random32(), random32(), random32()};
	struct work *w = get();

	(void)skb;
	if (!w)
		return 0;
	for (u32 i = 0; i < 7; i++) {
		u32 middle = (low + high) / 2;
		const u32 *key;
		int less = 0;

		if (middle >= SORTED)
			return 0;
		key = w->keys[middle];
		path *= 9;
		for (u32 k = 0; k < 4; k++) {
			if (key[k] != want[k]) {
				less = key[k] < want[k];
				path += 1 + 2 * k + (u32)less;
				break;
			}
		}
		if (less)
			low = middle + 1;
		else
			high = middle;
		asm volatile("" : "+r"(low), "+r"(high), "+r"(path));
	}
	if (path < 9 * 9 * 9 * 9 * 9 * 9 * 9)
		w->counts[path % WAYS]++;
	return (int)low;
}

char licensed[] SEC("license") = "GPL";
