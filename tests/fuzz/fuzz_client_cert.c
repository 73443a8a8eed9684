/* SPDX-License-Identifier: Apache-2.0 */
/* Headers in which proxies pass a client's certificate on. The first line of the input is the one with the
 * certificate, the rest the chain. What was read lies in the room, and is bounded by it. */
#include <stdlib.h>

#include "inbound/inbound.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CHECK(holds)             \
	do {                     \
		if (!(holds))    \
			abort(); \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char bytes[65536];
	struct ks_buf room = KS_BUF(bytes);
	struct ks_str certs[KS_HOOKSIG_CERTS_MAX], cert = ks_str_of((const char *)data, size), chain = KS_STR("");
	size_t n;

	(void)!ks_str_split(cert, '\n', &cert, &chain);
	n = ks_inbound_proxied_certs(cert, chain, &room, certs, KS_HOOKSIG_CERTS_MAX);
	CHECK(n <= KS_HOOKSIG_CERTS_MAX);
	for (size_t i = 0; i < n; i++) {
		CHECK(certs[i].p >= bytes && certs[i].n <= sizeof(bytes));
		CHECK((size_t)(certs[i].p - bytes) <= sizeof(bytes) - certs[i].n);
		if (cert.n > 0 && ks_str_trim(cert).p[0] == ':')
			CHECK(ks_str_starts(certs[i], KS_STR("-----BEGIN CERTIFICATE-----\n")));
	}
	CHECK(ks_inbound_proxied_certs(cert, chain, &room, certs, 0) == 0);
	return 0;
}
