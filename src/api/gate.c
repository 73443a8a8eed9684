/* SPDX-License-Identifier: Apache-2.0 */
#include "api/gate.h"

#include "base/hash.h"
#include "crypto/random.h"

#define MINUTE_MS 60000

enum ks_err ks_gate_init(struct ks_gate *gate)
{
	*gate = (struct ks_gate){0};
	KS_TRY(ks_random(gate->seed, sizeof(gate->seed)));
	pthread_mutex_init(&gate->lock, NULL);
	return KS_OK;
}

void ks_gate_done(struct ks_gate *gate)
{
	pthread_mutex_destroy(&gate->lock);
}

/* The half of the address that one party has: all of IPv4, which stands behind 80 zeros, or the first 64 bits. */
static uint64_t party_of(const struct ks_addr *address)
{
	uint64_t high = 0, low = 0;

	for (size_t i = 0; i < 8; i++) {
		high = high << 8 | address->bytes[i];
		low = low << 8 | address->bytes[i + 8];
	}
	return high ? high : low;
}

bool ks_gate_take(struct ks_gate *gate, const struct ks_addr *address, uint32_t per_minute, int64_t now_ms,
		  uint32_t *ret_retry_s)
{
	int64_t interval = MINUTE_MS / (int64_t)KS_MIN(KS_MAX(per_minute, 1u), (uint32_t)MINUTE_MS);
	size_t place = ks_mix64(party_of(address), gate->seed) % KS_GATE_PLACES;
	int64_t next;
	bool pass;

	pthread_mutex_lock(&gate->lock);
	/* A clock that went back must not shut anybody out for longer than a minute. */
	next = KS_MIN(KS_MAX(gate->tat_ms[place], now_ms), now_ms + MINUTE_MS) + interval;
	pass = next - now_ms <= MINUTE_MS;
	if (pass)
		gate->tat_ms[place] = next;
	pthread_mutex_unlock(&gate->lock);
	*ret_retry_s = pass ? 0 : (uint32_t)((next - now_ms - MINUTE_MS + 999) / 1000);
	return pass;
}
