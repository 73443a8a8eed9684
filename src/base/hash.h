/* SPDX-License-Identifier: Apache-2.0 */
/** Hashes that are not for secrecy: a keyed one for tables that strangers fill, and CRC-32 for checksums. */
#pragma once

#include "base/str.h"

/** SipHash-2-4 (Aumasson, Bernstein 2012) of `n` bytes under a 128-bit key. */
uint64_t ks_siphash(const uint64_t key[2], const void *bytes, size_t n);

/** A fast keyed mix of one 64-bit word, for ids and digests that are already random but may be chosen by strangers.
 * All bits of the result are good. Not one-to-one. */
uint64_t ks_mix64(uint64_t word, const uint64_t key[2]);

/** The same of 32 bytes, such as a digest: every bit of them counts, and without the key nobody can choose values
 * whose mixes are alike. */
uint64_t ks_mix256(const void *bytes, const uint64_t key[2]);

/** CRC-32 (ISO-HDLC, as zlib's crc32). Start with crc 0. */
uint32_t ks_crc32(uint32_t crc, const void *bytes, size_t n);
