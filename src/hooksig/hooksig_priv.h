/* SPDX-License-Identifier: Apache-2.0 */
/** What the compiler makes of a form, and what a decision knows while it is made. */
#pragma once

#include "base/json.h"
#include "crypto/hasher.h"
#include "crypto/sign.h"
#include "hooksig/hooksig.h"

#define HS_SOURCES_MAX 3    /* of one variable */
#define HS_VARS_MAX 12
#define HS_VALUES_MAX 16    /* of one variable */
#define HS_PATH_MAX 6       /* steps of a path into JSON */
#define HS_SEGMENTS_MAX 24  /* of one template */
#define HS_FILTERS_MAX 3
#define HS_PARAMS_MAX 3     /* canonical forms of parameters in one scheme */
#define HS_PAIRS_MAX 512    /* parameters of one request */
#define HS_OPS_MAX 6
#define HS_PLANS_MAX 4
#define HS_CHALLENGES_MAX 4
#define HS_LIST_MAX 64      /* entries of any list in a form or in settings */
#define HS_KEYS_MAX 16

struct hs_list {
	struct ks_str *v;
	size_t n;
};

/* ---- memory of a scheme: freed and wiped at once ---- */

struct hs_arena {
	struct hs_block *blocks;
	struct hs_owned *owned;
};
/* Zeroed and aligned; NULL without memory. */
void *hs_arena_take(struct hs_arena *arena, size_t n);
KS_MUST_USE bool hs_arena_copy(struct hs_arena *arena, struct ks_str text, struct ks_str *ret_copy);
/* Has `fn(thing)` called when the arena is freed; at once, and false, without memory. */
KS_MUST_USE bool hs_arena_own(struct hs_arena *arena, void *thing, void (*fn)(void *thing));
void hs_arena_free(struct hs_arena *arena);

/* ---- the compiler ---- */

struct hs_compile {
	struct hs_arena *arena;
	struct ks_str declared;    /* the form's settings, as JSON; empty: none */
	struct ks_str settings;    /* the tenant's; empty: the form alone is checked */
	bool checking;
	struct hs_plan *plan;      /* whose variables a template means */
	bool for_challenge;        /* a template of a challenge's answer is read */
	struct ks_hooksig_problem *problem;
	struct ks_buf pointer;     /* where we are */
	char pointer_room[160];
	bool in_settings;
	bool failed;
};

/* Reads a value of a form to `to`; false with the problem told. */
typedef bool hs_reader(struct hs_compile *c, struct ks_str value, void *to);

/* A member of an object of a form. */
struct hs_member {
	const char *name;
	hs_reader *read;
	size_t at;       /* where in the struct */
	bool needed;
};
#define HS_MEMBER(name, read, type, field) {name, read, offsetof(type, field), false}
#define HS_NEEDED(name, read, type, field) {name, read, offsetof(type, field), true}

/* Reads an object; unknown members and missing ones are problems. A member whose setting has no value is left out. */
KS_MUST_USE bool hs_read_object(struct hs_compile *c, struct ks_str value, const struct hs_member *members, size_t n,
				void *to);
/* Calls `each` for each member of an object, with its name; and for each element of an array. */
KS_MUST_USE bool hs_each_member(struct hs_compile *c, struct ks_str object,
				bool (*each)(struct hs_compile *c, struct ks_str name, struct ks_str value, void *to), void *to);
KS_MUST_USE bool hs_each_element(struct hs_compile *c, struct ks_str array, hs_reader *each, void *to);

/* Tells what is wrong; returns false for the caller to return. */
bool hs_refuse(struct hs_compile *c, const char *fmt, ...) KS_PRINTF(2, 3);
/* The same for keys and secrets that vouch for nothing. */
bool hs_refuse_key(struct hs_compile *c, const char *fmt, ...) KS_PRINTF(2, 3);
bool hs_no_memory(struct hs_compile *c);

/* Readers of plain values. */
hs_reader hs_read_text;       /* struct ks_str, settings within it put in */
hs_reader hs_read_texts;      /* struct hs_list: one text or an array of them */
hs_reader hs_read_flag;       /* bool */
hs_reader hs_read_char;       /* char */
hs_reader hs_read_count;      /* unsigned, to 1000 */
hs_reader hs_read_seconds;    /* int64_t, as milliseconds, to 10 years */
hs_reader hs_read_hasher;     /* enum ks_hasher_alg */
hs_reader hs_read_raw;        /* struct ks_str: the JSON itself, copied */

/* settings.c: the value of the setting `name` as JSON, the tenant's, the default, or (where the form alone is checked)
 * a sample. False: undeclared, or needed and missing, or not of its type. *ret_value is empty where it has none. */
KS_MUST_USE bool hs_setting(struct hs_compile *c, struct ks_str name, struct ks_str *ret_value);
/* Whether `c` may stand in a setting's name. */
bool hs_in_setting_name(char c);
/* Checks the declarations, and that the tenant set nothing that is not declared. */
KS_MUST_USE bool hs_settings_check(struct hs_compile *c);

/* ---- what a form becomes ---- */

enum hs_source_kind { HS_HEADER, HS_QUERY, HS_PARAM, HS_JSON, HS_XML, HS_BODY, HS_SOURCE_COUNT };

struct hs_source {
	enum hs_source_kind kind;
	struct ks_str name;
	struct ks_str path[HS_PATH_MAX];
	size_t path_n;
};

struct hs_var {
	struct ks_str name;
	struct hs_source from[HS_SOURCES_MAX];
	size_t from_n;             /* 0: a setting that it needs has no value */
	struct ks_str scheme;      /* of an Authorization header */
	struct ks_str prefix;
	struct ks_str pick;        /* the name in a list of name=value */
	struct ks_str item_prefix; /* of those items of a list that count */
	struct ks_str format, part; /* "t={timestamp},v1={signature}", and which of the names is meant */
	char list;                 /* what divides the items of a list; 0: none */
	char split;                /* what divides the value into `count` parts, of which `index` is meant; 0: none */
	unsigned count, index;
	bool many;                 /* there may be more than one */
	bool string;               /* in JSON a string, no number */
};

enum hs_filter_kind {
	HS_FILTER_HASH, HS_FILTER_HMAC, HS_FILTER_HEX, HS_FILTER_BASE64, HS_FILTER_BASE64URL, HS_FILTER_IF_ANY,
	HS_FILTER_UNESCAPE
};

struct hs_filter {
	enum hs_filter_kind kind;
	enum ks_hasher_alg alg;
	struct ks_str set;         /* characters whose escapes are undone */
};

enum hs_segment_kind {
	HS_SEG_LITERAL, HS_SEG_BODY, HS_SEG_URL, HS_SEG_URL_BASE, HS_SEG_PATH, HS_SEG_QUERY, HS_SEG_HOST, HS_SEG_METHOD,
	HS_SEG_SECRET, HS_SEG_HEADER, HS_SEG_VAR, HS_SEG_PARAMS, HS_SEG_IF_ANY, HS_SEG_IF_BOTH, HS_SEG_COUNT
};

struct hs_segment {
	enum hs_segment_kind kind;
	struct ks_str text;        /* the literal; a header's name */
	size_t index[2];           /* of the variable or of the parameters */
	struct hs_filter filters[HS_FILTERS_MAX];
	size_t filter_n;
};

struct hs_template {
	struct hs_segment *segments;
	size_t n;
	bool covers_body, uses_url, uses_secret;
};

/* Where parameters come from. The body is a form or an object of JSON, as its Content-Type says. */
enum hs_params_from { HS_FROM_QUERY, HS_FROM_FORM, HS_FROM_JSON, HS_FROM_COUNT };
enum hs_params_values { HS_VALUES_ARRIVAL, HS_VALUES_SORT, HS_VALUES_DEDUPE };

/* How parameters are written down to be signed. */
struct hs_params {
	struct ks_str name;
	unsigned from;             /* bits of 1 << enum hs_params_from */
	struct hs_list exclude;
	struct ks_str keys_by;     /* the parameter that says which others count, and in which order; empty: all do */
	struct hs_list keys[4];    /* those, for each value of it */
	struct ks_str keys_of[4];
	size_t keys_n;
	bool sorted, encode, json;
	enum hs_params_values values;
	struct ks_str replace;     /* characters of values that become `with` */
	char with;
	struct ks_str pair;        /* with {k} and {v} */
	struct ks_str join, open, close;
};

enum hs_unit { HS_UNIT_S, HS_UNIT_MS, HS_UNIT_ISO8601, HS_UNIT_RFC1123, HS_UNIT_COUNT };

struct hs_time {
	bool present;
	size_t var;
	enum hs_unit unit;
	int64_t max_age_ms, max_future_ms; /* -1: not given */
};

struct hs_when {
	struct hs_list methods;
	struct ks_str header, query;
	int empty_body;            /* -1: no matter */
	bool impossible;           /* a setting is other than it asks */
	struct { struct ks_str path[HS_PATH_MAX]; size_t path_n; struct ks_str value; } json[2];
	size_t json_n;
};

struct hs_run;

/* What an operation is. Table in ops.c. */
struct hs_op_type {
	const char *name;
	size_t size;               /* of its struct */
	hs_reader *read;           /* the form's object to it */
	enum ks_hooksig_code (*run)(struct hs_run *run, const void *op);
	/* What it makes of the request, by each key it has, in room, and the variable that it is; NULL: cannot sign. */
	enum ks_err (*sign)(struct hs_run *run, const void *op, struct ks_str ret_signatures[HS_KEYS_MAX], size_t *ret_n,
			    size_t *ret_var);
	bool vouches;              /* a scheme of nothing but this says something about who sent the request */
};

struct hs_op {
	const struct hs_op_type *type;
	void *op;
};

/* What an operation says of itself to the compiler. */
struct hs_cover {
	bool signs;                /* a key made something that is checked, or TLS did */
	bool body, time;           /* covers the body; bounds the time */
	bool secret;               /* the secret itself is sent */
	bool digest;               /* made with a weak digest */
};

struct hs_plan {
	struct hs_when when;
	struct hs_var vars[HS_VARS_MAX];
	size_t var_n;
	struct hs_params params[HS_PARAMS_MAX];
	size_t params_n;
	struct hs_time time;
	struct hs_op ops[HS_OPS_MAX];
	size_t op_n;
	struct hs_cover cover;
	bool vouched;
};

struct hs_reply {
	unsigned status;
	struct ks_str names[KS_HOOKSIG_RESPONSE_HEADERS_MAX];
	struct hs_template values[KS_HOOKSIG_RESPONSE_HEADERS_MAX];
	size_t header_n;
	struct ks_str content_type;
	struct hs_template body;
	struct { struct ks_str name; struct hs_template value; } json[4]; /* members of the body as JSON */
	size_t json_n;
};

struct hs_challenge {
	struct hs_plan plan;
	bool unauthenticated;
	struct hs_reply reply;
};

struct ks_hooksig_scheme {
	struct hs_arena arena;
	bool vouches;              /* it was compiled with settings */
	unsigned warnings;
	unsigned url_variants;     /* bits of enum hs_variant */
	struct hs_plan *plans;
	size_t plan_n;
	struct hs_challenge *challenges;
	size_t challenge_n;
	struct hs_reply accept, reject;
	struct {
		bool present, of_token; /* a claim of the token says what to remember, else a variable */
		size_t var;
		int64_t keep_s;
	} replay;
	struct {
		bool present;
		size_t var;
		struct hs_list hosts;
	} confirm;
};

enum hs_variant { HS_URL_AS_IS, HS_URL_NO_PORT, HS_URL_DEFAULT_PORT, HS_VARIANT_COUNT };

/* ---- a decision ---- */

struct hs_url {
	struct ks_str whole, scheme, userinfo, host, port; /* host with the brackets of an IPv6 address */
	struct ks_str path, query;  /* without the question mark */
	bool has_query;
};
KS_MUST_USE bool hs_url_parse(struct ks_str text, struct hs_url *ret_url);

struct hs_values {
	bool read;
	enum ks_hooksig_code code;
	struct ks_str v[HS_VALUES_MAX];
	size_t n;
};

struct hs_pair {
	struct ks_str name, value;
	enum hs_params_from from;
	bool null;                 /* null in JSON */
};

struct hs_run {
	const struct ks_hooksig_scheme *scheme;
	const struct hs_plan *plan;
	const struct ks_hooksig_request *request;
	int64_t now_ms;
	struct ks_buf *room;
	struct hs_url url;
	enum hs_variant variant;
	struct hs_values values[HS_VARS_MAX];
	struct hs_pair pairs[HS_PAIRS_MAX];
	size_t pair_n;
	unsigned pairs_from;       /* what `pairs` holds, as bits */
	enum ks_hooksig_code pairs_code; /* why it could not be read */
	struct ks_str secret;      /* the one that is tried, for templates */
	const struct ks_hmac_key *matched; /* the key that vouched */
	struct ks_str claim;       /* the replay key that a token named */
};

/* Where what a template says goes: a digest that is fed, or room. */
struct hs_sink {
	struct ks_hasher *hasher;
	struct ks_buf *buf;
};
void hs_put(struct hs_sink *sink, struct ks_str bytes);

/* verify.c. The first plan is chosen; the URL is not read. */
void hs_run_begin(struct hs_run *run, const struct ks_hooksig_scheme *scheme, const struct ks_hooksig_request *request,
		  int64_t now_ms, struct ks_buf *room);

/* source.c. The values of variable `index` of the plan, read once. */
enum ks_hooksig_code hs_var_read(struct hs_run *run, size_t index, const struct hs_values **ret_values);
/* The one value; MALFORMED where there are more. */
enum ks_hooksig_code hs_var_one(struct hs_run *run, size_t index, struct ks_str *ret_value);
/* The value of a header that may be there once. */
enum ks_hooksig_code hs_header(const struct ks_hooksig_request *request, struct ks_str name, struct ks_str *ret_value);
enum ks_hooksig_code hs_query(struct hs_run *run, struct ks_str name, struct ks_str *ret_value);
/* All values that `path` leads to ("*": each element). */
enum ks_hooksig_code hs_json_find(struct hs_run *run, const struct ks_str *path, size_t path_n, bool string,
				  struct hs_values *to);
/* xml.c. The text of the one element of that name, whatever its name space. */
enum ks_hooksig_code hs_xml_find(struct ks_str text, struct ks_str name, struct ks_str *ret_value);
hs_reader hs_read_vars;      /* struct hs_plan, its member vars */
bool hs_read_path(struct hs_compile *c, struct ks_str text, struct ks_str path[HS_PATH_MAX], size_t *ret_n);
/* The variable of that name; told as a problem where there is none. */
bool hs_var_index(struct hs_compile *c, struct ks_str name, size_t *ret_index);
hs_reader hs_read_var_name;  /* size_t */

/* when.c */
hs_reader hs_read_when;
bool hs_when_holds(struct hs_run *run, const struct hs_when *when);

/* params.c */
hs_reader hs_read_params;    /* struct hs_plan */
enum ks_hooksig_code hs_pairs_read(struct hs_run *run, unsigned from);
enum ks_hooksig_code hs_params_put(struct hs_run *run, const struct hs_params *params, struct hs_sink *sink);
/* Whether it would write anything. */
enum ks_hooksig_code hs_params_any(struct hs_run *run, const struct hs_params *params, bool *ret_any);
/* Undoes %-escapes and, if `plus`, "+", into `room`. */
bool hs_unescape(struct ks_str text, bool plus, struct ks_buf *room, struct ks_str *ret_text);

/* template.c */
hs_reader hs_read_template;
enum ks_hooksig_code hs_template_put(struct hs_run *run, const struct hs_template *t, struct hs_sink *sink);
/* Into room. */
enum ks_hooksig_code hs_template_text(struct hs_run *run, const struct hs_template *t, struct ks_str *ret_text);

/* times.c */
hs_reader hs_read_time;
enum ks_hooksig_code hs_time_check(struct hs_run *run, const struct hs_time *time);
void hs_time_write(enum hs_unit unit, int64_t ms, struct ks_buf *to);

/* encoding.c: signatures and keys as text. */
enum hs_encoding { HS_HEX, HS_HEX_UPPER, HS_HEX_ANY, HS_BASE64, HS_BASE64URL, HS_ENCODING_COUNT };
hs_reader hs_read_encoding;
bool hs_decode(enum hs_encoding encoding, struct ks_str text, unsigned char *ret_bytes, size_t cap, size_t *ret_n);
void hs_encode(enum hs_encoding encoding, struct ks_str bytes, struct ks_buf *to);

enum hs_key_form { HS_KEY_UTF8, HS_KEY_HEX, HS_KEY_BASE64, HS_KEY_WHSEC, HS_KEY_FORM_COUNT };
hs_reader hs_read_key_form;
bool hs_secrets_decode(struct hs_compile *c, struct hs_list *texts, enum hs_key_form form);
hs_reader hs_read_secrets;   /* struct hs_list of texts that are not empty */

/* ops.c */
hs_reader hs_read_ops;       /* struct hs_plan */
void hs_cover_add(struct hs_compile *c, struct hs_cover cover);

/* The types of operations, each in its file. */
extern const struct hs_op_type hs_op_hmac, hs_op_hash, hs_op_signature, hs_op_x509, hs_op_jws, hs_op_equals, hs_op_basic,
	hs_op_cidr, hs_op_mtls, hs_op_httpsig;

struct ks_public_key;
struct ks_x509;
/* op_key.c: keys and certificates, owned by the scheme. */
bool hs_public_key(struct hs_compile *c, struct ks_str text, enum ks_sign_alg alg, struct ks_public_key **ret_key);
/* Whether `text` is an https URL without user, port and query at one of `hosts`, in which {region} is a region of AWS. */
bool hs_url_at(struct ks_str text, const struct hs_list *hosts, struct hs_url *ret_url);
/* The certificate that `op` (of hs_op_x509) would need and has not. */
bool hs_x509_wants(struct hs_run *run, const void *op, struct ks_str *ret_url);
/* op_static.c: the variable that holds a secret itself; false: none does. */
bool hs_secret_var(const struct hs_op *op, size_t *ret_var);
bool hs_certificate(struct hs_compile *c, struct ks_str pem, struct ks_x509 **ret_cert);
hs_reader hs_read_trust;     /* struct ks_x509_trust * */
