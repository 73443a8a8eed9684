/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/endpoints.h"

#include "engine/endpoints_priv.h"

/* ---- rows ---- */

static struct ks_str keep_text(char *to, size_t cap, struct ks_str text)
{
	struct ks_buf b = ks_buf_of(to, cap);

	ks_buf_put(&b, text);
	return ks_str_c(ks_buf_z(&b));
}

enum ks_err ks_endpoint_keep(void *ctx, const struct ks_endpoint_row *row)
{
	struct ks_endpoint_kept *kept = ctx;

	kept->row = *row;
	kept->row.url = keep_text(kept->url, sizeof(kept->url), row->url);
	kept->row.events = keep_text(kept->events, sizeof(kept->events), row->events);
	kept->row.description = keep_text(kept->description, sizeof(kept->description), row->description);
	kept->row.reason = keep_text(kept->reason, sizeof(kept->reason), row->reason);
	kept->row.created_by = KS_STR("");
	return KS_OK;
}

enum ks_err ks_endpoint_find(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_endpoint_kept *ret_kept,
			     struct ks_refusal *refusal)
{
	enum ks_err err = ks_store_endpoint_get(tx->store, id, ks_endpoint_keep, ret_kept);

	if (err == KS_OK
	    && (ret_kept->row.deleted_at != KS_TIME_NONE || ks_tx_is_gone(tx, ret_kept->row.tenant)
		|| !ks_actor_sees(actor, tx->ring, ret_kept->row.tenant)))
		err = KS_NOT_FOUND;
	return err == KS_NOT_FOUND ? ks_refuse(refusal, err, "not_found", "", "there is no such endpoint") : err;
}

/* ---- what may be asked for ---- */

static bool is_url_char(char c)
{
	return c > 0x20 && c < 0x7f && c != '\\' && c != '#' && c != '"' && c != '<' && c != '>';
}

/* Scheme and authority, or nothing. */
static struct ks_str origin_of(struct ks_str url)
{
	struct ks_str https = KS_STR("https://"), http = KS_STR("http://");
	size_t at = ks_str_starts(url, https) ? https.n : ks_str_starts(url, http) ? http.n : 0, end = at;

	while (end < url.n && url.p[end] != '/' && url.p[end] != '?')
		end++;
	return at == 0 || end == at ? KS_STR("") : ks_str_sub(url, 0, end);
}

void ks_endpoint_host(struct ks_str url, char ret_host[KS_ENDPOINT_HOST_SIZE])
{
	struct ks_buf b = ks_buf_of(ret_host, KS_ENDPOINT_HOST_SIZE);

	ks_buf_put(&b, origin_of(url));
	(void)ks_buf_z(&b);
}

static enum ks_err check_url(struct ks_str url, struct ks_refusal *refusal)
{
	struct ks_str origin = origin_of(url);

	if (url.n > KS_STORE_URL_MAX)
		return ks_refuse_invalid(refusal, "/url", "must have %d bytes at most", KS_STORE_URL_MAX);
	for (size_t i = 0; i < url.n; i++) {
		if (!is_url_char(url.p[i]))
			return ks_refuse_invalid(refusal, "/url", "must be a URL without blanks, fragment or characters that a URL does not have");
	}
	if (origin.n == 0 || origin.n >= KS_ENDPOINT_HOST_SIZE || ks_str_find(origin, '@') != SIZE_MAX)
		return ks_refuse_invalid(refusal, "/url", "must begin with https:// and a host, without a user's name");
	return KS_OK;
}

static enum ks_err check_description(struct ks_str text, struct ks_refusal *refusal)
{
	if (text.n > KS_STORE_DESCRIPTION_MAX || !ks_str_is_utf8(text) || ks_str_has_control(text))
		return ks_refuse_invalid(refusal, "/description", "must have at most %d bytes of UTF-8 without control characters",
					 KS_STORE_DESCRIPTION_MAX);
	return KS_OK;
}

static enum ks_err refuse_event(struct ks_refusal *refusal, size_t index, const char *what)
{
	char pointer[32];
	struct ks_buf b = KS_BUF(pointer);

	ks_buf_printf(&b, "/events/%zu", index);
	return ks_refuse_invalid(refusal, ks_buf_z(&b), "%s", what);
}

/* The types, with a blank between. */
static enum ks_err check_events(const struct ks_str *events, size_t count, struct ks_buf *text, struct ks_refusal *refusal)
{
	struct ks_event_set seen = {{0}};
	enum ks_event_type type;

	if (count == 0)
		return ks_refuse_invalid(refusal, "/events", "must name a type, or \"*\" for all");
	if (count == 1 && ks_str_eq(events[0], KS_STR("*"))) {
		ks_buf_put(text, events[0]);
		return KS_OK;
	}
	for (size_t i = 0; i < count; i++) {
		if (ks_str_eq(events[i], KS_STR("*")))
			return refuse_event(refusal, i, "\"*\" stands alone");
		if (!ks_event_parse(events[i], &type))
			return refuse_event(refusal, i, "there is no such type of event");
		if (ks_event_set_has(&seen, type))
			return refuse_event(refusal, i, "this type is there twice");
		seen.bits[type / 64] |= UINT64_C(1) << type % 64;
		if (i > 0)
			ks_buf_put_byte(text, ' ');
		ks_buf_put(text, events[i]);
	}
	return ks_buf_ok(text) ? KS_OK : KS_TOO_LARGE;
}

static enum ks_err check_limits(const struct ks_endpoint_input *input, struct ks_refusal *refusal)
{
	if (input->concurrency > KS_ENDPOINT_CONCURRENCY_MAX)
		return ks_refuse_invalid(refusal, "/concurrency", "must be %d at most", KS_ENDPOINT_CONCURRENCY_MAX);
	if (input->rate_limit > KS_ENDPOINT_RATE_MAX)
		return ks_refuse_invalid(refusal, "/rate_limit", "must be %d at most", KS_ENDPOINT_RATE_MAX);
	return KS_OK;
}

static enum ks_err find_home(struct ks_tx *tx, const struct ks_actor *actor, uint64_t tenant, struct ks_endpoint_row *row,
			     struct ks_refusal *refusal)
{
	uint64_t id = tenant ? tenant : actor->effective;
	const struct ks_ring *ring = tx->ring;
	uint32_t index = ks_ring_tenant(ring, id);

	if (index == KS_RING_NONE || !ks_actor_sees(actor, ring, id) || ks_tx_is_gone(tx, id))
		return ks_refuse_tenant(refusal, "/tenant");
	row->tenant = id;
	if (ring->tenants[index].organization != KS_RING_NONE)
		row->organization = ring->tenants[ring->tenants[index].organization].id;
	return KS_OK;
}

static enum ks_err count_endpoint(void *ctx, const struct ks_endpoint_row *row)
{
	(void)row;
	++*(size_t *)ctx;
	return KS_OK;
}

/* Each event becomes as many deliveries. */
static enum ks_err check_count(struct ks_tx *tx, uint64_t tenant, struct ks_refusal *refusal)
{
	const struct ks_endpoint_filter filter = {.tenant = tenant, .limit = KS_ENDPOINTS_MAX};
	size_t count = 0;

	KS_TRY(ks_store_endpoints(tx->store, &filter, count_endpoint, &count));
	if (count >= KS_ENDPOINTS_MAX)
		return ks_refuse(refusal, KS_CONFLICT, "conflict", "", "a tenant has %d endpoints at most", KS_ENDPOINTS_MAX);
	return KS_OK;
}

/* ---- what is told ---- */

static void put_endpoint(struct ks_buf *b, const struct ks_endpoint_row *row)
{
	char host[KS_ENDPOINT_HOST_SIZE];

	ks_endpoint_host(row->url, host);
	ks_audit_put(b, "host", ks_str_c(host));
	ks_audit_put(b, "description", row->description);
	ks_audit_put(b, "events", row->events);
}

enum ks_err ks_endpoint_audit(struct ks_tx *tx, const struct ks_actor *actor, const char *action,
			      const struct ks_endpoint_row *row, struct ks_buf *detail)
{
	put_endpoint(detail, row);
	return ks_tx_audit(tx, actor, &(struct ks_audit_note){
		.action = action,
		.organization = row->organization,
		.tenant = row->tenant,
		.object_type = KS_ID_ENDPOINT,
		.object = row->id,
		.detail = ks_audit_end(detail),
	});
}

static enum ks_err tell(struct ks_tx *tx, enum ks_event_type type, const struct ks_endpoint_row *row, struct ks_buf *data)
{
	return ks_event_add(tx, &(struct ks_event_note){
		.type = type,
		.organization = row->organization,
		.tenant = row->tenant,
		.object_type = KS_ID_ENDPOINT,
		.object = row->id,
		.data = ks_audit_end(data),
	});
}

/* Both, with nothing but which endpoint it is. */
static enum ks_err record(struct ks_tx *tx, const struct ks_actor *actor, const char *action, enum ks_event_type type,
			  const struct ks_endpoint_row *row)
{
	char texts[2][KS_ENDPOINT_DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(texts[0]), data = KS_BUF(texts[1]);

	KS_TRY(ks_endpoint_audit(tx, actor, action, row, &detail));
	put_endpoint(&data, row);
	return tell(tx, type, row, &data);
}

static enum ks_err update(struct ks_tx *tx, struct ks_endpoint_row *row)
{
	row->version = ks_tx_id(tx);
	return ks_store_endpoint_update(tx->store, row);
}

/* ---- create, update ---- */

enum ks_err ks_endpoints_create(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_endpoint_input *input,
				uint64_t *ret_id, struct ks_endpoint_secret *ret_secret, struct ks_refusal *ret_refusal)
{
	char text[KS_STORE_ENDPOINT_EVENTS_MAX];
	struct ks_buf events = KS_BUF(text);
	struct ks_endpoint_row row = {
		.state = KS_ENDPOINT_ACTIVE,
		.signature = input->signature,
		.concurrency = input->concurrency,
		.rate_limit = input->rate_limit,
		.created_at = tx->now_ms,
		.failing_since = KS_TIME_NONE,
		.disabled_at = KS_TIME_NONE,
		.deleted_at = KS_TIME_NONE,
		.url = input->url,
		.description = input->description,
		.created_by = ks_str_c(actor->id),
	};
	struct ks_endpoint_secret secret;
	enum ks_err err;

	KS_TRY(find_home(tx, actor, input->tenant, &row, ret_refusal));
	KS_TRY(check_url(input->url, ret_refusal));
	KS_TRY(check_description(input->description, ret_refusal));
	KS_TRY(check_events(input->events, input->event_count, &events, ret_refusal));
	KS_TRY(check_limits(input, ret_refusal));
	KS_TRY(check_count(tx, row.tenant, ret_refusal));
	row.events = ks_buf_str(&events);
	row.id = ks_tx_id(tx);
	row.version = ks_tx_id(tx);
	KS_TRY(ks_store_endpoint_insert(tx->store, &row));
	KS_TRY(ks_endpoint_secret_add(tx, row.id, input->signature, &secret));
	err = record(tx, actor, "endpoint.create", KS_EVENT_ENDPOINT_CREATED, &row);
	if (err == KS_OK) {
		*ret_id = row.id;
		*ret_secret = secret;
	}
	ks_wipe(&secret, sizeof(secret));
	return err;
}

/* False: it stays as it is. */
static bool apply(struct ks_endpoint_row *row, const struct ks_endpoint_patch *patch, struct ks_str events)
{
	struct ks_endpoint_row was = *row;

	if (patch->set_url)
		row->url = patch->to.url;
	if (patch->set_description)
		row->description = patch->to.description;
	if (patch->set_events)
		row->events = events;
	if (patch->set_concurrency)
		row->concurrency = patch->to.concurrency;
	if (patch->set_rate_limit)
		row->rate_limit = patch->to.rate_limit;
	return !ks_str_eq(was.url, row->url) || !ks_str_eq(was.description, row->description)
	       || !ks_str_eq(was.events, row->events) || was.concurrency != row->concurrency
	       || was.rate_limit != row->rate_limit;
}

enum ks_err ks_endpoints_update(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
				const struct ks_endpoint_patch *patch, struct ks_refusal *ret_refusal)
{
	char text[KS_STORE_ENDPOINT_EVENTS_MAX];
	struct ks_buf events = KS_BUF(text);
	struct ks_endpoint_kept kept;

	KS_TRY(ks_endpoint_find(tx, actor, id, &kept, ret_refusal));
	if (patch->set_url)
		KS_TRY(check_url(patch->to.url, ret_refusal));
	if (patch->set_description)
		KS_TRY(check_description(patch->to.description, ret_refusal));
	if (patch->set_events)
		KS_TRY(check_events(patch->to.events, patch->to.event_count, &events, ret_refusal));
	KS_TRY(check_limits(&patch->to, ret_refusal));
	if (!apply(&kept.row, patch, ks_buf_str(&events)))
		return KS_OK;
	KS_TRY(update(tx, &kept.row));
	return record(tx, actor, "endpoint.update", KS_EVENT_ENDPOINT_CHANGED, &kept.row);
}

/* ---- states ---- */

enum ks_err ks_endpoints_pause(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_refusal *ret_refusal)
{
	struct ks_endpoint_kept kept;

	KS_TRY(ks_endpoint_find(tx, actor, id, &kept, ret_refusal));
	if (kept.row.state == KS_ENDPOINT_PAUSED)
		return KS_OK;
	if (kept.row.state == KS_ENDPOINT_DISABLED)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "", "the endpoint is disabled");
	kept.row.state = KS_ENDPOINT_PAUSED;
	KS_TRY(update(tx, &kept.row));
	return record(tx, actor, "endpoint.pause", KS_EVENT_ENDPOINT_PAUSED, &kept.row);
}

enum ks_err ks_endpoints_resume(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_refusal *ret_refusal)
{
	struct ks_endpoint_kept kept;

	KS_TRY(ks_endpoint_find(tx, actor, id, &kept, ret_refusal));
	if (kept.row.state == KS_ENDPOINT_ACTIVE)
		return KS_OK;
	kept.row.state = KS_ENDPOINT_ACTIVE;
	kept.row.reason = KS_STR("");
	kept.row.failing_since = kept.row.disabled_at = KS_TIME_NONE;
	KS_TRY(update(tx, &kept.row));
	return record(tx, actor, "endpoint.resume", KS_EVENT_ENDPOINT_RESUMED, &kept.row);
}

enum ks_err ks_endpoints_delete(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, struct ks_refusal *ret_refusal)
{
	struct ks_endpoint_kept kept;

	KS_TRY(ks_endpoint_find(tx, actor, id, &kept, ret_refusal));
	kept.row.deleted_at = tx->now_ms;
	KS_TRY(ks_store_endpoint_secrets_end(tx->store, id, tx->now_ms));
	KS_TRY(ks_store_endpoint_secrets_forget(tx->store, id, tx->now_ms));
	KS_TRY(update(tx, &kept.row));
	return record(tx, actor, "endpoint.delete", KS_EVENT_ENDPOINT_DELETED, &kept.row);
}

enum ks_err ks_endpoints_disable(struct ks_tx *tx, uint64_t id, const char *reason)
{
	char texts[2][KS_ENDPOINT_DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(texts[0]), data = KS_BUF(texts[1]);
	struct ks_endpoint_kept kept;
	enum ks_err err = ks_store_endpoint_get(tx->store, id, ks_endpoint_keep, &kept);

	if (err == KS_NOT_FOUND)
		return KS_OK;
	KS_TRY(err);
	if (kept.row.deleted_at != KS_TIME_NONE || kept.row.state != KS_ENDPOINT_ACTIVE)
		return KS_OK;
	kept.row.state = KS_ENDPOINT_DISABLED;
	kept.row.reason = ks_str_c(reason);
	kept.row.disabled_at = tx->now_ms;
	KS_TRY(update(tx, &kept.row));
	ks_audit_put(&detail, "reason", kept.row.reason);
	KS_TRY(ks_endpoint_audit(tx, NULL, "endpoint.disable", &kept.row, &detail));
	put_endpoint(&data, &kept.row);
	ks_audit_put(&data, "reason", kept.row.reason);
	return tell(tx, KS_EVENT_ENDPOINT_DISABLED, &kept.row, &data);
}

/* ---- secrets ---- */

static enum ks_err count_secret(void *ctx, const struct ks_endpoint_secret_row *row)
{
	(void)row;
	++*(size_t *)ctx;
	return KS_OK;
}

/* What ended is forgotten; what has not ends after the overlap. */
static enum ks_err end_secrets(struct ks_tx *tx, uint64_t id, int64_t overlap_ms, struct ks_refusal *refusal)
{
	size_t count = 0;

	KS_TRY(ks_store_endpoint_secrets_end(tx->store, id, tx->now_ms + overlap_ms));
	KS_TRY(ks_store_endpoint_secrets_forget(tx->store, id, tx->now_ms));
	KS_TRY(ks_store_endpoint_secrets(tx->store, id, count_secret, &count));
	if (count >= KS_ENDPOINT_SECRETS_MAX)
		return ks_refuse(refusal, KS_CONFLICT, "conflict", "", "%zu secrets still sign: end them with an overlap of 0",
				 count);
	return KS_OK;
}

static enum ks_err tell_rotated(struct ks_tx *tx, const struct ks_actor *actor, const struct ks_endpoint_row *row,
				int64_t ends_at)
{
	char texts[2][KS_ENDPOINT_DETAIL_SIZE];
	struct ks_buf detail = KS_BUF(texts[0]), data = KS_BUF(texts[1]);
	struct ks_str signature = ks_str_c(ks_endpoint_signature_text(row->signature));

	ks_audit_put(&detail, "signature", signature);
	ks_audit_put_time(&detail, "ends_at", ends_at);
	KS_TRY(ks_endpoint_audit(tx, actor, "endpoint.rotate", row, &detail));
	put_endpoint(&data, row);
	ks_audit_put(&data, "signature", signature);
	ks_audit_put_time(&data, "ends_at", ends_at);
	return tell(tx, KS_EVENT_ENDPOINT_SECRET_ROTATED, row, &data);
}

enum ks_err ks_endpoints_rotate(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id,
				const struct ks_endpoint_rotation *rotation, struct ks_endpoint_secret *ret_secret,
				struct ks_refusal *ret_refusal)
{
	struct ks_endpoint_kept kept;
	struct ks_endpoint_secret secret;
	enum ks_err err;

	KS_TRY(ks_endpoint_find(tx, actor, id, &kept, ret_refusal));
	if (rotation->overlap_ms < 0 || rotation->overlap_ms > KS_ENDPOINT_OVERLAP_MAX_MS)
		return ks_refuse_invalid(ret_refusal, "/overlap_s", "must be %d at most",
					 (int)(KS_ENDPOINT_OVERLAP_MAX_MS / 1000));
	KS_TRY(end_secrets(tx, id, rotation->overlap_ms, ret_refusal));
	kept.row.signature = rotation->signature;
	KS_TRY(update(tx, &kept.row));
	KS_TRY(ks_endpoint_secret_add(tx, id, rotation->signature, &secret));
	err = tell_rotated(tx, actor, &kept.row, tx->now_ms + rotation->overlap_ms);
	if (err == KS_OK)
		*ret_secret = secret;
	ks_wipe(&secret, sizeof(secret));
	return err;
}

/* ---- a test ---- */

enum ks_err ks_endpoints_test(struct ks_tx *tx, const struct ks_actor *actor, uint64_t id, uint64_t *ret_delivery,
			      struct ks_refusal *ret_refusal)
{
	struct ks_endpoint_kept kept;
	uint64_t event;

	KS_TRY(ks_endpoint_find(tx, actor, id, &kept, ret_refusal));
	if (kept.row.state != KS_ENDPOINT_ACTIVE)
		return ks_refuse(ret_refusal, KS_CONFLICT, "conflict", "", "the endpoint is %s",
				 ks_endpoint_state_text(kept.row.state));
	KS_TRY(record(tx, actor, "endpoint.test", KS_EVENT_ENDPOINT_TEST, &kept.row));
	event = tx->engine->log.last_event;
	kept.row.version = ks_tx_id(tx);
	KS_TRY(ks_store_endpoint_update(tx->store, &kept.row));
	return ks_delivery_add(tx, &kept.row, event, ks_str_c(ks_event_name(KS_EVENT_ENDPOINT_TEST)), ret_delivery);
}
