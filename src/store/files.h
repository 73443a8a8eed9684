/* SPDX-License-Identifier: Apache-2.0 */
/** Files that a store is kept in: made readable to their owner alone, and durable together with their names. Used by
 * the files of this directory alone. All block on the disk. */
#pragma once

#include "store/sql.h"

/** Longest path of a store, and of what stands beside it. */
#define KS_PATH_MAX 4096

/** `path` with `suffix`, terminated. KS_TOO_LARGE. */
KS_MUST_USE enum ks_err ks_file_beside(const char *path, const char *suffix, char ret_path[KS_PATH_MAX]);

/** What errno says, with a text "`what` `path`: …": KS_NOT_FOUND, KS_CONFLICT (exists), KS_DISK_FULL, KS_MEMORY or
 * KS_SYSTEM. */
enum ks_err ks_file_failed(struct ks_sql_error *error, const char *what, const char *path);

bool ks_file_exists(const char *path);

/** Makes the folder of `path` (0700) if it is not there, durably; its own parent must exist. */
KS_MUST_USE enum ks_err ks_file_make_folder(const char *path, struct ks_sql_error *error);

/** Makes the names in the folder of `path` durable. */
KS_MUST_USE enum ks_err ks_file_sync_folder(const char *path, struct ks_sql_error *error);

/** Makes an empty file (0600) unless there is one. */
KS_MUST_USE enum ks_err ks_file_make(const char *path, struct ks_sql_error *error);

/** Holds the lock file `path` (made if missing, never removed) until *ret_fd is closed. KS_BUSY: another holder, of
 * this process or another. */
KS_MUST_USE enum ks_err ks_file_lock(const char *path, struct ks_sql_error *error, int *ret_fd);

/** A new empty file (0600) under a name of its own in the folder of `path`. The caller closes it, and removes or
 * renames it. */
KS_MUST_USE enum ks_err ks_file_temporary(const char *path, struct ks_sql_error *error, char ret_path[KS_PATH_MAX],
					  int *ret_fd);

/** Copies the file `from` to the end of `to`. */
KS_MUST_USE enum ks_err ks_file_copy(const char *from, int to, const char *to_path, struct ks_sql_error *error);

/** Makes the content of `fd` durable, gives it the name `path` (in place of what has it if `replace`, else
 * KS_CONFLICT), and makes that durable. After a failure of the last step the name may have been given. */
KS_MUST_USE enum ks_err ks_file_publish(int fd, const char *temporary, const char *path, bool replace,
					struct ks_sql_error *error);
