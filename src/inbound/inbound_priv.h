/* SPDX-License-Identifier: Apache-2.0 */
/** What the files of inbound/ share. */
#pragma once

#include <jansson.h>
#include <pthread.h>
#include <stdatomic.h>

#include "inbound/inbound.h"
#include "platform/platform.h"

#define KS_INBOUND_SETS 1024u  /* of sources at hand */
#define KS_INBOUND_WAYS 4u     /* sources in each */
#define KS_INBOUND_DOCS 256u   /* fetched documents */
#define KS_INBOUND_CERTS 8u    /* addresses of certificates that a source's requests named */
#define KS_INBOUND_DOC_MAX ((size_t)256 << 10)

/* Parameters of one revision. */
struct inbound_version {
	struct ks_hooksig_scheme *scheme;
	int64_t until;               /* KS_TIME_NONE: they hold */
};

struct inbound_certs {
	char urls[KS_INBOUND_CERTS][KS_FETCH_URL_MAX + 1];
	size_t next;                 /* whose place the next one takes */
};

struct inbound_source {
	struct ks_inbound_source head;
	_Atomic unsigned holders;
	struct ks_platform_registry *registry; /* that it was compiled from */
	uint64_t current_set, first_set;
	bool unkept;                 /* has references: read anew for each request */
	bool fetches_keys;           /* a key set is fetched */
	int64_t loaded_ms;
	int64_t good_until_ms;       /* to be loaded again then; KS_TIME_NONE: never */
	_Atomic int64_t learn_ms;    /* the next try to learn may be made then */
	struct inbound_version versions[KS_SOURCE_VERSIONS_MAX + 1];
	size_t version_n;
	char problem[400];
	struct inbound_certs certs;
};

/* A document that was fetched, or could not be. */
struct inbound_doc {
	char *url;                   /* NULL: free */
	char *body;                  /* NULL: never was there */
	size_t body_n;
	int64_t fetched_ms, tried_ms;
	uint64_t used;
};

/* When it was last written that a source opens a provider's fields. */
struct inbound_opened {
	uint64_t source, set;
	int64_t at_ms;
};

struct ks_inbound {
	struct ks_engine *engine;
	struct ks_inbound_options options;
	struct ks_fetch *fetch;
	pthread_mutex_t lock;        /* guards the next three */
	struct inbound_opened opened[KS_INBOUND_SETS];
	struct inbound_source *sources[KS_INBOUND_SETS][KS_INBOUND_WAYS];
	unsigned turn;
	pthread_mutex_t docs_lock;   /* guards the rest */
	struct inbound_doc docs[KS_INBOUND_DOCS];
	uint64_t docs_used;
};

static inline struct inbound_source *inbound_of(struct ks_inbound_source *source)
{
	return (struct inbound_source *)(void *)source;
}

/* docs.c: the document at `url`, at most `fresh_ms` old, else fetched; an older one where that fails. False: there is
 * none. *ret_body is the caller's, terminated. */
KS_MUST_USE bool inbound_doc(struct ks_inbound *inbound, const char *url, int64_t fresh_ms, int64_t now_ms,
			     char **ret_body);
void inbound_docs_free(struct ks_inbound *inbound);

/* parameters.c: what a scheme is compiled with. */
struct inbound_fields {
	struct ks_vault_fields *sealed;  /* NULL: none */
	struct ks_vault_opened opened;
	bool is_open;
};
/* Opens all that the provider has at the moment. KS_NOT_FOUND: it is gone. */
KS_MUST_USE enum ks_err inbound_fields_open(struct ks_inbound *inbound, struct ks_store *store, uint64_t provider,
					    int64_t now_ms, struct inbound_fields *ret_fields);
void inbound_fields_free(struct inbound_fields *fields);

struct inbound_making {
	struct ks_inbound *inbound;
	const struct inbound_fields *fields;
	const struct inbound_certs *certs; /* NULL: none */
	int64_t now_ms;
	bool fetches_keys;           /* set: a key set is fetched */
	bool fetches_certs;          /* set: certificates are, that requests name */
};
/* The settings of `form` as JSON text, to be wiped and freed; NULL: out of memory, or the form is none. */
char *inbound_settings(struct inbound_making *making, struct ks_str form, const json_t *plain, const json_t *secret);
/* The form that is meant: of the registry, or own. False: there is none. */
bool inbound_form(const struct ks_platform_registry *registry, struct ks_str platform, struct ks_str scheme,
		  struct ks_str own, struct ks_str *ret_form);
void inbound_wipe_text(char *text);
