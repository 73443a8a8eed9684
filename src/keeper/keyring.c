/* SPDX-License-Identifier: Apache-2.0 */
#include "keeper/child_priv.h"

#define SET_SHIFT 56 /* the product's upper bits are the well mixed ones */

enum ks_err ks_keyring_init(struct ks_keyring *ring)
{
	pthread_mutex_init(&ring->lock, NULL);
	return ks_secret_new(&ring->keys, (size_t)KS_CHILD_KEYS_SETS * KS_CHILD_KEYS_WAYS * KS_SEAL_KEY_SIZE);
}

static size_t set_of(uint64_t organization)
{
	return (size_t)((organization * UINT64_C(0x9e3779b97f4a7c15)) >> SET_SHIFT);
}

_Static_assert(KS_CHILD_KEYS_SETS == 1 << (64 - SET_SHIFT), "every set is reached");

static uint8_t *key_at(struct ks_keyring *ring, size_t set, size_t way)
{
	return &ring->keys.bytes[(set * KS_CHILD_KEYS_WAYS + way) * KS_SEAL_KEY_SIZE];
}

static bool is_forgotten(const struct ks_keyring *ring, uint64_t organization, uint32_t generation)
{
	for (size_t i = 0; i < KS_MIN(ring->forgotten_count, (size_t)KS_CHILD_FORGOTTEN_MAX); i++) {
		if (ring->forgotten[i].organization == organization && ring->forgotten[i].generation >= generation)
			return true;
	}
	return false;
}

/* Its last bytes, which its maker's key and a random nonce made. */
static uint64_t tag_of(struct ks_str wrapped)
{
	struct ks_cursor c = ks_cursor_of(ks_str_sub(wrapped, wrapped.n < 8 ? 0 : wrapped.n - 8, 8));

	return ks_cursor_u64(&c);
}

bool ks_keyring_get(struct ks_keyring *ring, const struct ks_keeper_org *org, uint8_t ret_key[KS_SEAL_KEY_SIZE],
		    bool *ret_forgotten)
{
	size_t set = set_of(org->organization);
	uint64_t tag = tag_of(org->wrapped);
	bool found = false;

	pthread_mutex_lock(&ring->lock);
	for (size_t way = 0; way < KS_CHILD_KEYS_WAYS && !found; way++) {
		struct ks_keyring_entry *e = &ring->entries[set][way];

		if (e->generation == 0 || e->organization != org->organization || e->generation != org->generation
		    || e->tag != tag)
			continue;
		e->used = ++ring->clock;
		memcpy(ret_key, key_at(ring, set, way), KS_SEAL_KEY_SIZE);
		found = true;
	}
	*ret_forgotten = !found && is_forgotten(ring, org->organization, org->generation);
	pthread_mutex_unlock(&ring->lock);
	return found;
}

void ks_keyring_put(struct ks_keyring *ring, const struct ks_keeper_org *org, const uint8_t key[KS_SEAL_KEY_SIZE])
{
	size_t set = set_of(org->organization), oldest = 0;

	pthread_mutex_lock(&ring->lock);
	/* It may have been forgotten while it was being unwrapped. */
	if (!is_forgotten(ring, org->organization, org->generation)) {
		for (size_t way = 1; way < KS_CHILD_KEYS_WAYS; way++) {
			if (ring->entries[set][way].used < ring->entries[set][oldest].used)
				oldest = way;
		}
		ring->entries[set][oldest] =
			(struct ks_keyring_entry){org->organization, org->generation, tag_of(org->wrapped), ++ring->clock};
		memcpy(key_at(ring, set, oldest), key, KS_SEAL_KEY_SIZE);
	}
	pthread_mutex_unlock(&ring->lock);
}

void ks_keyring_forget(struct ks_keyring *ring, uint64_t organization, uint32_t generation)
{
	size_t set = set_of(organization);

	pthread_mutex_lock(&ring->lock);
	for (size_t way = 0; way < KS_CHILD_KEYS_WAYS; way++) {
		struct ks_keyring_entry *e = &ring->entries[set][way];

		if (e->generation == 0 || e->organization != organization || e->generation > generation)
			continue;
		ks_wipe(key_at(ring, set, way), KS_SEAL_KEY_SIZE);
		*e = (struct ks_keyring_entry){0};
	}
	ring->forgotten[ring->forgotten_count++ % KS_CHILD_FORGOTTEN_MAX] =
		(struct ks_forgotten){organization, generation};
	pthread_mutex_unlock(&ring->lock);
}
