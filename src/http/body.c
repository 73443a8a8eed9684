/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "base/secret.h"
#include "http/conn.h"

#define BODY_FIRST_CAP ((size_t)4096)

/* Counts `bytes` towards all bodies; false where they would be too many together. */
static bool charge(struct ks_http_server *server, size_t bytes)
{
	size_t before = atomic_fetch_add_explicit(&server->body_total, bytes, memory_order_relaxed);

	if (before <= server->options.body_total_max && bytes <= server->options.body_total_max - before)
		return true;
	(void)atomic_fetch_sub_explicit(&server->body_total, bytes, memory_order_relaxed);
	return false;
}

/* Moves the body to a place of `cap` bytes. Not by realloc: that may leave a copy behind unwiped. */
static bool grow(struct ks_conn *c, size_t cap)
{
	char *body;

	if (!charge(c->server, cap - c->body_cap))
		return false;
	body = malloc(cap);
	if (!body) {
		(void)atomic_fetch_sub_explicit(&c->server->body_total, cap - c->body_cap, memory_order_relaxed);
		return false;
	}
	if (c->body_n)
		memcpy(body, c->body, c->body_n);
	if (c->body) {
		ks_wipe(c->body, c->body_n);
		free(c->body);
	}
	c->body = body;
	c->body_cap = cap;
	return true;
}

enum ks_http_refusal ks_conn_body_add(struct ks_conn *c, struct ks_str piece)
{
	if (piece.n > c->exchange.body_max - c->body_n)
		return KS_HTTP_REFUSED_body_too_large;
	if (piece.n > c->body_cap - c->body_n) {
		/* What was announced is believed only as far as it has come: an announcement costs nothing. */
		size_t least = c->body_n + piece.n;
		size_t cap = KS_MIN(KS_MAX(KS_MAX(2 * c->body_cap, least), BODY_FIRST_CAP), c->body_most);

		if (!grow(c, cap) && (cap == least || !grow(c, least)))
			return KS_HTTP_REFUSED_bodies_full;
	}
	memcpy(&c->body[c->body_n], piece.p, piece.n);
	c->body_n += piece.n;
	return KS_HTTP_REFUSED_NOT;
}

void ks_conn_body_free(struct ks_conn *c)
{
	if (!c->body)
		return;
	ks_wipe(c->body, c->body_n);
	free(c->body);
	(void)atomic_fetch_sub_explicit(&c->server->body_total, c->body_cap, memory_order_relaxed);
	c->body = NULL;
	c->body_n = 0;
	c->body_cap = 0;
}
