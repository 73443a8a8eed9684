/* SPDX-License-Identifier: Apache-2.0 */
#include "api/github_keys.h"

#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/ctenc.h"
#include "crypto/sign.h"

#define FETCH_EVERY_MS 60000
#define FRESH_MS INT64_C(86400000)
#define FETCH_TIMEOUT_MS 10000
#define DOCUMENT_MAX 65536
#define DER_MAX 256
#define SIGNATURE_MAX 80             /* DER of two numbers of 33 bytes is 72 */

struct github_key {
	char id[KS_GITHUB_KEY_ID_MAX + 1];
	struct ks_public_key *key;
};

struct ks_github_keys {
	pthread_mutex_t lock;            /* guards keys, count, taken, taken_ms */
	struct github_key keys[KS_GITHUB_KEYS_MAX];
	size_t count;
	bool taken;
	int64_t taken_ms;                /* when they were fetched; 0: given */
	pthread_mutex_t fetch_lock;      /* guards tried_ms; held through a fetch */
	int64_t tried_ms;
	struct ks_fetch *fetch;          /* NULL: nothing is fetched */
	char url[KS_FETCH_URL_MAX + 1];
};

enum ks_err ks_github_keys_new(const char *url, const struct ks_fetch_options *options,
			       struct ks_github_keys **ret_keys)
{
	struct ks_github_keys *k = calloc(1, sizeof(*k));
	struct ks_buf b;
	enum ks_err err = KS_OK;

	if (!k)
		return KS_MEMORY;
	pthread_mutex_init(&k->lock, NULL);
	pthread_mutex_init(&k->fetch_lock, NULL);
	if (url && url[0]) {
		b = KS_BUF(k->url);
		ks_buf_put_c(&b, url);
		err = ks_buf_z(&b)[0] ? ks_fetch_new(options, &k->fetch) : KS_MALFORMED;
		if (err == KS_OK && ks_fetch_url_check(k->fetch, ks_str_c(k->url)) != KS_FETCH_OK)
			err = KS_MALFORMED;
	}
	if (err != KS_OK) {
		ks_github_keys_free(&k);
		return err;
	}
	*ret_keys = k;
	return KS_OK;
}

void ks_github_keys_stop(struct ks_github_keys *k)
{
	if (k->fetch)
		ks_fetch_stop(k->fetch);
}

static void free_keys(struct github_key *keys, size_t count)
{
	for (size_t i = 0; i < count; i++)
		ks_public_key_free(keys[i].key);
}

void ks_github_keys_free(struct ks_github_keys **keys)
{
	struct ks_github_keys *k = *keys;

	if (!k)
		return;
	ks_fetch_free(&k->fetch);
	free_keys(k->keys, k->count);
	pthread_mutex_destroy(&k->lock);
	pthread_mutex_destroy(&k->fetch_lock);
	free(k);
	*keys = NULL;
}

/* ---- the document ---- */

/* The bytes between the lines of PEM (RFC 7468). */
static bool read_pem(struct ks_str pem, unsigned char der[DER_MAX], size_t *ret_n)
{
	struct ks_str begin = KS_STR("-----BEGIN PUBLIC KEY-----"), end = KS_STR("-----END PUBLIC KEY-----");
	struct ks_str line, rest = pem;
	char text[2 * DER_MAX];
	struct ks_buf b = KS_BUF(text);
	bool inside = false;

	while (rest.n > 0) {
		if (!ks_str_split(rest, '\n', &line, &rest)) {
			line = rest;
			rest = KS_STR("");
		}
		line = ks_str_trim(line);
		if (ks_str_eq(line, end))
			return inside && ks_buf_ok(&b) && ks_base64_decode(ks_buf_str(&b), der, DER_MAX, ret_n);
		if (inside)
			ks_buf_put(&b, line);
		else
			inside = ks_str_eq(line, begin);
	}
	return false;
}

static bool read_key(const json_t *item, struct github_key *ret_key)
{
	const json_t *id = json_object_get(item, "key_identifier"), *pem = json_object_get(item, "key");
	unsigned char der[DER_MAX];
	struct ks_buf b = KS_BUF(ret_key->id);
	size_t n;

	if (!json_is_string(id) || !json_is_string(pem))
		return false;
	ks_buf_put(&b, ks_str_of(json_string_value(id), json_string_length(id)));
	if (!ks_buf_z(&b)[0]
	    || !read_pem(ks_str_of(json_string_value(pem), json_string_length(pem)), der, &n))
		return false;
	if (ks_public_key_spki(ks_str_of((const char *)der, n), &ret_key->key) != KS_OK)
		return false;
	if (ks_public_key_form(ret_key->key) == KS_KEY_FORM_P256)
		return true;
	ks_public_key_free(ret_key->key);
	return false;
}

static enum ks_err take(struct ks_github_keys *k, struct ks_str json, int64_t now_ms)
{
	struct github_key keys[KS_GITHUB_KEYS_MAX], old[KS_GITHUB_KEYS_MAX];
	json_t *root = json_loadb(json.p, json.n, JSON_REJECT_DUPLICATES, NULL);
	const json_t *list = json_object_get(root, "public_keys"), *item;
	size_t count = 0, old_count, i;

	json_array_foreach(list, i, item) {
		if (count < KS_GITHUB_KEYS_MAX && read_key(item, &keys[count]))
			count++;
	}
	json_decref(root);
	if (count == 0)
		return KS_MALFORMED;
	pthread_mutex_lock(&k->lock);
	old_count = k->count;
	memcpy(old, k->keys, old_count * sizeof(old[0]));
	memcpy(k->keys, keys, count * sizeof(keys[0]));
	k->count = count;
	k->taken = true;
	k->taken_ms = now_ms;
	pthread_mutex_unlock(&k->lock);
	free_keys(old, old_count);
	return KS_OK;
}

enum ks_err ks_github_keys_take(struct ks_github_keys *k, struct ks_str json)
{
	return take(k, json, 0);
}

bool ks_github_keys_configured(struct ks_github_keys *k)
{
	bool taken;

	pthread_mutex_lock(&k->lock);
	taken = k->taken;
	pthread_mutex_unlock(&k->lock);
	return k->fetch || taken;
}

/* ---- checking ---- */

enum ks_err ks_github_keys_check(struct ks_github_keys *k, struct ks_str id, struct ks_str signature, struct ks_str body,
				 int64_t now_ms, bool stale_ok)
{
	unsigned char der[SIGNATURE_MAX];
	enum ks_err err = KS_NOT_FOUND;
	size_t n;

	if (!ks_base64_decode(signature, der, sizeof(der), &n))
		return KS_FORBIDDEN;
	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < k->count && err == KS_NOT_FOUND; i++) {
		if (!ks_str_eq(id, ks_str_c(k->keys[i].id)))
			continue;
		if (!stale_ok && k->fetch && k->taken_ms && now_ms - k->taken_ms > FRESH_MS)
			break;
		err = ks_public_key_check_der(k->keys[i].key, KS_SIGN_ALG_ES256, body, ks_str_of((const char *)der, n));
		if (err != KS_OK)
			err = KS_FORBIDDEN;
	}
	pthread_mutex_unlock(&k->lock);
	return err;
}

void ks_github_keys_fetch(struct ks_github_keys *k, int64_t now_ms)
{
	struct ks_fetch_request request = {
		.method = "GET",
		.url = ks_str_c(k->url),
		.headers = {{KS_STR("Accept"), KS_STR("application/json")}, {KS_STR("User-Agent"), KS_STR("keystile")}},
		.header_count = 2,
		.body_max = DOCUMENT_MAX,
		.timeout_ms = FETCH_TIMEOUT_MS,
	};
	struct ks_fetch_response response;

	if (!k->fetch)
		return;
	pthread_mutex_lock(&k->fetch_lock);
	if (k->tried_ms == 0 || now_ms - k->tried_ms >= FETCH_EVERY_MS || now_ms < k->tried_ms) {
		k->tried_ms = now_ms;
		if (ks_fetch_do(k->fetch, &request, &response) == KS_FETCH_OK) {
			/* What is no key set leaves those that are known. */
			if (response.status == 200)
				(void)!take(k, ks_str_of(response.body, response.body_n), now_ms);
			ks_fetch_response_free(&response);
		}
	}
	pthread_mutex_unlock(&k->fetch_lock);
}
