/* SPDX-License-Identifier: Apache-2.0 */
#include "http/tls.h"

#include <gnutls/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

const char ks_http_tls_priorities[] = "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2:%SERVER_PRECEDENCE";

struct ks_http_credentials {
	_Atomic unsigned references;
	bool ask_client, client_optional;
	gnutls_certificate_credentials_t x509;
};

struct ks_http_tls {
	char *certificate;
	char *key;
	char *client_ca; /* NULL: none */
	bool client_optional;
	pthread_mutex_t lock;
	struct ks_http_credentials *now;
};

void ks_http_tls_release(struct ks_http_credentials *credentials)
{
	if (!credentials || atomic_fetch_sub_explicit(&credentials->references, 1, memory_order_acq_rel) > 1)
		return;
	gnutls_certificate_free_credentials(credentials->x509);
	free(credentials);
}

/* Fills `x509`; NULL, or what is wrong. */
static const char *read_files(const struct ks_http_tls *tls, gnutls_certificate_credentials_t x509)
{
	int err = gnutls_certificate_set_x509_key_file(x509, tls->certificate, tls->key, GNUTLS_X509_FMT_PEM);

	if (err == GNUTLS_E_CERTIFICATE_KEY_MISMATCH)
		return "the key is not that of the certificate";
	if (err < 0)
		return "the certificate or its key cannot be read";
	if (tls->client_ca && gnutls_certificate_set_x509_trust_file(x509, tls->client_ca, GNUTLS_X509_FMT_PEM) <= 0)
		return "the authority of client certificates cannot be read";
	return NULL;
}

static enum ks_err load(const struct ks_http_tls *tls, struct ks_http_credentials **ret_credentials,
			const char **ret_problem)
{
	struct ks_http_credentials *c = calloc(1, sizeof(*c));
	const char *problem;

	if (!c)
		return KS_MEMORY;
	if (gnutls_certificate_allocate_credentials(&c->x509) != GNUTLS_E_SUCCESS) {
		free(c);
		return KS_MEMORY;
	}
	atomic_init(&c->references, 1);
	c->ask_client = tls->client_ca != NULL;
	c->client_optional = tls->client_optional;
	problem = read_files(tls, c->x509);
	if (problem) {
		ks_http_tls_release(c);
		*ret_problem = problem;
		return KS_MALFORMED;
	}
	*ret_credentials = c;
	return KS_OK;
}

enum ks_err ks_http_tls_new(const char *certificate, const char *key, const char *client_ca, bool client_optional,
			    struct ks_http_tls **ret_tls, const char **ret_problem)
{
	struct ks_http_tls *tls = calloc(1, sizeof(*tls));
	enum ks_err err = KS_MEMORY;

	if (!tls)
		return KS_MEMORY;
	(void)pthread_mutex_init(&tls->lock, NULL);
	tls->certificate = strdup(certificate);
	tls->key = strdup(key);
	tls->client_ca = client_ca ? strdup(client_ca) : NULL;
	tls->client_optional = client_optional;
	if (tls->certificate && tls->key && (tls->client_ca || !client_ca))
		err = load(tls, &tls->now, ret_problem);
	if (err != KS_OK) {
		ks_http_tls_free(&tls);
		return err;
	}
	*ret_tls = tls;
	return KS_OK;
}

void ks_http_tls_free(struct ks_http_tls **tls)
{
	struct ks_http_tls *t = *tls;

	if (!t)
		return;
	ks_http_tls_release(t->now);
	free(t->certificate);
	free(t->key);
	free(t->client_ca);
	(void)pthread_mutex_destroy(&t->lock);
	free(t);
	*tls = NULL;
}

enum ks_err ks_http_tls_reload(struct ks_http_tls *tls)
{
	struct ks_http_credentials *fresh, *old;
	const char *problem;

	KS_TRY(load(tls, &fresh, &problem));
	(void)pthread_mutex_lock(&tls->lock);
	old = tls->now;
	tls->now = fresh;
	(void)pthread_mutex_unlock(&tls->lock);
	ks_http_tls_release(old);
	return KS_OK;
}

/* With a purpose: a certificate made for servers alone is not taken of a client. */
static void ask_client(gnutls_session_t session)
{
	static char purpose[] = GNUTLS_KP_TLS_WWW_CLIENT;
	static gnutls_typed_vdata_st data = {
		GNUTLS_DT_KEY_PURPOSE_OID, (unsigned char *)purpose, sizeof(purpose) - 1};

	gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
	gnutls_session_set_verify_cert2(session, &data, 1, 0);
}

struct ks_http_credentials *ks_http_tls_attach(struct ks_http_tls *tls, gnutls_session_t session)
{
	struct ks_http_credentials *c;

	(void)pthread_mutex_lock(&tls->lock);
	c = tls->now;
	(void)atomic_fetch_add_explicit(&c->references, 1, memory_order_relaxed);
	(void)pthread_mutex_unlock(&tls->lock);
	if (gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, c->x509) != GNUTLS_E_SUCCESS) {
		ks_http_tls_release(c);
		return NULL;
	}
	if (c->ask_client)
		ask_client(session);
	else if (c->client_optional)
		gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUEST);
	return c;
}
