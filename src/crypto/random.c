/* SPDX-License-Identifier: Apache-2.0 */
#include "crypto/random.h"

#include <errno.h>
#include <sys/random.h>

#include "base/secret.h"

#define RANDOM_MAX ((size_t)1 << 20)

enum ks_err ks_random(void *ret_bytes, size_t n)
{
	unsigned char *bytes = ret_bytes;
	size_t got = 0;

	if (n > RANDOM_MAX)
		return KS_TOO_LARGE;
	while (got < n) {
		ssize_t more = getrandom(&bytes[got], n - got, 0);

		if (more > 0) {
			got += (size_t)more;
		} else if (more == 0 || errno != EINTR) {
			ks_wipe(bytes, got);
			return KS_SYSTEM;
		}
	}
	return KS_OK;
}
