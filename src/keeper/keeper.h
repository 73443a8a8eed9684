/* SPDX-License-Identifier: Apache-2.0 */
/** The keeper: a child process that alone holds the keys by which secrets are sealed, and this is how the service asks it.
 * Keys in three steps: the root (a key file, a passphrase, a module, a key management service) wraps a key per
 * organization; that wraps a key per value; all by AES-256-GCM or what the root has for it, each step bound to what it is
 * for. Wrapped keys and sealed values are kept by the store; the keeper keeps nothing but the root.
 *
 * Every function: any thread, unless said otherwise; waits for the keeper, whose time is bounded. KS_KEEPER: it is not
 * there at the moment (it ended, and is started again) or took too long; nothing was done that lasts. KS_KMS: the key
 * management service refused or did not answer. KS_FULL: too many requests wait. Others as told. */
#pragma once

#include "keeper/wire.h"

struct ks_keeper;

#define KS_KEEPER_BATCH_MAX 64          /* values in one message */
#define KS_KEEPER_VALUE_MAX 65536       /* bytes of a value */
#define KS_KEEPER_BATCH_BYTES (448u << 10) /* bytes of the values of one message together */
/** Bytes that a sealed value has more than the plain one: version, wrapped key of the value, nonce, tag. */
#define KS_KEEPER_OVERHEAD (1 + 61 + 29)
/** The first bytes of a sealed value: its version and its key, wrapped. Without them the rest opens for nobody. */
#define KS_KEEPER_VALUE_HEAD (1 + 61)
/** The same of what ks_keeper_system_seal makes. */
#define KS_KEEPER_SYSTEM_OVERHEAD 29
#define KS_KEEPER_PATHS_MAX 8

/** What the root is: X(name, text of the setting vault.kms). */
#define KS_KEEPER_ROOTS(X)          \
	X(FILE, "file")             \
	X(PASSPHRASE, "passphrase") \
	X(PKCS11, "pkcs11")         \
	X(AWS, "aws-kms")           \
	X(TRANSIT, "vault-transit")

enum ks_keeper_root {
#define X(name, text) KS_KEEPER_ROOT_##name,
	KS_KEEPER_ROOTS(X)
#undef X
	KS_KEEPER_ROOT_COUNT
};
/** False: none of these texts. */
KS_MUST_USE bool ks_keeper_root_parse(struct ks_str text, enum ks_keeper_root *ret_root);

/** Tells what happens, for the log, as ks_engine_log. */
typedef void ks_keeper_log(void *ctx, int level, const char *event, const char *text);

/** Texts are copied. */
struct ks_keeper_options {
	const char *directory;          /* that master.key is in */
	const char *program;            /* NULL: keystile-keeper beside this program, or where it is installed */
	enum ks_keeper_root root;
	const char *passphrase_file;    /* KS_KEEPER_ROOT_PASSPHRASE: its first line; read by the keeper alone */
	/* KS_KEEPER_ROOT_PKCS11 */
	const char *pkcs11_module;      /* shared object */
	const char *pkcs11_token;       /* label */
	const char *pkcs11_key;         /* label of an AES-256 key of the token, made where `may_create` */
	const char *pkcs11_files;       /* the one directory that the module may use afterwards; may be empty */
	const char *pin_file;           /* its first line; read by the keeper alone */
	/* KS_KEEPER_ROOT_AWS, KS_KEEPER_ROOT_TRANSIT */
	const char *kms_url;            /* https://host[:port] */
	const char *kms_key;            /* id or ARN; transit: "mount/name" of a derived key */
	const char *kms_region;         /* AWS */
	const char *kms_credentials_file; /* one line: ACCESS_KEY:SECRET_KEY[:SESSION_TOKEN], or Vault's token; read by the keeper */
	const char *kms_ca_file;        /* authorities (PEM); NULL: the system's */
	/** Connects to the host of kms_url, by the guard's rules, and gives the descriptor away. On a thread of its own; may take
	 * seconds, not more. */
	enum ks_err (*connect)(void *ctx, int *ret_fd);
	void *connect_ctx;
	bool may_create;                /* nothing was sealed yet: a key file that is missing is made */
	bool rotate;                    /* makes a new key file beside the one there is: see ks_keeper_rotated */
	unsigned timeout_ms;            /* a request that is not answered within it ends the keeper; 0: 30 seconds */
	ks_keeper_log *log;
	void *log_ctx;
};

/** What a start that failed has to say to a person. */
struct ks_keeper_problem {
	char text[512];
};

/** Starts the keeper and waits until it has its root. KS_NOT_FOUND: the key is missing (and `may_create` is false);
 * KS_FORBIDDEN: others can read it, or it is not ours; KS_CORRUPT: it is no key; KS_SYSTEM: the program cannot be
 * started, or not be confined; text in *ret_problem. From then on it is started again whenever it ends. The calling
 * process must not wait for children of its own by waitpid(-1). */
KS_MUST_USE enum ks_err ks_keeper_start(const struct ks_keeper_options *options, struct ks_keeper **ret_keeper,
					struct ks_keeper_problem *ret_problem);
/** Ends it; what is asked meanwhile fails with KS_STOPPING. Takes NULL. No thread may be within a call. */
void ks_keeper_stop(struct ks_keeper **keeper);
/** Ends the child and starts it with another may_create or rotate; waits until it is there again. */
KS_MUST_USE enum ks_err ks_keeper_restart(struct ks_keeper *keeper, bool may_create, bool rotate,
					  struct ks_keeper_problem *ret_problem);

struct ks_keeper_stats {
	bool ready;
	bool landlock;             /* the kernel has it, and it is in force */
	bool rotating;             /* a new key file is there beside the old one */
	int64_t pid;               /* of the child; 0: none */
	uint64_t restarts;
	uint64_t requests[KS_KEEPER_MESSAGE_COUNT]; /* answered */
	uint64_t failed;           /* of them, or for want of a keeper */
	uint64_t waiting;          /* now */
	uint64_t ns_total;         /* from a request to its answer, all together */
	char root[128];            /* what the root is, for a person: "file 1f2e3d4c5b6a7988" */
};
/** Does not wait. */
void ks_keeper_stats(struct ks_keeper *keeper, struct ks_keeper_stats *ret_stats);

/* ---- keys of organizations ---- */

/** Makes a key for the organization: random, wrapped by the root, bound to organization and generation (the caller
 * counts them, from 1). At most KS_KEEPER_WRAPPED_MAX bytes; KS_TOO_LARGE beyond `cap`. */
KS_MUST_USE enum ks_err ks_keeper_org_create(struct ks_keeper *keeper, uint64_t organization, uint32_t generation,
					     uint8_t *ret_wrapped, size_t cap, size_t *ret_n);
/** Wraps a key that another root (or its key of before) wrapped by the one in force; *ret_changed false: it already is,
 * and nothing is written. KS_CORRUPT: no root that is there wrapped it, or it belongs to another organization. */
KS_MUST_USE enum ks_err ks_keeper_org_rewrap(struct ks_keeper *keeper, const struct ks_keeper_org *org, bool *ret_changed,
					     uint8_t *ret_wrapped, size_t cap, size_t *ret_n);
/** Forgets the key: after the store has erased the wrapped one for good, nothing opens any of its values any more. This
 * generation and those before are refused until the keeper's end. */
KS_MUST_USE enum ks_err ks_keeper_org_forget(struct ks_keeper *keeper, uint64_t organization, uint32_t generation);
/** The same without waiting; nobody is told of its end. */
KS_MUST_USE enum ks_err ks_keeper_org_forget_submit(struct ks_keeper *keeper, uint64_t organization, uint32_t generation);

/* ---- values ---- */

struct ks_keeper_value {
	struct ks_keeper_binding binding;
	struct ks_str in;          /* plain to be sealed, or sealed to be opened */
	uint8_t *ret_out;
	size_t cap;
	size_t ret_n;
	enum ks_err err;           /* of this one */
};

/** Seals `count` values (1 to KS_KEEPER_BATCH_MAX) under the organization's key in one message. Each needs in.n +
 * KS_KEEPER_OVERHEAD bytes of room. KS_TOO_LARGE, KS_CORRUPT: the wrapped key is not this organization's. Any error:
 * nothing is in the outputs. */
KS_MUST_USE enum ks_err ks_keeper_seal(struct ks_keeper *keeper, const struct ks_keeper_org *org,
				       struct ks_keeper_value *values, size_t count);

/** Opens `count` values in one message, each into in.n - KS_KEEPER_OVERHEAD bytes, which the caller wipes. KS_OK: look at
 * each one's `err`: KS_CORRUPT: it was not sealed for this organization, tenant, provider, field and version, or was
 * altered; KS_TOO_LARGE: beyond its `cap`. KS_CORRUPT: the wrapped key is not this organization's. */
KS_MUST_USE enum ks_err ks_keeper_open(struct ks_keeper *keeper, const struct ks_keeper_org *org,
				       struct ks_keeper_value *values, size_t count);

/** The same without waiting. `done` runs on the keeper's own thread, where it must not wait; what `org` and `values`
 * point to must live until then. Any error: `done` is not called. */
struct ks_keeper_opening {
	struct ks_keeper_value *values;
	size_t count;
	enum ks_err err;           /* as ks_keeper_open returns */
	void (*done)(struct ks_keeper_opening *opening);
	void *ctx;
};
KS_MUST_USE enum ks_err ks_keeper_open_submit(struct ks_keeper *keeper, const struct ks_keeper_org *org,
					      struct ks_keeper_opening *opening);

/* ---- answers to challenges ---- */

/** A challenge to be answered for a password that stays sealed (keeper/sip_digest.h). */
struct ks_keeper_sip {
	struct ks_str challenge;       /* value of WWW-Authenticate or Proxy-Authenticate; KS_SIP_CHALLENGE_MAX bytes */
	struct ks_str method;          /* at most 64 bytes */
	struct ks_str uri;             /* at most 2048 */
	struct ks_str user;            /* at most 256 */
	struct ks_str body;            /* for "auth-int"; at most 16384 */
	struct ks_str client_nonce;    /* empty: a random one; at most 128 */
	uint32_t count;                /* of requests under the challenge's nonce, from 1 */
};

/** The value of the header that answers the challenge, at most KS_SIP_ANSWER_MAX bytes, not terminated. `sealed` is the
 * password as ks_keeper_seal made it for `binding`; it is opened within the keeper alone. KS_MALFORMED, KS_VERSION: the
 * challenge (ks_sip_challenge_parse tells beforehand), or a text that cannot stand in a header; KS_CORRUPT as
 * ks_keeper_open; KS_TOO_LARGE. */
KS_MUST_USE enum ks_err ks_keeper_sip_digest(struct ks_keeper *keeper, const struct ks_keeper_org *org,
					     const struct ks_keeper_binding *binding, struct ks_str sealed,
					     const struct ks_keeper_sip *sip, char *ret_value, size_t cap, size_t *ret_n);

/* ---- the service's own secrets ---- */

/** Seals a secret of the service itself under `org` (organization 0) for what `associated` names (at most 256 bytes):
 * plain.n + KS_KEEPER_SYSTEM_OVERHEAD bytes. `org` without a wrapped key: directly under the key file's key, as earlier
 * releases did; KS_FORBIDDEN where the root is another. */
KS_MUST_USE enum ks_err ks_keeper_system_seal(struct ks_keeper *keeper, const struct ks_keeper_org *org,
					      struct ks_str associated, struct ks_str plain, uint8_t *ret_sealed, size_t cap,
					      size_t *ret_n);
/** Opens it: sealed.n - KS_KEEPER_SYSTEM_OVERHEAD bytes, which the caller wipes. What earlier releases sealed opens as
 * long as their key file is there. KS_CORRUPT, KS_TOO_LARGE. */
KS_MUST_USE enum ks_err ks_keeper_system_open(struct ks_keeper *keeper, const struct ks_keeper_org *org,
					      struct ks_str associated, struct ks_str sealed, uint8_t *ret_plain, size_t cap,
					      size_t *ret_n);

/* ---- another key file ---- */

/** After a start with `rotate` and when every key is rewrapped: the new key file takes the place of the old one, which is
 * gone then. KS_SYSTEM. Only one thread. */
KS_MUST_USE enum ks_err ks_keeper_rotated(struct ks_keeper *keeper);
