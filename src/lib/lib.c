/* SPDX-License-Identifier: Apache-2.0 */
/* The handle, and the way from a request of the public interface to the decision. */
#include <netinet/in.h>
#include <stdlib.h>
#include <time.h>

#include "lib/lib_priv.h"

#define FLAGS_KNOWN (KEYSTILE_CREDENTIAL_ALONE | KEYSTILE_TENANT_REPEATED)

_Static_assert(KEYSTILE_KIND_SESSION == KS_KIND_BIT(KS_KIND_SESSION), "the public bits are the model's");
_Static_assert(KEYSTILE_KIND_TENANT == KS_KIND_BIT(KS_KIND_TENANT), "the public bits are the model's");
_Static_assert(KEYSTILE_KIND_PARTNER == KS_KIND_BIT(KS_KIND_PARTNER), "the public bits are the model's");
_Static_assert(KEYSTILE_KIND_RUNTIME == KS_KIND_BIT(KS_KIND_RUNTIME), "the public bits are the model's");

static const struct {
	enum keystile_status status;
	const char *text;
} statuses[] = {
	{KEYSTILE_OK, "done"},
	{KEYSTILE_BAD_ARGUMENT, "an argument is missing or out of bounds"},
	{KEYSTILE_NO_MEMORY, "out of memory"},
	{KEYSTILE_SYSTEM, "the operating system refused"},
	{KEYSTILE_NOT_FOUND, "there is no ring"},
	{KEYSTILE_CORRUPT, "the ring is damaged"},
	{KEYSTILE_WRONG_VERSION, "the ring is of a version that this library does not read"},
	{KEYSTILE_MALFORMED, "not of the expected form"},
	{KEYSTILE_TOO_LARGE, "larger than its limit, or than the room given"},
	{KEYSTILE_FORBIDDEN, "not permitted"},
};

/* Errors without a row are the system's fault. */
static const struct {
	enum ks_err err;
	enum keystile_status status;
} status_of_err[] = {
	{KS_OK, KEYSTILE_OK},
	{KS_MEMORY, KEYSTILE_NO_MEMORY},
	{KS_NOT_FOUND, KEYSTILE_NOT_FOUND},
	{KS_CORRUPT, KEYSTILE_CORRUPT},
	{KS_VERSION, KEYSTILE_WRONG_VERSION},
	{KS_MALFORMED, KEYSTILE_MALFORMED},
	{KS_TOO_LARGE, KEYSTILE_TOO_LARGE},
	{KS_FULL, KEYSTILE_TOO_LARGE},
	{KS_FORBIDDEN, KEYSTILE_FORBIDDEN},
};

KS_PUBLIC const char *keystile_version(void)
{
	return KEYSTILE_VERSION_TEXT;
}

KS_PUBLIC const char *keystile_status_text(int status)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(statuses); i++)
		if ((int)statuses[i].status == status)
			return statuses[i].text;
	return "unknown status";
}

int ks_lib_status(enum ks_err err)
{
	for (size_t i = 0; i < KS_ARRAY_LEN(status_of_err); i++)
		if (status_of_err[i].err == err)
			return (int)status_of_err[i].status;
	return KEYSTILE_SYSTEM;
}

/* ---- the handle ---- */

KS_PUBLIC int keystile_open(const char *directory, struct keystile **ret_handle)
{
	struct keystile *handle;
	enum ks_err err;

	if (!directory || !ret_handle)
		return KEYSTILE_BAD_ARGUMENT;
	handle = calloc(1, sizeof(*handle));
	if (!handle)
		return KEYSTILE_NO_MEMORY;
	err = ks_ringmap_reader_open(directory, &handle->reader);
	if (err != KS_OK) {
		free(handle);
		return ks_lib_status(err);
	}
	handle->verdict.texts = &handle->texts;
	*ret_handle = handle;
	return KEYSTILE_OK;
}

KS_PUBLIC void keystile_prefault(struct keystile *handle)
{
	if (handle)
		ks_ringmap_reader_prefault(handle->reader);
}

KS_PUBLIC void keystile_close(struct keystile *handle)
{
	if (!handle)
		return;
	ks_ringmap_reader_close(&handle->reader);
	ks_verifier_free(&handle->verifier);
	free(handle);
}

/* ---- the request ---- */

/* Brings a request of an older or newer program to the form known here; false if it says something that is not known.
 */
static bool take_request(const struct keystile_request *from, struct keystile_request *ret_request)
{
	const unsigned char *bytes = (const unsigned char *)from;

	if (from->size < offsetof(struct keystile_request, method) || from->size > 65536)
		return false;
	for (size_t i = sizeof(*ret_request); i < from->size; i++)
		if (bytes[i])
			return false;
	*ret_request = keystile_request_new();
	memcpy(ret_request, from, KS_MIN(from->size, sizeof(*ret_request)));
	return (ret_request->flags & ~FLAGS_KNOWN) == 0 && (ret_request->carriers || ret_request->carrier_count == 0);
}

/* Reads every carrier; false for kinds that are none. */
static bool take_credential(const struct keystile_request *from, struct ks_credential *credential)
{
	ks_credential_init(credential);
	ks_credential_authorization(credential, str_of(from->authorization));
	ks_credential_header(credential, str_of(from->api_key), KS_KINDS_ANY);
	for (size_t i = 0; i < from->carrier_count; i++) {
		const struct keystile_carrier *carrier = &from->carriers[i];

		if (carrier->kinds == KEYSTILE_AUTHORIZATION)
			ks_credential_authorization(credential, str_of(carrier->value));
		else if (carrier->kinds <= KEYSTILE_KINDS_ANY)
			ks_credential_header(credential, str_of(carrier->value), (uint8_t)carrier->kinds);
		else
			return false;
	}
	return true;
}

static bool take_peer(const void *peer, size_t size, struct ks_addr *ret_addr)
{
	sa_family_t family;

	if (!peer || size < sizeof(struct sockaddr_in))
		return false;
	memcpy(&family, (const char *)peer + offsetof(struct sockaddr, sa_family), sizeof(family));
	if (family == AF_INET) {
		struct sockaddr_in in;

		memcpy(&in, peer, sizeof(in));
		*ret_addr = (struct ks_addr){{[10] = 0xff, [11] = 0xff}};
		memcpy(&ret_addr->bytes[12], &in.sin_addr, sizeof(in.sin_addr));
		return true;
	}
	if (family == AF_INET6 && size >= sizeof(struct sockaddr_in6)) {
		struct sockaddr_in6 in6;

		memcpy(&in6, peer, sizeof(in6));
		memcpy(ret_addr->bytes, &in6.sin6_addr, sizeof(ret_addr->bytes));
		return true;
	}
	return false;
}

/* False where the clock cannot be read. */
static bool take_time(int64_t given_ms, int64_t *ret_ms)
{
	struct timespec now;

	if (given_ms != 0) {
		*ret_ms = given_ms;
		return true;
	}
	if (clock_gettime(CLOCK_REALTIME, &now) != 0)
		return false;
	*ret_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	return true;
}

/* Decides into handle->verdict; false where nothing could be decided. */
static bool decide(struct keystile *handle, const struct keystile_request *request)
{
	struct keystile_request from;
	struct ks_request to = {.credential = &handle->credential};
	const struct ks_ring *ring;

	if (!take_request(request, &from) || !take_time(from.now_ms, &to.now_ms))
		return false;
	ring = ks_ringmap_reader_ring(handle->reader);
	if (!ring || !take_credential(&from, &handle->credential))
		return false;
	to.credential_alone = (from.flags & KEYSTILE_CREDENTIAL_ALONE) != 0;
	to.method = str_of(from.method);
	to.path = str_of(from.path);
	to.tenant = str_of(from.tenant);
	to.tenant_repeated = (from.flags & KEYSTILE_TENANT_REPEATED) != 0;
	to.host = str_of(from.host);
	to.address_known = from.address.n > 0 ? ks_addr_parse(str_of(from.address), &to.address)
					      : take_peer(from.peer, from.peer_size, &to.address);
	if (handle->credential.form == KS_TOKEN_JWT) {
		ks_assert(ring, &handle->verifier, handle->credential.token, KS_JWT_AUDIENCE_ANY, to.now_ms, &handle->assertion);
		to.assertion = &handle->assertion;
	}
	ks_decide(ring, KS_RING_POLICY_PLATFORM, &to, &handle->path, &handle->verdict.d);
	handle->verdict.ring = ring;
	return true;
}

/* The refusal without a handle. */
static const struct keystile_verdict no_verdict = {.d = {.reason = KS_REASON_STALE, .step = KS_STEP_LEASE}};

KS_PUBLIC const struct keystile_verdict *keystile_decide(struct keystile *handle,
							 const struct keystile_request *request)
{
	if (!handle || !request)
		return &no_verdict;
	handle->verdict.ring = NULL;
	handle->credential.basic_tried = false;
	if (!decide(handle, request))
		handle->verdict.d = no_verdict.d;
	handle->verdict.basic_tried = handle->credential.basic_tried;
	ks_credential_wipe(&handle->credential);
	return &handle->verdict;
}
