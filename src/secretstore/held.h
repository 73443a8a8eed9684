/* SPDX-License-Identifier: Apache-2.0 */
/** AWS Secrets Manager of the operator's as the place where held values lie (vault.held_store: aws), with the stages of its
 * own: a value that waits for its probe has AWSPENDING, the one in use AWSCURRENT, the one before AWSPREVIOUS. One secret for
 * each field of a provider, one version of it for each version of the field, so that the vault's own version decides what is
 * read, and the stages say the same to whoever looks there.
 *
 * All functions wait; any thread. They take the identity named `identity` (store aws, with its own keys, `direct`), which no
 * tenant can: the operator lists no organization for it, and what is done here asks for none. Least privilege:
 * secretsmanager:CreateSecret, PutSecretValue, UpdateSecretVersionStage, GetSecretValue and DeleteSecret on
 * arn:aws:secretsmanager:REGION:ACCOUNT:secret:PREFIX*. */
#pragma once

#include "secretstore/secretstore.h"

#define KS_HELD_NAME_MAX 512      /* bytes of the name of a secret */
#define KS_HELD_VALUE_MAX 65536    /* bytes of a value: what AWS takes */
#define KS_HELD_VERSION_SIZE 37   /* a UUID, terminated */

/** The stages; text is AWS's. */
#define KS_HELD_STAGES(X)              \
	X(PENDING, "AWSPENDING")       \
	X(CURRENT, "AWSCURRENT")       \
	X(PREVIOUS, "AWSPREVIOUS")

enum ks_held_stage {
#define X(name, text) KS_HELD_##name,
	KS_HELD_STAGES(X)
#undef X
	KS_HELD_STAGE_COUNT
};

/** Where a value lies; borrowed for the call. */
struct ks_held_place {
	struct ks_str identity;
	struct ks_str region;
	struct ks_str name;       /* letters, digits and / _ + = . @ - */
	unsigned timeout_ms;      /* 0 or more than the client's: the client's */
};

/** Names a version after what it is: the same for the same input, so that a put that is tried again (its answer was lost) is
 * one put. `number` is the field's version. KS_CRYPTO. */
KS_MUST_USE enum ks_err ks_held_version(struct ks_str name, uint64_t number, char ret_version[KS_HELD_VERSION_SIZE]);

/** Writes `value` (bytes, 1 to KS_HELD_VALUE_MAX) as `version` in stage AWSPENDING, and makes the secret where there is
 * none. The very first version of a secret AWS also calls AWSCURRENT. Put again it is OK if it is the same value, else
 * VERSION_GONE (the name is taken by another). A secret that is scheduled for deletion: SECRET_GONE. */
KS_MUST_USE enum ks_secretstore_code ks_held_put(struct ks_secretstore *store, const struct ks_held_place *place, const char *version,
						 struct ks_str value);
/** Makes `version` AWSCURRENT; AWS then calls the one before AWSPREVIOUS, and AWSPENDING is taken off it. `before`: the version
 * that is current now; NULL: none. Done again it is OK. For a rollback: the other way round. */
KS_MUST_USE enum ks_secretstore_code ks_held_promote(struct ks_secretstore *store, const struct ks_held_place *place,
						     const char *version, const char *before);
/** Brings the stages to where they are wanted: `wanted` has a version, or NULL, for each. AWSCURRENT stays where it is if it is
 * wanted nowhere: AWS lets it be moved, not taken off. Done again it is OK. */
KS_MUST_USE enum ks_secretstore_code ks_held_settle(struct ks_secretstore *store, const struct ks_held_place *place,
						    const char *const wanted[KS_HELD_STAGE_COUNT]);
/** OK where the place could be used: its identity is there, of AWS, direct and with keys. Asks nobody. */
KS_MUST_USE enum ks_secretstore_code ks_held_check(struct ks_secretstore *store, const struct ks_held_place *place);
/** Takes a stage off `version`, such as AWSPENDING of one that its probe refused; AWS forgets a version without stages. OK
 * also where it is not on it. Not for CURRENT: REFERENCE_WRONG. */
KS_MUST_USE enum ks_secretstore_code ks_held_unstage(struct ks_secretstore *store, const struct ks_held_place *place,
						     const char *version, enum ks_held_stage stage);
/** Reads one version, whatever its stage. The caller frees *ret_value. */
KS_MUST_USE enum ks_secretstore_code ks_held_get(struct ks_secretstore *store, const struct ks_held_place *place, const char *version,
						 struct ks_secret *ret_value);
/** Deletes the secret with all of its versions, at once and for good. OK also where there is none. */
KS_MUST_USE enum ks_secretstore_code ks_held_erase(struct ks_secretstore *store, const struct ks_held_place *place);
