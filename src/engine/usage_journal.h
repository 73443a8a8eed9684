/* SPDX-License-Identifier: Apache-2.0 */
/** Counts between the ring's counters and the truth, in a file beside the ring that outlives a killed process: each is
 * written here as soon as it is taken out of its counter, and stays until the truth has it. The usage thread's alone. */
#pragma once

#include "base/addr.h"
#include "base/err.h"

#define KS_USAGE_JOURNAL_MAX 16384   /* entries */

/** One count on its way to the truth. */
struct ks_usage_entry {
	uint64_t key;
	int64_t minute;
	uint64_t count;
	int64_t last_ms;             /* KS_TIME_NONE: no use to be remembered */
	struct ks_addr address;
	uint16_t reason;
	uint16_t scope;              /* number in the ring's table, the same in every generation */
	bool session;                /* `key` is a session's id */
};

struct ks_usage_journal {
	struct ks_usage_journal_file *file;
	size_t size;
	bool kept;                   /* in a file; else in memory, which dies with the process */
};

/** Opens the journal in `directory`, or makes it; `store_id`: of the truth that it goes to. `anew`: whatever is there
 * is not looked at. Where no file can be had the journal is in memory (kept false). KS_MEMORY. */
KS_MUST_USE enum ks_err ks_usage_journal_open(const char *directory, const uint8_t store_id[16], bool anew,
					      struct ks_usage_journal *ret_journal);
void ks_usage_journal_close(struct ks_usage_journal *journal);

/** Number of the batch that is being collected or written, and how many entries it has. */
uint64_t ks_usage_journal_batch(const struct ks_usage_journal *journal);
size_t ks_usage_journal_count(const struct ks_usage_journal *journal);
/** Copies the entries out; those that cannot be ours are left out. Returns how many. */
size_t ks_usage_journal_read(const struct ks_usage_journal *journal, struct ks_usage_entry *ret_entries);
/** Adds one; there must be room. */
void ks_usage_journal_add(struct ks_usage_journal *journal, const struct ks_usage_entry *entry);
/** Forgets them: the truth has them. The next batch is `batch`. */
void ks_usage_journal_next(struct ks_usage_journal *journal, uint64_t batch);
