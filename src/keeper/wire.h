/* SPDX-License-Identifier: Apache-2.0 */
/** Frames between the service and its keeper: a head of 16 bytes and a body that the head tells the length of, within
 * the bounds of keeper/messages.def. Pure. */
#pragma once

#include "base/buf.h"
#include "base/cursor.h"
#include "base/err.h"

#define KS_KEEPER_HEAD_SIZE 16
#define KS_KEEPER_BODY_MAX ((512u << 10) - KS_KEEPER_HEAD_SIZE)
#define KS_KEEPER_FRAME_MAX (512u << 10)

enum ks_keeper_message {
#define KS_KEEPER_MESSAGE(name, text, request_max, answer_max) KS_KEEPER_##name,
#include "keeper/messages.def"
#undef KS_KEEPER_MESSAGE
	KS_KEEPER_MESSAGE_COUNT
};

/** "open"; never NULL. */
const char *ks_keeper_message_text(enum ks_keeper_message message);

struct ks_keeper_head {
	uint32_t n;                /* bytes of the body */
	enum ks_keeper_message message;
	enum ks_err status;        /* answers; KS_OK in requests */
	uint64_t id;               /* the answer's is the request's */
};

/** Reads a head from exactly KS_KEEPER_HEAD_SIZE bytes. KS_MALFORMED: no message of the table, no error of the table, a
 * request with a status, or a body beyond what the table allows for it; an answer that is an error may have a body of 512
 * bytes, for a person. */
KS_MUST_USE enum ks_err ks_keeper_head_read(struct ks_str bytes, bool answer, struct ks_keeper_head *ret_head);

/** Writes a head whose length is set later. */
void ks_keeper_head_put(struct ks_buf *b, enum ks_keeper_message message, enum ks_err status, uint64_t id);
/** Sets the length of the frame that began at `start` and ends where `b` does now. */
void ks_keeper_head_close(struct ks_buf *b, size_t start);

void ks_keeper_put_u32(struct ks_buf *b, uint32_t value);
void ks_keeper_put_u64(struct ks_buf *b, uint64_t value);
/** Length and bytes. */
void ks_keeper_put_text(struct ks_buf *b, struct ks_str text);
/** Room for a text of `n` bytes, to be filled in; NULL (overflow set): there is none. */
char *ks_keeper_put_room(struct ks_buf *b, size_t n);
/** Takes a text of at most `max` bytes, borrowed. */
struct ks_str ks_keeper_take_text(struct ks_cursor *c, size_t max);

/** What a value belongs to; nobody opens it as anything else. */
struct ks_keeper_binding {
	uint64_t tenant;
	uint64_t provider;
	struct ks_str field;       /* at most KS_KEEPER_FIELD_MAX bytes */
	uint64_t version;
};

#define KS_KEEPER_FIELD_MAX 128
#define KS_KEEPER_WRAPPED_MAX 1024 /* bytes of a wrapped key */

/** An organization's key, wrapped. Organization 0 is the service itself. */
struct ks_keeper_org {
	uint64_t organization;
	uint32_t generation;       /* from 1 */
	struct ks_str wrapped;     /* of ks_keeper_org_create or ks_keeper_org_rewrap */
};

void ks_keeper_put_org(struct ks_buf *b, const struct ks_keeper_org *org);
struct ks_keeper_org ks_keeper_take_org(struct ks_cursor *c);
void ks_keeper_put_binding(struct ks_buf *b, const struct ks_keeper_binding *binding);
struct ks_keeper_binding ks_keeper_take_binding(struct ks_cursor *c);
