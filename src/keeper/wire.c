/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/wire.h"

#define PROBLEM_MAX 512 /* bytes of a text for a person that an error comes with */

struct message {
	const char *text;
	uint32_t request_max;
	uint32_t answer_max;
};

static const struct message table[KS_KEEPER_MESSAGE_COUNT] = {
#define KS_KEEPER_MESSAGE(name, text, request_max, answer_max) [KS_KEEPER_##name] = {text, request_max, answer_max},
#include "keeper/messages.def"
#undef KS_KEEPER_MESSAGE
};

const char *ks_keeper_message_text(enum ks_keeper_message message)
{
	return message < KS_KEEPER_MESSAGE_COUNT ? table[message].text : "";
}

enum ks_err ks_keeper_head_read(struct ks_str bytes, bool answer, struct ks_keeper_head *ret_head)
{
	struct ks_cursor c = ks_cursor_of(bytes);
	uint32_t n = ks_cursor_u32(&c);
	uint16_t message = ks_cursor_u16(&c);
	uint16_t status = ks_cursor_u16(&c);
	uint64_t id = ks_cursor_u64(&c);
	uint32_t max;

	if (!ks_cursor_done(&c) || message >= KS_KEEPER_MESSAGE_COUNT || status >= KS_ERR_COUNT
	    || (!answer && status != KS_OK))
		return KS_MALFORMED;
	max = answer ? table[message].answer_max : table[message].request_max;
	if (n > (status == KS_OK ? max : PROBLEM_MAX))
		return KS_MALFORMED;
	*ret_head = (struct ks_keeper_head){n, (enum ks_keeper_message)message, (enum ks_err)status, id};
	return KS_OK;
}

static void put_little(struct ks_buf *b, uint64_t value, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		ks_buf_put_byte(b, (char)(unsigned char)(value >> (8 * i)));
}

void ks_keeper_put_u32(struct ks_buf *b, uint32_t value)
{
	put_little(b, value, 4);
}

void ks_keeper_put_u64(struct ks_buf *b, uint64_t value)
{
	put_little(b, value, 8);
}

void ks_keeper_head_put(struct ks_buf *b, enum ks_keeper_message message, enum ks_err status, uint64_t id)
{
	put_little(b, 0, 4);
	put_little(b, (uint64_t)message, 2);
	put_little(b, (uint64_t)status, 2);
	put_little(b, id, 8);
}

void ks_keeper_head_close(struct ks_buf *b, size_t start)
{
	struct ks_buf length = ks_buf_of(&b->p[start], 4);

	if (!b->overflow)
		ks_keeper_put_u32(&length, (uint32_t)(b->n - start - KS_KEEPER_HEAD_SIZE));
}

void ks_keeper_put_text(struct ks_buf *b, struct ks_str text)
{
	ks_keeper_put_u32(b, (uint32_t)text.n);
	ks_buf_put(b, text);
}

char *ks_keeper_put_room(struct ks_buf *b, size_t n)
{
	char *room;

	ks_keeper_put_u32(b, (uint32_t)n);
	if (b->overflow || n > b->cap - b->n) {
		b->overflow = true;
		return NULL;
	}
	room = &b->p[b->n];
	b->n += n;
	return room;
}

struct ks_str ks_keeper_take_text(struct ks_cursor *c, size_t max)
{
	uint32_t n = ks_cursor_u32(c);

	if (n > max)
		c->failed = true;
	return ks_cursor_take(c, n);
}

void ks_keeper_put_org(struct ks_buf *b, const struct ks_keeper_org *org)
{
	ks_keeper_put_u64(b, org->organization);
	ks_keeper_put_u32(b, org->generation);
	ks_keeper_put_text(b, org->wrapped);
}

struct ks_keeper_org ks_keeper_take_org(struct ks_cursor *c)
{
	struct ks_keeper_org org = {.organization = ks_cursor_u64(c)};

	org.generation = ks_cursor_u32(c);
	org.wrapped = ks_keeper_take_text(c, KS_KEEPER_WRAPPED_MAX);
	return org;
}

void ks_keeper_put_binding(struct ks_buf *b, const struct ks_keeper_binding *binding)
{
	ks_keeper_put_u64(b, binding->tenant);
	ks_keeper_put_u64(b, binding->provider);
	ks_keeper_put_text(b, binding->field);
	ks_keeper_put_u64(b, binding->version);
}

struct ks_keeper_binding ks_keeper_take_binding(struct ks_cursor *c)
{
	struct ks_keeper_binding binding = {.tenant = ks_cursor_u64(c)};

	binding.provider = ks_cursor_u64(c);
	binding.field = ks_keeper_take_text(c, KS_KEEPER_FIELD_MAX);
	binding.version = ks_cursor_u64(c);
	return binding;
}
